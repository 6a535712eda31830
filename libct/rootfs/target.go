package rootfs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// target is the object that a mount will cover: resolved beneath the root,
// and from then on known by its descriptor only.
type target struct {
	f    *os.File
	mode uint32 // its type and permissions
	made bool   // it was missing
}

func (t target) fd() int { return int(t.f.Fd()) }

func (t target) close() { t.f.Close() }

// target resolves the mount point of m, makes it if it is missing (a
// directory or an empty file), and refuses places where a mount would fool
// the runtime. src is the source of a bind mount.
func (mt *Mounter) target(m Mount, dir bool, src *os.File) (target, error) {
	t, err := mt.openTarget(m, dir)
	if err != nil {
		return t, err
	}
	err = mt.inspect(&t, m, src)
	if err == nil && dir != (t.mode&unix.S_IFMT == unix.S_IFDIR) {
		err = &os.PathError{Op: "mount", Path: m.UnsafeDest, Err: unix.ENOTDIR}
	}
	if err != nil {
		t.close()
		return target{}, err
	}
	return t, nil
}

func (mt *Mounter) openTarget(m Mount, dir bool) (t target, err error) {
	t.f, err = mt.Root.Open(m.UnsafeDest, openFlags(m), 0)
	if !errors.Is(err, unix.ENOENT) {
		return t, err
	}
	t.made = true
	switch {
	case m.DestNoFollow || ordinary(m):
		t.f, err = mt.makeNoFollow(m.UnsafeDest, dir)
	case dir:
		t.f, err = mt.Root.MkdirAll(m.UnsafeDest, 0o755)
	default:
		t.f, err = mt.Root.CreateFile(m.UnsafeDest, 0o644)
	}
	return t, err
}

// makeNoFollow makes a mount point whose last component is new.
func (mt *Mounter) makeNoFollow(unsafePath string, dir bool) (*os.File, error) {
	parent, base, err := mt.Root.MkParent(unsafePath, 0o755)
	if err != nil {
		return nil, err
	}
	defer parent.Close()
	op := "mkdir"
	if dir {
		err = unix.Mkdirat(int(parent.Fd()), base, 0o755)
	} else {
		op = "mknod"
		err = unix.Mknodat(int(parent.Fd()), base, unix.S_IFREG|0o644, 0)
	}
	if err != nil && err != unix.EEXIST {
		return nil, &os.PathError{Op: op, Path: unsafePath, Err: err}
	}
	return openAt(int(parent.Fd()), base, unsafePath)
}

// openAt opens the object base of the directory dirfd, not following it.
func openAt(dirfd int, base, name string) (*os.File, error) {
	fd, err := unix.Openat(dirfd, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func openFlags(m Mount) int {
	if m.DestNoFollow || ordinary(m) {
		return unix.O_PATH | unix.O_NOFOLLOW
	}
	return unix.O_PATH
}

// ordinary says that m is procfs or sysfs: what the runtime itself relies on
// is never mounted through a symlink of the image; CVE-2019-19921,
// CVE-2023-27561.
func ordinary(m Mount) bool {
	return m.Kind == KindNew && (m.FSType == "proc" || m.FSType == "sysfs")
}

// inspect fills in t and checks that m may cover it.
func (mt *Mounter) inspect(t *target, m Mount, src *os.File) error {
	st, err := statx(t.fd())
	if err != nil {
		return err
	}
	t.mode = uint32(st.Mode)
	if ordinary(m) && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("file system %q must be mounted on ordinary directory", m.FSType)
	}
	if mt.top == nil {
		if mt.top, err = statx(mt.Root.FD()); err != nil {
			return err
		}
	}
	if st.Mnt_id == mt.top.Mnt_id && st.Ino == mt.top.Ino {
		return errors.New("a mount would cover the root of the container")
	}
	return mt.guardProc(t, st, m, src)
}

// guardProc lets nothing but procfs cover /proc, and inside it only files
// that lxcfs emulates; CVE-2019-16884, CVE-2025-52881.
func (mt *Mounter) guardProc(t *target, st *unix.Statx_t, m Mount, src *os.File) error {
	dest := clean(m.UnsafeDest)
	named := dest == "/proc" || strings.HasPrefix(dest, "/proc/")
	if !named && st.Dev_major != 0 {
		return nil // procfs has no block device
	}
	there, err := onProc(t.fd())
	if err != nil {
		return err
	}
	if !named && there {
		there, err = mt.sameMountAs(st, "/proc")
		if err != nil {
			return err
		}
	}
	switch {
	case !named && !there:
		return nil
	case dest == "/proc":
		return coverProc(m, src)
	case named && slices.Contains(emulated(), dest):
		return nil
	}
	return fmt.Errorf("%q cannot be mounted because it is inside /proc", m.UnsafeDest)
}

// coverProc refuses what is not procfs.
func coverProc(m Mount, src *os.File) error {
	proc := m.Kind == KindNew && m.FSType == "proc"
	if m.Kind == KindBind {
		var err error
		if proc, err = onProc(int(src.Fd())); err != nil {
			return err
		}
	}
	if !proc {
		return fmt.Errorf("%q cannot be mounted because it is not of type proc", m.UnsafeDest)
	}
	return nil
}

// emulated are the files below /proc that may be replaced: those of lxcfs and
// what rootless checkpointing and FIPS setups replace, as in runc.
func emulated() []string {
	return []string{
		"/proc/cpuinfo",
		"/proc/diskstats",
		"/proc/meminfo",
		"/proc/stat",
		"/proc/swaps",
		"/proc/uptime",
		"/proc/loadavg",
		"/proc/slabinfo",
		"/proc/sys/kernel/ns_last_pid",
		"/proc/sys/crypto/fips_enabled",
	}
}

func onProc(fd int) (bool, error) {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return false, os.NewSyscallError("fstatfs", err)
	}
	return fs.Type == unix.PROC_SUPER_MAGIC, nil
}

// sameMountAs reports whether st lies on the mount at the path name.
func (mt *Mounter) sameMountAs(st *unix.Statx_t, name string) (bool, error) {
	f, err := mt.Root.Open(name, unix.O_PATH, 0)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	other, err := statx(int(f.Fd()))
	if err != nil {
		return false, err
	}
	return other.Mnt_id == st.Mnt_id, nil
}

func statx(fd int) (*unix.Statx_t, error) {
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_TYPE|unix.STATX_MODE|unix.STATX_INO|unix.STATX_MNT_ID, &st)
	return &st, os.NewSyscallError("statx", err)
}
