package rootfs

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestRestrict(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t, "proc/", "secret=x", "a/x=1", "b/y=1", "ro/x=1", "link -> /a")
		opts := tmpfsRow("/ro/flags")
		opts.Attr.Set = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC
		must(t, b.mount(procRow(), opts))
		must(t, MakeDevices(b.root, []Device{nullDevice()}, nil))
		b.enter()
		r := Restrict{
			UnsafeMasked:   []string{"/secret", "/a", "/b", "/b/", "//b", "/missing", "/secret/x", "/proc/kcore", "/proc/timer_list"},
			UnsafeReadonly: []string{"/ro", "/ro/flags", "/missing", "/proc/sys"},
		}
		must(t, ApplyRestrict(b.root, r, nil, ""))
		if text, err := os.ReadFile("/secret"); err != nil || len(text) > 0 {
			t.Errorf("/secret: %q, %v", text, err)
		}
		empty(t, "/a")
		empty(t, "/b")
		empty(t, "/link")
		if stat(t, "/a").Dev != stat(t, "/b").Dev {
			t.Error("masked directories have a file system each")
		}
		if got := mountsAt(t, "/b"); len(got) != 1 {
			t.Errorf("mounts on /b: %v", got)
		}
		for _, path := range []string{"/a/x", "/ro/x", "/ro/new", "/ro/flags/new", "/proc/sys/kernel/domainname"} {
			if err := os.WriteFile(path, []byte("x"), 0o600); !errors.Is(err, unix.EROFS) {
				t.Errorf("write %s: %v", path, err)
			}
		}
		var fs unix.Statfs_t
		must(t, unix.Statfs("/ro/flags", &fs))
		if fs.Flags&unix.ST_NOSUID == 0 || fs.Flags&unix.ST_NOEXEC == 0 {
			t.Errorf("flags were lost: %#x", fs.Flags)
		}
		must(t, os.WriteFile("/free", nil, 0o600))
	})
}

func TestHostileMasks(t *testing.T) {
	for _, c := range []struct {
		name string
		tree []string
		host bool // the host sends its null device
		mask string
		want string
	}{
		{"a regular /dev/null masks nothing", []string{"dev/null=evil", "s=x"}, false, "/s", "not the null device"},
		{"a symlinked /dev/null masks nothing", []string{"dev/null -> /s", "s=x"}, false, "/s", "not the null device"},
		{"a missing /dev/null masks nothing", []string{"s=x"}, false, "/s", "no such file"},
		{"the host's null device serves a hostile image", []string{"dev/null=evil", "s=x"}, true, "/s", ""},
		{"a masked symlink stays inside", []string{"l -> ../../../s", "s=x"}, true, "/l", ""},
		{"a magic link is refused", nil, true, "/proc/self/exe", "too many levels"},
	} {
		t.Run(c.name, func(t *testing.T) {
			unshared(t, func(t *testing.T) {
				b := newBox(t, append(c.tree, "proc/")...)
				must(t, b.mount(procRow()))
				var null *os.File
				if c.host {
					var err error
					null, err = OpenDevice(nullDevice())
					must(t, err)
				}
				b.enter()
				err := ApplyRestrict(b.root, Restrict{UnsafeMasked: []string{c.mask}}, null, "")
				if c.want != "" {
					wantErr(t, err, c.want)
					return
				}
				must(t, err)
				if err := os.Chmod("/s", 0o600); c.mask == "/s" && !errors.Is(err, unix.EROFS) {
					t.Errorf("the host's null device can be changed: %v", err)
				}
				must(t, os.WriteFile("/s", []byte("x"), 0))
				if text, err := os.ReadFile("/s"); err != nil || len(text) > 0 {
					t.Errorf("still readable: %q, %v", text, err)
				}
			})
		})
	}
}
