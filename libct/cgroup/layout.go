package cgroup

import (
	"errors"
	"fmt"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/v1"
	"github.com/hako-runtime/hako/libct/cgroup/v2"
)

// pure is the driver of a v2 host.
type pure struct{ *v2.Group }

// Hierarchies is the one there is.
func (*pure) Hierarchies() []Hierarchy {
	return []Hierarchy{{FSType: "cgroup2", Mountpoint: base}}
}

func (p *pure) tasksDir() string { return p.Paths()[""] }

// AddUncounted does nothing: there is but one hierarchy.
func (*pure) AddUncounted(int) error { return nil }

// legacy is the driver of v1 and hybrid hosts.
type legacy struct {
	*v1.Group
	cgroup2 *v2.Group // the same path in the cgroup2 hierarchy; nil without one
}

// tasksDir is where tasks are counted, "" if nowhere.
func (l *legacy) tasksDir() string {
	if dir := l.With("pids"); dir != "" {
		return dir
	}
	return l.Unified()
}

// AddUncounted moves a process in the other hierarchies.
func (l *legacy) AddUncounted(pid int) error { return l.AddExcept(l.tasksDir(), pid) }

// Own is not safe in v1; cgroups(7), "Delegation".
func (*legacy) Own(uint32) error {
	return fmt.Errorf("cgroup v1 is not delegated: %w", errors.ErrUnsupported)
}

// Limit gives each controller's limits to the hierarchy that has it: on a
// hybrid host, one that v1 does not mount may be in the cgroup2 hierarchy.
func (l *legacy) Limit(update, after *limits.Limits, fresh bool) error {
	here, there := l.split(update)
	if err := l.Group.Limit(here, after, fresh); err != nil || there == nil {
		return err
	}
	return l.cgroup2.Limit(there, after, fresh)
}

// split moves what is for the cgroup2 hierarchy from all to there.
func (l *legacy) split(all *limits.Limits) (here, there *limits.Limits) {
	g := l.cgroup2
	if all == nil || g == nil || l.hasAll(all) {
		return all, nil
	}
	here, there = new(limits.Limits), new(limits.Limits)
	*here = *all
	missing := func(controller string) bool { return l.With(controller) == "" && g.Has(controller) }
	if missing("memory") {
		here.Memory, there.Memory = nil, all.Memory
	}
	if missing("cpu") {
		here.CPU, there.CPU = nil, all.CPU
	}
	if missing("cpuset") {
		here.CPUSet, there.CPUSet = nil, all.CPUSet
	}
	if missing("pids") {
		here.Tasks, there.Tasks = nil, all.Tasks
	}
	if missing("io") && l.With("blkio") == "" {
		here.BlockIO, there.BlockIO = nil, all.BlockIO
	}
	if missing("hugetlb") {
		here.HugeTLB, there.HugeTLB = nil, all.HugeTLB
	}
	if missing("rdma") {
		here.RDMA, there.RDMA = nil, all.RDMA
	}
	here.Unified, there.Unified = nil, all.Unified
	return here, there
}

// hasAll tells whether v1 mounts every controller that is limited.
func (l *legacy) hasAll(all *limits.Limits) bool {
	for _, one := range [...]struct {
		limited    bool
		controller string
	}{
		{all.Memory != nil, "memory"}, {all.CPU != nil, "cpu"}, {all.CPUSet != nil, "cpuset"}, {all.Tasks != nil, "pids"},
		{all.BlockIO != nil, "blkio"}, {len(all.HugeTLB) > 0, "hugetlb"}, {len(all.RDMA) > 0, "rdma"},
		{len(all.Unified) > 0, "unified"},
	} {
		if one.limited && l.With(one.controller) == "" {
			return false
		}
	}
	return true
}
