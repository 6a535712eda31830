// Package rootfs builds what the container sees as its file system: mounts,
// devices, the root, and the paths that are hidden or frozen.
//
// The host opens every source as a detached mount; the container side mounts
// them on descriptors that were resolved beneath the root, never on names.
// It trusts nothing inside the root: an image may replace any file, directory
// or device by a symlink or by something else, also during the start. It
// refuses to know config.json, and whether a mount is a good idea.
//
// The order on the container side: [Attach], [Mounter.MountAll],
// [MakeDevices], [DefaultLinks], [EnterRoot],
// [Mounter.Freeze], [ApplyRestrict], [FinishPropagation], [RemountReadonly].
package rootfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/hako-runtime/hako/libct/safepath"
	"golang.org/x/sys/unix"
)

// Attach puts the detached root file system into the calling mount namespace
// and returns the handle beneath which everything else happens; it owns tree
// from then on. No mount made afterwards reaches the host, and the tree's
// parent is never shared, which pivot_root(2) requires; r.Propagation is
// completed by [FinishPropagation].
//
// The tree is attached at r.HostPath, where hooks look for it, or on "/" if
// the path cannot be reached from inside the user namespace.
// Runs in the container, before the root is entered.
func Attach(r Root, tree *os.File) (*safepath.Root, error) {
	old, ours := propagationOf(r.Propagation)
	if err := unix.Mount("", "/", "", uintptr(old|unix.MS_REC), ""); err != nil {
		return nil, fmt.Errorf("propagation of /: %w", os.NewSyscallError("mount", err))
	}
	// A tree opened on the host is still a peer of the host's mounts.
	if err := setattr(int(tree.Fd()), Attr{}, ours, true); err != nil {
		return nil, fmt.Errorf("propagation of the root file system: %w", err)
	}
	const flags = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_SYMLINKS
	err := unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, r.HostPath, flags)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		err = unix.MoveMount(int(tree.Fd()), "", unix.AT_FDCWD, "/", flags)
	}
	if err != nil {
		return nil, fmt.Errorf("attach the root file system: %w", os.NewSyscallError("move_mount", err))
	}
	return safepath.NewRoot(tree), nil
}

// propagationOf says what the old root and the new one are until the latter is
// entered. The old one is a slave, if possible: private mounts would keep
// busy what the host unmounts meanwhile. The new one is what was asked for,
// short of shared; config-linux.md#rootfs-mount-propagation.
func propagationOf(asked uint64) (old, ours uint64) {
	switch {
	case asked == 0 || asked&unix.MS_SLAVE != 0:
		return unix.MS_SLAVE, unix.MS_SLAVE
	case asked&unix.MS_SHARED != 0:
		return unix.MS_SLAVE, unix.MS_PRIVATE
	}
	return unix.MS_PRIVATE, unix.MS_PRIVATE
}

// EnterRoot makes root the root directory of the process and leaves nothing
// of the host's behind. The working directory is "/". Runs in the container.
func EnterRoot(r Root, root *safepath.Root) error {
	switch r.Enter {
	case EnterPivot:
		return pivot(root)
	case EnterMove:
		return moveRoot(root)
	case EnterChroot:
		return chroot(root)
	}
	return fmt.Errorf("unknown way into the root %q", r.Enter)
}

// FinishPropagation gives "/" the propagation that [Attach] had to postpone: a
// shared root cannot be pivoted to, and [ApplyRestrict] cannot copy an
// unbindable mount. Runs in the container, after the root is entered.
func FinishPropagation(r Root) error {
	if !r.PostponesPropagation() {
		return nil
	}
	if err := unix.Mount("", "/", "", uintptr(r.Propagation), ""); err != nil {
		return fmt.Errorf("propagation of /: %w", os.NewSyscallError("mount", err))
	}
	return nil
}

// PostponesPropagation reports whether [FinishPropagation] has work to do.
func (r Root) PostponesPropagation() bool {
	return r.Enter != EnterChroot && r.Propagation&(unix.MS_SHARED|unix.MS_UNBINDABLE) != 0
}

// pivot swaps root and the old root, which ends up on top of it and is
// unmounted there; pivot_root(2), "pivot_root(".", ".")".
func pivot(root *safepath.Root) error {
	old, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/", Err: err}
	}
	defer unix.Close(old)
	if err := unix.Fchdir(root.FD()); err != nil {
		return os.NewSyscallError("fchdir", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return pivotError(err)
	}
	if err := unix.Fchdir(old); err != nil {
		return os.NewSyscallError("fchdir", err)
	}
	// The unmount must not reach the host. A slave, not private: otherwise
	// the host's mounts would be held busy until the unmount below.
	if err := unix.Mount("", ".", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("propagation of the old root: %w", os.NewSyscallError("mount", err))
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("the old root: %w", os.NewSyscallError("umount2", err))
	}
	return os.NewSyscallError("chdir", unix.Chdir("/"))
}

func pivotError(err error) error {
	wrapped := os.NewSyscallError("pivot_root", err)
	if err == unix.EINVAL {
		return fmt.Errorf("%w (on an initramfs, use --no-pivot)", wrapped)
	}
	return wrapped
}

// moveRoot mounts root on top of "/" and enters it there. What stays mounted
// below is out of reach of a path, but a complete procfs or sysfs there would
// still permit a container with privileges to mount one of its own without
// the masked paths; so those go first. Fails soft as runc does.
func moveRoot(root *safepath.Root) error {
	if err := hideHostProc(root); err != nil {
		return err
	}
	err := unix.MoveMount(root.FD(), "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH)
	if err != nil {
		return os.NewSyscallError("move_mount", err)
	}
	return chroot(root)
}

func chroot(root *safepath.Root) error {
	if err := unix.Fchdir(root.FD()); err != nil {
		return os.NewSyscallError("fchdir", err)
	}
	if err := unix.Chroot("."); err != nil {
		return os.NewSyscallError("chroot", err)
	}
	return os.NewSyscallError("chdir", unix.Chdir("/"))
}

// hideHostProc unmounts or covers every complete procfs and sysfs outside
// root.
func hideHostProc(root *safepath.Root) error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var st unix.Statx_t
	if err := unix.Statx(root.FD(), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return os.NewSyscallError("statx", err)
	}
	for _, mountPoint := range fullMounts(table, fmt.Sprint(st.Mnt_id)) {
		err := unix.Unmount(mountPoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if err == unix.EINVAL || err == unix.EPERM { // locked: covered instead
			err = unix.Mount("tmpfs", mountPoint, "tmpfs", 0, "")
		}
		if err != nil && err != unix.ENOENT { // went away with its parent
			return &os.PathError{Op: "umount2", Path: mountPoint, Err: err}
		}
	}
	return nil
}

// fullMounts lists the mount points of complete proc and sysfs instances that
// are not below the mount rootID; proc_pid_mountinfo(5).
func fullMounts(table []byte, rootID string) []string {
	parents := make(map[string]string)
	var ids, points []string
	for line := range bytes.Lines(table) {
		left, right, _ := strings.Cut(string(line), " - ")
		f, g := strings.Fields(left), strings.Fields(right)
		if len(f) < 6 || len(g) < 1 {
			continue
		}
		parents[f[0]] = f[1]
		if f[3] == "/" && (g[0] == "proc" || g[0] == "sysfs") {
			ids, points = append(ids, f[0]), append(points, unescape(f[4]))
		}
	}
	var outside []string
	for i, id := range ids {
		for steps := 0; id != "" && id != rootID && steps < len(parents); steps++ {
			id = parents[id]
		}
		if id != rootID {
			outside = append(outside, points[i])
		}
	}
	return outside
}

// unescape decodes the \ooo of mountinfo.
func unescape(s string) string {
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			out = append(out, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
			continue
		}
		out = append(out, s[i])
	}
	return string(out)
}

// RemountReadonly makes the mount of the root read-only, and no other.
// Runs in the container, after the root is entered.
func RemountReadonly(root *safepath.Root) error {
	return setattr(root.FD(), Attr{Set: unix.MOUNT_ATTR_RDONLY}, 0, false)
}
