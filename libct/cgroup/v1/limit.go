package v1

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// limiter writes the control files of one controller's hierarchy.
type limiter struct {
	g          *Group
	controller string
	fresh      bool // the cgroup is new: what it has anyway need not be written
}

// Limit writes what update says. after is what holds then: at first it is
// update itself, later that and what was said before. fresh tells that the
// cgroup is as [Group.Make] made it.
//
// The error matches errors.ErrUnsupported if a controller is not mounted.
func (g *Group) Limit(update, after *limits.Limits, fresh bool) error {
	if update == nil {
		return nil
	}
	for _, part := range [...]struct {
		property, controller string
		apply                func(w limiter, update, after *limits.Limits) error
	}{
		{"memory", "memory", limiter.memory},
		{"cpu", "cpu", limiter.cpu},
		{"cpu", "cpuset", limiter.cpuset},
		{"pids", "pids", limiter.pids},
		{"blockIO", "blkio", limiter.blkio},
		{"hugepageLimits", "hugetlb", limiter.hugeTLB},
		{"network", "net_cls", limiter.netCls},
		{"network", "net_prio", limiter.netPrio},
		{"rdma", "rdma", limiter.rdma},
		{"unified", "unified", limiter.unified},
	} {
		if err := part.apply(limiter{g, part.controller, fresh}, update, after); err != nil {
			return fmt.Errorf("linux.resources.%s: %w", part.property, err)
		}
	}
	return nil
}

// set writes a control file, unless that changes nothing.
func (w limiter) set(s tree.Setting) error {
	if s.New && w.fresh {
		return nil
	}
	dir := w.g.With(w.controller)
	if dir == "" {
		if s.New {
			return nil // nothing limits it
		}
		return fmt.Errorf("no hierarchy of the %s controller is mounted: %w", w.controller, errors.ErrUnsupported)
	}
	err := tree.Write(dir, s.File, s.Value)
	if s.New && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return explain(dir, s, err)
}

// setAll writes those that have a value.
func (w limiter) setAll(settings ...tree.Setting) error {
	for _, s := range settings {
		if s.Value == "" {
			continue
		}
		if err := w.set(s); err != nil {
			return err
		}
	}
	return nil
}

// explain adds what the kernel means; Documentation/admin-guide/cgroup-v1.
func explain(dir string, s tree.Setting, err error) error {
	hint := ""
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EBUSY) && (s.File == limitFile || s.File == totalFile):
		if used, readErr := tree.ReadInt(dir, usageOf(s.File)); readErr == nil {
			hint = fmt.Sprintf("%d bytes are in use", used)
		}
	case errors.Is(err, fs.ErrNotExist) && s.File == totalFile:
		hint = "the kernel does not count swap (CONFIG_SWAP, swapaccount=1)"
	case errors.Is(err, fs.ErrNotExist) && (s.File == weightFile || s.File == weightDeviceFile):
		hint = "weights need the BFQ scheduler (modprobe bfq)"
	case errors.Is(err, unix.EOPNOTSUPP) && s.File == weightDeviceFile:
		hint = "the disk does not have the BFQ scheduler (/sys/block/*/queue/scheduler)"
	case errors.Is(err, unix.ENODEV) && s.File == priorityFile:
		hint = "no such interface in hako's network namespace"
	case errors.Is(err, unix.EINVAL) && (s.File == rtRuntimeFile || s.File == rtPeriodFile):
		hint = "cgroups above have to be given as much before, in " + rtRuntimeFile
	}
	if hint == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, hint)
}

// unified is refused: package cgroup hands it to the cgroup2 hierarchy.
func (w limiter) unified(update, _ *limits.Limits) error {
	if len(update.Unified) == 0 {
		return nil
	}
	return fmt.Errorf("no cgroup v2 hierarchy is mounted: %w", errors.ErrUnsupported)
}
