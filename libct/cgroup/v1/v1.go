// Package v1 drives the legacy hierarchies: one directory per container in
// each of them, named ones and the cgroup2 of a hybrid host included.
//
// It runs on the host. It knows the quirks of the controllers (cpuset starts
// empty, the freezer cannot be waited for) and no config. On a hybrid host the
// cgroup2 hierarchy does what it does better: killing, and telling when the
// last process has left.
package v1

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// Group is a directory at the same path of every hierarchy.
type Group struct {
	path        string
	hierarchies []tree.Hierarchy
	made        []string // by Make
}

// New describes the cgroup path in all the hierarchies.
func New(hierarchies []tree.Hierarchy, path string) *Group {
	return &Group{path: path, hierarchies: hierarchies}
}

// Make makes the directories, or takes existing ones if no process is in them.
// undo removes what is new; fresh tells whether all of the directories are.
func (g *Group) Make() (undo func(), fresh bool, err error) {
	g.made = nil
	fresh = true
	undo = func() { tree.Undo(g.made) }
	for _, h := range g.hierarchies {
		var enter func(dir string) error
		if slices.Contains(h.Options, "cpuset") {
			enter = inheritCPUSet
		}
		levels, err := tree.Make(h.Mountpoint, g.path, enter)
		g.made = append(g.made, levels...)
		if err == nil && len(levels) == 0 {
			fresh, err = false, g.reuse(h)
		}
		if err != nil {
			undo()
			return nil, false, err
		}
	}
	return undo, fresh, nil
}

// reuse takes over an existing directory: it may have been left frozen.
func (g *Group) reuse(h tree.Hierarchy) error {
	dir, cgroup2 := g.in(h), h.FSType == "cgroup2"
	if err := tree.RefuseOccupied(dir, g.path, cgroup2); err != nil {
		return err
	}
	switch {
	case cgroup2:
		return tree.Thaw(dir)
	case slices.Contains(h.Options, "freezer"):
		return tree.Write(dir, stateFile, thawed)
	}
	return nil
}

// inheritCPUSet fills in what a new cpuset lacks: without processors and
// memory nodes no process can enter; cpuset(7). Parents are filled before.
func inheritCPUSet(dir string) error {
	for _, name := range []string{"cpuset.cpus", "cpuset.mems"} {
		own, err := tree.Read(dir, name)
		if err != nil {
			return err
		}
		if strings.TrimSpace(own) != "" {
			continue
		}
		value, err := tree.Read(filepath.Dir(dir), name)
		if err != nil {
			return err
		}
		if err := tree.Write(dir, name, strings.TrimSpace(value)); err != nil {
			return err
		}
	}
	return nil
}

func (g *Group) in(h tree.Hierarchy) string { return filepath.Join(h.Mountpoint, g.path) }

func (g *Group) dirs() []string {
	dirs := make([]string, len(g.hierarchies))
	for i, h := range g.hierarchies {
		dirs[i] = g.in(h)
	}
	return dirs
}

// With returns the directory in the hierarchy of a controller, "" if that is
// not mounted.
func (g *Group) With(controller string) string {
	for _, h := range g.hierarchies {
		if slices.Contains(h.Options, controller) {
			return g.in(h)
		}
	}
	return ""
}

// Unified returns the directory in the cgroup2 hierarchy, "" without one.
func (g *Group) Unified() string {
	for _, h := range g.hierarchies {
		if h.FSType == "cgroup2" {
			return g.in(h)
		}
	}
	return ""
}

// Dir returns nothing: a process has to be moved into the hierarchies.
func (g *Group) Dir() (*os.File, error) { return nil, nil }

// Add moves a process in every hierarchy.
func (g *Group) Add(pid int) error { return g.AddExcept("", pid) }

// AddExcept moves a process in every hierarchy but the one of dir.
func (g *Group) AddExcept(dir string, pid int) error {
	for _, h := range g.hierarchies {
		if g.in(h) == dir {
			continue
		}
		d, err := tree.Open(g.in(h))
		if err != nil {
			return err
		}
		err = tree.Add(d, pid)
		d.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// AddTo moves a process to the cgroup sub below, which is PATH for all
// hierarchies, or CTRL[,CTRL]:PATH for those of the controllers. All the
// directories are opened before the process is moved to the first.
func (g *Group) AddTo(unsafeSub string, pid int) error {
	chosen := g.hierarchies
	controllers, unsafePath, ok := strings.Cut(unsafeSub, ":")
	if !ok {
		unsafePath = unsafeSub
	} else {
		var err error
		if chosen, err = g.named(controllers); err != nil {
			return fmt.Errorf("cgroup %q: %w", unsafeSub, err)
		}
	}
	var targets []*os.File
	defer func() {
		for _, d := range targets {
			d.Close()
		}
	}()
	for _, h := range chosen {
		d, err := tree.OpenBeneath(g.in(h), unsafePath)
		if err != nil {
			return err
		}
		targets = append(targets, d)
	}
	for _, d := range targets {
		if err := tree.Add(d, pid); err != nil {
			return err
		}
	}
	return nil
}

// named finds the hierarchies of a list of controllers: "cpu", "name=systemd",
// or the folder's name, which is the only one that "unified" has.
func (g *Group) named(controllers string) ([]tree.Hierarchy, error) {
	var chosen []tree.Hierarchy
	for c := range strings.SplitSeq(controllers, ",") {
		i := slices.IndexFunc(g.hierarchies, func(h tree.Hierarchy) bool {
			return c == h.Name || c != "none" && slices.Contains(h.Options, c)
		})
		if i < 0 {
			return nil, fmt.Errorf("controller %q: no hierarchy of it is mounted: %w", c, unix.EINVAL)
		}
		chosen = append(chosen, g.hierarchies[i])
	}
	return chosen, nil
}

// Processes lists those of the subtree in any hierarchy.
func (g *Group) Processes() ([]int, error) { return tree.Processes(g.dirs()...) }

// Kill signals every process that is in the subtree of any hierarchy. One
// that may write to some hierarchies cannot hide by leaving the others.
func (g *Group) Kill(sig unix.Signal) error {
	if sig != unix.SIGKILL {
		return tree.Signal(sig, g.dirs()...)
	}
	if dir := g.Unified(); dir != "" {
		if err := ignoreGone(tree.Kill(dir)); err != nil {
			return err
		}
	} else if err := g.Freeze(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) &&
		!errors.Is(err, errors.ErrUnsupported) && !tree.IsGone(err) {
		return err
	}
	return errors.Join(tree.Signal(sig, g.dirs()...), g.thawAll())
}

// Remove removes the subtree of every hierarchy.
func (g *Group) Remove(deadline time.Time) error {
	if dir := g.Unified(); dir != "" {
		if _, err := tree.WaitEvent(dir, "populated 0", deadline); ignoreGone(err) != nil {
			return err
		}
	}
	var errs []error
	for _, dir := range g.dirs() {
		errs = append(errs, tree.Remove(dir, deadline))
	}
	return errors.Join(errs...)
}

// Paths maps each hierarchy's name to the directory.
func (g *Group) Paths() map[string]string {
	paths := map[string]string{}
	for _, h := range g.hierarchies {
		paths[h.Name] = g.in(h)
	}
	return paths
}

// Hierarchies are those the group is in.
func (g *Group) Hierarchies() []tree.Hierarchy { return g.hierarchies }

// Exists tells whether the directory is there in any hierarchy.
func (g *Group) Exists() bool { return slices.ContainsFunc(g.dirs(), tree.Exists) }

func ignoreGone(err error) error {
	if tree.IsGone(err) {
		return nil
	}
	return err
}
