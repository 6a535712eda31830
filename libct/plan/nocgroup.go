package plan

import "github.com/hako-runtime/hako/libct/cgroup/limits"

// noCgroup tells an unprivileged user how to get limits. A scope alone is not
// enough: with the caller in it, it hands no controller down; cgroups(7).
const noCgroup = "takes a cgroup, and none is delegated to this user (systemd-run --user -p Delegate=yes -p DelegateSubgroup=caller, or --systemd-cgroup)"

// limitsWithoutCgroup refuses the limits of a container that has no cgroup.
// What lifts a limit says nothing then: engines always send some.
func (c *composer) limitsWithoutCgroup() {
	l := c.plan.Cgroup.Limits
	if l == nil || c.plan.Cgroup.Exists() {
		return
	}
	m, cpu := l.Memory, l.CPU
	lifts := func(n *int64) bool { return n == nil || *n == limits.Unlimited }
	for _, one := range [...]struct {
		limits   bool
		property string
	}{
		{m != nil && !(lifts(m.LimitBytes) && lifts(m.TotalBytes) && lifts(m.ReservationBytes) && lifts(m.KernelBytes) &&
			lifts(m.KernelTCPBytes) && m.Swappiness == nil && (m.DisableOOMKiller == nil || !*m.DisableOOMKiller)), "memory"},
		{cpu != nil, "cpu"},
		{l.CPUSet != nil, "cpu.cpus, cpu.mems"},
		{!lifts(l.Tasks), "pids"},
		{l.BlockIO != nil, "blockIO"},
		{len(l.HugeTLB) > 0, "hugepageLimits"},
		{l.Network != nil, "network"},
		{len(l.RDMA) > 0, "rdma"},
		{len(l.Unified) > 0, "unified"},
	} {
		if one.limits {
			c.refuseLimit(noCgroup, one.property)
		}
	}
	c.plan.Cgroup.Limits = nil
}
