package proc

import (
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ResetSignals gives the program what a new process expects: no signal
// ignored, none blocked. execve(2) itself resets handled signals, but keeps
// ignored ones (nohup, a shell's background job) and the mask.
//
// Only ignored signals change, so that the Go runtime's handlers still work if
// execve fails. Raw system calls on the calling thread: the last thing before
// execve. signal(7).
func ResetSignals() error {
	var empty [16]uintptr // as struct sigaction SIG_DFL without flags, as sigset_t no signal
	for signal := uintptr(1); signal <= lastSignal(); signal++ {
		if signal == uintptr(unix.SIGKILL) || signal == uintptr(unix.SIGSTOP) || !ignored(signal) {
			continue
		}
		_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, signal, uintptr(unsafe.Pointer(&empty)), 0, sigsetBytes(), 0, 0)
		if errno != 0 {
			return os.NewSyscallError("rt_sigaction", errno)
		}
	}
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, setMask(), uintptr(unsafe.Pointer(&empty)), 0, sigsetBytes(), 0, 0)
	return syscallError("rt_sigprocmask", errno)
}

// ignored reads only the handler of the kernel's struct sigaction: the first
// word, on MIPS the second.
func ignored(signal uintptr) bool {
	const sigIgn = 1
	var action [16]uintptr
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, signal, 0, uintptr(unsafe.Pointer(&action)), sigsetBytes(), 0, 0)
	if errno != 0 {
		return false
	}
	if isMIPS() {
		return action[1] == sigIgn
	}
	return action[0] == sigIgn
}

// MIPS has 128 signals and its own numbers for sigprocmask's operations.

func isMIPS() bool { return strings.HasPrefix(runtime.GOARCH, "mips") }

func lastSignal() uintptr { return sigsetBytes() * 8 }

func sigsetBytes() uintptr {
	if isMIPS() {
		return 16
	}
	return 8
}

// setMask is SIG_SETMASK.
func setMask() uintptr {
	if isMIPS() {
		return 3
	}
	return 2
}
