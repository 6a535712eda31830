package cgroup

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/devices"
	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/stats"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
	"github.com/hako-runtime/hako/libct/cgroup/v1"
	"github.com/hako-runtime/hako/libct/cgroup/v2"
)

// removeTimeout bounds the wait for killed processes to leave: one with much
// memory needs a while to give it back.
const removeTimeout = 5 * time.Second

// driver is what a layout does by itself: [Group] without the parts that need
// package devices.
type driver interface {
	Make() (undo func(), fresh bool, err error)
	Adopt() error
	Dir() (*os.File, error)
	Add(pid int) error
	AddTo(unsafeSub string, pid int) error
	Processes() ([]int, error)
	Kill(sig unix.Signal) error
	Freeze() error
	Thaw() error
	Frozen() (bool, error)
	Remove(deadline time.Time) error
	Stats(s *stats.Stats) error
	WatchOOM() (*OOMWatch, error)
	Paths() map[string]string
	Exists() bool
	Hierarchies() []Hierarchy
	Limit(update, after *limits.Limits, fresh bool) error
	Own(uid uint32) error
	tasksDir() string
	AddUncounted(pid int) error
}

// group joins a driver with the device rules.
type group struct {
	driver
	spec         Spec
	applyDevices func(rules []devices.Rule, fresh bool) error
	unified      *v2.Group // of a hybrid host, or nil
	undo         func()    // of Create
	fresh        bool      // Create made it
}

// Create makes the directories.
func (g *group) Create() (err error) {
	g.undo, g.fresh, err = g.Make()
	return err
}

// Limit applies the limits and the device rules, and gives the cgroup away.
func (g *group) Limit() error {
	now, _ := limits.Staged(g.spec.Limits)
	if err := g.apply(now, now, g.spec.Devices, g.fresh); err != nil || g.spec.OwnerUID == nil {
		return err
	}
	return g.Own(*g.spec.OwnerUID)
}

// Settle applies what Limit has left for it.
func (g *group) Settle() error {
	_, later := limits.Staged(g.spec.Limits)
	return g.apply(later, g.spec.Limits, nil, false)
}

// Update changes limits and replaces device rules.
func (g *group) Update(l *limits.Limits, rules []devices.Rule) error {
	after := limits.Updated(g.spec.Limits, l)
	if err := g.apply(l, after, rules, false); err != nil {
		return err
	}
	g.spec.Limits = after
	return nil
}

func (g *group) apply(update, after *limits.Limits, rules []devices.Rule, fresh bool) error {
	if err := g.driver.Limit(update, after, fresh); err != nil {
		return fmt.Errorf("cgroup %s: %w", g.spec.Path, err)
	}
	if len(rules) == 0 {
		return nil
	}
	if err := g.applyDevices(rules, fresh); err != nil {
		return fmt.Errorf("cgroup %s: %w", g.spec.Path, err)
	}
	return nil
}

// Room trusts the Spec that there is no limit: where none is, nothing is read.
func (g *group) Room() (tasks int64, err error) {
	most := limits.MaxTasks(g.spec.Limits)
	if most < 0 {
		return limits.Unlimited, nil
	}
	n, err := tree.ReadInt(g.tasksDir(), "pids.current")
	if tree.IsGone(err) {
		return limits.Unlimited, nil // who adds a process is told
	}
	if err == nil && n >= most {
		err = fmt.Errorf("linux.resources.pids.limit: there is no room for another process: %d of %d tasks exist", n, most)
	}
	return max(most-n, 0), err
}

// Discard removes also the parents, as long as nobody else uses them.
func (g *group) Discard() error {
	if err := g.Clear(); err != nil {
		return err
	}
	if g.undo != nil {
		g.undo()
	}
	return nil
}

// Kill succeeds where there is nothing to kill any more.
func (g *group) Kill(sig unix.Signal) error {
	err := g.driver.Kill(sig)
	if tree.IsGone(err) && !g.Exists() {
		return nil
	}
	return err
}

// Remove removes the cgroup within a bounded time.
func (g *group) Remove() error {
	err := g.driver.Remove(time.Now().Add(removeTimeout))
	if errors.Is(err, unix.EBUSY) {
		if pids, listErr := g.Processes(); listErr == nil && len(pids) > 0 {
			return fmt.Errorf("cgroup %s: %d processes are still in it, among them %d: %w", g.spec.Path, len(pids), pids[0], err)
		}
	}
	return err
}

// Clear tries to remove first: mostly nobody is left, and looking for somebody
// takes as long as all else together.
func (g *group) Clear() error {
	once := time.Time{}
	if g.driver.Remove(once) == nil {
		return nil
	}
	if err := g.Kill(unix.SIGKILL); err != nil {
		return err
	}
	return g.Remove()
}

// Stats asks the cgroup2 hierarchy of a hybrid host first: pressure is there
// alone, and where both tell something, it is v1 that has the controller.
func (g *group) Stats() (*stats.Stats, error) {
	s := &stats.Stats{Hugetlb: map[string]stats.Hugetlb{}}
	if g.unified != nil {
		if err := g.unified.Stats(s); err != nil {
			return nil, err
		}
	}
	if err := g.driver.Stats(s); err != nil {
		return nil, err
	}
	if !g.Exists() {
		return nil, fmt.Errorf("cgroup %s: %w", g.spec.Path, os.ErrNotExist)
	}
	return s, nil
}

// WatchOOM finds the memory controller on either side of a hybrid host.
func (g *group) WatchOOM() (*OOMWatch, error) {
	w, err := g.driver.WatchOOM()
	if g.unified != nil && errors.Is(err, os.ErrNotExist) {
		return g.unified.WatchOOM()
	}
	return w, err
}

// attachDevices hands the rules to the kernel for a cgroup2 directory.
func attachDevices(open func() (*os.File, error), rules []devices.Rule, fresh bool) error {
	dir, err := open()
	if err != nil {
		return err
	}
	defer dir.Close()
	if fresh {
		return devices.AttachNew(dir, rules)
	}
	return devices.Attach(dir, rules)
}

// applyDevicesV1 uses the devices controller, or the cgroup2 hierarchy of a
// hybrid host that does not mount it.
func applyDevicesV1(g *v1.Group, rules []devices.Rule, fresh bool) error {
	dir := g.With("devices")
	if dir == "" {
		unified := g.Unified()
		if unified == "" {
			return fmt.Errorf("device rules: no devices hierarchy is mounted: %w", errors.ErrUnsupported)
		}
		return attachDevices(func() (*os.File, error) { return tree.Open(unified) }, rules, fresh)
	}
	commands, err := devices.V1(rules)
	if err != nil {
		return err
	}
	for _, c := range commands {
		if err := tree.Write(dir, c.File, c.Line); err != nil {
			return err
		}
	}
	return nil
}
