package seccomp

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Installer is a filter made ready: to install it takes one system call and
// nothing of the Go runtime's.
type Installer struct {
	filter  *Filter
	program unix.SockFprog
}

// NewInstaller prepares a filter. Runs in the container.
func NewInstaller(f *Filter) (*Installer, error) {
	n := len(f.Program) / 8
	if n == 0 || len(f.Program)%8 != 0 || n > 4096 {
		return nil, fmt.Errorf("a seccomp program of %d bytes", len(f.Program))
	}
	return &Installer{f, unix.SockFprog{
		Len:    uint16(n),
		Filter: (*unix.SockFilter)(unsafe.Pointer(unsafe.SliceData(f.Program))),
	}}, nil
}

// Install makes the calling thread, and all that it will execute, subject to
// the filter; seccomp(2). listener is the descriptor of the filter's listener,
// close-on-exec, -1 if it has none.
//
// Without no_new_privs it needs CAP_SYS_ADMIN. Runs in the container.
func (i *Installer) Install() (listener int, err error) {
	// Raw: from the next call on the filter decides.
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(i.filter.Flags), uintptr(unsafe.Pointer(&i.program)))
	runtime.KeepAlive(i)
	if errno != 0 {
		return -1, i.explain(errno)
	}
	if !i.filter.Listener {
		return -1, nil
	}
	return int(fd), nil
}

func (i *Installer) explain(errno unix.Errno) error {
	err := os.NewSyscallError("seccomp", errno)
	switch {
	case errors.Is(errno, unix.EACCES):
		return fmt.Errorf("%w: it needs noNewPrivileges, or CAP_SYS_ADMIN in the user namespace", err)
	case errors.Is(errno, unix.EINVAL) && !KernelKnows(i.filter.Flags):
		return fmt.Errorf("%w: the kernel does not know all of the flags (%#x)", err, uint32(i.filter.Flags))
	case errors.Is(errno, unix.EBUSY):
		return fmt.Errorf("%w: another filter of this process has a listener already", err)
	}
	return err
}

// KernelKnows asks the kernel whether it takes all of the flags: with them and
// without a program it fails to read the program. seccomp(2).
func KernelKnows(flags Flag) bool {
	if flags&FlagWaitKillableRecv != 0 {
		flags |= flagNewListener // without which it means nothing
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(flags), 0)
	return errno == unix.EFAULT
}
