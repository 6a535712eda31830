// Package tree works on the directories of one cgroup, whatever its version:
// make, list, signal, remove; and on the core files that every cgroup2
// directory has (cgroup.events, cgroup.kill, cgroup.freeze).
//
// It runs on the host. A leaf that both drivers use; it knows no controller
// and no limit. What lies below a container's cgroup was made by the
// container and may change at any moment: there, every name is resolved
// relative to a descriptor, and what has gone is not an error.
package tree

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Hierarchy is one mounted hierarchy.
type Hierarchy struct {
	Name       string   // folder below /sys/fs/cgroup: "cpu,cpuacct", "systemd", "unified"; "" for pure v2
	FSType     string   // "cgroup" or "cgroup2"
	Options    []string // mount options: "cpu","cpuacct" or "none","name=systemd"; none for cgroup2
	Mountpoint string   // absolute
	Links      []string // symbolic links to it beside it: "cpu", "cpuacct"
}

// Make makes the directory path below root, and its parents. enter, if not
// nil, is called for each level from the top, new or not, before the next one
// is made: the place to hand down what does not pass by itself (cpuset of v1,
// cgroup.subtree_control of v2).
//
// made lists what is new, parents first, also on failure; see [Undo].
func Make(root, path string, enter func(dir string) error) (made []string, err error) {
	// ENOENT: Undo of a start that failed took a shared parent away again.
	for range 10 {
		made, err = makeOnce(root, path, enter)
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		Undo(made)
		made = nil
	}
	return made, err
}

func makeOnce(root, path string, enter func(dir string) error) (made []string, err error) {
	leaf := filepath.Join(root, path)
	if enter == nil {
		switch err := mkdir(leaf); {
		case err == nil:
			return []string{leaf}, nil
		case errors.Is(err, fs.ErrExist):
			return nil, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	dir := root
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		dir += "/" + name
		switch err := mkdir(dir); {
		case err == nil:
			made = append(made, dir)
		case !errors.Is(err, fs.ErrExist):
			return made, err
		}
		if enter == nil {
			continue
		}
		if err := enter(dir); err != nil {
			return made, err
		}
	}
	return made, nil
}

// Undo removes what Make made, as far as nobody else uses it by now.
func Undo(made []string) {
	for i := len(made) - 1; i >= 0; i-- {
		_ = unix.Rmdir(made[i]) // best effort: busy means in use
	}
}

func mkdir(dir string) error {
	return pathError("mkdir", dir, ignoringEINTR(func() error { return unix.Mkdir(dir, 0o755) }))
}

// Exists tells whether the directory is there.
func Exists(dir string) bool {
	var st unix.Stat_t
	return unix.Lstat(dir, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// Open opens a cgroup directory on the host, for reading its entries, for
// clone3(2) and for bpf(2).
func Open(dir string) (*os.File, error) {
	return open(unix.AT_FDCWD, dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
}

// OpenBeneath opens a cgroup below dir by a path that a user gave. A path with
// ".." is refused, and so is everything that the kernel finds to lead out.
func OpenBeneath(dir, unsafeSub string) (*os.File, error) {
	for name := range strings.SplitSeq(unsafeSub, "/") {
		if name == ".." {
			return nil, &os.PathError{Op: "open", Path: unsafeSub, Err: errors.New(`".." leads out of the container's cgroup`)}
		}
	}
	base, err := Open(dir)
	if err != nil {
		return nil, err
	}
	defer base.Close()
	how := &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	}
	rel := "./" + strings.TrimLeft(unsafeSub, "/")
	fd := -1
	err = ignoringEINTR(func() (err error) {
		fd, err = unix.Openat2(int(base.Fd()), rel, how)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: filepath.Join(dir, unsafeSub), Err: err}
	}
	return os.NewFile(uintptr(fd), filepath.Join(dir, unsafeSub)), nil
}

// Remove removes the cgroup and all below it, and waits for dying processes
// to leave until the deadline. The error then matches EBUSY.
// A directory that is missing is success.
func Remove(dir string, deadline time.Time) error {
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		err := removeAt(unix.AT_FDCWD, dir)
		if !isBusy(err) || !time.Now().Before(deadline) {
			return err
		}
		time.Sleep(wait)
	}
}

// removeAt tries once. The kernel answers EBUSY for a cgroup with processes as
// well as for one with cgroups below.
func removeAt(parentFD int, name string) error {
	err := rmdirAt(parentFD, name)
	if !isBusy(err) {
		return err
	}
	dir, openErr := open(parentFD, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if openErr != nil {
		return ignoreGone(openErr)
	}
	defer dir.Close()
	subs, readErr := subdirs(dir)
	if readErr != nil {
		return readErr
	}
	if len(subs) == 0 {
		return err
	}
	for _, sub := range subs {
		if subErr := removeAt(int(dir.Fd()), sub); subErr != nil {
			return subErr
		}
	}
	return rmdirAt(parentFD, name)
}

func rmdirAt(parentFD int, name string) error {
	err := ignoringEINTR(func() error { return unix.Unlinkat(parentFD, name, unix.AT_REMOVEDIR) })
	return ignoreGone(pathError("rmdir", name, err))
}

func isBusy(err error) bool {
	return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.ENOTEMPTY)
}

// Walk calls fn for dir and every cgroup below it, parents first.
// Directories that are missing, or go away meanwhile, are passed over.
func Walk(dir string, fn func(d *os.File) error) error {
	d, err := Open(dir)
	if err != nil {
		return ignoreGone(err)
	}
	return walk(d, fn)
}

// walk closes d.
func walk(d *os.File, fn func(d *os.File) error) error {
	defer d.Close()
	if err := fn(d); err != nil {
		return ignoreGone(err)
	}
	subs, err := subdirs(d)
	if err != nil {
		return err
	}
	for _, sub := range subs {
		child, err := open(int(d.Fd()), sub, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
		if err != nil {
			if err := ignoreGone(err); err != nil {
				return err
			}
			continue
		}
		if err := walk(child, fn); err != nil {
			return err
		}
	}
	return nil
}

// subdirs lists the cgroups directly below d.
func subdirs(d *os.File) ([]string, error) {
	var st unix.Stat_t
	// kernfs counts subdirectories in st_nlink: saves reading some 40 entries.
	if err := unix.Fstat(int(d.Fd()), &st); err == nil && st.Nlink == 2 {
		return nil, nil
	}
	if _, err := d.Seek(0, 0); err != nil {
		return nil, err
	}
	entries, err := d.ReadDir(-1)
	if err != nil {
		return nil, ignoreGone(err)
	}
	var subs []string
	for _, e := range entries {
		if e.IsDir() {
			subs = append(subs, e.Name())
		}
	}
	return subs, nil
}

// IsGone tells whether err means that a cgroup has been removed: ENOENT by
// path, ENODEV by a descriptor opened before.
func IsGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV)
}

func ignoreGone(err error) error {
	if IsGone(err) {
		return nil
	}
	return err
}
