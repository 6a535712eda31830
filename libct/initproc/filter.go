package initproc

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"github.com/hako-runtime/hako/libct/caps"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/proc"
	"github.com/hako-runtime/hako/libct/seccomp"
	"github.com/hako-runtime/hako/libct/wire"
	"golang.org/x/sys/unix"
)

// Between the filter and execve only what must be is called, because all of it
// is at the mercy of the profile: capset(2) without no_new_privs, write(2) and
// read(2) to hand a listener over, what startContainer hooks take.

// heldCaps are the capabilities until the filter is installed: without
// no_new_privs that needs CAP_SYS_ADMIN.
func heldCaps(p *plan.Process) caps.Sets {
	sets := p.Caps
	if p.Seccomp != nil && !p.NoNewPrivileges {
		sets.Effective |= 1 << unix.CAP_SYS_ADMIN
		sets.Permitted |= 1 << unix.CAP_SYS_ADMIN
	}
	return sets
}

// filter is the filter made ready, and what it takes to be what the config
// says afterwards.
type filter struct {
	installer *seccomp.Installer
	lower     *caps.Lowering // nil: nothing is held
}

func (s *stage) prepareFilter() (f filter, err error) {
	p := &s.plan.Process
	if f.installer, err = seccomp.NewInstaller(p.Seccomp); err == nil && !p.NoNewPrivileges {
		f.lower = caps.NewLowering(p.Caps)
	}
	return f, err
}

// install is raw system calls.
func (f *filter) install() (listener int, err error) {
	if listener, err = f.installer.Install(); err != nil {
		return -1, fmt.Errorf("linux.seccomp: %w", err)
	}
	if f.lower != nil {
		err = f.lower.Do()
	}
	return listener, err
}

// installEarly installs a filter before other steps than execve.
func (s *stage) installEarly() error {
	f, err := s.prepareFilter()
	if err != nil {
		return err
	}
	// Not again later: close_range(2) is newer than many a profile.
	if err := proc.SealDescriptors(); err != nil {
		return err
	}
	listener, err := f.install()
	if err != nil {
		return err
	}
	s.filtered = true
	if listener < 0 {
		return nil
	}
	// By its number, for pidfd_getfd(2): to send it takes calls that the
	// listener may have to decide about. The answer is waited for, as execve
	// closes it.
	if err := s.conn.Send(wire.Seccomp, &plan.Listener{FD: listener}); err != nil {
		return err
	}
	if err := s.conn.Expect(wire.Go, nil, nil); err != nil {
		return err
	}
	return unix.Close(listener)
}

// filterAndExecute is the filter and execve with nothing in between, not even
// the Go runtime.
func (s *stage) filterAndExecute() error {
	f, err := s.prepareFilter()
	if err != nil {
		return err
	}
	path, err := syscall.BytePtrFromString(s.program)
	if err != nil {
		return err
	}
	args, err := syscall.SlicePtrFromStrings(s.plan.Process.Args)
	if err != nil {
		return err
	}
	env, err := syscall.SlicePtrFromStrings(s.env)
	if err != nil {
		return err
	}
	// Fails, and gives back the soft limit of descriptors, which the Go
	// runtime has raised; syscall.Exec does that before its execve.
	_ = syscall.Exec("", nil, nil)
	if err := s.waitPlaced(); err != nil {
		return err
	}
	if _, err := f.install(); err != nil {
		return err
	}
	_, _, errno := syscall.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(path)), uintptr(unsafe.Pointer(&args[0])), uintptr(unsafe.Pointer(&env[0])))
	runtime.KeepAlive(args)
	runtime.KeepAlive(env)
	return fmt.Errorf("exec %s: %w", s.program, errno)
}

func noFilterOrLater(listening bool) func(*stage) bool {
	return func(s *stage) bool {
		f := s.plan.Process.Seccomp
		if f == nil || f.Listener != listening {
			return true
		}
		// Without hooks it comes with execve.
		return !listening && len(s.plan.Hooks.StartContainer) == 0
	}
}
