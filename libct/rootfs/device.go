package rootfs

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct/safepath"
	"golang.org/x/sys/unix"
)

// MakeDevices makes the device nodes with exactly their mode and owner,
// missing directories with 0755. sources holds what [OpenDevice] gave, by
// position. A node that is already the right device is kept as it is; any
// other object at the path, a symlink too, is EEXIST, as config-linux.md
// demands. Nodes bound from the host keep their owner and mode, which cannot
// be changed from inside. Runs in the container, before the root is entered.
func MakeDevices(root *safepath.Root, devices []Device, sources map[int]*os.File) error {
	defer unix.Umask(unix.Umask(0))
	var dir *os.File // of the previous device: nearly all live in /dev
	var dirName string
	defer func() { closeIf(dir) }()
	for i, d := range devices {
		name, base := splitLast(d.UnsafePath)
		if dir == nil || base == "" || name != dirName {
			closeIf(dir)
			var err error
			if dir, base, err = root.MkParent(d.UnsafePath, 0o755); err != nil {
				dir = nil
				return fmt.Errorf("device: %w", err)
			}
			dirName = name
		}
		if err := makeDevice(int(dir.Fd()), base, d, sources[i]); err != nil {
			return fmt.Errorf("device: %w", err)
		}
	}
	return nil
}

func closeIf(f *os.File) {
	if f != nil {
		f.Close()
	}
}

// splitLast separates the last component. A path that ends in "/", "." or
// ".." is left to MkParent, which refuses it.
func splitLast(unsafePath string) (dir, base string) {
	i := strings.LastIndexByte(unsafePath, '/')
	dir, base = unsafePath[:i+1], unsafePath[i+1:]
	if base == "" || base == "." || base == ".." {
		return unsafePath, ""
	}
	return dir, base
}

// makeDevice makes the node or bind mount base in the directory dirfd.
func makeDevice(dirfd int, base string, d Device, src *os.File) error {
	isFIFO := d.Mode&unix.S_IFMT == unix.S_IFIFO
	if d.Bind && !isFIFO {
		if src == nil {
			return &os.PathError{Op: "bind", Path: d.UnsafePath, Err: unix.EBADF}
		}
		return bindNode(dirfd, base, d.UnsafePath, src)
	}
	err := unix.Mknodat(dirfd, base, d.Mode, int(unix.Mkdev(d.Major, d.Minor)))
	switch {
	case err == unix.EPERM && src != nil:
		return bindNode(dirfd, base, d.UnsafePath, src)
	case err == unix.EEXIST:
		var st unix.Stat_t
		if unix.Fstatat(dirfd, base, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && isNode(&st, d) {
			return nil
		}
	case err == nil:
		err = settle(dirfd, base, d)
	}
	if err != nil {
		return &os.PathError{Op: "mknod", Path: d.UnsafePath, Err: err}
	}
	return nil
}

// isNode reports whether st is the device d.
func isNode(st *unix.Stat_t, d Device) bool {
	kind := d.Mode & unix.S_IFMT
	if st.Mode&unix.S_IFMT != kind {
		return false
	}
	rdev := uint64(st.Rdev) //nolint:unconvert // uint32 on mips
	return kind == unix.S_IFIFO || rdev == unix.Mkdev(d.Major, d.Minor)
}

// settle gives a new node its owner, and its mode where a default ACL
// changed it; acl(5).
func settle(dirfd int, base string, d Device) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dirfd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if isNode(&st, d) && st.Mode == d.Mode && st.Uid == d.UID && st.Gid == d.GID {
		return nil
	}
	f, err := openAt(dirfd, base, base)
	if err != nil {
		return err
	}
	defer f.Close()
	fd := int(f.Fd())
	// Once more by descriptor: somebody may share the directory.
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if !isNode(&st, d) {
		return unix.EEXIST
	}
	if err := unix.Fchownat(fd, "", int(d.UID), int(d.GID), unix.AT_EMPTY_PATH); err != nil {
		return err
	}
	return chmodFD(fd, d.Mode&0o7777)
}

// chmodFD changes the mode of an O_PATH descriptor.
func chmodFD(fd int, mode uint32) error {
	err := unix.Fchmodat(fd, "", mode, unix.AT_EMPTY_PATH)
	if err == unix.ENOSYS || err == unix.EOPNOTSUPP { // before Linux 6.6
		return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), mode)
	}
	return err
}

// bindNode mounts the detached mount src on the file base of dirfd, made if
// it is missing, not followed if it is a symlink.
func bindNode(dirfd int, base, name string, src *os.File) error {
	if err := unix.Mknodat(dirfd, base, unix.S_IFREG|0o600, 0); err != nil && err != unix.EEXIST {
		return &os.PathError{Op: "mknod", Path: name, Err: err}
	}
	f, err := openAt(dirfd, base, name)
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if kind := st.Mode & unix.S_IFMT; kind == unix.S_IFLNK || kind == unix.S_IFDIR {
		return &os.PathError{Op: "bind", Path: name, Err: unix.EEXIST}
	}
	if err := setattr(int(src.Fd()), Attr{Set: nodeAttrs}, unix.MS_PRIVATE, false); err != nil {
		return err
	}
	if err := attachAt(int(src.Fd()), int(f.Fd())); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// DefaultLinks makes the symlinks of /dev that every container has, beneath
// the root even if /dev is a symlink. What exists stays, but /dev/ptmx always
// belongs to the container's own devpts; config-linux.md#default-devices.
// Runs in the container, before the root is entered.
func DefaultLinks(root *safepath.Root) error {
	dir, err := root.MkdirAll("/dev", 0o755)
	if err != nil {
		return err
	}
	defer dir.Close()
	fd := int(dir.Fd())
	for _, l := range [...]struct{ name, target string }{
		{"fd", "/proc/self/fd"},
		{"stdin", "/proc/self/fd/0"},
		{"stdout", "/proc/self/fd/1"},
		{"stderr", "/proc/self/fd/2"},
		{"core", "/proc/kcore"},
	} {
		// The host's /proc: the kernel may be built without it.
		if l.name == "core" && unix.Access(l.target, unix.F_OK) != nil {
			continue
		}
		if err := unix.Symlinkat(l.target, fd, l.name); err != nil && err != unix.EEXIST {
			return &os.PathError{Op: "symlink", Path: "/dev/" + l.name, Err: err}
		}
	}
	return linkPtmx(fd)
}

func linkPtmx(dirfd int) error {
	err := unix.Symlinkat("pts/ptmx", dirfd, "ptmx")
	if err == unix.EEXIST {
		if err = unix.Unlinkat(dirfd, "ptmx", 0); err == nil {
			err = unix.Symlinkat("pts/ptmx", dirfd, "ptmx")
		}
	}
	if err != nil {
		return &os.PathError{Op: "symlink", Path: "/dev/ptmx", Err: err}
	}
	return nil
}
