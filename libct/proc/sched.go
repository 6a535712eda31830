package proc

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SetScheduler sets policy and parameters of the calling thread; children
// inherit them unless SCHED_FLAG_RESET_ON_FORK is set.
// Runs in the container, with CAP_SYS_NICE for the real-time policies. sched_setattr(2).
func SetScheduler(s Scheduler) error {
	err := unix.SchedSetAttr(0, &unix.SchedAttr{
		Policy:   s.Policy,
		Flags:    s.Flags,
		Nice:     s.Nice,
		Priority: s.Priority,
		Runtime:  s.Runtime,
		Deadline: s.Deadline,
		Period:   s.Period,
	}, 0)
	if errors.Is(err, unix.EPERM) && s.Policy == unix.SCHED_DEADLINE {
		return fmt.Errorf("%w: SCHED_DEADLINE needs CAP_SYS_NICE and cannot be combined with limited cpus",
			os.NewSyscallError("sched_setattr", err))
	}
	return os.NewSyscallError("sched_setattr", err)
}

// ResetScheduler takes from process pid, a child of the calling thread, the
// policy and the nice value that it has from hako's caller.
//
// Best effort: going back to nice 0 takes CAP_SYS_NICE in the first user
// namespace, which is why the host does it. Runs on the host. sched(7).
func ResetScheduler(pid int) {
	ours, err := unix.SchedGetAttr(0, 0)
	if err != nil || ours.Policy == unix.SCHED_NORMAL && ours.Nice == 0 && ours.Flags == 0 {
		return
	}
	_ = unix.SchedSetAttr(pid, &unix.SchedAttr{Policy: unix.SCHED_NORMAL}, 0)
}

// SetIOPriority sets the I/O priority of the calling thread. What it executes
// and forks inherits it; that is how the whole container gets it, while
// IOPRIO_WHO_PGRP could reach processes outside. ioprio_set(2).
func SetIOPriority(p IOPriority) error {
	const (
		whoProcess = 1 // IOPRIO_WHO_PROCESS; 0 is the calling thread
		classShift = 13
	)
	_, _, errno := unix.RawSyscall(unix.SYS_IOPRIO_SET, whoProcess, 0, uintptr(p.Class<<classShift|p.Level))
	return syscallError("ioprio_set", errno)
}

// SetMemoryPolicy sets the NUMA policy of the calling thread; it survives
// execve(2). The error matches [errors.ErrUnsupported] on a kernel without
// CONFIG_NUMA. Runs in the container, when the process is in its cgroup:
// the nodes must be among those of its cpuset. set_mempolicy(2).
func SetMemoryPolicy(p MemoryPolicy) error {
	mask := append(words(p.Nodes), 0)       // never empty: there is a first word to point to
	maxNode := uintptr(len(p.Nodes)*64) + 1 // the kernel takes one off
	_, _, errno := unix.RawSyscall(unix.SYS_SET_MEMPOLICY, uintptr(p.Mode), uintptr(unsafe.Pointer(&mask[0])), maxNode)
	return syscallError("set_mempolicy", errno)
}

// SetPersonality sets the execution domain of the calling thread; it survives
// execve(2). personality(2).
func SetPersonality(persona uint32) error {
	_, _, errno := unix.RawSyscall(unix.SYS_PERSONALITY, uintptr(persona), 0, 0)
	return syscallError("personality", errno)
}

func syscallError(name string, errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return os.NewSyscallError(name, errno)
}
