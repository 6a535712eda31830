package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/idmap"
)

// xattrPrefix marks the PAX records that hold extended attributes; tar(5) of
// libarchive.
const xattrPrefix = "SCHILY.xattr."

// ownedByHost says which attributes belong to the machine, not to the image:
// they are neither taken from a layer nor cleared.
func ownedByHost(xattr string) bool {
	return xattr == "security.selinux" || xattr == "system.nfs4_acl"
}

// defaultACL is the attribute of a directory that new objects in it inherit;
// acl(5).
const defaultACL = "system.posix_acl_default"

// setAttributes sets owner, mode and extended attributes of an object that is
// new, or of a directory that was there. Chown comes first: it clears
// set-user-ID and security.capability.
func (r *run) setAttributes(fd int, header *tar.Header, isNew bool) error {
	mode := uint32(header.Mode & 0o7777)
	if r.tree.options.Rootless {
		// User attributes cannot be set once the owner may not write.
		if err := r.replaceXattrs(fd, header, isNew); err != nil {
			return err
		}
		return setMode(fd, mode)
	}
	if err := r.tree.setOwner(fd, header.Uid, header.Gid); err != nil {
		return err
	}
	if err := setMode(fd, mode); err != nil {
		return err
	}
	return r.replaceXattrs(fd, header, isNew)
}

// setOwner gives an object to what a layer's ids are on the host. Rootless,
// it stays the caller's.
func (t *Tree) setOwner(fd, uid, gid int) error {
	if t.options.Rootless {
		return nil
	}
	hostUID, err := hostID("user", t.options.UIDs, uid)
	if err != nil {
		return err
	}
	hostGID, err := hostID("group", t.options.GIDs, gid)
	if err != nil {
		return err
	}
	return sysError("fchownat", unix.Fchownat(fd, "", hostUID, hostGID, unix.AT_EMPTY_PATH))
}

func hostID(kind string, maps []idmap.Map, containerID int) (int, error) {
	if len(maps) == 0 {
		return containerID, nil
	}
	id, ok := idmap.HostID(maps, uint32(containerID)) // in range: checkNumbers
	if !ok {
		return 0, fmt.Errorf("%s id %d is not mapped: use --%cid-map", kind, containerID, kind[0])
	}
	return int(id), nil
}

func setMode(fd int, mode uint32) error {
	err := unix.Fchmod(fd, mode)
	if errors.Is(err, unix.EBADF) { // an O_PATH descriptor
		err = unix.Chmod(procPath(fd), mode)
	}
	return sysError("fchmod", err)
}

// replaceXattrs makes the extended attributes those of the entry. Some may be
// there already: of a directory of a lower layer, or an ACL passed on by the
// parent.
func (r *run) replaceXattrs(fd int, header *tar.Header, isNew bool) error {
	if !isNew || r.tree.inherits {
		if err := clearXattrs(fd, r.tree.options.Rootless); err != nil {
			return err
		}
	}
	for record, value := range header.PAXRecords {
		name, ok := strings.CutPrefix(record, xattrPrefix)
		if !ok || ownedByHost(name) || (r.tree.options.Rootless && name == rootlessXattr) {
			continue
		}
		r.tree.inherits = r.tree.inherits || name == defaultACL
		if err := r.setXattr(fd, header, name, []byte(value)); err != nil {
			return err
		}
	}
	if owner := encodeOwner(header.Uid, header.Gid); r.tree.options.Rootless && owner != nil {
		return r.setXattr(fd, header, rootlessXattr, owner)
	}
	return nil
}

func (r *run) setXattr(fd int, header *tar.Header, name string, value []byte) error {
	err := unix.Setxattr(procPath(fd), name, value, 0)
	// Rootless, only user attributes can be set at all.
	refused := errors.Is(err, unix.EPERM) && (r.tree.options.Rootless || userXattrRefused(name, header))
	if refused || errors.Is(err, unix.ENOTSUP) {
		r.tree.warn("xattr", fmt.Sprintf("entry %s: extended attribute %q dropped: %v (further ones are dropped silently)", quoteName(header.Name), name, err))
		return nil
	}
	if err != nil {
		return fmt.Errorf("extended attribute %q: %w", name, sysError("setxattr", err))
	}
	return nil
}

// userXattrRefused says whether the kernel has user attributes only for other
// types of file than this one; xattr(7).
func userXattrRefused(name string, header *tar.Header) bool {
	switch header.Typeflag {
	case tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return strings.HasPrefix(name, "user.")
	}
	return false
}

func clearXattrs(fd int, rootless bool) error {
	names, err := listXattrs(fd)
	if err != nil {
		return err
	}
	for _, name := range names {
		if ownedByHost(name) {
			continue
		}
		err := unix.Removexattr(procPath(fd), name)
		if err != nil && !errors.Is(err, unix.ENODATA) && !(rootless && errors.Is(err, unix.EPERM)) {
			return fmt.Errorf("extended attribute %q: %w", name, sysError("removexattr", err))
		}
	}
	return nil
}

// listXattrs names the attributes of an object; none if the file system has
// no such thing.
func listXattrs(fd int) ([]string, error) {
	list := func(buf []byte) (int, error) {
		n, err := unix.Flistxattr(fd, buf)
		if errors.Is(err, unix.EBADF) { // an O_PATH descriptor
			n, err = unix.Listxattr(procPath(fd), buf)
		}
		return n, err
	}
	n, err := list(nil)
	if err != nil && !errors.Is(err, unix.ENOTSUP) {
		return nil, sysError("listxattr", err)
	}
	if err != nil || n == 0 {
		return nil, nil
	}
	buf := make([]byte, n)
	if n, err = list(buf); err != nil {
		return nil, sysError("listxattr", err)
	}
	var names []string
	// Overlayfs counts also those that it does not show: n may be 0 now.
	for name := range bytes.SplitSeq(buf[:n], []byte{0}) {
		if len(name) > 0 {
			names = append(names, string(name))
		}
	}
	return names, nil
}

// headerTimes are the times of an entry: without an mtime now, without an
// atime the mtime.
func headerTimes(header *tar.Header) [2]unix.Timespec {
	mtime := header.ModTime
	if mtime.IsZero() {
		mtime = time.Now()
	}
	atime := header.AccessTime
	if atime.IsZero() {
		atime = mtime
	}
	return timespecs(atime, mtime)
}

func timespecs(atime, mtime time.Time) [2]unix.Timespec {
	return [2]unix.Timespec{
		{Sec: atime.Unix(), Nsec: int64(atime.Nanosecond())},
		{Sec: mtime.Unix(), Nsec: int64(mtime.Nanosecond())},
	}
}

// setTimes sets the times of name in a directory, or of the object behind fd
// if name is empty; it follows no symlink.
func setTimes(fd int, name string, times [2]unix.Timespec) error {
	flags := unix.AT_SYMLINK_NOFOLLOW
	if name == "" {
		flags = unix.AT_EMPTY_PATH
	}
	return sysError("utimensat", unix.UtimesNanoAt(fd, name, times[:], flags))
}
