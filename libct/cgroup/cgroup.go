// Package cgroup places a container in the control group hierarchies, applies
// its device rules, and freezes, signals and removes everything in it.
//
// It runs on the host. [Open] picks the driver for the machine's layout:
// package v1 for legacy and hybrid hosts, package v2 for the unified one;
// package devices holds the rules of device access for both. It knows the
// path that plan chose, but neither config.json nor the container's state.
//
// A SIGKILL at any moment leaves at most empty directories at the container's
// own path: nothing is recorded that [Open] could not find again from the
// [Spec], so a later Remove cleans, and a Create elsewhere never notices.
package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/devices"
	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/stats"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
	"github.com/hako-runtime/hako/libct/cgroup/v1"
	"github.com/hako-runtime/hako/libct/cgroup/v2"
	"github.com/hako-runtime/hako/libct/host"
)

// Group is the cgroup of one container: one directory in each hierarchy.
// It holds no descriptors and no state; a Group opened from the same [Spec]
// by another process is the same.
type Group interface {
	// Create makes the directories. One that exists already is reused if no
	// process is in it or below, and is an error matching [ErrNotEmpty]
	// otherwise. On failure it removes what it made.
	Create() error

	// Limit applies the limits and the device rules, and gives the cgroup to
	// its owner. It comes after Create,
	// before Add, and before anything of the container executes; on v2 the
	// init stage may be inside, so that its start and this overlap.
	Limit() error

	// Settle applies what Limit has left out because the init stage could not
	// have worked with it, see [limits.Staged]. It comes when that is ready.
	Settle() error

	// Update changes the limits that l says something about, and replaces the
	// device rules if there are any in rules; nil leaves either alone. The
	// Limits of the [Spec] have to be those in force, because some control
	// files hold several values; [limits.Updated] gives those to be saved.
	//
	// It stops at the first failure; what it has changed by then stays.
	Update(l *limits.Limits, rules []devices.Rule) error

	// Discard undoes Create when the container does not come into being: it
	// kills what is inside and removes the cgroup, and those of its parents
	// that Create made and nobody else uses.
	Discard() error

	// Dir opens the directory to clone into (CLONE_INTO_CGROUP). It returns
	// nil, nil where processes have to be moved with Add (v1 and hybrid).
	// The caller closes it.
	Dir() (*os.File, error)

	// Add moves a process into the cgroup, in every hierarchy. On v2 the error
	// matches EBUSY, as cloning into Dir does, if the container has made
	// cgroups below and enabled controllers for them: its processes are in
	// those then, and AddTo reaches them.
	Add(pid int) error

	// Room tells how many tasks the limit of the [Spec] leaves room for,
	// [limits.Unlimited] without one. No room is an error.
	Room() (tasks int64, err error)

	// AddUncounted is the part of Add that the limit of tasks does not count: on
	// v1 every hierarchy but that of the pids controller, on v2 nothing. Add
	// completes it.
	AddUncounted(pid int) error

	// AddTo moves a process into a cgroup beneath this one, which must exist.
	// sub is PATH for all hierarchies or, on v1 and hybrid, CTRL[,CTRL]:PATH
	// for those of the controllers; the process stays where it is in the
	// others, so that Add comes first. ".." is refused.
	AddTo(sub string, pid int) error

	// Processes lists the processes of the whole subtree, ascending.
	// A cgroup that is missing has none.
	Processes() ([]int, error)

	// Kill sends sig to every process of the subtree. SIGKILL reaches frozen
	// processes and the children of a fork bomb. It does not wait for them
	// to be gone. A cgroup that is missing is success.
	Kill(sig unix.Signal) error

	// Freeze stops every process of the subtree and returns when they have
	// stopped. It gives up and thaws after two seconds.
	Freeze() error

	// Thaw ends Freeze. Thawing what is not frozen is success.
	Thaw() error

	// Frozen tells whether all processes are stopped by the freezer. A cgroup
	// that is missing is not.
	Frozen() (bool, error)

	// Remove removes the subtree, cgroups made inside included; parents stay,
	// because other containers may be about to use them. It waits a bounded
	// time for killed processes to leave. A cgroup that is missing is success.
	Remove() error

	// Clear is Remove that kills what is left inside, if anything is.
	Clear() error

	// Stats reads what the cgroup's controllers and the kernel's accounting
	// tell; what the host does not have is zero. The error matches
	// fs.ErrNotExist if the cgroup is gone.
	Stats() (*stats.Stats, error)

	// WatchOOM starts telling of out-of-memory situations in the cgroup. The
	// error matches fs.ErrNotExist if no memory controller is enabled for it.
	WatchOOM() (*OOMWatch, error)

	// Paths maps the name of each hierarchy (its folder below /sys/fs/cgroup,
	// "" on a v2 host) to the absolute directory of this cgroup.
	Paths() map[string]string

	// Hierarchies lists what is mounted at or below /sys/fs/cgroup, by name.
	// Links hold where controllers are mounted together.
	Hierarchies() []Hierarchy

	// Exists tells whether the cgroup is there in any hierarchy.
	Exists() bool
}

// ErrNotEmpty is matched by the error of [Group.Create] if processes are in
// the cgroup already.
const ErrNotEmpty = tree.ErrNotEmpty

// Hierarchy is one mounted hierarchy.
type Hierarchy = tree.Hierarchy

// OOMWatch tells when a cgroup is out of memory.
type OOMWatch = tree.OOMWatch

// Explain adds to an error of cloning into the directory that [Group.Dir]
// returned what the kernel's rules of cgroup v2 have to do with it.
func Explain(dir *os.File, err error) error { return tree.Explain(dir, err) }

// base is where every distribution mounts the hierarchies; cgroups(7).
const base = "/sys/fs/cgroup"

// Open picks the driver for the layout of the host. It creates nothing.
// Without path and unit the group is of a container that has no cgroup, on which
// whatever needs one fails with [ErrNone].
func Open(spec Spec, mode host.CgroupMode) (Group, error) {
	if !spec.Exists() {
		return none{}, nil
	}
	if err := checkPath(spec.Path); err != nil {
		return nil, err
	}
	g, err := open(spec, mode)
	if err != nil {
		return nil, err
	}
	if spec.Unit != nil {
		return &managed{group: g, mode: mode}, nil
	}
	return g, nil
}

func open(spec Spec, mode host.CgroupMode) (*group, error) {
	switch mode {
	case host.CgroupV2:
		g := v2.New(base, spec.Path)
		return &group{driver: &pure{g}, spec: spec, applyDevices: func(rules []devices.Rule, fresh bool) error {
			return attachDevices(g.Dir, rules, fresh)
		}}, nil
	case host.CgroupV1, host.CgroupHybrid:
		hierarchies, err := v1.Hierarchies(base)
		if err != nil {
			return nil, err
		}
		g := v1.New(hierarchies, spec.Path)
		unified := unifiedOf(hierarchies, spec.Path)
		return &group{driver: &legacy{g, unified}, spec: spec, unified: unified, applyDevices: func(rules []devices.Rule, fresh bool) error {
			return applyDevicesV1(g, rules, fresh)
		}}, nil
	}
	return nil, fmt.Errorf("cgroup mode %q: %w", mode, errors.ErrUnsupported)
}

// unifiedOf is the cgroup2 side of a hybrid host; nil without one.
func unifiedOf(hierarchies []Hierarchy, path string) *v2.Group {
	for _, h := range hierarchies {
		if h.FSType == "cgroup2" {
			return v2.New(h.Mountpoint, path)
		}
	}
	return nil
}

// checkPath holds what plan promises: a path that stays below the root.
func checkPath(path string) error {
	why := ""
	switch {
	case strings.IndexByte(path, 0) >= 0:
		why = "contains NUL"
	case !strings.HasPrefix(path, "/"):
		why = "is not absolute"
	case path == "/":
		why = "is the root of the hierarchy"
	case filepath.Clean(path) != path: // also "/..": Clean drops it
		why = "is not clean"
	default:
		return nil
	}
	return fmt.Errorf("cgroup path %q %s: %w", path, why, unix.EINVAL)
}
