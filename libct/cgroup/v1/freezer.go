package v1

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// The freezer's control file and what it says;
// Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst.
const (
	stateFile = "freezer.state"
	frozen    = "FROZEN"
	thawed    = "THAWED"
)

// Freeze stops all processes. The freezer tells nobody when it is done, so
// its state is read with growing pauses. It can stay FREEZING for ever while
// processes keep appearing; thawing for a moment and asking again helps, as
// found by runc's authors.
func (g *Group) Freeze() error {
	dir := g.With("freezer")
	if dir == "" {
		if dir = g.Unified(); dir == "" {
			return fmt.Errorf("freezer: no hierarchy of it is mounted: %w", errors.ErrUnsupported)
		}
		return tree.Freeze(dir)
	}
	deadline := time.Now().Add(tree.FreezeTimeout)
	wait := 50 * time.Microsecond
	for try := 1; ; try++ {
		if err := tree.Write(dir, stateFile, frozen); err != nil {
			return err
		}
		state, err := tree.Read(dir, stateFile)
		if err != nil {
			return err
		}
		if strings.TrimSpace(state) == frozen {
			return nil
		}
		if time.Now().After(deadline) {
			err := fmt.Errorf("%s: not frozen after %v: %w", dir, tree.FreezeTimeout, os.ErrDeadlineExceeded)
			return errors.Join(err, tree.Write(dir, stateFile, thawed))
		}
		if try%10 == 0 {
			if err := tree.Write(dir, stateFile, thawed); err != nil {
				return err
			}
		}
		time.Sleep(wait)
		wait = min(2*wait, 10*time.Millisecond)
	}
}

// Thaw lets all processes go on.
func (g *Group) Thaw() error {
	if dir := g.With("freezer"); dir != "" {
		return tree.Write(dir, stateFile, thawed)
	}
	if dir := g.Unified(); dir != "" {
		return tree.Thaw(dir)
	}
	return nil
}

// Frozen tells whether Freeze was asked for and has been reached; not so if
// only a parent is frozen.
func (g *Group) Frozen() (bool, error) {
	dir := g.With("freezer")
	if dir == "" {
		if dir = g.Unified(); dir == "" {
			return false, nil
		}
		return tree.Frozen(dir)
	}
	state, err := tree.Read(dir, stateFile)
	if err != nil || strings.TrimSpace(state) != frozen {
		return false, ignoreGone(err)
	}
	self, err := tree.Read(dir, "freezer.self_freezing")
	return strings.TrimSpace(self) == "1", ignoreGone(err)
}

// thawAll thaws the subtree, the cgroups that the container froze itself
// included: v1's freezer holds back even SIGKILL.
func (g *Group) thawAll() error {
	var errs []error
	if dir := g.With("freezer"); dir != "" {
		errs = append(errs, tree.Walk(dir, func(d *os.File) error {
			return tree.WriteAt(d, stateFile, thawed)
		}))
	}
	return errors.Join(errs...)
}
