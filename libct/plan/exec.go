package plan

import (
	"errors"
	"slices"
	"strconv"

	"github.com/hako-runtime/hako/libct/host"
	"github.com/hako-runtime/hako/libct/spawn"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// ExecOptions is what the command line of exec adds to the process.
type ExecOptions struct {
	InitPid     int      // host pid of the container's init: its namespaces are joined
	AddCaps     []string // --cap: bounding, effective and permitted; ambient only where inheritable
	PreserveFDs int      // --preserve-fds; not counting ListenFDs
	ListenFDs   int
}

// Exec composes the shorter plan of a process in a running container.
//
// What process leaves out is the container's: capabilities, labels, umask,
// oomScoreAdj, scheduler, ioPriority, execCPUAffinity; personality and memory
// policy are the container's always. Setup is nil, Namespaces only joins,
// Cgroup is the container's.
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
		process = withCaps(process, container.Configured, o.AddCaps)
	}
	c := &composer{
		process: process, container: container, facts: facts, file: "exec",
		plan: &Plan{
			ID:          container.ID,
			OCIVersion:  container.OCIVersion,
			Bundle:      container.Bundle,
			Annotations: container.Annotations,
			Namespaces:  spawn.Namespaces{Join: joinAll(&container.Namespaces, o.InitPid)},
			Cgroup:      container.Cgroup,
		},
	}
	c.plan.Process.Personality = container.Process.Personality
	c.plan.Process.MemoryPolicy = container.Process.MemoryPolicy
	c.run(processChecks[:])
	c.serviceManager(o.PreserveFDs, o.ListenFDs)
	if len(c.invalid) > 0 {
		return nil, c.warnings, c.invalid
	}
	return c.plan, c.warnings, nil
}

// joinAll joins every namespace that the container does not share with the
// runtime, at its init.
func joinAll(ns *spawn.Namespaces, initPid int) []spawn.Join {
	if initPid <= 0 {
		return nil
	}
	flags := ns.New
	for _, j := range ns.Join {
		flags |= j.Flag
	}
	var joins []spawn.Join
	for _, t := range namespaceTypes {
		if flags&t.flag != 0 {
			joins = append(joins, spawn.Join{Flag: t.flag, Path: "/proc/" + strconv.Itoa(initPid) + "/ns/" + t.file})
		}
	}
	return joins
}

// withCaps returns a copy of process that has more capabilities. Inheritable
// ones are never added (CVE-2022-29162), so ambient ones only where they are.
func withCaps(process, configured *specs.Process, names []string) *specs.Process {
	changed := *process
	var sets specs.LinuxCapabilities
	switch {
	case process.Capabilities != nil:
		sets = *process.Capabilities
	case configured != nil && configured.Capabilities != nil:
		sets = *configured.Capabilities
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
