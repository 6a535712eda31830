package libct

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/hako-runtime/hako/libct/cgroup"
	"github.com/hako-runtime/hako/libct/cgroup/stats"
	"github.com/hako-runtime/hako/libct/rdt"
	"golang.org/x/sys/unix"
)

// Stats are the container's figures. The error matches [ErrNotRunning] if the
// container has stopped.
func (c *Container) Stats() (*stats.Stats, error) {
	pidfd, err := c.openProcess()
	if err != nil {
		return nil, err
	}
	defer pidfd.Close()
	s, err := c.readStats()
	if err != nil && ended(pidfd) {
		return nil, ErrNotRunning
	}
	return s, err
}

// Events calls emit for the statistics of each interval and for each time that
// the container is out of memory, until the container's process has ended or
// emit returns an error. It does not mind what becomes of the container
// meanwhile. The error matches [ErrNotRunning] if it has stopped before.
func (c *Container) Events(interval time.Duration, emit func(stats.Event) error) error {
	pidfd, err := c.openProcess()
	if err != nil {
		return err
	}
	defer pidfd.Close()
	w := &watch{c: c, pidfd: pidfd, interval: interval, next: time.Now().Add(interval), emit: emit}
	g, err := c.group()
	if err != nil {
		return err
	}
	w.oom, err = g.WatchOOM()
	switch {
	case err == nil:
		defer func() {
			if w.oom != nil {
				w.oom.Close()
			}
		}()
	case ended(pidfd):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		c.r.Warn("no out-of-memory events: no memory controller is enabled for the container's cgroup")
	default:
		return err
	}
	return w.run()
}

// openProcess opens the container's process, which waits or runs.
func (c *Container) openProcess() (*os.File, error) {
	if !c.record.Ready {
		return nil, fmt.Errorf("it is not created: %w", ErrNotRunning)
	}
	return openPidfd(c.record.Pid, c.record.StartTime)
}

// readStats joins what the cgroup and resctrl tell.
func (c *Container) readStats() (*stats.Stats, error) {
	g, err := c.group()
	if err != nil {
		return nil, err
	}
	s, err := g.Stats()
	if err != nil {
		return nil, err
	}
	if c.record.Plan.RDT != nil {
		if s.IntelRDT, err = (rdt.FS{}).Stats(*c.record.Plan.RDT); err != nil {
			return nil, fmt.Errorf("linux.intelRdt: %w", err)
		}
	}
	return s, nil
}

// watch is one call of [Container.Events].
type watch struct {
	c        *Container
	pidfd    *os.File
	oom      *cgroup.OOMWatch // nil: there is nothing to watch, or not any more
	interval time.Duration
	next     time.Time // of the statistics
	emit     func(stats.Event) error
}

func (w *watch) run() error {
	for {
		over, err := w.wait()
		if err != nil {
			return err
		}
		// Also at the end: what ended the container may have been a lack of memory.
		if err := w.lookForOOM(); err != nil || over {
			return err
		}
		if time.Now().Before(w.next) {
			continue
		}
		w.next = w.next.Add(w.interval)
		if now := time.Now(); w.next.Before(now) {
			w.next = now.Add(w.interval) // we, or the machine, stood still
		}
		if over, err := w.tellStats(); err != nil || over {
			return err
		}
	}
}

// wait returns when there is something to do, and tells whether the process
// has ended.
func (w *watch) wait() (over bool, err error) {
	fds := []unix.PollFd{{Fd: int32(w.pidfd.Fd()), Events: unix.POLLIN}}
	if w.oom != nil {
		fds = append(fds, unix.PollFd{Fd: int32(w.oom.File.Fd()), Events: w.oom.Events})
	}
	left := unix.NsecToTimespec(max(0, time.Until(w.next)).Nanoseconds())
	_, err = unix.Ppoll(fds, &left, nil)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return false, os.NewSyscallError("ppoll", err)
	}
	return fds[0].Revents != 0, nil
}

// lookForOOM ends the watch of a cgroup that is gone, which would not wait.
func (w *watch) lookForOOM() error {
	if w.oom == nil {
		return nil
	}
	oom, gone, err := w.oom.Look()
	if err != nil {
		return err
	}
	if gone {
		w.oom.Close()
		w.oom = nil
	}
	if !oom {
		return nil
	}
	return w.emit(stats.Event{Type: stats.TypeOOM, ID: w.c.record.ID})
}

// tellStats tells whether the container ended while they were read.
func (w *watch) tellStats() (over bool, err error) {
	s, err := w.c.readStats()
	if err != nil {
		if ended(w.pidfd) {
			return true, nil
		}
		return false, err
	}
	return false, w.emit(stats.Event{Type: stats.TypeStats, ID: w.c.record.ID, Data: s})
}

// ended tells whether a process has ended.
func ended(pidfd *os.File) bool {
	fds := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}
