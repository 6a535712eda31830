package plan

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/host"
	"github.com/hako-runtime/hako/libct/proc"
)

// limitChecks serve the container's limits and those of an update. They fill
// in Cgroup.Limits. Engines write 0, or all bits set, for what they do not
// limit; that says nothing, whereas -1 lifts a limit.
var limitChecks = [...]check{
	{"config-linux.md#memory", (*composer).memoryLimits},
	{"config-linux.md#cpu", (*composer).cpuLimits},
	{"config-linux.md#cpu", (*composer).cpuset},
	{"config-linux.md#block-io", (*composer).blockIOLimits},
	{"config-linux.md#huge-page-limits", (*composer).hugePageLimits},
	{"config-linux.md#network", (*composer).networkMarks},
	{"config-linux.md#pids", (*composer).pidsLimit},
	{"config-linux.md#rdma", (*composer).rdmaLimits},
	{"config-linux.md#unified", (*composer).unifiedFiles},
}

const (
	notInV2   = "cgroup v2 has nothing like it"
	notRange  = " is not in the range "
	lineBreak = " has a line break"
)

// resourceLimits returns those of the plan, to say something in.
func (c *composer) resourceLimits() *limits.Limits {
	if c.plan.Cgroup.Limits == nil {
		c.plan.Cgroup.Limits = new(limits.Limits)
	}
	return c.plan.Cgroup.Limits
}

// refuseLimit records a violation of a property of linux.resources.
func (c *composer) refuseLimit(problem, property string) {
	c.refuse(problem, "%s%s", c.resourcesAt, property)
}

func (c *composer) memoryLimits() {
	spec := c.resources.Memory
	if spec == nil {
		return
	}
	m := limits.Memory{
		LimitBytes:       c.size(spec.Limit, "memory.limit"),
		TotalBytes:       c.size(spec.Swap, "memory.swap"),
		ReservationBytes: c.size(spec.Reservation, "memory.reservation"),
		KernelBytes:      c.size(spec.Kernel, "memory.kernel"), //nolint:staticcheck // deprecated, and so must not be ignored either
		KernelTCPBytes:   c.size(spec.KernelTCP, "memory.kernelTCP"),
		Swappiness:       said(spec.Swappiness),
		DisableOOMKiller: spec.DisableOOMKiller,
		CheckUsage:       spec.CheckBeforeUpdate != nil && *spec.CheckBeforeUpdate,
	}
	if m.Swappiness != nil && *m.Swappiness > 100 {
		c.refuseLimit(number(*m.Swappiness)+notRange+"0 to 100", "memory.swappiness")
	}
	if spec.UseHierarchy != nil && !*spec.UseHierarchy {
		c.warn("%smemory.useHierarchy: this kernel always counts the memory of cgroups below", c.resourcesAt)
	}
	if c.v2() {
		c.memoryInV2(&m)
	}
	if m != (limits.Memory{}) {
		c.resourceLimits().Memory = &m
	}
}

// memoryInV2 refuses what v2 does not limit, and forgets that it is unlimited.
func (c *composer) memoryInV2(m *limits.Memory) {
	for _, one := range [...]struct {
		said     **int64
		property string
	}{{&m.KernelBytes, "memory.kernel"}, {&m.KernelTCPBytes, "memory.kernelTCP"}} {
		if *one.said != nil && **one.said != limits.Unlimited {
			c.refuseLimit(notInV2+": memory.limit includes it", one.property)
		}
		*one.said = nil
	}
	if m.Swappiness != nil {
		c.refuseLimit(notInV2, "memory.swappiness")
	}
	if m.DisableOOMKiller != nil && *m.DisableOOMKiller {
		c.refuseLimit(notInV2, "memory.disableOOMKiller")
	}
	m.DisableOOMKiller = nil
}

// size is a number of bytes.
func (c *composer) size(bytes *int64, property string) *int64 {
	if bytes == nil || *bytes == 0 {
		return nil
	}
	if *bytes < limits.Unlimited {
		c.refuseLimit(strconv.FormatInt(*bytes, 10)+" is neither -1 nor a number of bytes", property)
	}
	return bytes
}

// said returns nil for what engines write for nothing: all bits set.
func said[T uint16 | uint64](v *T) *T {
	if v == nil || *v == ^T(0) {
		return nil
	}
	return v
}

// above0 returns nil for 0 too, as runc does.
func above0[T uint16 | uint64](v *T) *T {
	if v = said(v); v == nil || *v == 0 {
		return nil
	}
	return v
}

func number[T uint16 | uint64](v T) string { return strconv.FormatUint(uint64(v), 10) }

// The kernel's bounds for the bandwidth of processors, in µs: kernel/sched/core.c.
const (
	minBandwidthUS = 1000
	maxPeriodUS    = 1000000
)

func (c *composer) cpuLimits() {
	spec := c.resources.CPU
	if spec == nil {
		return
	}
	cpu := limits.CPU{
		Shares: above0(spec.Shares), PeriodUS: above0(spec.Period), BurstUS: said(spec.Burst),
		RealtimePeriodUS: above0(spec.RealtimePeriod),
	}
	if s := cpu.Shares; s != nil && (*s < limits.MinShares || *s > limits.MaxShares) {
		c.refuseLimit(number(*s)+notRange+number[uint64](limits.MinShares)+" to "+number[uint64](limits.MaxShares), "cpu.shares")
	}
	if p := cpu.PeriodUS; p != nil && (*p < minBandwidthUS || *p > maxPeriodUS) {
		c.refuseLimit(number(*p)+notRange+"1000 to 1000000 µs", "cpu.period")
	}
	if q := spec.Quota; q != nil && *q != 0 {
		if *q != limits.Unlimited && *q < minBandwidthUS {
			c.refuseLimit(strconv.FormatInt(*q, 10)+" is neither -1 nor at least 1000 µs", "cpu.quota")
		}
		cpu.QuotaUS = q
	}
	if r := spec.RealtimeRuntime; r != nil && *r != 0 {
		if *r < limits.Unlimited {
			c.refuseLimit(strconv.FormatInt(*r, 10)+" is neither -1 nor a number of µs", "cpu.realtimeRuntime")
		}
		cpu.RealtimeRuntimeUS = r
	}
	if i := spec.Idle; i != nil {
		if *i != 0 && *i != 1 {
			c.refuseLimit(strconv.FormatInt(*i, 10)+" is neither 0 nor 1", "cpu.idle")
		}
		idle := *i == 1
		cpu.Idle = &idle
	}
	if c.v2() {
		c.cpuInV2(&cpu)
	}
	if cpu != (limits.CPU{}) {
		c.resourceLimits().CPU = &cpu
	}
}

func (c *composer) cpuInV2(cpu *limits.CPU) {
	if cpu.RealtimeRuntimeUS != nil {
		c.refuseLimit(notInV2, "cpu.realtimeRuntime")
	}
	if cpu.RealtimePeriodUS != nil {
		c.refuseLimit(notInV2, "cpu.realtimePeriod")
	}
}

func (c *composer) cpuset() {
	spec := c.resources.CPU
	if spec == nil || spec.Cpus == "" && spec.Mems == "" {
		return
	}
	for _, one := range [...]struct{ list, property string }{{spec.Cpus, "cpu.cpus"}, {spec.Mems, "cpu.mems"}} {
		set, err := proc.ParseCPUSet(one.list)
		switch {
		case err != nil:
			c.refuseLimit(short(err.Error()), one.property)
		case strings.Contains(one.list, "\n"):
			c.refuseLimit(quote(one.list)+lineBreak, one.property)
		case set == nil && one.list != "":
			c.refuseLimit(quote(one.list)+" is no list", one.property)
		}
	}
	c.resourceLimits().CPUSet = &limits.CPUSet{CPUs: spec.Cpus, Mems: spec.Mems}
}

func (c *composer) hugePageLimits() {
	for i, spec := range c.resources.HugepageLimits {
		if !isPageSize(spec.Pagesize) {
			c.refuse(quote(spec.Pagesize)+` is not of the form "2MB"`, "%shugepageLimits[%d].pageSize", c.resourcesAt, i)
		}
		l := c.resourceLimits()
		l.HugeTLB = append(l.HugeTLB, limits.HugeTLB{PageSize: spec.Pagesize, LimitBytes: spec.Limit})
	}
}

func isPageSize(s string) bool {
	digits, ok := strings.CutSuffix(s, "B")
	if !ok || digits == "" || strings.IndexByte("KMGTPE", digits[len(digits)-1]) < 0 {
		return false
	}
	digits = digits[:len(digits)-1]
	_, err := strconv.ParseUint(digits, 10, 32)
	return err == nil && digits[0] != '0' && digits[0] != '+'
}

func (c *composer) networkMarks() {
	spec := c.resources.Network
	if spec == nil {
		return
	}
	network := limits.Network{}
	if spec.ClassID != nil && *spec.ClassID != 0 {
		network.ClassID = spec.ClassID
		if c.v2() {
			c.refuseLimit(notInV2, "network.classID")
		}
	}
	for i, p := range spec.Priorities {
		if p.Name == "" || strings.ContainsAny(p.Name, "/ \t\n") {
			c.refuse(quote(p.Name)+" is not the name of an interface", "%snetwork.priorities[%d].name", c.resourcesAt, i)
		}
		network.Priorities = append(network.Priorities, limits.Priority{Interface: p.Name, Priority: p.Priority})
	}
	if c.v2() && len(spec.Priorities) > 0 {
		c.refuseLimit(notInV2, "network.priorities")
	}
	if network.ClassID != nil || len(network.Priorities) > 0 {
		c.resourceLimits().Network = &network
	}
}

// pidsLimit: in version 1.3 of the specification 0 became a limit; before, it
// was how engines wrote that there is none (podman run --pids-limit=-1).
func (c *composer) pidsLimit() {
	spec := c.resources.Pids
	if spec == nil || spec.Limit == nil || *spec.Limit == 0 && c.minor < 3 {
		return
	}
	if *spec.Limit < limits.Unlimited {
		c.refuseLimit(strconv.FormatInt(*spec.Limit, 10)+" is neither -1 nor a number of tasks", "pids.limit")
	}
	c.resourceLimits().Tasks = spec.Limit
}

func (c *composer) rdmaLimits() {
	for _, device := range slices.Sorted(maps.Keys(c.resources.Rdma)) {
		spec := c.resources.Rdma[device]
		switch {
		case device == "" || strings.ContainsAny(device, "/ \t\n"):
			c.refuse(quote(device)+" is not the name of a device", "%srdma", c.resourcesAt)
		case spec.HcaHandles == nil && spec.HcaObjects == nil:
			c.refuse("neither hcaHandles nor hcaObjects is there", "%srdma[%s]", c.resourcesAt, quote(device))
		}
		l := c.resourceLimits()
		l.RDMA = append(l.RDMA, limits.RDMA{Device: device, HCAHandles: spec.HcaHandles, HCAObjects: spec.HcaObjects})
	}
}

// unifiedFiles are written in the order of their names: cpu.max, for one,
// before the cpu.max.burst that it bounds.
func (c *composer) unifiedFiles() {
	files := slices.Sorted(maps.Keys(c.resources.Unified))
	if len(files) > 0 && c.facts.Cgroup == host.CgroupV1 {
		c.refuseLimit("this host has no cgroup v2 hierarchy", "unified")
	}
	for _, file := range files {
		if problem := unifiedProblem(file); problem != "" {
			c.refuse(problem, "%sunified[%s]", c.resourcesAt, quote(file))
		}
		l := c.resourceLimits()
		l.Unified = append(l.Unified, limits.UnifiedKey{File: file, Value: c.resources.Unified[file]})
	}
}

// unifiedProblem lets everything pass that is, or may be one day, the file of
// a controller. Of the core files, only those that bound what the container
// itself makes are for configs.
func unifiedProblem(file string) string {
	controller, _, ok := strings.Cut(file, ".")
	switch {
	case !ok || controller == "" || strings.ContainsAny(file, "/\n"):
		return "is not the name of a control file"
	case file == "cgroup.max.depth", file == "cgroup.max.descendants", file == "cgroup.pressure":
		return ""
	case controller == "cgroup":
		return "is for the runtime alone"
	}
	return ""
}

// agree refuses values that contradict each other.
func (c *composer) agree(l *limits.Limits) {
	if m := l.Memory; m != nil && m.TotalBytes != nil && *m.TotalBytes > 0 {
		c.section = "config-linux.md#memory"
		switch {
		case m.LimitBytes == nil || *m.LimitBytes == limits.Unlimited:
			c.refuseLimit("limits memory and swap together, and so needs memory.limit too", "memory.swap")
		case *m.TotalBytes < *m.LimitBytes:
			c.refuseLimit(strconv.FormatInt(*m.TotalBytes, 10)+" is below memory.limit, "+strconv.FormatInt(*m.LimitBytes, 10)+", which it includes", "memory.swap")
		}
	}
	if p := l.CPU; p != nil && p.BurstUS != nil && p.QuotaUS != nil && *p.QuotaUS > 0 && *p.BurstUS > uint64(*p.QuotaUS) {
		c.section = "config-linux.md#cpu"
		c.refuseLimit(number(*p.BurstUS)+" is above cpu.quota, "+strconv.FormatInt(*p.QuotaUS, 10), "cpu.burst")
	}
}

func (c *composer) v2() bool { return c.facts.Cgroup == host.CgroupV2 }
