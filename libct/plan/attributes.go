package plan

import (
	"strconv"

	"github.com/hako-runtime/hako/libct/proc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func (c *composer) limits(list []specs.POSIXRlimit) []proc.Rlimit {
	if len(list) == 0 {
		return nil
	}
	limits := make([]proc.Rlimit, 0, len(list))
	for i, l := range list {
		resource, ok := proc.RlimitResource(l.Type)
		if !ok {
			c.refuse("unknown limit "+quote(l.Type), "process.rlimits[%d].type", i)
			continue
		}
		if l.Soft > l.Hard {
			c.refuse("soft is above hard", "process.rlimits[%d]", i)
		}
		for _, other := range limits {
			if other.Resource == resource {
				c.refuse("duplicate limit "+quote(l.Type), "process.rlimits[%d].type", i)
			}
		}
		limits = append(limits, proc.Rlimit{Resource: resource, Soft: l.Soft, Hard: l.Hard})
	}
	return limits
}

// scheduler applies the rules of sched_setattr(2), whose EINVAL says nothing.
func (c *composer) scheduler() {
	spec := c.process.Scheduler
	if spec == nil {
		if c.container != nil {
			c.plan.Process.Scheduler = c.container.Process.Scheduler
		}
		return
	}
	policy, ok := proc.SchedulerPolicy(string(spec.Policy))
	if !ok {
		c.refuse(unknownName("policy", string(spec.Policy), proc.SchedulerPolicies()), "process.scheduler.policy")
		return
	}
	s := &proc.Scheduler{
		Policy: policy, Nice: spec.Nice, Priority: uint32(spec.Priority),
		Runtime: spec.Runtime, Deadline: spec.Deadline, Period: spec.Period,
	}
	for i, name := range spec.Flags {
		flag, ok := proc.SchedulerFlag(string(name))
		if !ok {
			c.refuse(unknownName("flag", string(name), proc.SchedulerFlags()), "process.scheduler.flags[%d]", i)
		}
		s.Flags |= flag
	}
	c.schedulerRules(spec, policy)
	c.plan.Process.Scheduler = s
}

func (c *composer) schedulerRules(spec *specs.Scheduler, policy uint32) {
	if spec.Nice < -20 || spec.Nice > 19 {
		c.refuse(strconv.Itoa(int(spec.Nice))+" is not a number from -20 to 19", "process.scheduler.nice")
	}
	realtime := policy == unix.SCHED_FIFO || policy == unix.SCHED_RR
	switch {
	case realtime && (spec.Priority < 1 || spec.Priority > 99):
		c.refuse(strconv.Itoa(int(spec.Priority))+" is not a number from 1 to 99", "process.scheduler.priority")
	case !realtime && spec.Priority != 0:
		c.refuse("only SCHED_FIFO and SCHED_RR have one", "process.scheduler.priority")
	}
	if policy != unix.SCHED_DEADLINE {
		if spec.Runtime != 0 || spec.Deadline != 0 || spec.Period != 0 {
			c.refuse("runtime, deadline and period are for SCHED_DEADLINE", "process.scheduler")
		}
		return
	}
	const shortest, longest = 1 << 10, 1 << 63 // sched(7)
	switch {
	case spec.Runtime < shortest:
		c.refuse(strconv.FormatUint(spec.Runtime, 10)+" is below 1024 ns", "process.scheduler.runtime")
	case spec.Runtime > spec.Deadline:
		c.refuse("is above deadline", "process.scheduler.runtime")
	case spec.Period != 0 && spec.Deadline > spec.Period:
		c.refuse("is above period", "process.scheduler.deadline")
	case spec.Deadline >= longest || spec.Period >= longest:
		c.refuse("above 2^63 ns", "process.scheduler")
	}
}

func (c *composer) ioPriority() {
	spec := c.process.IOPriority
	if spec == nil {
		if c.container != nil {
			c.plan.Process.IOPriority = c.container.Process.IOPriority
		}
		return
	}
	class, ok := proc.IOPriorityClass(string(spec.Class))
	if !ok {
		c.refuse(unknownName("class", string(spec.Class), proc.IOPriorityClasses()), "process.ioPriority.class")
	}
	if spec.Priority < 0 || spec.Priority > 7 {
		c.refuse(strconv.Itoa(spec.Priority)+" is not a number from 0 to 7", "process.ioPriority.priority")
	}
	c.plan.Process.IOPriority = &proc.IOPriority{Class: class, Level: spec.Priority}
}

// affinity is for exec; the container's own process gets none, but a wrong
// list is refused before anybody executes.
func (c *composer) affinity() {
	spec := c.process.ExecCPUAffinity
	if spec == nil {
		return
	}
	initial, err := proc.ParseCPUSet(spec.Initial)
	if err != nil {
		c.refuse(err.Error(), "process.execCPUAffinity.initial")
	}
	final, err := proc.ParseCPUSet(spec.Final)
	if err != nil {
		c.refuse(err.Error(), "process.execCPUAffinity.final")
	}
	if c.container != nil {
		c.plan.Process.AffinityInitial, c.plan.Process.AffinityFinal = initial, final
	}
}

func (c *composer) personality() {
	spec := c.linux.Personality
	if spec == nil {
		return
	}
	domain, ok := proc.PersonalityDomain(string(spec.Domain))
	if !ok {
		c.refuse(unknownName("domain", string(spec.Domain), proc.PersonalityDomains()), "linux.personality.domain")
	}
	if len(spec.Flags) > 0 {
		c.refuse("there are none", "linux.personality.flags")
	}
	c.plan.Process.Personality = &domain
}

// memoryPolicy knows which modes want nodes; set_mempolicy(2).
func (c *composer) memoryPolicy() {
	spec := c.linux.MemoryPolicy
	if spec == nil {
		return
	}
	mode, ok := proc.MemoryPolicyMode(string(spec.Mode))
	if !ok {
		c.refuse(unknownName("mode", string(spec.Mode), proc.MemoryPolicyModes()), "linux.memoryPolicy.mode")
		return
	}
	nodes, err := proc.ParseCPUSet(spec.Nodes)
	switch {
	case err != nil:
		c.refuse(err.Error(), "linux.memoryPolicy.nodes")
	case mode == unix.MPOL_PREFERRED:
	case mode == unix.MPOL_DEFAULT || mode == unix.MPOL_LOCAL:
		if len(nodes) > 0 {
			c.refuse(string(spec.Mode)+" takes none", "linux.memoryPolicy.nodes")
		}
	case len(nodes) == 0:
		c.refuse(string(spec.Mode)+" needs at least one", "linux.memoryPolicy.nodes")
	}
	for i, name := range spec.Flags {
		flag, ok := proc.MemoryPolicyFlag(string(name))
		if !ok {
			c.refuse(unknownName("flag", string(name), proc.MemoryPolicyFlags()), "linux.memoryPolicy.flags[%d]", i)
		}
		mode |= flag
	}
	const exclusive = unix.MPOL_F_STATIC_NODES | unix.MPOL_F_RELATIVE_NODES
	if mode&exclusive == exclusive {
		c.refuse("MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude each other", "linux.memoryPolicy.flags")
	}
	c.plan.Process.MemoryPolicy = &proc.MemoryPolicy{Mode: mode, Nodes: nodes}
}
