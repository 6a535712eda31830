package plan

import (
	"errors"
	"slices"

	"github.com/hako-runtime/hako/libct/caps"
	"github.com/hako-runtime/hako/libct/host"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// ExecOptions is what the command line of exec adds to the process.
type ExecOptions struct {
	AddCaps     []string // --cap: bounding, effective and permitted; ambient only where inheritable
	PreserveFDs int      // --preserve-fds; not counting ListenFDs
	ListenFDs   int
}

// Exec composes the shorter plan of a process in a running container.
//
// What process leaves out is the container's: capabilities, labels, umask,
// oomScoreAdj, scheduler, ioPriority. Personality, memory policy and the seccomp
// filter always are.
// Setup is nil, Namespaces is empty (the host joins those of the container's
// init, whose pid no plan knows), Cgroup is the container's.
//
// The error is an [Invalid] if the process is at fault.
func Exec(container *Plan, process *specs.Process, facts host.Facts, o ExecOptions) (p *Plan, warnings []string, err error) {
	if err := checkFDs(o.PreserveFDs, o.ListenFDs); err != nil {
		return nil, nil, err
	}
	if process == nil {
		return nil, nil, errors.New("exec: no process")
	}
	if len(o.AddCaps) > 0 {
		process = withCaps(process, &container.Process.Caps, o.AddCaps)
	}
	c := &composer{
		process: process, container: container, facts: facts, file: "exec",
		plan: &Plan{
			ID:           container.ID,
			OCIVersion:   container.OCIVersion,
			Bundle:       container.Bundle,
			Annotations:  container.Annotations,
			Cgroup:       container.Cgroup,
			SeccompAgent: container.SeccompAgent,
		},
	}
	c.plan.Process.Seccomp = container.Process.Seccomp
	c.plan.Process.Personality = container.Process.Personality
	c.plan.Process.MemoryPolicy = container.Process.MemoryPolicy
	c.run(processChecks[:])
	c.serviceManager(o.PreserveFDs, o.ListenFDs)
	if len(c.invalid) > 0 {
		return nil, c.warnings, c.invalid
	}
	return c.plan, c.warnings, nil
}

// withCaps returns a copy of process that has more capabilities. Inheritable
// ones are never added (CVE-2022-29162), so ambient ones only where they are.
func withCaps(process *specs.Process, has *caps.Sets, names []string) *specs.Process {
	changed := *process
	var sets specs.LinuxCapabilities
	if process.Capabilities != nil {
		sets = *process.Capabilities
	} else {
		sets = specs.LinuxCapabilities{
			Bounding: caps.Names(has.Bounding), Effective: caps.Names(has.Effective), Permitted: caps.Names(has.Permitted),
			Inheritable: caps.Names(has.Inheritable), Ambient: caps.Names(has.Ambient),
		}
	}
	sets.Bounding = slices.Concat(sets.Bounding, names)
	sets.Effective = slices.Concat(sets.Effective, names)
	sets.Permitted = slices.Concat(sets.Permitted, names)
	sets.Ambient = slices.Clone(sets.Ambient)
	for _, name := range names {
		if slices.Contains(sets.Inheritable, name) {
			sets.Ambient = append(sets.Ambient, name)
		}
	}
	changed.Capabilities = &sets
	return &changed
}
