package libct

import (
	"errors"
	"fmt"
	"os"

	"github.com/hako-runtime/hako/libct/cgroup"
	"golang.org/x/sys/unix"
)

// Signal sends sig to the container's process, or with all to every process
// of the container.
//
// The error matches [ErrNotRunning] if the container has stopped; with all
// that is success. See runtime-spec runtime.md#kill.
func (c *Container) Signal(sig unix.Signal, all bool) error {
	if all {
		return c.signalAll(sig)
	}
	pidfd, err := openPidfd(c.record.Pid, c.record.StartTime)
	if err != nil {
		return err
	}
	defer pidfd.Close()
	if sig == unix.SIGKILL && !c.ownPidNamespace() {
		// No init whose death would take the others along.
		return c.killShared(pidfd)
	}
	if err := unix.PidfdSendSignal(int(pidfd.Fd()), sig, nil, 0); err != nil {
		if errors.Is(err, unix.ESRCH) {
			return ErrNotRunning
		}
		return os.NewSyscallError("pidfd_send_signal", err)
	}
	if sig != unix.SIGKILL {
		return nil
	}
	return c.thawDying()
}

// killShared ends everything in a container whose pid namespace is not its
// own. The others first: without a cgroup they are known by the namespaces of
// the container's process.
func (c *Container) killShared(pidfd *os.File) error {
	err := c.signalAll(unix.SIGKILL)
	if e := unix.PidfdSendSignal(int(pidfd.Fd()), unix.SIGKILL, nil, 0); e != nil && !errors.Is(e, unix.ESRCH) {
		err = errors.Join(err, os.NewSyscallError("pidfd_send_signal", e))
	}
	if errors.Is(err, cgroup.ErrNone) {
		return nil // its only process that is known has been killed
	}
	return err
}

// thawDying lets a frozen process die: the v1 freezer holds back SIGKILL.
func (c *Container) thawDying() error {
	group, err := c.group()
	if err != nil {
		return err
	}
	frozen, err := group.Frozen()
	if err != nil || !frozen {
		return err
	}
	return group.Thaw()
}

// ownPidNamespace reports whether the container's process is the init of a
// pid namespace, so that the kernel ends all others with it.
func (c *Container) ownPidNamespace() bool {
	return c.record.Plan.Namespaces.New&unix.CLONE_NEWPID != 0
}

// Pause freezes all processes of the container.
func (c *Container) Pause() error {
	status, err := c.status()
	if err != nil {
		return err
	}
	if status != Running && status != Created {
		return fmt.Errorf("container not running or created: %s", status)
	}
	group, err := c.group()
	if err != nil {
		return err
	}
	return group.Freeze()
}

// Resume ends Pause.
func (c *Container) Resume() error {
	status, err := c.status()
	if err != nil {
		return err
	}
	if status != Paused {
		return fmt.Errorf("container not paused: %s", status)
	}
	group, err := c.group()
	if err != nil {
		return err
	}
	return group.Thaw()
}
