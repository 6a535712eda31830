package libct

import (
	"errors"
	"io/fs"

	"github.com/hako-runtime/hako/libct/host"
	"golang.org/x/sys/unix"
)

// Rootless says what a cgroup that may not be made means.
type Rootless string

// The values of --rootless.
const (
	RootlessAuto Rootless = "auto" // for an unprivileged user: there is none, if the config does not ask for it
	RootlessOn   Rootless = "true" // for root as well, also if the config names one
	RootlessOff  Rootless = "false"
)

// applyRootless changes what host.Probe has found to what was asked for.
func (r *Runtime) applyRootless(facts *host.Facts) {
	switch {
	case r.Rootless == RootlessOff:
		facts.CgroupDenied, facts.CgroupParent = false, ""
	case r.Rootless == RootlessOn && !facts.Unprivileged():
		facts.ProbeDelegation()
	}
}

// goesWithout reports whether err, of making the cgroup, only means that the
// container has none.
func (c *creation) goesWithout(err error) bool {
	denied := errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS)
	return denied && c.r.Rootless == RootlessOn && c.plan.Cgroup.Limits == nil
}
