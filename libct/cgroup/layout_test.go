package cgroup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/devices"
	"github.com/hako-runtime/hako/libct/host"
)

// layoutEnv tells the re-executed test binary what its mount namespace shows.
const layoutEnv = "HAKO_TEST_CGROUP_LAYOUT"

// views are the shell commands that make a layout in a private mount
// namespace of a hybrid host.
var views = map[host.CgroupMode]string{
	host.CgroupV1: "umount -l /sys/fs/cgroup/unified",
	host.CgroupV2: "umount -l /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup",
}

// everyLayout runs test as subtests "hybrid", "v1" and "v2", as far as this
// host can show them.
func everyLayout(t *testing.T, test func(t *testing.T, mode host.CgroupMode)) {
	for _, mode := range []host.CgroupMode{host.CgroupHybrid, host.CgroupV1, host.CgroupV2} {
		inLayout(t, mode, test)
	}
}

func inLayout(t *testing.T, mode host.CgroupMode, test func(t *testing.T, mode host.CgroupMode)) {
	if shown := os.Getenv(layoutEnv); shown != "" {
		if shown == string(mode) {
			t.Run(shown, func(t *testing.T) { test(t, mode) })
		}
		return
	}
	t.Run(string(mode), func(t *testing.T) {
		if os.Getuid() != 0 {
			t.Skip("not root")
		}
		native := nativeLayout(t)
		switch {
		case native == mode:
			test(t, mode)
		case native != host.CgroupHybrid:
			t.Skipf("a host with cgroup %s cannot show %s", native, mode)
		default:
			reexec(t, mode)
		}
	})
}

func nativeLayout(t *testing.T) host.CgroupMode {
	t.Helper()
	var fs unix.Statfs_t
	if err := unix.Statfs(base, &fs); err != nil {
		t.Skip("no cgroups: ", err)
	}
	if fs.Type == unix.CGROUP2_SUPER_MAGIC {
		return host.CgroupV2
	}
	if err := unix.Statfs(base+"/unified", &fs); err == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
		return host.CgroupHybrid
	}
	return host.CgroupV1
}

// reexec runs the same test where the mount namespace shows the layout.
func reexec(t *testing.T, mode host.CgroupMode) {
	t.Helper()
	name := strings.TrimSuffix(t.Name(), "/"+string(mode))
	cmd := exec.Command("unshare", "-m", "sh", "-ec",
		`mount --make-rprivate /; `+views[mode]+`; exec "$@"`, "sh",
		os.Args[0], "-test.run=^"+name+"$/^"+string(mode)+"$", "-test.v")
	cmd.Env = append(os.Environ(), layoutEnv+"="+string(mode))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("did not run:\n%s", out)
	}
	if _, skipped, ok := strings.Cut(string(out), "--- SKIP"); ok {
		t.Skip(skipped)
	}
}

// testPath is a path of this test only.
func testPath(t *testing.T) string {
	name := strings.Map(func(r rune) rune {
		if r == '/' || r == ' ' {
			return '-'
		}
		return r
	}, t.Name())
	return fmt.Sprintf("/hako-test-%d-%s", os.Getpid(), name)
}

// createLimited makes a group as the start of a container does.
func createLimited(g Group) error {
	err := g.Create()
	if err == nil {
		err = g.Limit()
	}
	if err != nil {
		return errors.Join(err, g.Discard())
	}
	return nil
}

// newGroup makes a group that the end of the test removes.
func newGroup(t *testing.T, mode host.CgroupMode, path string, rules ...devices.Rule) Group {
	t.Helper()
	g := openGroup(t, mode, path, rules...)
	if err := createLimited(g); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Kill(unix.SIGKILL); err != nil {
			t.Error("kill: ", err)
		}
		if err := g.Remove(); err != nil {
			t.Error("remove: ", err)
		}
	})
	return g
}

func openGroup(t *testing.T, mode host.CgroupMode, path string, rules ...devices.Rule) Group {
	t.Helper()
	g, err := Open(Spec{Path: path, Devices: rules}, mode)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// start runs a shell script in the group and reaps it at the end of the test.
func start(t *testing.T, g Group, script string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sh", "-c", "read go; "+script)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = g.Kill(unix.SIGKILL) // also thaws
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if err := g.Add(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(in)
	in.Close()
	return cmd
}

// eventually waits for a condition that the kernel brings about soon.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within ten seconds: ", what)
		}
	}
}

// mkdirEverywhere makes a nested cgroup as a container would.
func mkdirEverywhere(t *testing.T, g Group, sub string) {
	t.Helper()
	for _, dir := range g.Paths() {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(dir, base+"/cpuset/") {
			continue
		}
		for d := filepath.Join(dir, strings.Split(sub, "/")[0]); ; d = filepath.Join(d, strings.Split(sub, "/")[1]) {
			for _, name := range []string{"/cpuset.cpus", "/cpuset.mems"} {
				value, err := os.ReadFile(filepath.Dir(d) + name)
				if err == nil {
					err = os.WriteFile(d+name, value, 0)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if d == filepath.Join(dir, sub) {
				break
			}
		}
	}
}
