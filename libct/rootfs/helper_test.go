package rootfs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/hako-runtime/hako/libct/safepath"
	"golang.org/x/sys/unix"
)

const (
	insideEnv = "HAKO_ROOTFS_TEST"
	rslave    = unix.MS_SLAVE | unix.MS_REC
	newAll    = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWNET | unix.CLONE_NEWUTS
)

// inside runs body in a child of its own with the namespaces of attr. The
// child is this test binary, told to run this very test.
func inside(t *testing.T, attr *syscall.SysProcAttr, files []*os.File, body func(t *testing.T)) {
	t.Helper()
	if os.Getenv(insideEnv) == t.Name() {
		body(t)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: mount namespaces")
	}
	parts := strings.Split(t.Name(), "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	cmd := exec.Command("/proc/self/exe", "-test.run="+strings.Join(parts, "/"), "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), insideEnv+"="+t.Name(), "HAKO_TEST_DIR="+t.TempDir())
	cmd.SysProcAttr = attr
	cmd.ExtraFiles = files
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skip(string(out))
	}
	if !strings.Contains(string(out), "--- PASS") {
		t.Fatalf("did not run:\n%s", out)
	}
}

// unshared is inside with mount, pid, ipc, net and uts namespaces.
func unshared(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	inside(t, &syscall.SysProcAttr{Cloneflags: newAll}, nil, body)
}

// box is a root file system under construction.
type box struct {
	t    *testing.T
	dir  string // the root on the "host"
	out  string // beside the root: what nothing may reach
	root *safepath.Root
	mt   *Mounter
}

// newBox makes a root from lines such as "dir/", "file=text", "link -> to",
// and attaches it.
func newBox(t *testing.T, tree ...string) *box {
	t.Helper()
	return newBoxRoot(t, Root{Propagation: rslave}, tree...)
}

func newBoxRoot(t *testing.T, r Root, tree ...string) *box {
	t.Helper()
	base := os.Getenv("HAKO_TEST_DIR")
	b := &box{t: t, dir: base + "/root", out: base + "/outside"}
	must(t, os.MkdirAll(b.out, 0o755))
	must(t, os.Chmod(base, 0o755))
	plant(t, b.dir, tree...)
	f, err := OpenRootFS(b.dir)
	must(t, err)
	r.HostPath = b.dir
	b.root, err = Attach(r, f)
	must(t, err)
	b.mt = &Mounter{Root: b.root, Propagation: r.Propagation, Sources: map[int]*os.File{}}
	return b
}

func plant(t *testing.T, dir string, tree ...string) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	for _, line := range tree {
		if name, target, ok := strings.Cut(line, " -> "); ok {
			must(t, os.MkdirAll(filepath.Dir(dir+"/"+name), 0o755))
			must(t, os.Symlink(target, dir+"/"+name))
		} else if name, text, ok := strings.Cut(line, "="); ok {
			must(t, os.MkdirAll(filepath.Dir(dir+"/"+name), 0o755))
			must(t, os.WriteFile(dir+"/"+name, []byte(text), 0o644))
		} else {
			must(t, os.MkdirAll(dir+"/"+line, 0o755))
		}
	}
}

// mount mounts rows as MountAll does, with their sources opened first.
func (b *box) mount(rows ...Mount) error {
	b.t.Helper()
	for i, m := range rows {
		if m.Kind != KindBind {
			continue
		}
		f, err := OpenSource(m, nil, nil)
		must(b.t, err)
		defer f.Close()
		b.mt.Sources[i] = f
	}
	return b.mt.MountAll(rows)
}

func (b *box) enter() {
	b.t.Helper()
	must(b.t, EnterRoot(Root{Enter: EnterPivot, Propagation: b.mt.Propagation}, b.root))
}

// path names something of the root, seen from the host's side.
func (b *box) path(name string) string { return b.dir + name }

func procRow() Mount {
	return Mount{UnsafeDest: "/proc", Kind: KindNew, FSType: "proc", Source: "proc"}
}

func tmpfsRow(dest string, data ...string) Mount {
	return Mount{UnsafeDest: dest, Kind: KindNew, FSType: "tmpfs", Source: "tmpfs", Data: data}
}

func bindRow(source, dest string) Mount {
	return Mount{UnsafeDest: dest, Kind: KindBind, Source: source, Recursive: true}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func stat(t *testing.T, path string) unix.Stat_t {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatalf("lstat %s: %v", path, err)
	}
	return st
}

func wantErr(t *testing.T, err error, part string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		t.Fatalf("got %v, want an error with %q", err, part)
	}
}

// mountsAt lists the mount points, with their file system type, that start
// with prefix.
func mountsAt(t *testing.T, prefix string) (points []string) {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	for line := range strings.Lines(string(table)) {
		f := strings.Fields(line)
		if strings.HasPrefix(f[4], prefix) {
			points = append(points, f[4])
		}
	}
	return points
}

func empty(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) > 0 {
		t.Errorf("%s is not empty: %v", dir, entries)
	}
}
