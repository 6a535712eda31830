// Package proc sets the attributes a process keeps across execve(2): resource
// limits, scheduling, I/O and memory policy, affinity, personality, session
// keyring, signal dispositions.
//
// Functions without a pid change the calling process, or where the kernel
// knows only threads, the calling thread: the init stage calls them on the
// locked thread that executes the program. What the values should be is
// plan's business.
package proc

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// SetRlimits sets the limits of the calling process, in their order.
//
// Go raises the soft RLIMIT_NOFILE at start and [syscall.Exec] restores the
// original one, unless the limit was set through package syscall; so it is,
// and a configured limit survives while one that is not configured is the
// caller's again. Runs in the container, before the user changes: raising a
// hard limit needs CAP_SYS_RESOURCE in the first user namespace. setrlimit(2).
func SetRlimits(limits []Rlimit) error {
	for _, limit := range limits {
		err := syscall.Setrlimit(limit.Resource, &syscall.Rlimit{Cur: limit.Soft, Max: limit.Hard})
		if err != nil {
			return rlimitError(limit, os.NewSyscallError("setrlimit", err))
		}
	}
	return nil
}

// RaiseHardLimits raises the hard limits of process pid to what limits ask
// for, and changes nothing else: it does for a process in a user namespace
// what that has not the privilege for any more, and leaves [SetRlimits], which
// the process calls itself, only lowering to do.
//
// Best effort: what cannot be raised is reported by SetRlimits.
// Runs on the host. prlimit(2).
func RaiseHardLimits(pid int, limits []Rlimit) {
	for _, limit := range limits {
		var now unix.Rlimit
		if unix.Prlimit(pid, limit.Resource, nil, &now) != nil || limit.Hard <= now.Max {
			continue
		}
		_ = unix.Prlimit(pid, limit.Resource, &unix.Rlimit{Cur: now.Cur, Max: limit.Hard}, nil)
	}
}

func rlimitError(limit Rlimit, err error) error {
	return fmt.Errorf("%s soft %d hard %d: %w", RlimitName(limit.Resource), limit.Soft, limit.Hard, err)
}
