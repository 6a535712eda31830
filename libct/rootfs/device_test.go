package rootfs

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDevices(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t, "etc/")
		unix.Umask(0o077)
		devs := []Device{
			nullDevice(),
			{UnsafePath: "/dev/tty", Mode: unix.S_IFCHR | 0o666, Major: 5, Minor: 0, GID: 5},
			{UnsafePath: "/dev/sub/blk", Mode: unix.S_IFBLK | 0o640, Major: 7, Minor: 99, UID: 1, GID: 6},
			{UnsafePath: "/etc/fifo", Mode: unix.S_IFIFO | 0o622, UID: 3},
		}
		must(t, MakeDevices(b.root, devs, nil))
		must(t, MakeDevices(b.root, devs, nil)) // what is right stays
		for _, d := range devs {
			st := stat(t, b.path(d.UnsafePath))
			if !isNode(&st, d) || st.Mode != d.Mode || st.Uid != d.UID || st.Gid != d.GID {
				t.Errorf("%s: %+v", d.UnsafePath, st)
			}
		}
		if st := stat(t, b.path("/dev/sub")); st.Mode&0o7777 != 0o755 {
			t.Errorf("/dev/sub: %o", st.Mode)
		}
	})
}

func TestHostileDevicePaths(t *testing.T) {
	bind := nullDevice()
	bind.Bind = true
	for _, c := range []struct {
		name string
		tree []string
		dev  Device
		want error // nil: allowed
		at   string
	}{
		{"a regular /dev/null is an error", []string{"dev/null=evil"}, nullDevice(), unix.EEXIST, ""},
		{"a symlinked /dev/null is an error", []string{"dev/null -> /etc/passwd", "etc/passwd=x"}, nullDevice(), unix.EEXIST, ""},
		{"a dangling /dev/null is an error", []string{"dev/null -> ../../outside/x"}, nullDevice(), unix.EEXIST, ""},
		{"a symlinked /dev stays inside", []string{"dev -> ../outside"}, nullDevice(), nil, "/outside/null"},
		{"a path without a name is an error", nil, Device{UnsafePath: "/dev/..", Mode: unix.S_IFCHR}, unix.EINVAL, ""},
		{"a node is bound on a file", []string{"dev/null=x"}, bind, nil, "/dev/null"},
		{"a node is not bound through a symlink", []string{"dev/null -> /x", "x=1"}, bind, unix.EEXIST, ""},
		{"a node is not bound on a directory", []string{"dev/null/"}, bind, unix.EEXIST, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			unshared(t, func(t *testing.T) {
				b := newBox(t, c.tree...)
				src, err := OpenDevice(nullDevice())
				must(t, err)
				err = MakeDevices(b.root, []Device{c.dev}, map[int]*os.File{0: src})
				if !errors.Is(err, c.want) {
					t.Fatalf("got %v, want %v", err, c.want)
				}
				if c.want == nil {
					if st := stat(t, b.path(c.at)); !isNode(&st, nullDevice()) {
						t.Errorf("%+v", st)
					}
				}
				if c.want == nil && c.dev.Bind {
					if err := os.Chmod(b.path(c.at), 0o600); !errors.Is(err, unix.EROFS) {
						t.Errorf("the host's node can be changed: %v", err)
					}
					must(t, os.WriteFile(b.path(c.at), []byte("x"), 0))
				}
				empty(t, b.out)
			})
		})
	}
}

func TestOpenDeviceVerifiesTheNode(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: open_tree")
	}
	f, err := OpenDevice(Device{UnsafePath: "/dev/zero", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 200})
	if !errors.Is(err, unix.ENODEV) {
		t.Errorf("got %v, %v", f, err)
	}
}

func TestDefaultLinks(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t, "dev -> /elsewhere", "elsewhere/ptmx=x", "elsewhere/fd=kept")
		must(t, DefaultLinks(b.root))
		for name, want := range map[string]string{
			"stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2", "ptmx": "pts/ptmx",
		} {
			if got, err := os.Readlink(b.path("/elsewhere/" + name)); got != want {
				t.Errorf("%s -> %q, %v", name, got, err)
			}
		}
		if st := stat(t, b.path("/elsewhere/fd")); st.Mode&unix.S_IFMT != unix.S_IFREG {
			t.Error("fd was replaced")
		}
	})
}
