package tree

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// FreezeTimeout bounds the wait for processes to stop.
const FreezeTimeout = 2 * time.Second

// Kill sends SIGKILL to the whole cgroup2 subtree at once: nothing that forks
// meanwhile escapes. The error matches fs.ErrNotExist before Linux 5.14, and
// if the cgroup is missing.
func Kill(dir string) error {
	return Write(dir, "cgroup.kill", "1")
}

// Freeze stops the cgroup2 subtree and waits until it stands still, or thaws
// it again.
func Freeze(dir string) error {
	if err := Write(dir, "cgroup.freeze", "1"); err != nil {
		return err
	}
	ok, err := WaitEvent(dir, "frozen 1", time.Now().Add(FreezeTimeout))
	if err == nil && !ok {
		err = fmt.Errorf("%s: not frozen after %v: %w", dir, FreezeTimeout, os.ErrDeadlineExceeded)
	}
	if err != nil {
		return errors.Join(err, Thaw(dir))
	}
	return nil
}

// Thaw ends Freeze. It waits until the kernel says so, in order that a signal
// sent next finds running processes.
func Thaw(dir string) error {
	if err := Write(dir, "cgroup.freeze", "0"); err != nil {
		return err
	}
	// A frozen parent keeps "frozen 1"; then there is nothing to wait for.
	_, err := WaitEvent(dir, "frozen 0", time.Now().Add(100*time.Millisecond))
	return ignoreGone(err)
}

// Frozen tells whether Freeze was asked for and has been reached. A cgroup
// that stands still only because a parent is frozen is not: thawing it would
// not help.
func Frozen(dir string) (bool, error) {
	asked, err := Read(dir, "cgroup.freeze")
	if err != nil || strings.TrimSpace(asked) != "1" {
		return false, ignoreGone(err)
	}
	events, err := Read(dir, "cgroup.events")
	if err != nil {
		return false, ignoreGone(err)
	}
	return hasLine(events, "frozen 1"), nil
}

// Populated tells whether a process lives in the cgroup2 subtree.
func Populated(dir string) (bool, error) {
	events, err := Read(dir, "cgroup.events")
	return hasLine(events, "populated 1"), err
}

// WaitEvent waits until cgroup.events has the line, and tells whether that
// happened before the deadline. The kernel announces each change to poll(2);
// Documentation/admin-guide/cgroup-v2.rst.
func WaitEvent(dir, line string, deadline time.Time) (bool, error) {
	f, err := open(unix.AT_FDCWD, dir+"/cgroup.events", unix.O_RDONLY)
	if err != nil {
		return false, err
	}
	defer f.Close()
	for {
		events, err := ReadFile(f)
		if err != nil {
			return false, err
		}
		if hasLine(events, line) {
			return true, nil
		}
		left := time.Until(deadline)
		if left <= 0 {
			return false, nil
		}
		fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLPRI}}
		if _, err := unix.Poll(fds, int(left.Milliseconds())+1); err != nil && err != unix.EINTR {
			return false, os.NewSyscallError("poll", err)
		}
	}
}

func hasLine(text, line string) bool {
	for l := range strings.SplitSeq(text, "\n") {
		if l == line {
			return true
		}
	}
	return false
}
