package libct

import (
	"errors"
	"time"

	"github.com/hako-runtime/hako/libct/timeline"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

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
	Timeline *timeline.Recorder // nil: steps are not recorded
	Warn     func(msg string)   // never nil
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
	Cgroups       []string // --cgroup: "PATH" or "controller[,controller]:PATH"
}

// signatures of the operations; each lives in the file of its name.
var (
	_ func(r *Runtime, id string, o CreateOptions) (*Container, error)    = (*Runtime).Create
	_ func(r *Runtime, id string, o RunOptions) (exitCode int, err error) = (*Runtime).Run
	_ func(r *Runtime, id string) (*Container, error)                     = (*Runtime).Load
	_ func(r *Runtime) ([]State, error)                                   = (*Runtime).List
	_ func(c *Container) error                                            = (*Container).Start
	_ func(c *Container) (State, error)                                   = (*Container).State
	_ func(c *Container, o ExecOptions) (exitCode int, err error)         = (*Container).Exec
	_ func(c *Container, sig unix.Signal, all bool) error                 = (*Container).Signal
	_ func(r *Runtime, id string, force bool) error                       = (*Runtime).Delete
	_ func(c *Container) error                                            = (*Container).Pause
	_ func(c *Container) error                                            = (*Container).Resume
	_ func(c *Container) ([]int, error)                                   = (*Container).Processes
)
