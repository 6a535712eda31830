package snapshot

import (
	"cmp"
	"errors"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// Views are the folders that an overlay mount is made of, and what it shows;
// kernel documentation, filesystems/overlayfs.
type Views struct {
	Upper string // what overlayfs keeps of the changes
	Below string // the tree without them
	Now   string // the tree with them
}

// CompareUpper finds what Upper changes, sorted by path, as [Compare] does,
// without looking at anything that it does not touch.
func CompareUpper(v Views, options CompareOptions) (deltas *Deltas, err error) {
	u := &upperComparer{comparer: comparer{options: options, deltas: newDeltas()}}
	defer func() {
		if err != nil {
			u.deltas.Close()
		}
	}()
	var upper int
	for _, open := range []struct {
		fd   *int
		path string
	}{{&upper, v.Upper}, {&u.below, v.Below}, {&u.now, v.Now}} {
		fd, err := unix.Open(open.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: open.path, Err: err}
		}
		defer unix.Close(fd)
		*open.fd = fd
	}
	if err := walk(upper, options.Options, u); err != nil {
		return nil, err
	}
	return u.deltas, nil
}

// upperComparer looks up each path of the upper folder in both trees.
type upperComparer struct {
	comparer
	below, now int
}

func (u *upperComparer) visit(at *cursor, e *Entry) error {
	if u.masked(e.Path) {
		return nil
	}
	was, closeWas, err := u.lookIn(u.below, e.Path)
	if err != nil {
		return err
	}
	defer closeWas()
	now, closeNow, err := u.lookIn(u.now, e.Path)
	if err != nil {
		return err
	}
	defer closeNow()
	switch {
	case now == nil && was == nil: // a whiteout of nothing
		return nil
	case now == nil:
		if err := was.at.readXattrs(was.entry); err != nil {
			return err
		}
		return u.deltas.add(Delta{e.Path, Deleted, was.entry, nil})
	case was == nil:
		if err := now.at.readXattrs(now.entry); err != nil {
			return err
		}
		return u.deltas.add(Delta{e.Path, Added, nil, now.entry})
	}
	if err := u.both(was, now); err != nil {
		return err
	}
	if was.entry.Type == "dir" && now.entry.Type == "dir" {
		return u.hidden(at, e, was, now)
	}
	return nil
}

// found is an object of one of the trees.
type found struct {
	at    *cursor
	entry *Entry
}

// lookIn finds the object at a path without following any symlink; nil if
// there is none.
func (u *upperComparer) lookIn(root int, name string) (*found, func(), error) {
	nothing := func() {}
	dir, base := path.Split(name)
	if base == "" {
		base = "."
	}
	fd, err := unix.Openat2(root, path.Clean("./"+dir), &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	// ELOOP, ENOTDIR: the parent is something else there.
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, nothing, nil
	}
	if err != nil {
		return nil, nothing, pathError(name, os.NewSyscallError("openat2", err))
	}
	at := &cursor{options: u.options.Options, dirfd: fd, name: base}
	e, err := at.look(name)
	if err != nil {
		unix.Close(fd)
		if errors.Is(err, unix.ENOENT) {
			return nil, nothing, nil
		}
		return nil, nothing, err
	}
	return &found{at, e}, func() { unix.Close(fd) }, nil
}

// both compares an object that is in both trees: overlayfs copies also what
// was only opened for writing.
func (u *upperComparer) both(was, now *found) error {
	for _, f := range []*found{was, now} {
		if err := f.at.readXattrs(f.entry); err != nil {
			return err
		}
	}
	changed := differ(was.entry, now.entry)
	if !changed && now.entry.Type == "file" {
		for _, f := range []*found{was, now} {
			if err := f.at.sum(f.entry); err != nil {
				return err
			}
		}
		changed = *was.entry.Sum != *now.entry.Sum
	}
	delta := Delta{now.entry.Path, Modified, was.entry, now.entry}
	switch {
	case changed:
		return u.deltas.add(delta)
	case now.entry.Type != "dir" && now.entry.Nlink > 1:
		delta.Kind, delta.Was = linked, nil
		return u.deltas.add(delta)
	}
	return nil
}

// hidden adds what an opaque folder hides: a directory that was removed and
// made again.
func (u *upperComparer) hidden(at *cursor, e *Entry, was, now *found) error {
	if err := at.readXattrs(e); err != nil {
		return err
	}
	if e.Xattrs["trusted.overlay.opaque"] != "y" && e.Xattrs["user.overlay.opaque"] != "y" {
		return nil
	}
	names, err := namesOf(was)
	if err != nil {
		return err
	}
	defer names.close()
	left, err := namesOf(now)
	if err != nil {
		return err
	}
	defer left.close()
	for name := range names.all() {
		gone := join(e.Path, name)
		if left.has(name) || u.masked(gone) {
			continue
		}
		child, release, err := u.lookIn(u.below, gone)
		if err != nil {
			return err
		}
		release()
		if child == nil {
			continue
		}
		if err := u.deltas.add(Delta{gone, Deleted, child.entry, nil}); err != nil {
			return err
		}
	}
	return cmp.Or(names.err(), left.err())
}

func namesOf(f *found) (*nameList, error) {
	fd, release, err := f.at.openDir(f.entry)
	if err != nil {
		return nil, pathError(f.entry.Path, err)
	}
	defer release()
	names, err := listNames(fd, fewNames)
	if err != nil {
		return nil, pathError(f.entry.Path, err)
	}
	return names, nil
}
