// Package v2 drives the unified hierarchy: one directory per container.
//
// It runs on the host. Placement, freezing, killing and removal are core files
// of every cgroup directory, see package tree; a controller is one file here.
// Device rules are no controller in v2: package devices attaches them.
package v2

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// Group is one directory of the unified hierarchy.
type Group struct {
	root string
	path string // below root, with a leading "/"
	dir  string
}

// New describes the cgroup path below the mount point root.
func New(root, path string) *Group {
	return &Group{root: root, path: path, dir: filepath.Join(root, path)}
}

// Make makes the directory, or takes an existing one if no process is in it.
// undo removes what is new; fresh tells whether the directory is. Controllers
// are handed down to it as far as possible; see [Group.Limit] for those needed.
func (g *Group) Make() (undo func(), fresh bool, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(g.root, &fs); err != nil {
		return nil, false, &os.PathError{Op: "statfs", Path: g.root, Err: err}
	}
	if fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return nil, false, fmt.Errorf("%s: is no cgroup2 file system: %w", g.root, errors.ErrUnsupported)
	}
	made, err := tree.Make(g.root, g.path, nil)
	undo = func() { tree.Undo(made) }
	if err == nil && len(made) == 0 {
		err = g.reuse()
	}
	if err != nil {
		undo()
		return nil, false, err
	}
	g.enableAll()
	return undo, len(made) > 0, nil
}

// reuse takes over an existing directory: it may have been left frozen.
func (g *Group) reuse() error {
	if err := tree.RefuseOccupied(g.dir, g.path, true); err != nil {
		return err
	}
	return tree.Thaw(g.dir)
}

// Dir opens the directory, to clone into it or to attach device rules.
func (g *Group) Dir() (*os.File, error) { return tree.Open(g.dir) }

// Add moves a process.
func (g *Group) Add(pid int) error {
	d, err := tree.Open(g.dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return tree.Add(d, pid)
}

// AddTo moves a process to the cgroup sub below.
func (g *Group) AddTo(unsafeSub string, pid int) error {
	if ctrl, _, ok := strings.Cut(unsafeSub, ":"); ok {
		return fmt.Errorf("cgroup %q: %q: cgroup v2 has one hierarchy for all controllers: %w", unsafeSub, ctrl, unix.EINVAL)
	}
	d, err := tree.OpenBeneath(g.dir, unsafeSub)
	if err != nil {
		return err
	}
	defer d.Close()
	return tree.Add(d, pid)
}

// Processes lists the subtree's processes.
func (g *Group) Processes() ([]int, error) { return tree.Processes(g.dir) }

// Kill signals every process of the subtree.
func (g *Group) Kill(sig unix.Signal) error {
	if sig != unix.SIGKILL {
		return tree.Signal(sig, g.dir)
	}
	err := tree.Kill(g.dir)
	if !tree.IsGone(err) || !tree.Exists(g.dir) {
		return ignoreGone(err)
	}
	return g.killFrozen()
}

// killFrozen is for kernels before Linux 5.14, which have no cgroup.kill:
// what is frozen cannot fork, and SIGKILL reaches it.
func (g *Group) killFrozen() error {
	if err := tree.Freeze(g.dir); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return ignoreGone(err)
	}
	return errors.Join(tree.Signal(unix.SIGKILL, g.dir), ignoreGone(tree.Thaw(g.dir)))
}

// Freeze stops all processes.
func (g *Group) Freeze() error { return tree.Freeze(g.dir) }

// Thaw lets them go on.
func (g *Group) Thaw() error { return tree.Thaw(g.dir) }

// Frozen tells whether they are stopped.
func (g *Group) Frozen() (bool, error) { return tree.Frozen(g.dir) }

// Remove removes the subtree.
func (g *Group) Remove(deadline time.Time) error {
	if err := unix.Rmdir(g.dir); err == nil || err == unix.ENOENT {
		return nil
	}
	if _, err := tree.WaitEvent(g.dir, "populated 0", deadline); err != nil {
		if err := ignoreGone(err); err != nil {
			return err
		}
	}
	return tree.Remove(g.dir, deadline)
}

// Paths has the one directory under "".
func (g *Group) Paths() map[string]string { return map[string]string{"": g.dir} }

// Exists tells whether the directory is there.
func (g *Group) Exists() bool { return tree.Exists(g.dir) }

func ignoreGone(err error) error {
	if tree.IsGone(err) {
		return nil
	}
	return err
}
