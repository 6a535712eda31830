package rootfs

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestEnterLeavesNothingOfTheHost(t *testing.T) {
	for _, c := range []struct {
		name        string
		enter       Enter
		propagation uint64
	}{
		{"pivot from a slave", EnterPivot, rslave},
		{"pivot from private", EnterPivot, unix.MS_PRIVATE | unix.MS_REC},
		{"pivot to a shared root", EnterPivot, unix.MS_SHARED | unix.MS_REC},
		{"pivot to an unbindable root", EnterPivot, unix.MS_UNBINDABLE},
		{"move and chroot", EnterMove, rslave},
	} {
		t.Run(c.name, func(t *testing.T) {
			unshared(t, func(t *testing.T) {
				must(t, unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""))
				r := Root{Propagation: c.propagation, Enter: c.enter}
				b := newBoxRoot(t, r, "marker=inside", "proc/")
				must(t, b.mount(procRow()))
				must(t, EnterRoot(r, b.root))
				must(t, ApplyRestrict(b.root, Restrict{UnsafeReadonly: []string{"/proc"}}, nil, ""))
				must(t, FinishPropagation(r))
				wd, err := os.Getwd()
				must(t, err)
				text, err := os.ReadFile("/marker")
				must(t, err)
				if wd != "/" || string(text) != "inside" {
					t.Errorf("wd %q, marker %q", wd, text)
				}
				for _, p := range []string{"/..", "/../../../etc", "/proc/self/cwd/../marker"} {
					if _, err := os.Stat(p + "/hostname"); err == nil {
						t.Errorf("%s leads to the host", p)
					}
				}
				checkTable(t, c.enter, c.propagation)
			})
		})
	}
}

func checkTable(t *testing.T, enter Enter, propagation uint64) {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(table)), "\n")
	if enter == EnterPivot && len(lines) != 3 {
		t.Errorf("want / and twice /proc only:\n%s", table)
	}
	for _, want := range []struct {
		flag uint64
		word string
	}{{unix.MS_SHARED, "shared:"}, {unix.MS_UNBINDABLE, "unbindable"}} {
		if got := strings.Contains(lines[0], want.word); got != (propagation&want.flag != 0) {
			t.Errorf("%s is %v: %s", want.word, got, lines[0])
		}
	}
}

func TestPropagationToTheHost(t *testing.T) {
	for _, c := range []struct {
		name        string
		propagation string
		reaches     bool
	}{
		{"a slave root lets nothing out", "slave", false},
		{"a private root lets nothing out", "private", false},
		{"a shared root shares volumes, not itself", "shared", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			unshared(t, func(t *testing.T) { propagationHost(t, c.propagation, c.reaches) })
		})
	}
}

func propagationHost(t *testing.T, propagation string, reaches bool) {
	must(t, unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""))
	dir := os.Getenv("HAKO_TEST_DIR")
	plant(t, dir+"/root", "proc/", "data/", "dev/")
	plant(t, dir, "volume/")
	must(t, unix.Mount("tmpfs", dir+"/volume", "tmpfs", 0, ""))
	plant(t, dir+"/volume", "sub/")
	tree, err := OpenRootFS(dir + "/root")
	must(t, err)
	volume, err := OpenTree(dir+"/volume", true, false)
	must(t, err)
	before := mountsAt(t, "/")
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestPropagationChild$", "-test.v")
	cmd.Env = append(os.Environ(), insideEnv+"=TestPropagationChild", "PROPAGATION="+propagation)
	cmd.ExtraFiles = []*os.File{tree, volume}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Fatalf("%v\n%s", err, out)
	}
	want := before
	if reaches {
		want = append(want, dir+"/volume/sub")
	}
	if after := mountsAt(t, "/"); strings.Join(after, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", after, want)
	}
}

func TestPropagationChild(t *testing.T) {
	if os.Getenv(insideEnv) != t.Name() {
		return // the container side of TestPropagationToTheHost
	}
	dir := os.Getenv("HAKO_TEST_DIR")
	r := Root{HostPath: dir + "/root", Propagation: unix.MS_REC, Enter: EnterPivot}
	r.Propagation |= map[string]uint64{"slave": unix.MS_SLAVE, "private": unix.MS_PRIVATE, "shared": unix.MS_SHARED}[os.Getenv("PROPAGATION")]
	root, err := Attach(r, os.NewFile(3, "root"))
	must(t, err)
	mt := &Mounter{Root: root, Propagation: r.Propagation, Sources: map[int]*os.File{1: os.NewFile(4, "volume")}}
	must(t, mt.MountAll([]Mount{procRow(), bindRow("", "/data"), tmpfsRow("/data/sub")}))
	must(t, EnterRoot(r, root))
	must(t, FinishPropagation(r))
	must(t, unix.Mount("tmpfs", "/dev", "tmpfs", 0, ""))
}

func TestHooksSeeTheRootAtItsHostPath(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t, "data/")
		must(t, b.mount(tmpfsRow("/data")))
		if got := mountsAt(t, b.path("/data")); len(got) != 1 {
			t.Errorf("mounts below the host path: %v", got)
		}
		// What a hook mounts by the host path is in the container.
		must(t, os.Mkdir(b.path("/hook"), 0o755))
		must(t, unix.Mount("tmpfs", b.path("/hook"), "tmpfs", 0, "mode=701"))
		b.enter()
		if st := stat(t, "/hook"); st.Mode&0o777 != 0o701 {
			t.Errorf("the hook's mount is missing: mode %o", st.Mode)
		}
	})
}

func TestRootIsReachedThroughAnUnreachablePath(t *testing.T) {
	unshared(t, func(t *testing.T) {
		base := os.Getenv("HAKO_TEST_DIR")
		plant(t, base+"/root", "marker=x")
		tree, err := OpenRootFS(base + "/root")
		must(t, err)
		r := Root{HostPath: "/no/such/path", Propagation: rslave, Enter: EnterPivot}
		root, err := Attach(r, tree)
		must(t, err)
		must(t, EnterRoot(r, root))
		stat(t, "/marker")
	})
}

func TestReadonlyRootLeavesMountsWritable(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t, "data/")
		must(t, b.mount(tmpfsRow("/data")))
		b.enter()
		must(t, RemountReadonly(b.root))
		if err := os.WriteFile("/x", nil, 0o644); err == nil {
			t.Error("the root is writable")
		}
		must(t, os.WriteFile("/data/x", nil, 0o644))
	})
}

func TestChrootWithoutMountNamespace(t *testing.T) {
	inside(t, &syscall.SysProcAttr{}, nil, func(t *testing.T) {
		plant(t, os.Getenv("HAKO_TEST_DIR")+"/root", "marker=x")
		root := openRoot(t, os.Getenv("HAKO_TEST_DIR")+"/root")
		must(t, EnterRoot(Root{Enter: EnterChroot}, root))
		stat(t, "/marker")
	})
}

func TestFullMounts(t *testing.T) {
	const table = `22 27 0:21 / /proc rw - proc proc rw
23 27 0:22 / /s\040ys rw - sysfs sysfs rw
24 22 0:21 /sys /proc/sys ro - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 254:0 /root /root rw - ext4 /dev/vda rw
41 40 0:50 / /root/proc rw - proc proc rw
`
	got := strings.Join(fullMounts([]byte(table), "40"), "|")
	if want := "/proc|/s ys"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
