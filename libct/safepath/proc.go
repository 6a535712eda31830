package safepath

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// procRootIno is the inode of the root of every procfs, and of nothing else
// on one; PROC_ROOT_INO of <linux/proc_ns.h>.
const procRootIno = 1

// resolveProc keeps a lookup on the very procfs of the handle: a mount over
// one of its files, or a magic link out of it, is an error.
const resolveProc = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_MAGICLINKS

// ErrNotProc says that what was found at /proc is not the root of a procfs.
var ErrNotProc = errors.New("not the root of a proc file system")

// Proc is a handle to the root of a procfs.
type Proc struct {
	f *os.File
}

// OpenProc opens /proc; the error matches [ErrNotProc] if that is not the
// root of a procfs.
func OpenProc() (*Proc, error) {
	f, err := os.OpenFile("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := verifyProc(int(f.Fd())); err != nil {
		f.Close()
		return nil, pathError("open", "/proc", err)
	}
	return &Proc{f: f}, nil
}

// NewProc makes a procfs of the caller's pid namespace that is mounted
// nowhere, so nothing can be mounted over its files; where that is not
// permitted it is OpenProc. The handle shows files that the container's
// /proc masks: it must not survive execve(2). See fsopen(2).
func NewProc() (*Proc, error) {
	f, err := detachedProc()
	if err != nil {
		return OpenProc()
	}
	return &Proc{f: f}, nil
}

func detachedProc() (*os.File, error) {
	fsfd, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsopen", err)
	}
	defer unix.Close(fsfd)
	// Best effort: fewer processes to see, should the handle ever leak.
	_ = unix.FsconfigSetString(fsfd, "hidepid", "ptraceable")
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return nil, os.NewSyscallError("fsconfig", err)
	}
	fd, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsmount", err)
	}
	return os.NewFile(uintptr(fd), "/proc"), nil
}

func verifyProc(fd int) error {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(fd, &fs); err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if fs.Type != unix.PROC_SUPER_MAGIC || st.Ino != procRootIno {
		return ErrNotProc
	}
	return nil
}

// Close closes the handle.
func (p *Proc) Close() error { return p.f.Close() }

// Open opens subpath ("self/attr/exec", "sys/kernel/hostname") with the O_*
// flags. A file that something is mounted over yields EXDEV, a magic link
// (self/exe, self/fd/3) ELOOP.
func (p *Proc) Open(subpath string, flags int) (*os.File, error) {
	name := "/proc/" + subpath
	if err := check(subpath); err != nil {
		return nil, pathError("open", name, err)
	}
	if strings.HasPrefix(subpath, "/") {
		return nil, pathError("open", name, unix.EXDEV)
	}
	fd, err := openat2(int(p.f.Fd()), subpath, flags, 0, resolveProc)
	runtime.KeepAlive(p)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// WriteFile writes data to the existing file subpath, in one write(2) as
// most files of procfs require.
func (p *Proc) WriteFile(subpath string, data []byte) error {
	f, err := p.Open(subpath, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	n, err := unix.Write(int(f.Fd()), data)
	if err != nil {
		return pathError("write", f.Name(), err)
	}
	if n != len(data) {
		return fmt.Errorf("%s: %d of %d bytes: %w", f.Name(), n, len(data), io.ErrShortWrite)
	}
	return nil
}

// ReadFile returns the contents of the file subpath.
func (p *Proc) ReadFile(subpath string) ([]byte, error) {
	f, err := p.Open(subpath, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}
