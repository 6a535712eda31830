package libct

import (
	"errors"
	"fmt"
	"io/fs"
	"os/user"
	"strconv"
	"time"

	"github.com/hako-runtime/hako/libct/cgroup"
	"github.com/hako-runtime/hako/libct/host"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/state"
	"github.com/hako-runtime/hako/libct/timeline"
	"github.com/opencontainers/runtime-spec/specs-go"
)

//go:generate fastjson/generate zrecord.go container.go

// Errors a caller may match. Their texts are what engines grep for.
var (
	ErrNotExist   = errors.New("container does not exist")
	ErrExists     = errors.New("container with given ID already exists")
	ErrNotRunning = errors.New("container not running")
	ErrRunning    = errors.New("container is running") // also: already running
	ErrPaused     = errors.New("container is paused")
)

// Runtime is one state root and what is the same for all of its containers.
type Runtime struct {
	Root     string             // state root, e.g. /run/hako
	Systemd  bool               // --systemd-cgroup
	Rootless Rootless           // --rootless; "" is auto
	Sticky   bool               // Root is in $XDG_RUNTIME_DIR: keep it from being cleaned up
	Timeline *timeline.Recorder // nil: steps are not recorded
	Warn     func(msg string)   // never nil
	Debug    func(msg string)   // nil without --debug
}

// Status is the state of a container; runtime-spec runtime.md#state, and
// "paused" as runc shows it.
type Status string

// The statuses.
const (
	Creating Status = "creating"
	Created  Status = "created"
	Running  Status = "running"
	Paused   Status = "paused"
	Stopped  Status = "stopped"
)

// State is what `hako state` and `hako list` print.
type State struct {
	OCIVersion  string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Pid         int               `json:"pid"` // 0 when stopped
	Status      Status            `json:"status"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Owner       string            `json:"owner"`
}

// CreateOptions are the flags of create and run.
type CreateOptions struct {
	Bundle        string // "" is the current directory
	ConsoleSocket string
	PidfdSocket   string
	PidFile       string // relative to the current directory
	NoPivot       bool
	NoNewKeyring  bool
	PreserveFDs   int
}

// RunOptions are the flags that only run has.
type RunOptions struct {
	CreateOptions
	Detach      bool
	Keep        bool // do not delete the container after it exits
	NoSubreaper bool
}

// ExecOptions are the flags of exec. Process is complete: --process, or the
// container's own with the flags applied by the caller.
type ExecOptions struct {
	Process       func(configured *specs.Process) (*specs.Process, error) // given the container's process, returns the one to execute
	ConsoleSocket string
	PidfdSocket   string
	PidFile       string
	Detach        bool
	PreserveFDs   int
	IgnorePaused  bool
	Caps          []string // --cap: added to what Process has
	Cgroups       []string // --cgroup: "PATH" or "controller[,controller]:PATH"
}

// Container is the handle on one container that exists.
type Container struct {
	r      *Runtime
	dir    *state.Dir
	record record
	cgroup cgroup.Group // of record; nil: not opened yet
}

// record is what the state folder remembers. Whether the process lives,
// waits or is frozen is asked of the kernel, never remembered.
//
//easyjson:json
type record struct {
	Version   int             `json:"version"`
	ID        string          `json:"id"`
	Pid       int             `json:"pid,omitempty"`
	StartTime uint64          `json:"startTime,omitempty"` // of the process, in clock ticks since boot; proc_pid_stat(5)
	Ready     bool            `json:"ready,omitempty"`     // init waits, or has waited, for start
	Created   time.Time       `json:"created"`
	Cgroups   host.CgroupMode `json:"cgroups"`
	Plan      *plan.Plan      `json:"plan"`
	Process   *specs.Process  `json:"process"`           // the base of exec
	Ptraces   bool            `json:"ptraces,omitempty"` // exec has given a process CAP_SYS_PTRACE that Plan does not have
}

// recordVersion changes when an older hako cannot read the record.
const recordVersion = 1

// Load opens the container id. The error matches [ErrNotExist].
func (r *Runtime) Load(id string) (*Container, error) {
	if err := plan.ValidID(id); err != nil {
		return nil, err
	}
	c := &Container{r: r, dir: state.At(r.Root, id)}
	if !c.dir.Exists() {
		return nil, fmt.Errorf("%w", ErrNotExist)
	}
	if err := c.reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// reload reads the record again, after the lock was taken.
func (c *Container) reload() error {
	var rec record
	if err := c.dir.Load(&rec); err != nil {
		switch {
		case !errors.Is(err, fs.ErrNotExist):
			return err
		case !c.dir.Exists() || !c.dir.Locked() && c.dir.Busy(): // gone, or not there yet
			return ErrNotExist
		}
		return fmt.Errorf("%w (hako delete --force removes it)", err)
	}
	if err := rec.check(c.dir.ID()); err != nil {
		return fmt.Errorf("%w (hako delete --force removes it)", err)
	}
	c.record, c.cgroup = rec, nil
	return nil
}

// check refuses a record that does not fit the folder id, or lacks what every
// command relies on.
func (rec *record) check(id string) error {
	switch {
	case rec.Version != recordVersion:
		return fmt.Errorf("state of version %d, this hako reads version %d", rec.Version, recordVersion)
	case rec.Plan == nil || rec.Plan.Setup == nil || rec.Process == nil:
		return errors.New("state is damaged: a part is missing")
	case rec.ID != id || rec.Plan.ID != id:
		return fmt.Errorf("state is of container %q", rec.ID)
	}
	return nil
}

// lock takes the container's lock and reads the record again.
func (c *Container) lock() error {
	if err := c.dir.Lock(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return ErrNotExist
		}
		return err
	}
	if err := c.reload(); err != nil {
		c.dir.Unlock()
		return err
	}
	return nil
}

func (c *Container) group() (g cgroup.Group, err error) {
	if c.cgroup == nil {
		c.cgroup, err = cgroup.Open(c.record.Plan.Cgroup, c.record.Cgroups)
	}
	return c.cgroup, err
}

// status asks the kernel what has become of the container.
func (c *Container) status() (Status, error) {
	rec := &c.record
	if !rec.Ready {
		if c.dir.Busy() {
			return Creating, nil
		}
		return Stopped, nil // create was killed
	}
	if !alive(rec.Pid, rec.StartTime) {
		return Stopped, nil
	}
	g, err := c.group()
	if err != nil {
		return "", err
	}
	frozen, err := g.Frozen()
	if err != nil {
		return "", err
	}
	switch {
	case frozen:
		return Paused, nil
	case c.dir.Waiting():
		return Created, nil
	default:
		return Running, nil
	}
}

// State is the container's state; runtime-spec runtime.md#state.
func (c *Container) State() (State, error) {
	status, err := c.status()
	if err != nil {
		return State{}, err
	}
	rec := &c.record
	s := State{
		OCIVersion:  rec.Plan.OCIVersion,
		ID:          rec.ID,
		Pid:         rec.Pid,
		Status:      status,
		Bundle:      rec.Plan.Bundle,
		Created:     rec.Created,
		Annotations: rec.Plan.Annotations,
	}
	if rec.Plan.Setup != nil {
		s.Rootfs = rec.Plan.Setup.Root.HostPath
	}
	if status == Stopped {
		s.Pid = 0
	}
	return s, nil
}

// List returns the states of all containers below the root, by id.
// A missing root is an error that matches fs.ErrNotExist. Folders that hold
// no readable state are reported by Warn and left out.
func (r *Runtime) List() ([]State, error) {
	ids, err := state.List(r.Root)
	if err != nil {
		return nil, err
	}
	owners := make(map[uint32]string)
	var states []State
	for _, id := range ids {
		c, err := r.Load(id)
		var s State
		if err == nil {
			s, err = c.State()
		}
		if errors.Is(err, ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			r.Warn(fmt.Sprintf("container %s: %v", id, err))
			continue
		}
		s.Owner = c.owner(owners)
		states = append(states, s)
	}
	return states, nil
}

// owner is the name of the user that the state folder belongs to.
func (c *Container) owner(known map[uint32]string) string {
	uid, err := c.dir.OwnerUID()
	if err != nil {
		return ""
	}
	if name, ok := known[uid]; ok {
		return name
	}
	name := "#" + strconv.FormatUint(uint64(uid), 10)
	if u, err := user.LookupId(name[1:]); err == nil {
		name = u.Username
	}
	known[uid] = name
	return name
}

// Processes lists the host's pids of all processes in the container.
// The error matches [cgroup.ErrNone] if they cannot be told from others.
func (c *Container) Processes() ([]int, error) {
	if !c.hasCgroup() {
		return c.members()
	}
	g, err := c.group()
	if err != nil {
		return nil, err
	}
	return g.Processes()
}
