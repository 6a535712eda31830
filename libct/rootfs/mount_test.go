package rootfs

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/hako-runtime/hako/libct/idmap"
	"github.com/hako-runtime/hako/libct/safepath"
	"golang.org/x/sys/unix"
)

func openRoot(t *testing.T, path string) *safepath.Root {
	t.Helper()
	r, err := safepath.OpenRoot(path)
	must(t, err)
	return r
}

func TestDefaultMounts(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t)
		const nsn = unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC
		must(t, b.mount(
			procRow(),
			Mount{UnsafeDest: "/dev", Kind: KindNew, FSType: "tmpfs", Source: "tmpfs", Data: []string{"mode=755", "size=65536k"}, Attr: Attr{Set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_STRICTATIME}},
			Mount{UnsafeDest: "/dev/pts", Kind: KindNew, FSType: "devpts", Source: "devpts", Data: []string{"newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}, Attr: Attr{Set: nsn}},
			Mount{UnsafeDest: "/dev/shm", Kind: KindNew, FSType: "tmpfs", Source: "shm", Data: []string{"mode=1777", "size=65536k"}, Attr: Attr{Set: nsn}},
			Mount{UnsafeDest: "/dev/mqueue", Kind: KindNew, FSType: "mqueue", Source: "mqueue", Attr: Attr{Set: nsn}},
			Mount{UnsafeDest: "/sys", Kind: KindNew, FSType: "sysfs", Source: "sysfs", Attr: Attr{Set: nsn | unix.MOUNT_ATTR_RDONLY}},
		))
		b.enter()
		table, err := os.ReadFile("/proc/self/mountinfo")
		must(t, err)
		for _, want := range []string{
			"/proc rw,relatime - proc proc",
			"/dev rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755",
			"/dev/pts rw,nosuid,noexec,relatime - devpts devpts rw,gid=5,mode=620,ptmxmode=666",
			"/dev/shm rw,nosuid,noexec,relatime - tmpfs shm",
			"/dev/mqueue rw,nosuid,noexec,relatime - mqueue mqueue",
			"/sys ro,nosuid,noexec,relatime - sysfs sysfs",
		} {
			if !strings.Contains(string(table), want) {
				t.Errorf("no %q in\n%s", want, table)
			}
		}
	})
}

func TestMountPoints(t *testing.T) {
	for _, c := range []struct {
		name string
		tree []string
		row  Mount
		at   string // where the mount must be
		mode uint32 // of the mounted root, if not 0
	}{
		{"a tmpfs keeps the mode of the directory it covers", []string{"d/"}, tmpfsRow("/d"), "/d", 0o2751},
		{"a mode option wins", []string{"d/"}, tmpfsRow("/d", "mode=700"), "/d", 0o700},
		{"a new tmpfs directory is 1777", nil, tmpfsRow("/a/b"), "/a/b", 0o1777},
		{"a relative destination starts at the root", nil, tmpfsRow("a"), "/a", 0},
		{"dots end at the root", nil, tmpfsRow("/../../a"), "/a", 0},
		{"an absolute symlink stays inside", []string{"l -> /a"}, tmpfsRow("/l"), "/a", 0},
		{"a climbing symlink stays inside", []string{"l -> ../outside/a"}, tmpfsRow("/l"), "/outside/a", 0},
		{"a dangling symlink is made inside", []string{"l -> /x/y"}, tmpfsRow("/l/z"), "/x/y/z", 0},
		{"a symlinked /dev stays inside", []string{"dev -> /etc"}, tmpfsRow("/dev"), "/etc", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			unshared(t, func(t *testing.T) {
				b := newBox(t, c.tree...)
				if st := b.path("/d"); c.mode == 0o2751 {
					must(t, unix.Chmod(st, 0o2751))
				}
				must(t, b.mount(c.row))
				if got := mountsAt(t, b.dir+"/"); len(got) != 1 || got[0] != b.path(c.at) {
					t.Fatalf("mounted at %v", got)
				}
				if st := stat(t, b.path(c.at)); c.mode != 0 && st.Mode&0o7777 != c.mode {
					t.Errorf("mode %o, want %o", st.Mode&0o7777, c.mode)
				}
				empty(t, b.out)
			})
		})
	}
}

func TestMadeParentsInheritSetgidAndIgnoreTheUmask(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t, "d/")
		must(t, unix.Chmod(b.path("/d"), 0o2777))
		must(t, os.Chown(b.path("/d"), 0, 42))
		must(t, unix.Chmod(b.path("/d"), 0o2777))
		unix.Umask(0o077)
		must(t, b.mount(tmpfsRow("/d/x/y")))
		if st := stat(t, b.path("/d/x")); st.Mode&0o7777 != 0o2755 || st.Gid != 42 {
			t.Errorf("mode %o gid %d", st.Mode, st.Gid)
		}
		if old := unix.Umask(0); old != 0o077 {
			t.Errorf("umask became %o", old)
		}
	})
}

func TestBind(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t, "dir/")
		plant(t, b.out, "file=host", "sub/", "tree/x=1")
		must(t, unix.Mount("tmpfs", b.out+"/tree", "tmpfs", 0, "mode=755"))
		ro := Attr{Set: unix.MOUNT_ATTR_RDONLY}
		file := bindRow(b.out+"/file", "/etc/made")
		dir := bindRow(b.out, "/dir")
		dir.Attr = ro
		rec := bindRow(b.out, "/rec")
		rec.RecAttr = ro
		flat := bindRow(b.out, "/flat")
		flat.Recursive = false
		must(t, b.mount(file, dir, rec, flat))
		b.enter()
		text, err := os.ReadFile("/etc/made")
		must(t, err)
		if string(text) != "host" {
			t.Errorf("file bind: %q", text)
		}
		for path, writable := range map[string]bool{
			"/etc/made": true, "/dir/file": false, "/dir/tree/n": true,
			"/rec/file": false, "/rec/tree/m": false, "/flat/file": true,
		} {
			err := os.WriteFile(path, []byte("host"), 0o644)
			if writable != (err == nil) || !writable && !errors.Is(err, unix.EROFS) {
				t.Errorf("%s: writable %v, got %v", path, writable, err)
			}
		}
		stat(t, "/flat/tree/x") // what the host's mount covers
	})
}

func TestBindOfASymlink(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t, "target=inside", "link -> target")
		plant(t, b.out, "link -> elsewhere", "file=host")
		own := bindRow(b.out+"/link", "/own")
		own.SrcNoFollow, own.DestNoFollow = true, true
		over := bindRow(b.out+"/file", "/link")
		over.DestNoFollow = true
		must(t, b.mount(own, over))
		b.enter()
		if got, _ := os.Readlink("/own"); got != "elsewhere" {
			t.Errorf("/own -> %q", got)
		}
		link, _ := os.ReadFile("/link")
		target, _ := os.ReadFile("/target")
		if string(link) != "host" || string(target) != "inside" {
			t.Errorf("link %q, target %q", link, target)
		}
	})
}

func TestMissingSourceIsNamed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: open_tree")
	}
	_, err := OpenSource(bindRow("/no/such/source", "/x"), nil, nil)
	var pe *os.PathError
	if !errors.As(err, &pe) || pe.Path != "/no/such/source" || !errors.Is(err, unix.ENOENT) {
		t.Errorf("got %v", err)
	}
	if _, err := OpenRootFS("/etc/passwd"); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a file as root: %v", err)
	}
}

func TestErrorsNameTheRow(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t, "file=x", "dir/")
		row := tmpfsRow("/data", "nonsense=1")
		row.Index = 3
		wantErr(t, b.mount(row), `mounts[3] /data: option "nonsense=1": fsconfig: invalid argument (tmpfs: Unknown parameter 'nonsense')`)
		row = tmpfsRow("/file")
		row.Index = -1
		err := b.mount(row)
		wantErr(t, err, "mount /file: ")
		if !errors.Is(err, unix.ENOTDIR) {
			t.Errorf("a tmpfs on a file: %v", err)
		}
		row = Mount{UnsafeDest: "/dir", Kind: KindNew, FSType: "nofs"}
		wantErr(t, b.mount(row), `mounts[0] /dir: file system "nofs": fsopen: no such device`)
		wantErr(t, b.mount(tmpfsRow("")), "invalid argument")
		wantErr(t, b.mount(tmpfsRow("/a\x00b")), "invalid argument")
	})
}

func TestHostileProcAndSys(t *testing.T) {
	sysfs := Mount{UnsafeDest: "/sys", Kind: KindNew, FSType: "sysfs"}
	for _, c := range []struct {
		name string
		tree []string
		rows []Mount
		want string // "" = allowed
	}{
		{"a symlinked /proc is refused", []string{"proc -> /evil", "evil/"}, []Mount{procRow()}, "must be mounted on ordinary directory"},
		{"a dangling /proc is refused", []string{"proc -> /evil"}, []Mount{procRow()}, "must be mounted on ordinary directory"},
		{"a symlinked /sys is refused", []string{"sys -> /evil", "evil/"}, []Mount{sysfs}, "must be mounted on ordinary directory"},
		{"a file at /proc is refused", []string{"proc=x"}, []Mount{procRow()}, "must be mounted on ordinary directory"},
		{"a bind over /proc is refused", []string{"proc/"}, []Mount{bindRow("/etc", "/proc")}, "not of type proc"},
		{"a tmpfs over /proc is refused", []string{"proc/"}, []Mount{procRow(), tmpfsRow("/proc")}, "not of type proc"},
		{"procfs may be bound over /proc", nil, []Mount{bindRow("/proc", "/proc")}, ""},
		{"a bind inside /proc is refused", nil, []Mount{procRow(), bindRow("/etc", "/proc/sys")}, "inside /proc"},
		{"before procfs is there, too", nil, []Mount{bindRow("/etc", "/proc/sys")}, "inside /proc"},
		{"by a symlink, too", []string{"p -> proc"}, []Mount{procRow(), bindRow("/etc", "/p/sys")}, "inside /proc"},
		{"by dots, too", nil, []Mount{procRow(), bindRow("/etc", "/x/../proc/sys")}, "inside /proc"},
		{"a symlink to /proc itself, too", []string{"p -> proc"}, []Mount{procRow(), tmpfsRow("/p")}, "inside /proc"},
		{"a magic link is no way out", nil, []Mount{procRow(), tmpfsRow("/proc/self/root/x")}, "too many levels of symbolic links"},
		{"lxcfs may replace meminfo", nil, []Mount{procRow(), bindRow("/etc/passwd", "/proc/meminfo")}, ""},
		{"the root cannot be covered", nil, []Mount{tmpfsRow("/")}, "would cover the root"},
		{"nor by a symlink", []string{"r -> /"}, []Mount{tmpfsRow("/r")}, "would cover the root"},
	} {
		t.Run(c.name, func(t *testing.T) {
			unshared(t, func(t *testing.T) {
				b := newBox(t, c.tree...)
				err := b.mount(c.rows...)
				if c.want == "" {
					must(t, err)
				} else {
					wantErr(t, err, c.want)
				}
			})
		})
	}
}

func TestCopyUp(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t, "d/sub/file=text", "d/link -> /etc/shadow", "d/sub/own=x")
		must(t, os.Chown(b.path("/d/sub/own"), 7, 8))
		must(t, unix.Chmod(b.path("/d/sub/own"), 0o4711))
		must(t, unix.Mknod(b.path("/d/null"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
		must(t, unix.Mkfifo(b.path("/d/fifo"), 0o640))
		must(t, unix.Chmod(b.path("/d"), 0o751))
		row := tmpfsRow("/d")
		row.CopyUp = true
		row.Attr.Set = unix.MOUNT_ATTR_RDONLY
		must(t, b.mount(row))
		must(t, b.mt.Freeze())
		b.enter()
		text, err := os.ReadFile("/d/sub/file")
		must(t, err)
		link, _ := os.Readlink("/d/link")
		own, null, fifo := stat(t, "/d/sub/own"), stat(t, "/d/null"), stat(t, "/d/fifo")
		if string(text) != "text" || link != "/etc/shadow" || own.Uid != 7 || own.Gid != 8 || own.Mode&0o7777 != 0o4711 ||
			!isNode(&null, nullDevice()) || fifo.Mode != unix.S_IFIFO|0o640 || stat(t, "/d").Mode&0o7777 != 0o751 {
			t.Errorf("text %q link %q own %+v null %+v fifo %+v", text, link, own, null, fifo)
		}
		if err := os.WriteFile("/d/new", nil, 0o600); !errors.Is(err, unix.EROFS) {
			t.Errorf("a read-only tmpfs: %v", err)
		}
	})
}

func TestReadonlyTmpfsWaitsForFreeze(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t)
		dev := tmpfsRow("/dev", "mode=755")
		dev.Attr.Set = unix.MOUNT_ATTR_RDONLY
		dev.SuperFlags = unix.MS_RDONLY
		must(t, b.mount(dev, tmpfsRow("/dev/shm")))
		must(t, MakeDevices(b.root, []Device{{UnsafePath: "/dev/null", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 3}}, nil))
		b.enter()
		must(t, b.mt.Freeze())
		if err := os.WriteFile("/dev/x", nil, 0o600); !errors.Is(err, unix.EROFS) {
			t.Errorf("got %v", err)
		}
		must(t, os.WriteFile("/dev/shm/x", nil, 0o600))
		must(t, os.WriteFile("/dev/null", []byte("x"), 0))
	})
}

func TestRemount(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t, "plain/")
		must(t, b.mount(
			tmpfsRow("/d", "size=1m"),
			Mount{UnsafeDest: "/d", Kind: KindRemount, Attr: Attr{Set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOEXEC}},
			tmpfsRow("/s", "size=1m"),
			Mount{UnsafeDest: "/s", Kind: KindRemount, SuperFlags: unix.MS_RDONLY, Data: []string{"size=2m"}},
		))
		wantErr(t, b.mount(Mount{UnsafeDest: "/plain", Kind: KindRemount, Attr: Attr{Set: unix.MOUNT_ATTR_RDONLY}}), "invalid argument")
		table, _ := os.ReadFile("/proc/self/mountinfo")
		for _, want := range []string{"/d ro,noexec,relatime - tmpfs tmpfs rw,size=1024k", "/s rw,relatime - tmpfs tmpfs ro,size=2048k"} {
			if !strings.Contains(string(table), want) {
				t.Errorf("no %q in\n%s", want, table)
			}
		}
	})
}

func TestPropagationInOrder(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t)
		row := tmpfsRow("/d")
		row.Propagation = []uint64{unix.MS_PRIVATE | unix.MS_REC, unix.MS_SHARED}
		must(t, b.mount(row))
		table, _ := os.ReadFile("/proc/self/mountinfo")
		if !strings.Contains(string(table), "/d rw,relatime shared:") {
			t.Errorf("not shared:\n%s", table)
		}
	})
}

func TestIDMappedBind(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t)
		must(t, unix.Mount("tmpfs", b.out, "tmpfs", 0, "mode=755"))
		must(t, unix.Mount("proc", "/proc", "proc", 0, "")) // of this pid namespace
		plant(t, b.out, "file=x")
		maps := []idmap.Map{{ContainerID: 0, HostID: 1000, Size: 10}}
		row := bindRow(b.out, "/data")
		row.IDMap = &MountIDMap{}
		_, err := OpenSource(row, nil, nil)
		wantErr(t, err, "neither the mount nor the container")
		f, err := OpenSource(row, maps, maps)
		if errors.Is(err, unix.EINVAL) {
			t.Skip("id-mapped tmpfs needs Linux 6.3")
		}
		must(t, err)
		b.mt.Sources[0] = f
		must(t, b.mt.MountAll([]Mount{row}))
		if st := stat(t, b.path("/data/file")); st.Uid != 1000 || st.Gid != 1000 {
			t.Errorf("uid %d gid %d", st.Uid, st.Gid)
		}
	})
}

// A process that shares the volume exchanges a directory and a symlink to
// the host for as long as mounts are made; CVE-2021-30465, CVE-2024-45310.
func TestExchangedMountPoint(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t, "vol/a/", "vol/b -> "+strings.Repeat("../", 12)+"outside")
		must(t, os.Remove(b.path("/vol/b")))
		must(t, os.Symlink(strings.Repeat("../", 20)+b.out, b.path("/vol/b")))
		done, ended := make(chan bool), make(chan bool)
		defer func() { close(done); <-ended }()
		go func() {
			defer close(ended)
			for {
				select {
				case <-done:
					return
				default:
					_ = unix.Renameat2(unix.AT_FDCWD, b.path("/vol/a"), unix.AT_FDCWD, b.path("/vol/b"), unix.RENAME_EXCHANGE)
				}
			}
		}()
		good := 0
		for range 300 {
			if b.mount(tmpfsRow("/vol/a/x")) == nil {
				good++
			}
		}
		if good == 0 {
			t.Error("no mount ever won the race: the test proves nothing")
		}
		empty(t, b.out)
		if got := mountsAt(t, b.out); len(got) > 0 {
			t.Errorf("mounted outside: %v", got)
		}
	})
}

func TestOverlayWithLongPaths(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t, "d/")
		must(t, unix.Mount("tmpfs", b.out, "tmpfs", 0, ""))
		deep := strings.Repeat("/"+strings.Repeat("x", 100), 3)
		plant(t, b.out+deep, "lower/file=low", "upper/", "work/")
		row := Mount{UnsafeDest: "/d", Kind: KindNew, FSType: "overlay", Source: "overlay", Attr: Attr{Set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV},
			Data: []string{"lowerdir=" + b.out + deep + "/lower", "upperdir=" + b.out + deep + "/upper", "workdir=" + b.out + deep + "/work"}}
		must(t, b.mount(row))
		b.enter()
		text, err := os.ReadFile("/d/file")
		must(t, err)
		must(t, os.WriteFile("/d/new", nil, 0o600))
		table, _ := os.ReadFile("/proc/self/mountinfo")
		if string(text) != "low" || len(table) > 0 && !strings.Contains(string(table), "/d rw,nosuid,nodev,relatime") {
			t.Errorf("%q\n%s", text, table)
		}
	})
}

func TestReadonlySysfsSparesTheNamespace(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t)
		row := Mount{UnsafeDest: "/sys", Kind: KindNew, FSType: "sysfs", SuperFlags: unix.MS_RDONLY, Attr: Attr{Set: unix.MOUNT_ATTR_RDONLY}}
		must(t, b.mount(row))
		table, _ := os.ReadFile("/proc/self/mountinfo")
		if !strings.Contains(string(table), "/root/sys ro,relatime - sysfs none rw") {
			t.Errorf("%s", table)
		}
	})
}

func TestMountThatEndsElsewhereIsAnError(t *testing.T) {
	unshared(t, func(t *testing.T) {
		b := newBox(t, "vol/a/x/")
		row := tmpfsRow("/vol/a/x")
		found, err := b.mt.target(row, true, nil)
		must(t, err)
		tree, err := b.mt.create(row, found, false)
		must(t, err)
		must(t, os.Rename(b.path("/vol/a"), b.path("/vol/c")))
		plant(t, b.dir, "vol/a/x/")
		if err := b.mt.finish(tree, found, row); !errors.Is(err, errMoved) {
			t.Errorf("got %v", err)
		}
	})
}

func TestUserNamespaceFlow(t *testing.T) {
	maps := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 65536}}
	attr := &syscall.SysProcAttr{Cloneflags: newAll | unix.CLONE_NEWUSER, UidMappings: maps, GidMappings: maps, Credential: &syscall.Credential{NoSetGroups: true}}
	var files []*os.File
	if os.Geteuid() == 0 && os.Getenv(insideEnv) == "" { // the host
		dir := t.TempDir() // 0700 of host root: not reachable inside
		must(t, os.Chmod(dir, 0o755))
		plant(t, dir+"/root", "usr/")
		must(t, os.Chown(dir+"/root", 100000, 100000))
		plant(t, dir+"/vol", "file=host")
		open := func(f *os.File, err error) *os.File { t.Helper(); must(t, err); return f }
		files = []*os.File{
			open(OpenRootFS(dir + "/root")),
			open(OpenSource(bindRow(dir+"/vol", ""), nil, nil)),
			open(OpenDevice(nullDevice())),
			open(OpenDevice(nullDevice())),
		}
	}
	inside(t, attr, files, func(t *testing.T) {
		r := Root{HostPath: "/nonexistent", Propagation: rslave, Enter: EnterPivot, Readonly: true}
		root, err := Attach(r, os.NewFile(3, "root"))
		must(t, err)
		vol := bindRow("", "/vol")
		vol.Attr.Set = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID
		mt := &Mounter{Root: root, Propagation: rslave, Sources: map[int]*os.File{2: os.NewFile(4, "vol")}}
		must(t, mt.MountAll([]Mount{procRow(), tmpfsRow("/dev", "mode=755"), vol, {UnsafeDest: "/sys", Kind: KindNew, FSType: "sysfs"}}))
		null := nullDevice()
		null.Bind = true
		must(t, MakeDevices(root, []Device{null}, map[int]*os.File{0: os.NewFile(5, "null")}))
		must(t, DefaultLinks(root))
		must(t, EnterRoot(r, root))
		must(t, ApplyRestrict(root, Restrict{UnsafeMasked: []string{"/proc/keys", "/proc/acpi", "/proc/scsi", "/sys/firmware"}, UnsafeReadonly: []string{"/proc/sys"}}, os.NewFile(6, "null"), ""))
		must(t, RemountReadonly(root))
		text, err := os.ReadFile("/vol/file")
		must(t, err)
		if string(text) != "host" {
			t.Errorf("volume: %q", text)
		}
		must(t, os.WriteFile("/dev/null", []byte("x"), 0))
		if err := os.WriteFile("/proc/sys/kernel/domainname", []byte("x"), 0); !errors.Is(err, unix.EROFS) {
			t.Errorf("/proc/sys: %v", err)
		}
	})
}

// Without privileges on the host, the container side opens every tree itself.
func TestRootlessFlow(t *testing.T) {
	maps := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 12345, Size: 1}}
	attr := &syscall.SysProcAttr{Cloneflags: newAll | unix.CLONE_NEWUSER, UidMappings: maps, GidMappings: maps, Credential: &syscall.Credential{NoSetGroups: true}}
	if os.Geteuid() == 0 && os.Getenv(insideEnv) == "" {
		must(t, os.MkdirAll("/tmp/hako-rootless/outside", 0o755))
		plant(t, "/tmp/hako-rootless/root", "usr/", "vol/")
		plant(t, "/tmp/hako-rootless/src", "file=host")
		must(t, os.Chown("/tmp/hako-rootless/root", 12345, 12345))
		defer os.RemoveAll("/tmp/hako-rootless")
	}
	inside(t, attr, nil, func(t *testing.T) {
		dir := "/tmp/hako-rootless"
		tree, err := OpenRootFS(dir + "/root")
		must(t, err)
		vol := bindRow(dir+"/src", "/vol")
		vol.Attr.Set = unix.MOUNT_ATTR_RDONLY
		src, err := OpenSource(vol, nil, nil)
		must(t, err)
		node, err := OpenDevice(nullDevice())
		must(t, err)
		r := Root{HostPath: dir + "/root", Propagation: rslave, Enter: EnterPivot}
		root, err := Attach(r, tree)
		must(t, err)
		mt := &Mounter{Root: root, Propagation: rslave, Sources: map[int]*os.File{2: src}}
		must(t, mt.MountAll([]Mount{procRow(), tmpfsRow("/dev", "mode=755"), vol,
			{UnsafeDest: "/vol", Kind: KindRemount, Attr: Attr{Set: unix.MOUNT_ATTR_NOEXEC}}}))
		null := nullDevice()
		null.Bind = true
		must(t, MakeDevices(root, []Device{null}, map[int]*os.File{0: node}))
		must(t, DefaultLinks(root))
		must(t, EnterRoot(r, root))
		must(t, ApplyRestrict(root, Restrict{UnsafeMasked: []string{"/proc/kcore", "/proc/acpi"}, UnsafeReadonly: []string{"/proc/sys"}}, nil, ""))
		must(t, RemountReadonly(root))
		if text, err := os.ReadFile("/vol/file"); err != nil || string(text) != "host" {
			t.Errorf("volume: %q, %v", text, err)
		}
		must(t, os.WriteFile("/dev/null", []byte("x"), 0))
	})
}

// A read-only mount that a parent user namespace locked stays read-only.
func TestLockedFlags(t *testing.T) {
	unshared(t, func(t *testing.T) {
		must(t, unix.Mount("proc", "/proc", "proc", 0, "")) // of this pid namespace
		must(t, unix.Mount("tmpfs", "/mnt", "tmpfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOATIME, ""))
		maps := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}}
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestLockedFlagsChild$", "-test.v")
		cmd.Env = append(os.Environ(), insideEnv+"=TestLockedFlagsChild")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: newAll | unix.CLONE_NEWUSER, UidMappings: maps, GidMappings: maps}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Fatalf("%v\n%s", err, out)
		}
	})
}

func TestLockedFlagsChild(t *testing.T) {
	if os.Getenv(insideEnv) != t.Name() {
		return // the container side of TestLockedFlags
	}
	b := newBox(t, "vol/")
	rw := bindRow("/mnt", "/vol")
	rw.Attr.Clear = unix.MOUNT_ATTR_RDONLY
	wantErr(t, b.mount(rw), "locked by the parent user namespace")
	must(t, b.mount(bindRow("/mnt", "/vol"), Mount{UnsafeDest: "/vol", Kind: KindRemount,
		Attr: Attr{Set: unix.MOUNT_ATTR_NOEXEC, Clear: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR__ATIME}}))
	wantErr(t, b.mount(Mount{UnsafeDest: "/vol", Kind: KindRemount, Attr: Attr{Clear: unix.MOUNT_ATTR_RDONLY}}), "locked")
	var fs unix.Statfs_t
	must(t, unix.Statfs(b.path("/vol"), &fs))
	for name, flag := range map[string]uint64{"ro": unix.ST_RDONLY, "nosuid": unix.ST_NOSUID, "nodev": unix.ST_NODEV, "noatime": unix.ST_NOATIME, "noexec": unix.ST_NOEXEC} {
		if uint64(fs.Flags)&flag == 0 {
			t.Errorf("%s is gone", name)
		}
	}
	b.enter()
	must(t, RemountReadonly(b.root))
}

func nullDevice() Device {
	return Device{UnsafePath: "/dev/null", Mode: unix.S_IFCHR | 0o666, Major: 1, Minor: 3}
}

func TestSysfsFallback(t *testing.T) {
	maps := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 65536}}
	attr := &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWUSER, UidMappings: maps, GidMappings: maps}
	row := Mount{UnsafeDest: "/sys", Kind: KindNew, FSType: "sysfs", Attr: Attr{Set: unix.MOUNT_ATTR_NOSUID}}
	var files []*os.File
	if os.Geteuid() == 0 && os.Getenv(insideEnv) == "" {
		dir := t.TempDir()
		tree, err := OpenRootFS(dir)
		must(t, err)
		sys, err := OpenSource(row, nil, nil)
		must(t, err)
		files = []*os.File{tree, sys}
	}
	inside(t, attr, files, func(t *testing.T) {
		root, err := Attach(Root{HostPath: "/nonexistent", Propagation: rslave}, os.NewFile(3, "root"))
		must(t, err)
		mt := &Mounter{Root: root, Propagation: rslave}
		wantErr(t, mt.MountOne(0, row), "operation not permitted")
		mt.Sources = map[int]*os.File{0: os.NewFile(4, "sys")}
		must(t, mt.MountOne(0, row))
		must(t, EnterRoot(Root{Enter: EnterPivot}, root))
		stat(t, "/sys/kernel")
		if err := os.WriteFile("/sys/kernel/uevent_helper", nil, 0); !errors.Is(err, unix.EROFS) {
			t.Errorf("/sys is writable: %v", err)
		}
	})
}
