package plan

import (
	"errors"

	"github.com/hako-runtime/hako/libct/host"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Options is what the command line adds to config.json.
type Options struct {
	ID           string
	Bundle       string // absolute host path
	NoPivot      bool
	NoNewKeyring bool
	PreserveFDs  int    // --preserve-fds; not counting ListenFDs
	ListenFDs    int    // descriptors handed over by systemd's protocol
	NotifySocket string // host path of the socket hako listens on for the container's sd_notify(3); "" for none
	Systemd      bool   // --systemd-cgroup
}

// New composes the plan of a container. It does no I/O.
//
// The error is an [Invalid] if the config is at fault.
func New(spec *specs.Spec, facts host.Facts, o Options) (p *Plan, warnings []string, err error) {
	return nil, nil, errors.New("being written")
}
