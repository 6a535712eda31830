package rootfs

import (
	"errors"
	"fmt"
	"os"

	"github.com/hako-runtime/hako/libct/safepath"
	"golang.org/x/sys/unix"
)

// ApplyRestrict makes r.UnsafeReadonly read-only with everything mounted
// below, and hides r.UnsafeMasked: a directory behind an empty read-only
// tmpfs, anything else behind the null device. Symlinks are resolved beneath
// the root; paths that do not exist are ignored.
//
// The null device is the container's /dev/null, provided that it is one
// whatever the image made of it (CVE-2025-31133), otherwise null, a detached
// mount of the host's, which may be nil. label is the SELinux context of the
// tmpfs. Runs in the container, after the root is entered.
func ApplyRestrict(root *safepath.Root, r Restrict, null *os.File, label string) error {
	for _, path := range distinct(r.UnsafeReadonly) {
		if err := freeze(root, path); err != nil {
			return fmt.Errorf("read-only path %s: %w", path, err)
		}
	}
	mk := masks{root: root, null: null, label: label}
	defer mk.close()
	for _, path := range distinct(r.UnsafeMasked) {
		if err := mk.mask(path); err != nil {
			return fmt.Errorf("masked path %s: %w", path, err)
		}
	}
	return nil
}

// distinct returns the clean paths, each once.
func distinct(unsafePaths []string) []string {
	seen := make(map[string]bool, len(unsafePaths))
	out := make([]string, 0, len(unsafePaths))
	for _, p := range unsafePaths {
		if p = clean(p); !seen[p] {
			seen[p] = true
			out = append(out, p)
		}
	}
	return out
}

// openExisting opens path beneath the root; nil if there is no such object.
func openExisting(root *safepath.Root, path string) (*os.File, error) {
	f, err := root.Open(path, unix.O_PATH, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	return f, err
}

// freeze binds path on itself, read-only. All other flags of the mount stay.
func freeze(root *safepath.Root, path string) error {
	target, err := openExisting(root, path)
	if target == nil {
		return err
	}
	defer target.Close()
	tree, err := cloneTree(int(target.Fd()), true)
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := setattr(int(tree.Fd()), Attr{Set: unix.MOUNT_ATTR_RDONLY}, 0, true); err != nil {
		return err
	}
	return attachAt(int(tree.Fd()), int(target.Fd()))
}

// masks holds the two things that hide paths. Each is attached once and
// copied for the next path, so that all directories share one tmpfs.
type masks struct {
	root  *safepath.Root
	label string
	null  *os.File // from the host: the caller's
	node  *os.File // the null device, attached
	dir   *os.File // the empty tmpfs, attached
}

func (mk *masks) close() {
	closeIf(mk.node)
	closeIf(mk.dir)
}

func (mk *masks) mask(path string) error {
	target, err := openExisting(mk.root, path)
	if target == nil {
		return err
	}
	defer target.Close()
	dir, err := isDir(int(target.Fd()))
	if err != nil {
		return err
	}
	cover, err := mk.cover(dir)
	if err != nil {
		return err
	}
	if err := attachAt(int(cover.Fd()), int(target.Fd())); err != nil {
		cover.Close()
		return err
	}
	if dir && mk.dir == nil {
		mk.dir = cover
		return nil
	}
	if !dir && mk.node == nil {
		mk.node = cover
		return nil
	}
	return cover.Close()
}

// cover returns a detached mount that hides a directory or a file.
func (mk *masks) cover(dir bool) (*os.File, error) {
	switch {
	case dir && mk.dir != nil:
		return cloneTree(int(mk.dir.Fd()), false)
	case dir:
		return emptyDir(mk.label)
	case mk.node != nil:
		return cloneTree(int(mk.node.Fd()), false)
	}
	return mk.nullDevice()
}

// emptyDir returns a detached read-only tmpfs without room for anything.
func emptyDir(label string) (*os.File, error) {
	options := []string{"mode=755", "nr_blocks=1", "nr_inodes=1"}
	if label != "" {
		options = append(options, "context="+label)
	}
	const attrs = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	return makeFS("tmpfs", "tmpfs", options, unix.MS_RDONLY, attrs)
}

// nullDevice returns a detached mount of a verified null device, read-only:
// writing to the device stays possible, but not chmod(2), which would reach
// the host if the node is the host's.
func (mk *masks) nullDevice() (*os.File, error) {
	f, err := mk.ownNull()
	if err != nil && mk.null != nil {
		f, err = mk.hostNull()
	}
	if err != nil {
		return nil, err
	}
	if err := setattr(int(f.Fd()), Attr{Set: nodeAttrs}, unix.MS_PRIVATE, false); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// nodeAttrs are the flags of a device node of the host inside the container.
const nodeAttrs = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC

func (mk *masks) ownNull() (*os.File, error) {
	f, err := mk.root.Open("/dev/null", unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := verifyNull(f); err != nil {
		return nil, err
	}
	return cloneTree(int(f.Fd()), false)
}

func (mk *masks) hostNull() (*os.File, error) {
	if err := verifyNull(mk.null); err != nil {
		return nil, err
	}
	fd, err := unix.FcntlInt(mk.null.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), "/dev/null"), nil
}

func verifyNull(f *os.File) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if !isNode(&st, Device{Mode: unix.S_IFCHR, Major: 1, Minor: 3}) {
		return errors.New("/dev/null is not the null device")
	}
	return nil
}
