package libct

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/hako-runtime/hako/libct/cgroup"
	"github.com/hako-runtime/hako/libct/hooks"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/proc"
	"github.com/hako-runtime/hako/libct/rdt"
	"github.com/hako-runtime/hako/libct/state"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// dyingTime is how long a killed process may take to go: exiting waits for
// the file systems that the process was using.
const dyingTime = 10 * time.Second

// Delete removes what is left of a stopped container. With force it ends any
// container first, and an absent one is success.
//
// Errors match [ErrNotExist] and [ErrRunning].
// See runtime-spec runtime.md#delete.
func (r *Runtime) Delete(id string, force bool) error {
	if err := plan.ValidID(id); err != nil {
		return err
	}
	c := &Container{r: r, dir: state.At(r.Root, id)}
	if !c.dir.Exists() {
		return absent(force)
	}
	err := c.lockForDelete(force)
	if errors.Is(err, fs.ErrNotExist) {
		return absent(force)
	}
	if err != nil {
		return err
	}
	defer c.dir.Unlock()
	err = c.reload()
	if err == nil {
		_, err = c.group()
	}
	if err != nil {
		if !force {
			return err
		}
		return c.destroyUnread()
	}
	return c.destroy(force)
}

// destroyUnread removes a container without a readable record: its create was
// killed, or the record is damaged or of another version. All of its processes
// are in its cgroup. Without one, a create that was killed leaves none, as its
// record comes before init is served.
func (c *Container) destroyUnread() error {
	group, err := c.anchored()
	if err != nil {
		// Without a record either, it was killed before it made anything.
		if c.dir.HasRecord() {
			c.r.Warn(fmt.Sprintf("container %s: neither record nor cgroup can be read; processes of it may be left: %v", c.dir.ID(), err))
		}
		return c.dir.Remove()
	}
	if err := group.Clear(); err != nil {
		return err
	}
	return c.dir.Remove()
}

func absent(force bool) error {
	if force {
		return nil
	}
	return ErrNotExist
}

// lockForDelete takes the lock; force ends a create that holds it by killing
// what it makes.
func (c *Container) lockForDelete(force bool) error {
	if !force {
		return c.dir.Lock()
	}
	for deadline := time.Now().Add(dyingTime); ; time.Sleep(10 * time.Millisecond) {
		err := c.dir.TryLock()
		if !errors.Is(err, state.ErrBusy) {
			return err
		}
		if time.Now().After(deadline) {
			return err
		}
		if c.reload() == nil {
			c.killAll()
		} else if group, err := c.anchored(); err == nil {
			_ = group.Kill(unix.SIGKILL) // best effort, as killAll
		}
	}
}

// anchored opens the cgroup without the record.
func (c *Container) anchored() (cgroup.Group, error) {
	anchor, path, err := c.dir.Anchored()
	if err != nil {
		return nil, err
	}
	return cgroup.OpenAnchored(anchor, path)
}

// killAll is best effort: destroy looks at what is left.
func (c *Container) killAll() {
	if !c.hasCgroup() {
		_ = c.signalMembers(unix.SIGKILL)
	}
	if pidfd, err := openPidfd(c.record.Pid, c.record.StartTime); err == nil {
		_ = unix.PidfdSendSignal(int(pidfd.Fd()), unix.SIGKILL, nil, 0)
		pidfd.Close()
	}
	if group, err := c.group(); err == nil {
		_ = group.Kill(unix.SIGKILL)
		_ = group.Thaw()
	}
}

// destroy removes the container, of which the caller holds the lock.
func (c *Container) destroy(force bool) error {
	status, err := c.status()
	if err != nil && !force {
		return err
	}
	switch {
	case status == Stopped:
	case status == Created || c.creationDied() || force:
		if err := c.kill(); err != nil {
			return err
		}
	default:
		return fmt.Errorf("cannot delete container %s that is not stopped: %s: %w", c.record.ID, status, ErrRunning)
	}
	return c.remove()
}

// remove removes what a stopped container leaves, of which the caller holds
// the lock.
func (c *Container) remove() error {
	group, err := c.group()
	if err != nil {
		return err
	}
	// What is left in a shared pid namespace outlives its init.
	if err := group.Clear(); err != nil {
		return err
	}
	if c.record.Plan.RDT != nil {
		if err := (rdt.FS{}).Remove(*c.record.Plan.RDT); err != nil {
			return fmt.Errorf("linux.intelRdt: %w", err)
		}
	}
	if err := c.dir.Remove(); err != nil {
		return err
	}
	return c.poststop()
}

// poststop runs the last hooks. A failure is a warning;
// runtime-spec runtime.md#lifecycle, step 13.
func (c *Container) poststop() error {
	hs := c.record.Plan.Hooks.Poststop
	if len(hs) == 0 {
		return nil
	}
	if err := proc.SealDescriptors(); err != nil {
		return err
	}
	state, err := hookState(c.record.Plan, specs.StateStopped, 0)
	if err != nil {
		return err
	}
	hooks.RunAll("poststop", hs, state, func(err error) { c.r.Warn(err.Error()) })
	return nil
}

// creationDied reports a container whose create was killed half-way: we have
// the lock, so nobody works on it.
func (c *Container) creationDied() bool { return !c.record.Ready }

// kill ends the container's process and waits until it is gone.
func (c *Container) kill() error {
	pidfd, err := openPidfd(c.record.Pid, c.record.StartTime)
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	defer pidfd.Close()
	c.killAll()
	return waitGone(pidfd, dyingTime)
}
