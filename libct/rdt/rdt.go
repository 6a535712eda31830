// Package rdt assigns containers to resctrl classes of service (Intel RDT,
// AMD QoS) and monitoring groups; runtime-spec config-linux.md#intelrdt,
// Documentation/filesystems/resctrl.rst.
//
// Runs on the host. What a schema line means is the kernel's business; the
// package only compares lines. Errors do not begin with "linux.intelRdt": the
// caller says what it was doing.
package rdt

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// DefaultDir is where resctrl is mounted.
const DefaultDir = "/sys/fs/resctrl"

// FS is a mounted resctrl file system; Dir "" means [DefaultDir].
type FS struct {
	Dir string
}

func (fs FS) dir() string {
	if fs.Dir == "" {
		return DefaultDir
	}
	return fs.Dir
}

// Available says why resctrl cannot be used, or nil. The kernel makes the
// folder in any case, only the mount has a tasks file.
func (fs FS) Available() error {
	if _, err := os.Stat(filepath.Join(fs.dir(), "tasks")); err != nil {
		return fmt.Errorf("resctrl is not mounted at %s: %w", fs.dir(), err)
	}
	return nil
}

// Create makes or checks the group's folders; no process is in them yet.
//
// A group of the container's own must not exist. One that the config names
// (Explicit) is made if there are schemata to write; if it exists it must have
// these schemata, and without any it must exist. What was made is removed on
// an error.
func (fs FS) Create(g Group) (err error) {
	if err := g.validate(); err != nil {
		return err
	}
	if err := fs.Available(); err != nil {
		return err
	}
	made, err := fs.createClass(g)
	if err != nil {
		return err
	}
	if !g.Monitoring {
		return nil
	}
	if err := os.Mkdir(fs.monitor(g), 0o755); err != nil {
		err = fs.explain("monitoring group", err)
		if made {
			_ = os.Remove(fs.class(g)) // best effort: the error is what counts
		}
		return err
	}
	return nil
}

// createClass reports whether it made the folder.
func (fs FS) createClass(g Group) (made bool, err error) {
	if g.Explicit && len(g.Schemata) == 0 {
		if _, err := os.Stat(fs.class(g)); err != nil {
			return false, fmt.Errorf("closID %s must exist if no schemata are given: %w", g.ClosID, err)
		}
		return false, nil
	}
	if g.ClosID == "/" {
		return false, fs.compare(g)
	}
	err = os.Mkdir(fs.class(g), 0o755)
	if errors.Is(err, os.ErrExist) && g.Explicit {
		return false, fs.compare(g)
	} else if err != nil {
		return false, fs.explain("closID "+g.ClosID, err)
	}
	if err := fs.writeSchemata(g); err != nil {
		_ = os.Remove(fs.class(g)) // best effort: the error is what counts
		return false, err
	}
	return true, nil
}

func (fs FS) writeSchemata(g Group) error {
	if len(g.Schemata) == 0 {
		return nil
	}
	lines := strings.Join(g.Schemata, "\n") + "\n"
	if err := os.WriteFile(filepath.Join(fs.class(g), "schemata"), []byte(lines), 0o600); err != nil {
		return fs.explain(fmt.Sprintf("schemata %q", lines), err)
	}
	return nil
}

// SetSchemata changes the class of a container that has it for itself: the
// lines of g are written, what they do not mention stays.
func (fs FS) SetSchemata(g Group) error {
	if err := g.validate(); err != nil {
		return err
	}
	if g.Explicit {
		return fmt.Errorf("closID %s: may be shared with other containers: %w", g.ClosID, errors.ErrUnsupported)
	}
	if err := fs.Available(); err != nil {
		return err
	}
	return fs.writeSchemata(g)
}

// AddThreads is Add for a process that has threads already; they must not
// start others meanwhile. One that has ended is passed over.
func (fs FS) AddThreads(g Group, pid int) error {
	threads, err := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, t := range threads {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := fs.Add(g, tid); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// Add moves a thread into the group; its children will follow.
func (fs FS) Add(g Group, pid int) error {
	if err := g.validate(); err != nil {
		return err
	}
	folders := []string{fs.class(g)}
	if g.Monitoring {
		folders = append(folders, fs.monitor(g)) // only members of the class may enter
	}
	for _, folder := range folders {
		err := os.WriteFile(filepath.Join(folder, "tasks"), []byte(strconv.Itoa(pid)), 0o600)
		if err != nil {
			return fs.explain("pid "+strconv.Itoa(pid), err)
		}
	}
	return nil
}

// Remove removes what belongs to the container alone: its class with all
// below, or its monitoring group in a shared class. Absent ones are fine.
func (fs FS) Remove(g Group) error {
	if err := g.validate(); err != nil {
		return err
	}
	folder := fs.class(g)
	if g.Explicit {
		if !g.Monitoring {
			return nil
		}
		folder = fs.monitor(g)
	}
	if err := os.Remove(folder); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fs.explain("group", err)
	}
	return nil
}

func (fs FS) class(g Group) string {
	if g.ClosID == "/" {
		return fs.dir()
	}
	return filepath.Join(fs.dir(), g.ClosID)
}

func (fs FS) monitor(g Group) string {
	return filepath.Join(fs.class(g), "mon_groups", g.ID)
}

// validate keeps every folder a direct child of where it belongs. "/" is the
// default class, which nobody owns.
func (g Group) validate() error {
	if !(g.ClosID == "/" && g.Explicit) && (!isName(g.ClosID) || isReserved(g.ClosID)) {
		return fmt.Errorf("closID %q: not the name of a group", g.ClosID)
	}
	if g.Monitoring && !isName(g.ID) {
		return fmt.Errorf("id %q: not the name of a monitoring group", g.ID)
	}
	for _, line := range g.Schemata {
		if strings.Contains(line, "\n") {
			return fmt.Errorf("schemata %q: more than one line", line)
		}
	}
	return nil
}

// isName refuses everything that is not one new component of a path.
func isName(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.ContainsAny(s, "/\n\x00")
}

// isReserved is true of the folders that resctrl itself keeps in its root.
func isReserved(s string) bool {
	return s == "info" || s == "mon_groups" || s == "mon_data"
}

// explain adds what the kernel says about the last operation; the errno is
// mostly EINVAL.
func (fs FS) explain(what string, err error) error {
	err = fmt.Errorf("%s: %w", what, err)
	status, readErr := os.ReadFile(filepath.Join(fs.dir(), "info", "last_cmd_status"))
	text := strings.TrimSpace(string(status))
	if readErr != nil || text == "" || text == "ok" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, text)
}
