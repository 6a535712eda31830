package cgroup

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/devices"
	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/stats"
)

// ErrNone is matched by the errors of a container that has no cgroup, because
// its owner may make none.
var ErrNone = errors.New("the container has no cgroup")

// none is the cgroup of a container that has none: its processes stay where
// the caller is, and only what needs a cgroup fails.
type none struct{}

func (none) Create() error             { return nil }
func (none) Limit() error              { return nil }
func (none) Discard() error            { return nil }
func (none) Dir() (*os.File, error)    { return nil, nil }
func (none) Add(int) error             { return nil }
func (none) AddUncounted(int) error    { return nil }
func (none) Room() (int64, error)      { return limits.Unlimited, nil }
func (none) AddTo(string, int) error   { return ErrNone }
func (none) Processes() ([]int, error) { return nil, ErrNone }
func (none) Kill(unix.Signal) error    { return ErrNone }
func (none) Freeze() error             { return fmt.Errorf("%w: pausing takes one", ErrNone) }
func (none) Thaw() error               { return nil }
func (none) Frozen() (bool, error)     { return false, nil }
func (none) Remove() error             { return nil }
func (none) Clear() error              { return nil }
func (none) Update(*limits.Limits, []devices.Rule) error {
	return fmt.Errorf("%w: limits take one", ErrNone)
}
func (none) Stats() (*stats.Stats, error) { return nil, fmt.Errorf("%w: statistics take one", ErrNone) }
func (none) WatchOOM() (*OOMWatch, error) { return nil, ErrNone }
func (none) Paths() map[string]string     { return nil }
func (none) Settle() error                { return nil }
func (none) Hierarchies() []Hierarchy     { return nil }
func (none) Exists() bool                 { return false }
