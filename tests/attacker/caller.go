package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// caller gives this process every odd attribute it may have and executes the
// command, which keeps them. It says on standard error what the kernel refused.
func caller(command []string) error {
	runtime.LockOSThread()
	path, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	for _, odd := range [...]struct {
		name string
		do   func() error
	}{
		{"descriptor 9", leaveOpen},
		{"umask", func() error { unix.Umask(0o077); return nil }},
		{"oom_score_adj", func() error { return os.WriteFile("/proc/self/oom_score_adj", []byte("123"), 0) }},
		{"coredump_filter", func() error { return os.WriteFile("/proc/self/coredump_filter", []byte("0x7f"), 0) }},
		{"timer slack", func() error { return unix.Prctl(unix.PR_SET_TIMERSLACK, 77777, 0, 0, 0) }},
		{"parent's death", func() error { return unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGUSR1), 0, 0, 0) }},
		{"subreaper", func() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }},
		{"securebits", func() error { return unix.Prctl(unix.PR_SET_SECUREBITS, 1<<6, 0, 0, 0) }}, // NO_CAP_AMBIENT_RAISE
		{"machine checks", func() error { return unix.Prctl(unix.PR_MCE_KILL, 1, 1, 0, 0) }},
		{"groups", func() error { return syscall.Setgroups([]int{4, 20}) }},
		{"affinity", func() error { var s unix.CPUSet; s.Set(0); return unix.SchedSetaffinity(0, &s) }},
		{"nice, batch", func() error { return unix.SchedSetAttr(0, &unix.SchedAttr{Policy: unix.SCHED_BATCH, Nice: 7}, 0) }},
		{"I/O priority", ioIdle},
		{"timers", func() error {
			_, err := unix.Setitimer(unix.ITIMER_REAL, unix.Itimerval{Value: unix.Timeval{Sec: 3600}})
			_, e := unix.Setitimer(unix.ITIMER_PROF, unix.Itimerval{Value: unix.Timeval{Sec: 3600}})
			return firstOf(err, e)
		}},
		{"signals", ignoreAll},
	} {
		if err := odd.do(); err != nil {
			fmt.Fprintf(os.Stderr, "caller: %s: %v\n", odd.name, err)
		}
	}
	return syscall.Exec(path, command, append(os.Environ(), "CALLERS_SECRET=1"))
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func leaveOpen() error {
	fd, err := unix.Open("/", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	return unix.Dup3(fd, 9, 0)
}

func ioIdle() error {
	if _, _, e := unix.RawSyscall(unix.SYS_IOPRIO_SET, 1, 0, 3<<13|7); e != 0 {
		return e
	}
	return nil
}

// ignoreAll ignores and blocks; syscall.Exec would restore the mask, were it
// not the thread's own.
func ignoreAll() error {
	for s := unix.Signal(1); s < 32; s++ {
		if s != unix.SIGKILL && s != unix.SIGSTOP {
			signal.Ignore(s)
		}
	}
	all := [2]uint64{^uint64(0)}
	_, _, e := unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, 0, uintptr(unsafe.Pointer(&all)), 0, 8, 0, 0)
	if e != 0 {
		return e
	}
	return nil
}
