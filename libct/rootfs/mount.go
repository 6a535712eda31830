package rootfs

import (
	"errors"
	"fmt"
	"os"

	"github.com/hako-runtime/hako/libct/safepath"
	"golang.org/x/sys/unix"
)

// Mounter works off the mount table beneath one root. Keep it from
// [Mounter.MountAll] to [Mounter.Freeze].
type Mounter struct {
	Root        *safepath.Root
	Propagation uint64           // the plan's Root.Propagation
	Sources     map[int]*os.File // from OpenSource, by position in the mount table; the caller closes them
	View        *CgroupMount     // for KindCgroup rows
	Cgroups     []*os.File       // from OpenCgroupView, the next row's first; the caller closes them
	Label       string           // SELinux context of new file systems; "" for none

	late []*os.File    // mounts that Freeze makes read-only
	top  *unix.Statx_t // what the root is
}

// errMoved says that somebody who can write to the root, through a volume
// shared with another container, exchanged a directory during the mount.
var errMoved = errors.New("the mount point was exchanged during the mount")

// MountAll mounts all rows in order. An error names the row:
// "mounts[3] /data: move_mount: no such file or directory".
// Runs in the container, before the root is entered.
func (mt *Mounter) MountAll(mounts []Mount) error {
	defer unix.Umask(unix.Umask(0))
	for pos, m := range mounts {
		if err := mt.MountOne(pos, m); err != nil {
			return err
		}
	}
	return nil
}

// MountOne mounts the row m, whose source is at position pos of mt.Sources.
// The umask counts for mount points that have to be made.
// Runs in the container, before the root is entered.
func (mt *Mounter) MountOne(pos int, m Mount) error {
	var err error
	switch m.Kind {
	case KindBind:
		err = mt.bind(mt.Sources[pos], m)
	case KindNew:
		err = mt.newFS(mt.Sources[pos], m)
	case KindCgroup:
		err = mt.cgroup(m)
	case KindRemount:
		err = mt.remount(m)
	default:
		err = fmt.Errorf("unknown kind of mount %q", m.Kind)
	}
	switch {
	case err == nil:
		return nil
	case m.Index < 0:
		return fmt.Errorf("mount %s: %w", m.UnsafeDest, err)
	}
	return fmt.Errorf("mounts[%d] %s: %w", m.Index, m.UnsafeDest, err)
}

// Freeze makes read-only what had to stay writable while devices and mount
// points were made in it: tmpfs and /dev.
// Runs in the container, before or after the root is entered.
func (mt *Mounter) Freeze() error {
	for _, f := range mt.late {
		err := setattr(int(f.Fd()), Attr{Set: unix.MOUNT_ATTR_RDONLY}, 0, false)
		f.Close()
		if err != nil {
			return fmt.Errorf("make %s read-only: %w", f.Name(), err)
		}
	}
	mt.late = nil
	return nil
}

// bind attaches the tree src that the host opened.
func (mt *Mounter) bind(src *os.File, m Mount) error {
	if src == nil {
		return fmt.Errorf("the host sent no source: %w", unix.EBADF)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(src.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	kind := st.Mode & unix.S_IFMT
	if kind == unix.S_IFLNK {
		m.DestNoFollow = true // who follows the destination does not see the symlink mounted there
	}
	t, err := mt.target(m, kind == unix.S_IFDIR, src)
	if err != nil {
		return err
	}
	defer t.close()
	if err := mt.prepare(src, m.Attr, m.RecAttr); err != nil {
		return err
	}
	return mt.finish(src, t, m)
}

// prepare gives a detached tree its attributes and takes it out of the host's
// peer groups. With a shared root it stays in them: that is how a container
// mounts for the host (mount propagation "Bidirectional").
func (mt *Mounter) prepare(tree *os.File, a, rec Attr) error {
	base := uint64(unix.MS_SLAVE)
	switch {
	case mt.Propagation&unix.MS_SHARED != 0:
		base = 0
	case mt.Propagation&(unix.MS_PRIVATE|unix.MS_UNBINDABLE) != 0:
		base = unix.MS_PRIVATE
	}
	if err := setattr(int(tree.Fd()), a, 0, false); err != nil {
		return lockedError(err, a)
	}
	return lockedError(setattr(int(tree.Fd()), rec, base, true), rec)
}

// lockedError explains an EPERM; mount_namespaces(7).
func lockedError(err error, a Attr) error {
	if errors.Is(err, unix.EPERM) && a != (Attr{}) {
		return fmt.Errorf("%w: a flag of the source is locked by the parent user namespace", err)
	}
	return err
}

// finish attaches the detached mount tree to t, sees that the destination now
// leads to it, and sets the propagation of the row.
func (mt *Mounter) finish(tree *os.File, t target, m Mount) error {
	if err := attachAt(int(tree.Fd()), t.fd()); err != nil {
		return err
	}
	if err := mt.verify(int(tree.Fd()), m); err != nil {
		return err
	}
	return setPropagation(int(tree.Fd()), m.Propagation)
}

// verify looks the destination up once more.
func (mt *Mounter) verify(tree int, m Mount) error {
	f, err := mt.Root.Open(m.UnsafeDest, openFlags(m), 0)
	if err != nil {
		return err
	}
	defer f.Close()
	there, err := statx(int(f.Fd()))
	if err != nil {
		return err
	}
	ours, err := statx(tree)
	if err != nil {
		return err
	}
	if there.Mnt_id != ours.Mnt_id {
		return errMoved
	}
	return nil
}

// remount changes the mount that is at the destination.
func (mt *Mounter) remount(m Mount) error {
	f, err := mt.Root.Open(m.UnsafeDest, openFlags(m), 0)
	if err != nil {
		return err
	}
	defer f.Close()
	fd := int(f.Fd())
	if m.SuperFlags != 0 || len(m.Data) > 0 {
		if err := reconfigure(fd, m); err != nil {
			return err
		}
	}
	if err := setattrLocked(fd, m.Attr, false); err != nil {
		return err
	}
	if err := setattrLocked(fd, m.RecAttr, true); err != nil {
		return err
	}
	return setPropagation(fd, m.Propagation)
}

// setattrLocked is setattr that leaves flags set which a parent user
// namespace locked; mount_namespaces(7). It fails if nothing else was asked.
func setattrLocked(fd int, a Attr, recursive bool) error {
	err := setattr(fd, a, 0, recursive)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	var fs unix.Statfs_t
	if e := unix.Fstatfs(fd, &fs); e != nil {
		return err
	}
	kept := Attr{Set: a.Set, Clear: a.Clear &^ attrsOf(uint64(fs.Flags))}
	if kept.Set&unix.MOUNT_ATTR__ATIME == 0 {
		kept.Clear &^= unix.MOUNT_ATTR__ATIME
	}
	if kept == a || kept == (Attr{}) || setattr(fd, kept, 0, recursive) != nil {
		return lockedError(err, a)
	}
	return nil
}

// attrsOf translates the flags that statfs(2) reports and that can be locked.
func attrsOf(statfsFlags uint64) (attrs uint64) {
	for _, f := range [...]struct{ st, attr uint64 }{
		{unix.ST_RDONLY, unix.MOUNT_ATTR_RDONLY},
		{unix.ST_NOSUID, unix.MOUNT_ATTR_NOSUID},
		{unix.ST_NODEV, unix.MOUNT_ATTR_NODEV},
		{unix.ST_NOEXEC, unix.MOUNT_ATTR_NOEXEC},
		{unix.ST_NOATIME, unix.MOUNT_ATTR_NOATIME},
		{unix.ST_NODIRATIME, unix.MOUNT_ATTR_NODIRATIME},
	} {
		if statfsFlags&f.st != 0 {
			attrs |= f.attr
		}
	}
	return attrs
}
