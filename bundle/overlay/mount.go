// Package overlay keeps unpacked layers in a store that many bundles share,
// and mounts them, read-only, below a folder of each bundle's own.
//
// It works on the host's paths, which it trusts; what is in the layers it
// writes only through overlayfs itself, which keeps a layer from posing as
// whiteouts or redirects of the file system. It knows no images and no
// bundles' files.
package overlay

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Stack is what an overlay consists of; kernel documentation,
// filesystems/overlayfs.
type Stack struct {
	Lower []string // absolute folders, uppermost first
	Upper string   // "": the overlay is read-only
	Work  string   // beside Upper, and on the same file system
}

// maxOption bounds a value of fsconfig(2), its NUL included.
const maxOption = 256

// Open makes the overlay without attaching it anywhere: it lives as long as
// the file, and longer only if it is moved to a place. Its files are reached
// by /proc/self/fd.
//
// The error matches [errors.ErrUnsupported] if the kernel has no overlayfs, or
// does not let the caller mount it; fsopen(2), fsmount(2).
func (s Stack) Open() (*os.File, error) {
	fs, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, refused(os.NewSyscallError("fsopen overlay", err))
	}
	defer unix.Close(fs)
	if err := s.configure(fs); err != nil {
		return nil, withLog(fs, err)
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, withLog(fs, refused(os.NewSyscallError("mount overlay", err)))
	}
	flags := 0
	if s.Upper == "" {
		flags = unix.MOUNT_ATTR_RDONLY
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, flags)
	if err != nil {
		return nil, withLog(fs, os.NewSyscallError("fsmount overlay", err))
	}
	return os.NewFile(uintptr(mount), "overlay"), nil
}

// refused tells the errors of a kernel, or of a place, without overlayfs.
func refused(err error) error {
	for _, e := range []error{unix.ENODEV, unix.EPERM, unix.ENOSYS} {
		if errors.Is(err, e) {
			return fmt.Errorf("%w: %w (mounting needs root, or a user and mount namespace of one's own)", errors.ErrUnsupported, err)
		}
	}
	return err
}

func (s Stack) configure(fs int) error {
	// What the layers hold is data: nothing in it may redirect the kernel.
	options := [][2]string{{"source", "overlay"}, {"redirect_dir", "nofollow"}, {"metacopy", "off"}, {"index", "off"}}
	if InUserNamespace() {
		options = [][2]string{{"source", "overlay"}, {"userxattr", ""}} // which turns the others off
	}
	for _, o := range options {
		var err error
		if o[1] == "" {
			err = unix.FsconfigSetFlag(fs, o[0])
		} else {
			err = unix.FsconfigSetString(fs, o[0], o[1])
		}
		if err != nil {
			return fmt.Errorf("overlay option %s: %w", o[0], err)
		}
	}
	if err := s.setLower(fs); err != nil {
		return err
	}
	if s.Upper == "" {
		return nil
	}
	for key, dir := range map[string]string{"upperdir": s.Upper, "workdir": s.Work} {
		if err := setDir(fs, key, dir); err != nil {
			return err
		}
	}
	return nil
}

// setLower adds one folder after the other; before Linux 6.5 all have to fit
// in one value.
func (s Stack) setLower(fs int) error {
	for i, dir := range s.Lower {
		err := setDir(fs, "lowerdir+", dir)
		if i == 0 && errors.Is(err, unix.EINVAL) {
			return setDir(fs, "lowerdir", strings.Join(s.Lower, ":"))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// setDir names a folder. One with a long name is named by a descriptor, which
// the kernel resolves at once.
func setDir(fs int, key, value string) error {
	path := value
	if len(path) >= maxOption && key != "lowerdir" {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: path, Err: err}
		}
		defer unix.Close(fd)
		path = "/proc/self/fd/" + strconv.Itoa(fd)
	}
	if err := unix.FsconfigSetString(fs, key, path); err != nil {
		return fmt.Errorf("overlay option %s=%s: %w", key, value, err)
	}
	return nil
}

// withLog appends what the kernel says about a failure; fsopen(2).
func withLog(fs int, err error) error {
	var buf [512]byte
	n, readErr := unix.Read(fs, buf[:])
	if readErr != nil || n < 3 {
		return err
	}
	return fmt.Errorf("%w (%s)", err, strings.TrimSpace(string(buf[2:n]))) // behind "e ", "w " or "i "
}

// InUserNamespace compares with the inode of the first user namespace, which
// is fixed: PROC_USER_INIT_INO. There, only user.* attributes can be written.
func InUserNamespace() bool {
	name, err := os.Readlink("/proc/self/ns/user")
	return err == nil && name != "user:[4026531837]"
}

// Mount makes the overlay and attaches it at the folder at.
func (s Stack) Mount(at string) error {
	mount, err := s.Open()
	if err != nil {
		return err
	}
	defer mount.Close()
	return Attach(mount, at)
}

// Attach puts what [Stack.Open] has made at the folder at.
func Attach(mount *os.File, at string) error {
	if err := unix.MoveMount(int(mount.Fd()), "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return refused(&os.PathError{Op: "move_mount", Path: at, Err: err})
	}
	return nil
}

// IsMounted says whether an overlay is mounted at the folder at.
func IsMounted(at string) (bool, error) {
	var here, parent unix.Statx_t
	fd, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, &os.PathError{Op: "open", Path: at, Err: err}
	}
	defer unix.Close(fd)
	for path, into := range map[string]*unix.Statx_t{"": &here, "..": &parent} {
		if err := unix.Statx(fd, path, unix.AT_EMPTY_PATH, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, into); err != nil {
			return false, &os.PathError{Op: "statx", Path: at, Err: err}
		}
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return false, &os.PathError{Op: "statfs", Path: at, Err: err}
	}
	return here.Mnt_id != parent.Mnt_id && uint32(fs.Type) == unix.OVERLAYFS_SUPER_MAGIC, nil
}

// Unmount ends Mount. EBUSY means that something still uses the files.
func Unmount(at string) error {
	if err := unix.Unmount(at, unix.UMOUNT_NOFOLLOW); err != nil {
		return &os.PathError{Op: "umount", Path: at, Err: err}
	}
	return nil
}
