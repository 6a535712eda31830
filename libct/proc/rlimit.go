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

// SetRlimitsOf sets the limits of another process. It is the way to raise hard
// limits of a container with a user namespace, whose init has not the
// privilege any more. A NOFILE limit set so must be pinned by the process
// itself with [PinNoFile]. Runs on the host. prlimit(2).
func SetRlimitsOf(pid int, limits []Rlimit) error {
	for _, limit := range limits {
		err := unix.Prlimit(pid, limit.Resource, &unix.Rlimit{Cur: limit.Soft, Max: limit.Hard}, nil)
		if err != nil {
			return rlimitError(limit, os.NewSyscallError("prlimit", err))
		}
	}
	return nil
}

// PinNoFile keeps the present RLIMIT_NOFILE for the program: [syscall.Exec]
// will not restore the one from before Go's start.
// Runs in the container, after the host used [SetRlimitsOf].
func PinNoFile() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	return os.NewSyscallError("setrlimit", syscall.Setrlimit(unix.RLIMIT_NOFILE, &limit))
}

func rlimitError(limit Rlimit, err error) error {
	return fmt.Errorf("%s soft %d hard %d: %w", RlimitName(limit.Resource), limit.Soft, limit.Hard, err)
}
