package rootfs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// cgroup mounts the container's view of the control groups: one cgroup2
// mount, or a tmpfs with a directory for each hierarchy; cgroups(7).
func (mt *Mounter) cgroup(m Mount) error {
	if mt.View == nil || len(mt.View.Hierarchies) == 0 {
		return errors.New("the host has no cgroup hierarchy to show")
	}
	if mt.View.Foreign {
		m.Attr.Set |= unix.MOUNT_ATTR_RDONLY
		m.Attr.Clear &^= unix.MOUNT_ATTR_RDONLY
		m.RecAttr.Clear &^= unix.MOUNT_ATTR_RDONLY
	}
	t, err := mt.target(m, true, nil)
	if err != nil {
		return err
	}
	defer t.close()
	defer func() { mt.Cgroups = mt.Cgroups[min(len(mt.View.Hierarchies), len(mt.Cgroups)):] }()
	if h := mt.View.Hierarchies[0]; h.Name == "" {
		tree, err := mt.hierarchy(0, m)
		if err != nil {
			return err
		}
		defer tree.Close()
		return mt.finish(tree, t, m)
	}
	return mt.hierarchies(t, m)
}

// hierarchies builds the layout of cgroup v1 and of the hybrid mode.
func (mt *Mounter) hierarchies(t target, m Mount) error {
	attrs := m.Attr.Set&^unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC
	options := []string{"mode=755"}
	if mt.Label != "" {
		options = append(options, "context="+mt.Label)
	}
	dir, err := makeFS("tmpfs", "tmpfs", options, 0, attrs)
	if err != nil {
		return err
	}
	defer dir.Close()
	// Attached first: a detached mount takes no mounts before Linux 6.15.
	if err := mt.finish(dir, t, m); err != nil {
		return err
	}
	for i, h := range mt.View.Hierarchies {
		if err := mt.subtree(int(dir.Fd()), i, m); err != nil {
			return fmt.Errorf("hierarchy %s: %w", h.Name, err)
		}
	}
	return setattr(int(dir.Fd()), Attr{Set: m.Attr.Set & unix.MOUNT_ATTR_RDONLY}, 0, false)
}

// subtree mounts hierarchy i in the tmpfs dirfd, which only we have seen.
func (mt *Mounter) subtree(dirfd, i int, m Mount) error {
	h := mt.View.Hierarchies[i]
	if err := unix.Mkdirat(dirfd, h.Name, 0o755); err != nil {
		return &os.PathError{Op: "mkdir", Path: h.Name, Err: err}
	}
	point, err := openAt(dirfd, h.Name, h.Name)
	if err != nil {
		return err
	}
	defer point.Close()
	tree, err := mt.hierarchy(i, m)
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := attachAt(int(tree.Fd()), int(point.Fd())); err != nil {
		return err
	}
	for _, link := range h.Links {
		if err := unix.Symlinkat(h.Name, dirfd, link); err != nil {
			return &os.PathError{Op: "symlink", Path: link, Err: err}
		}
	}
	return setPropagation(int(tree.Fd()), m.Propagation)
}

// hierarchy returns a detached mount of hierarchy i: in a cgroup namespace a
// new mount, whose root is the container's cgroup, otherwise the tree that the
// host opened for this row.
func (mt *Mounter) hierarchy(i int, m Mount) (*os.File, error) {
	h := mt.View.Hierarchies[i]
	err := fmt.Errorf("the host sent no cgroup directory: %w", unix.EBADF)
	if mt.View.Namespaced {
		var tree *os.File
		// The container sees the options of the hierarchy, not those of the row.
		tree, err = makeFS(h.FSType, h.FSType, h.Options, 0, m.Attr.Set|m.RecAttr.Set)
		if err == nil {
			return tree, nil
		}
	}
	if i >= len(mt.Cgroups) || mt.Cgroups[i] == nil {
		return nil, err
	}
	return mt.bindHierarchy(mt.Cgroups[i], m)
}

func (mt *Mounter) bindHierarchy(src *os.File, m Mount) (*os.File, error) {
	if err := mt.prepare(src, m.Attr, m.RecAttr); err != nil {
		return nil, err
	}
	fd, err := unix.FcntlInt(src.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), src.Name()), nil
}
