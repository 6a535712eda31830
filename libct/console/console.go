// Package console makes the container's terminal and hands it over.
//
// The container side allocates a pseudo-terminal from the container's own
// devpts, makes it the process's terminal and sends the master out. The host
// side connects to whoever wants the master, or receives it. Copying bytes
// and forwarding signals is the caller's. pty(7).
package console

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/safepath"
)

// Open allocates a terminal from the devpts at /dev/pts beneath the root.
//
// The multiplexer is looked up in a directory verified to be devpts, without
// crossing a mount or a link: an image's /dev/pts/ptmx is never opened. The
// slave comes from the master, not from a path that could be redirected.
// Runs in the container. pts(4), TIOCGPTPEER(2const).
func Open(root *safepath.Root) (master, slave *os.File, err error) {
	master, err = openMultiplexer(root)
	if err != nil {
		return nil, nil, err
	}
	slave, err = openPeer(master)
	if err != nil {
		master.Close()
		return nil, nil, err
	}
	return master, slave, nil
}

func openMultiplexer(root *safepath.Root) (*os.File, error) {
	dir, err := root.Open("dev/pts", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &stat); err != nil {
		return nil, &os.PathError{Op: "fstatfs", Path: "/dev/pts", Err: err}
	}
	if stat.Type != unix.DEVPTS_SUPER_MAGIC {
		return nil, errors.New("/dev/pts: a terminal needs a devpts file system here")
	}
	fd, err := unix.Openat2(int(dir.Fd()), "ptmx", &unix.OpenHow{
		Flags:   unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	})
	if err != nil {
		return nil, &os.PathError{Op: "openat2", Path: "/dev/pts/ptmx", Err: err}
	}
	master := os.NewFile(uintptr(fd), "/dev/ptmx")
	if err := verifyMultiplexer(fd); err != nil {
		master.Close()
		return nil, err
	}
	return master, nil
}

// verifyMultiplexer checks for character device 5:2; devices.txt of the kernel.
func verifyMultiplexer(fd int) error {
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return &os.PathError{Op: "fstat", Path: "/dev/pts/ptmx", Err: err}
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFCHR || uint64(stat.Rdev) != unix.Mkdev(5, 2) { //nolint:unconvert // 32 bits on MIPS
		return errors.New("/dev/pts/ptmx: not the terminal multiplexer (character device 5:2)")
	}
	return nil
}

// openPeer unlocks and opens the other end of a master.
func openPeer(master *os.File) (*os.File, error) {
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return nil, os.NewSyscallError("ioctl TIOCSPTLCK", err)
	}
	flags := uintptr(unix.O_RDWR | unix.O_NOCTTY | unix.O_CLOEXEC)
	fd, _, errno := unix.RawSyscall(unix.SYS_IOCTL, master.Fd(), unix.TIOCGPTPEER, flags)
	runtime.KeepAlive(master)
	if errno != 0 {
		return nil, os.NewSyscallError("ioctl TIOCGPTPEER", errno)
	}
	return os.NewFile(fd, "/dev/console"), nil
}

// MountSlave puts the terminal on /dev/console beneath the root, as a mount on
// a descriptor: there is no path to swap in between (CVE-2025-52565). A
// missing /dev/console is made; one that is neither a file nor a character
// device is refused.
//
// Runs in the container, before the root is entered or after. open_tree(2).
func MountSlave(root *safepath.Root, slave *os.File) error {
	target, err := consoleTarget(root)
	if err != nil {
		return err
	}
	defer target.Close()
	tree, err := unix.OpenTree(int(slave.Fd()), "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return &os.PathError{Op: "open_tree", Path: "terminal", Err: err}
	}
	defer unix.Close(tree)
	err = unix.MoveMount(tree, "", int(target.Fd()), "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
	runtime.KeepAlive(slave)
	if err != nil {
		return &os.PathError{Op: "move_mount", Path: "/dev/console", Err: err}
	}
	return nil
}

// consoleTarget is a handle to /dev/console itself, never to what a link there
// points to.
func consoleTarget(root *safepath.Root) (*os.File, error) {
	dir, base, err := root.MkParent("dev/console", 0o755)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	err = unix.Mknodat(int(dir.Fd()), base, unix.S_IFREG|0o600, 0)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, &os.PathError{Op: "mknod", Path: "/dev/console", Err: err}
	}
	fd, err := unix.Openat(int(dir.Fd()), base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/dev/console", Err: err}
	}
	target := os.NewFile(uintptr(fd), "/dev/console")
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		target.Close()
		return nil, &os.PathError{Op: "fstat", Path: "/dev/console", Err: err}
	}
	if kind := stat.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFCHR {
		target.Close()
		return nil, errors.New("/dev/console: neither a file nor a character device; the terminal cannot be mounted there")
	}
	return target, nil
}

// Attach starts a session with the terminal as its controlling one and makes
// it standard input, output and error. The caller may lead a session already,
// if that has no terminal. slave stays open, it is close-on-exec.
// Runs in the container. setsid(2), TIOCSCTTY(2const).
func Attach(slave *os.File) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_SETSID, 0, 0, 0); errno != 0 && !leadsSession() {
		return os.NewSyscallError("setsid", errno)
	}
	if err := unix.IoctlSetInt(int(slave.Fd()), unix.TIOCSCTTY, 0); err != nil {
		return os.NewSyscallError("ioctl TIOCSCTTY", err)
	}
	for fd := range 3 {
		if err := unix.Dup3(int(slave.Fd()), fd, 0); err != nil {
			return os.NewSyscallError("dup3", err)
		}
	}
	runtime.KeepAlive(slave)
	return nil
}

func leadsSession() bool {
	sid, err := unix.Getsid(0)
	return err == nil && sid == unix.Getpid()
}

// OwnStdio gives standard input, output and error to uid, so that the process
// may reopen them (/dev/stdout, its terminal). The group stays: devpts has set
// it. /dev/null is everybody's and skipped; so is what may not be changed:
// pipes of a user who is not mapped, files on a read-only file system.
//
// Runs in the container, before the user changes. containerUID is the id in
// the container's user namespace.
func OwnStdio(containerUID uint32) error {
	for fd := range 3 {
		var stat unix.Stat_t
		if err := unix.Fstat(fd, &stat); err != nil {
			return fmt.Errorf("descriptor %d: %w", fd, os.NewSyscallError("fstat", err))
		}
		if stat.Uid == containerUID || isNull(&stat) {
			continue
		}
		err := unix.Fchown(fd, int(containerUID), -1)
		if err != nil && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EROFS) {
			return fmt.Errorf("descriptor %d: %w", fd, os.NewSyscallError("fchown", err))
		}
	}
	return nil
}

func isNull(stat *unix.Stat_t) bool {
	return stat.Mode&unix.S_IFMT == unix.S_IFCHR && uint64(stat.Rdev) == unix.Mkdev(1, 3) //nolint:unconvert // 32 bits on MIPS
}

// SetSize sets the size in characters. TIOCSWINSZ(2const).
func SetSize(terminal *os.File, rows, cols uint16) error {
	err := unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	return os.NewSyscallError("ioctl TIOCSWINSZ", err)
}

// Size reads the size in characters. TIOCGWINSZ(2const).
func Size(terminal *os.File) (rows, cols uint16, err error) {
	size, err := unix.IoctlGetWinsize(int(terminal.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0, os.NewSyscallError("ioctl TIOCGWINSZ", err)
	}
	return size.Row, size.Col, nil
}

// IsTerminal reports whether f is a terminal; isatty(3).
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
