// Package relay passes signals on to one process, from the signal handler
// itself.
//
// [To] runs on the host, in a foreground run or exec. Package os/signal would need
// two more threads and four context switches for each signal it listens to,
// together a twentieth of a short container's whole life; a handler of a few
// instructions needs neither, and cannot be late. [Default] serves hooks, on
// either side. It knows nothing of containers and terminals.
package relay

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// target is what the handler sends to; -1 is nobody.
var target int32 = -1 //nolint:unused // read in relay_*.s

// handler is the signal handler: pidfd_send_signal(target, signal).
func handler() //nolint:unused // its address is taken in relay_*.s

// handlerPC is the address of handler, for the kernel.
func handlerPC() uintptr

// To passes every signal that this process gets on to the process of pidfd,
// until stop, after which they mean what they meant before. The caller keeps
// pidfd open until then: it is never somebody else, also after the process was
// reaped. There is one relay at a time.
//
// What the kernel or the Go runtime mean for us stays with us: faults, SIGCHLD,
// SIGPIPE, SIGURG (preemption), SIGPROF and SIGWINCH. What was ignored stays
// ignored (nohup). See sigaction(2), pidfd_send_signal(2).
func To(pidfd *os.File) (stop func(), err error) {
	target = int32(pidfd.Fd())
	var before [lastSignal + 1]sigaction
	stop = func() {
		for sig := range before {
			if before[sig].handler != 0 {
				_ = rtSigaction(unix.Signal(sig), &before[sig], nil) // it was so before
			}
		}
	}
	for sig := unix.Signal(1); sig <= lastSignal; sig++ {
		if keeps(sig) {
			continue
		}
		if err := relayOne(sig, &before[sig]); err != nil {
			stop()
			return nil, err
		}
	}
	return stop, nil
}

// Default sees to it that a program which the calling goroutine executes before
// restore starts with no signal ignored and none blocked, whatever hako's
// caller left us. What is ignored gets a handler that does nothing: execve(2)
// resets handlers, and the default here would let nohup's SIGHUP end us.
// No relay may be running.
func Default() (restore func()) {
	runtime.LockOSThread()
	var none, mask unix.Sigset_t
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &none, &mask) // it has no error but EINVAL
	var changed [lastSignal + 1]bool
	act := sigaction{handler: handlerPC(), flags: saRestart | saOnStack}
	act.restore()
	for sig := unix.Signal(1); sig <= lastSignal; sig++ {
		var now sigaction
		if sig == unix.SIGKILL || sig == unix.SIGSTOP || rtSigaction(sig, nil, &now) != nil || now.handler != ignored {
			continue
		}
		changed[sig] = rtSigaction(sig, &act, nil) == nil
	}
	return func() {
		for sig := range changed {
			if changed[sig] {
				_ = rtSigaction(unix.Signal(sig), &sigaction{handler: ignored}, nil) // it was so before
			}
		}
		_ = unix.PthreadSigmask(unix.SIG_SETMASK, &mask, nil)
		runtime.UnlockOSThread()
	}
}

const lastSignal = 64

// keeps tells the signals that are not relayed; 32 and 33 are those that
// threading libraries, and Go's syscall package, use among themselves.
func keeps(sig unix.Signal) bool {
	switch sig {
	case unix.SIGKILL, unix.SIGSTOP,
		unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE, unix.SIGSEGV, unix.SIGSYS,
		unix.SIGCHLD, unix.SIGPIPE, unix.SIGURG, unix.SIGPROF, unix.SIGWINCH, 32, 33:
		return true
	}
	return false
}

const (
	ignored    = 1 // SIG_IGN
	saRestart  = 0x10000000
	saOnStack  = 0x08000000 // a goroutine's stack is too small
	sigsetSize = 8
)

// relayOne leaves before empty if sig stays ignored.
func relayOne(sig unix.Signal, before *sigaction) error {
	act := sigaction{handler: handlerPC(), flags: saRestart | saOnStack}
	act.restore()
	if err := rtSigaction(sig, nil, before); err != nil {
		return err
	}
	if before.handler == ignored {
		*before = sigaction{}
		return nil
	}
	return rtSigaction(sig, &act, nil)
}

func rtSigaction(sig unix.Signal, act, old *sigaction) error {
	_, _, e := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig),
		uintptr(unsafe.Pointer(act)), uintptr(unsafe.Pointer(old)), sigsetSize, 0, 0)
	if e != 0 {
		return os.NewSyscallError("rt_sigaction", e)
	}
	return nil
}
