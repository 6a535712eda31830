package devices

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// cgroup2Dir makes an empty cgroup2 directory for the test.
func cgroup2Dir(t *testing.T) *os.File {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("not root")
	}
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var st unix.Statfs_t
		if unix.Statfs(root, &st) != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
			continue
		}
		dir := fmt.Sprintf("%s/hako-test-devices-%d-%s", root, os.Getpid(), t.Name())
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
		})
		f, err := os.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	t.Skip("no cgroup2 hierarchy is mounted")
	return nil
}

func count(t *testing.T, dir *os.File) int {
	t.Helper()
	progs, err := attached(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range progs {
		unix.Close(fd)
	}
	return len(progs)
}

func TestAttachReplacesItsOwnProgramOnly(t *testing.T) {
	dir := cgroup2Dir(t)
	foreign := attachForeign(t, dir)
	defer unix.Close(foreign)
	before := descriptors(t)
	for i := range 3 {
		if err := Attach(dir, containerRules[:len(containerRules)-i]); err != nil {
			t.Fatal(err)
		}
		if n := count(t, dir); n != 1 {
			t.Fatalf("%d programs of ours", n)
		}
	}
	if err := Attach(dir, nil); err != nil {
		t.Fatal(err)
	}
	if n := count(t, dir); n != 0 {
		t.Errorf("%d programs of ours after detaching", n)
	}
	if err := detach(dir, foreign); err != nil {
		t.Error("the other program is gone: ", err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// attachForeign attaches a program under another name, as systemd would.
func attachForeign(t *testing.T, dir *os.File) int {
	t.Helper()
	if err := AttachNew(dir, containerRules); err != nil {
		t.Fatal(err)
	}
	ours, err := attached(dir)
	if err != nil || len(ours) != 1 {
		t.Fatal(ours, err)
	}
	insns, err := compile(containerRules)
	if err != nil {
		t.Fatal(err)
	}
	prog, err := loadNamed(insns, "sd_devices")
	if err != nil {
		t.Fatal(err)
	}
	if err := attachProgram(dir, prog, ours[0]); err != nil {
		t.Fatal(err)
	}
	unix.Close(ours[0])
	return prog
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestVerifierAccepts loads what users may write, long lists included.
func TestVerifierAccepts(t *testing.T) {
	dir := cgroup2Dir(t)
	lists := map[string][]Rule{}
	for _, c := range goldenCases {
		lists[c.name] = c.rules
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for i := range 50 {
		lists[fmt.Sprint("random ", i)] = randomRules(rng)
	}
	for _, n := range []int{300, maxRules} {
		for _, access := range []string{"rwm", "rw", "m"} {
			var long []Rule
			for i := range n {
				long = append(long, rule(i%7 != 0, "bc"[i%2], int64(i/16), int64(i%16), access))
			}
			lists[fmt.Sprint(n, " rules ", access)] = long
		}
	}
	for name, rules := range lists {
		if err := Attach(dir, rules); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Attach(dir, make([]Rule, maxRules+1)); !errors.Is(err, unix.E2BIG) {
		t.Error("too many rules: ", err)
	}
}

func TestAttachSaysWhatIsNotPermitted(t *testing.T) {
	if os.Getenv("HAKO_TEST_UNPRIVILEGED") != "" {
		dir, err := os.Open("/")
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		for _, err := range []error{AttachNew(dir, containerRules), Attach(dir, containerRules)} {
			if !errors.Is(err, fs.ErrPermission) {
				t.Error(err)
			}
		}
		return
	}
	// Root of a new user namespace: CAP_BPF there is not enough.
	cmd := exec.Command("unshare", "-r", os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "HAKO_TEST_UNPRIVILEGED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
