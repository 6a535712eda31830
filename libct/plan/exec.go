package plan

import (
	"errors"

	"github.com/hako-runtime/hako/libct/host"
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
// What process leaves out (a nil or empty property) is the container's.
// Setup is nil, Namespaces only joins, Cgroup is the container's.
//
// The error is an [Invalid] if the process is at fault.
func Exec(container *Plan, process *specs.Process, facts host.Facts, o ExecOptions) (p *Plan, warnings []string, err error) {
	return nil, nil, errors.New("being written")
}
