package proc

import "golang.org/x/sys/unix"

// pair is one row of a table: the spec's word and the kernel's number.
// Slices of it are laid out by the linker; maps would be built at start-up.
type pair[T comparable] struct {
	name  string
	value T
}

// getrlimit(2); runtime-spec config.md#posix-process.
var rlimits = []pair[int]{
	{"RLIMIT_AS", unix.RLIMIT_AS},
	{"RLIMIT_CORE", unix.RLIMIT_CORE},
	{"RLIMIT_CPU", unix.RLIMIT_CPU},
	{"RLIMIT_DATA", unix.RLIMIT_DATA},
	{"RLIMIT_FSIZE", unix.RLIMIT_FSIZE},
	{"RLIMIT_LOCKS", unix.RLIMIT_LOCKS},
	{"RLIMIT_MEMLOCK", unix.RLIMIT_MEMLOCK},
	{"RLIMIT_MSGQUEUE", unix.RLIMIT_MSGQUEUE},
	{"RLIMIT_NICE", unix.RLIMIT_NICE},
	{"RLIMIT_NOFILE", unix.RLIMIT_NOFILE},
	{"RLIMIT_NPROC", unix.RLIMIT_NPROC},
	{"RLIMIT_RSS", unix.RLIMIT_RSS},
	{"RLIMIT_RTPRIO", unix.RLIMIT_RTPRIO},
	{"RLIMIT_RTTIME", unix.RLIMIT_RTTIME},
	{"RLIMIT_SIGPENDING", unix.RLIMIT_SIGPENDING},
	{"RLIMIT_STACK", unix.RLIMIT_STACK},
}

// sched(7). SCHED_ISO is reserved: the kernel has the number, not the policy.
var schedulerPolicies = []pair[uint32]{
	{"SCHED_OTHER", unix.SCHED_NORMAL},
	{"SCHED_FIFO", unix.SCHED_FIFO},
	{"SCHED_RR", unix.SCHED_RR},
	{"SCHED_BATCH", unix.SCHED_BATCH},
	{"SCHED_ISO", 4},
	{"SCHED_IDLE", unix.SCHED_IDLE},
	{"SCHED_DEADLINE", unix.SCHED_DEADLINE},
}

// sched_setattr(2).
var schedulerFlags = []pair[uint64]{
	{"SCHED_FLAG_RESET_ON_FORK", unix.SCHED_FLAG_RESET_ON_FORK},
	{"SCHED_FLAG_RECLAIM", unix.SCHED_FLAG_RECLAIM},
	{"SCHED_FLAG_DL_OVERRUN", unix.SCHED_FLAG_DL_OVERRUN},
	{"SCHED_FLAG_KEEP_POLICY", unix.SCHED_FLAG_KEEP_POLICY},
	{"SCHED_FLAG_KEEP_PARAMS", unix.SCHED_FLAG_KEEP_PARAMS},
	{"SCHED_FLAG_UTIL_CLAMP_MIN", unix.SCHED_FLAG_UTIL_CLAMP_MIN},
	{"SCHED_FLAG_UTIL_CLAMP_MAX", unix.SCHED_FLAG_UTIL_CLAMP_MAX},
}

// linux/ioprio.h; x/sys has no names for them.
var ioPriorityClasses = []pair[int]{
	{"IOPRIO_CLASS_RT", 1},
	{"IOPRIO_CLASS_BE", 2},
	{"IOPRIO_CLASS_IDLE", 3},
}

// set_mempolicy(2).
var memoryPolicyModes = []pair[uint32]{
	{"MPOL_DEFAULT", unix.MPOL_DEFAULT},
	{"MPOL_PREFERRED", unix.MPOL_PREFERRED},
	{"MPOL_BIND", unix.MPOL_BIND},
	{"MPOL_INTERLEAVE", unix.MPOL_INTERLEAVE},
	{"MPOL_LOCAL", unix.MPOL_LOCAL},
	{"MPOL_PREFERRED_MANY", unix.MPOL_PREFERRED_MANY},
	{"MPOL_WEIGHTED_INTERLEAVE", unix.MPOL_WEIGHTED_INTERLEAVE},
}

var memoryPolicyFlags = []pair[uint32]{
	{"MPOL_F_STATIC_NODES", unix.MPOL_F_STATIC_NODES},
	{"MPOL_F_RELATIVE_NODES", unix.MPOL_F_RELATIVE_NODES},
	{"MPOL_F_NUMA_BALANCING", unix.MPOL_F_NUMA_BALANCING},
}

// linux/personality.h; the spec's domains are PER_LINUX and PER_LINUX32.
var personalityDomains = []pair[uint32]{
	{"LINUX", 0x0},
	{"LINUX32", 0x8},
}

// RlimitResource is the number of "RLIMIT_NOFILE" and the like.
func RlimitResource(name string) (resource int, ok bool) { return value(rlimits, name) }

// RlimitName is the reverse of [RlimitResource], for messages.
func RlimitName(resource int) string {
	for _, row := range rlimits {
		if row.value == resource {
			return row.name
		}
	}
	return "RLIMIT_?"
}

// RlimitNames lists the known resources in alphabetic order.
func RlimitNames() []string { return names(rlimits) }

// SchedulerPolicy is the number of "SCHED_OTHER" and the like.
func SchedulerPolicy(name string) (policy uint32, ok bool) { return value(schedulerPolicies, name) }

// SchedulerPolicies lists the policies of the spec, in the kernel's order.
func SchedulerPolicies() []string { return names(schedulerPolicies) }

// SchedulerFlag is the bit of "SCHED_FLAG_RECLAIM" and the like.
func SchedulerFlag(name string) (flag uint64, ok bool) { return value(schedulerFlags, name) }

// SchedulerFlags lists the flags of the spec, in the kernel's order.
func SchedulerFlags() []string { return names(schedulerFlags) }

// IOPriorityClass is the number of "IOPRIO_CLASS_BE" and the like.
func IOPriorityClass(name string) (class int, ok bool) { return value(ioPriorityClasses, name) }

// IOPriorityClasses lists the classes of the spec, the highest first.
func IOPriorityClasses() []string { return names(ioPriorityClasses) }

// MemoryPolicyMode is the number of "MPOL_BIND" and the like.
func MemoryPolicyMode(name string) (mode uint32, ok bool) { return value(memoryPolicyModes, name) }

// MemoryPolicyModes lists the modes of the spec, in the kernel's order.
func MemoryPolicyModes() []string { return names(memoryPolicyModes) }

// MemoryPolicyFlag is the bit of "MPOL_F_STATIC_NODES" and the like, to be
// or'ed into [MemoryPolicy.Mode].
func MemoryPolicyFlag(name string) (flag uint32, ok bool) { return value(memoryPolicyFlags, name) }

// MemoryPolicyFlags lists the mode flags of the spec.
func MemoryPolicyFlags() []string { return names(memoryPolicyFlags) }

// PersonalityDomain is the argument of [SetPersonality] for "LINUX" or "LINUX32".
func PersonalityDomain(name string) (persona uint32, ok bool) { return value(personalityDomains, name) }

// PersonalityDomains lists the execution domains of the spec.
func PersonalityDomains() []string { return names(personalityDomains) }

func value[T comparable](table []pair[T], name string) (T, bool) {
	for _, row := range table {
		if row.name == name {
			return row.value, true
		}
	}
	var none T
	return none, false
}

func names[T comparable](table []pair[T]) []string {
	list := make([]string, len(table))
	for i, row := range table {
		list[i] = row.name
	}
	return list
}
