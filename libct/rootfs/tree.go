package rootfs

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/hako-runtime/hako/libct/idmap"
	"golang.org/x/sys/unix"
)

// OpenTree returns a detached copy of what is mounted at path: with
// recursive, of all mounts below as well; with noFollow, of a symlink itself.
// The copy belongs to the peer groups of the original until somebody makes
// it a slave or private. Closing the descriptor unmounts it, unless it has
// been attached somewhere.
//
// EPERM means that the caller may not mount in its mount namespace: a
// rootless caller opens trees inside, before [Attach].
// Runs on the host. See open_tree(2).
func OpenTree(path string, recursive, noFollow bool) (*os.File, error) {
	flags := uint(0)
	if noFollow {
		flags |= unix.AT_SYMLINK_NOFOLLOW
	}
	fd, err := openTree(unix.AT_FDCWD, path, recursive, flags)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// OpenRootFS opens the root file system as a detached tree with everything
// mounted in it; ENOTDIR if path is not a directory. Runs on the host.
func OpenRootFS(path string) (*os.File, error) {
	f, err := OpenTree(path, true, false)
	if err != nil {
		return nil, err
	}
	dir, err := isDir(int(f.Fd()))
	if err == nil && !dir {
		err = unix.ENOTDIR
	}
	if err != nil {
		f.Close()
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return f, nil
}

// OpenSource opens what the row m needs from the host: the tree of a bind
// mount, id-mapped if the row says so, or, for a sysfs row, the host's /sys,
// which stands in where sysfs may not be mounted. Nil without an error means
// that the row needs nothing.
//
// An id mapping without maps of its own takes containerUIDs and
// containerGIDs. A missing source is an *os.PathError with ENOENT.
// Runs on the host.
func OpenSource(m Mount, containerUIDs, containerGIDs []idmap.Map) (*os.File, error) {
	switch {
	case m.Kind == KindNew && m.FSType == "sysfs":
		return OpenTree("/sys", true, false)
	case m.Kind != KindBind:
		return nil, nil
	}
	f, err := OpenTree(m.Source, m.Recursive, m.SrcNoFollow)
	if err != nil || m.IDMap == nil {
		return f, err
	}
	if err := mapIDs(f, *m.IDMap, containerUIDs, containerGIDs); err != nil {
		f.Close()
		return nil, fmt.Errorf("id-mapped mount of %s: %w", m.Source, err)
	}
	return f, nil
}

// mapIDs gives the detached tree the id mapping im; mount_setattr(2).
func mapIDs(tree *os.File, im MountIDMap, containerUIDs, containerGIDs []idmap.Map) error {
	uids, gids := im.UIDs, im.GIDs
	if len(uids) == 0 && len(gids) == 0 {
		uids, gids = containerUIDs, containerGIDs
	}
	if len(uids) == 0 || len(gids) == 0 {
		return errors.New("no id mappings: neither the mount nor the container has them")
	}
	ns, err := idmap.UserNS(uids, gids)
	if err != nil {
		return err
	}
	defer ns.Close()
	flags := uint(unix.AT_EMPTY_PATH)
	if im.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())}
	err = unix.MountSetattr(int(tree.Fd()), "", flags, &attr)
	if err == unix.EINVAL {
		return fmt.Errorf("the file system does not support it: %w", os.NewSyscallError("mount_setattr", err))
	}
	return os.NewSyscallError("mount_setattr", err)
}

// OpenDevice returns a detached bind mount of the host's node for d, found at
// the same path or, if that is another device, in /dev/char or /dev/block.
// The node's type and number are verified. Runs on the host.
func OpenDevice(d Device) (*os.File, error) {
	class := "char"
	if d.Mode&unix.S_IFMT == unix.S_IFBLK {
		class = "block"
	}
	f, err := openNode(d.UnsafePath, d)
	if err == nil {
		return f, nil
	}
	f, err2 := openNode(fmt.Sprintf("/dev/%s/%d:%d", class, d.Major, d.Minor), d)
	if err2 == nil {
		return f, nil
	}
	return nil, err
}

func openNode(path string, d Device) (*os.File, error) {
	f, err := OpenTree(path, false, false)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	err = unix.Fstat(int(f.Fd()), &st)
	if err == nil && !isNode(&st, d) {
		err = unix.ENODEV
	}
	if err != nil {
		f.Close()
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return f, nil
}

// OpenCgroupView opens the container's own directory in each hierarchy, by
// position, for the first KindCgroup row of mounts, then for the second, and
// so on: a detached mount is attached once, and cannot be copied before Linux
// 6.15. It returns nil for a namespaced view, which is mounted anew.
// Runs on the host.
func OpenCgroupView(view *CgroupMount, mounts []Mount) ([]*os.File, error) {
	if view == nil || view.Namespaced {
		return nil, nil
	}
	var trees []*os.File
	for _, m := range mounts {
		if m.Kind != KindCgroup {
			continue
		}
		for _, h := range view.Hierarchies {
			f, err := OpenTree(h.Path, false, false)
			if err != nil {
				for _, t := range trees {
					t.Close()
				}
				return nil, err
			}
			trees = append(trees, f)
		}
	}
	return trees, nil
}

// openTree is open_tree(2) with OPEN_TREE_CLONE.
func openTree(dirfd int, path string, recursive bool, flags uint) (int, error) {
	flags |= unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	for {
		fd, err := unix.OpenTree(dirfd, path, flags)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// cloneTree returns a detached copy of the mount at the descriptor fd.
func cloneTree(fd int, recursive bool) (*os.File, error) {
	tree, err := openTree(fd, "", recursive, unix.AT_EMPTY_PATH)
	if err != nil {
		return nil, os.NewSyscallError("open_tree", err)
	}
	return os.NewFile(uintptr(tree), "mount"), nil
}

// attachAt mounts the detached mount tree on the object behind target, which
// no path lookup can exchange any more; move_mount(2).
func attachAt(tree, target int) error {
	err := unix.MoveMount(tree, "", target, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	return os.NewSyscallError("move_mount", err)
}

// setattr changes the mount whose root is fd, with recursive also all below.
// propagation is one MS_* propagation type, or 0; mount_setattr(2).
func setattr(fd int, a Attr, propagation uint64, recursive bool) error {
	if a == (Attr{}) && propagation == 0 {
		return nil
	}
	flags := uint(unix.AT_EMPTY_PATH)
	if recursive {
		flags |= unix.AT_RECURSIVE
	}
	attr := unix.MountAttr{Attr_set: a.Set, Attr_clr: a.Clear, Propagation: propagation}
	if a.Set&unix.MOUNT_ATTR__ATIME != 0 { // the kernel insists: it is an enumeration
		attr.Attr_clr |= unix.MOUNT_ATTR__ATIME
	}
	return os.NewSyscallError("mount_setattr", unix.MountSetattr(fd, "", flags, &attr))
}

// setPropagation applies MS_* propagation flags in order.
func setPropagation(fd int, flags []uint64) error {
	for _, p := range flags {
		if err := setattr(fd, Attr{}, p&propagationTypes, p&unix.MS_REC != 0); err != nil {
			return err
		}
	}
	return nil
}

const propagationTypes = unix.MS_SHARED | unix.MS_SLAVE | unix.MS_PRIVATE | unix.MS_UNBINDABLE

func isDir(fd int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, os.NewSyscallError("fstat", err)
	}
	return st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

// clean makes a path absolute and lexically short, for comparisons and
// messages only: symlinks are none of its business.
func clean(unsafePath string) string {
	var parts []string
	for part := range strings.SplitSeq(unsafePath, "/") {
		switch {
		case part == "" || part == ".":
		case part == "..":
			parts = parts[:max(0, len(parts)-1)]
		default:
			parts = append(parts, part)
		}
	}
	return "/" + strings.Join(parts, "/")
}
