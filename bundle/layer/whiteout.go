package layer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Names that mean something in a layer; layer.md, "Whiteouts".
const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
	aufsPrefix     = ".wh..wh." // bookkeeping of AUFS in old images
)

// kind is what an entry is by its name alone.
type kind int

const (
	ordinary kind = iota
	removal       // .wh.NAME: NAME of the lower layers goes
	opaque        // .wh..wh..opq: all children of the lower layers go
	ignored
)

// classify tells whiteouts from files. No name below a whiteout can be meant:
// files cannot begin with .wh.
func classify(name string) (kind, error) {
	parts := strings.Split(name, "/")
	for _, part := range parts[:len(parts)-1] {
		if strings.HasPrefix(part, aufsPrefix) {
			return ignored, nil
		}
		if strings.HasPrefix(part, whiteoutPrefix) {
			return 0, fmt.Errorf("directory %q: names cannot begin with %s", part, whiteoutPrefix)
		}
	}
	base := parts[len(parts)-1]
	hidden, ok := strings.CutPrefix(base, whiteoutPrefix)
	switch {
	case !ok:
		return ordinary, nil
	case base == opaqueName:
		return opaque, nil
	case strings.HasPrefix(base, aufsPrefix):
		return ignored, nil
	case hidden == "" || hidden == "." || hidden == "..":
		return 0, fmt.Errorf("whiteout of %q", hidden)
	}
	return removal, nil
}

// whiteout applies to the lower layers only, whatever the order of entries in
// this one.
func (r *run) whiteout(name string, what kind) error {
	parent, err := r.lookup(parentOf(name), false)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil // nothing to hide
	}
	if err != nil {
		return err
	}
	if err := r.touch(parent); err != nil {
		return err
	}
	if what == opaque {
		return r.removeLowerChildren(parent.fd, parent.path)
	}
	hidden := strings.TrimPrefix(path.Base(name), whiteoutPrefix)
	return r.removeLower(parent.fd, parent.path, hidden)
}

// removeLower removes an object of the lower layers. Of a directory it leaves
// what this layer put into it.
func (r *run) removeLower(dirfd int, dirPath, name string) error {
	canonical := joinPath(dirPath, name)
	keep, err := r.upper.has(canonical)
	if err != nil {
		return err
	}
	if !isDir(dirfd, name) {
		if keep {
			return nil
		}
		r.stale = true // it may be a symlink that led somewhere
		err := unix.Unlinkat(dirfd, name, 0)
		if errors.Is(err, unix.ENOENT) {
			err = nil
		}
		return sysError("unlinkat", err)
	}
	fd, err := openForReading(dirfd, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := r.removeLowerChildren(fd, canonical); err != nil || keep {
		return err
	}
	r.stale = true
	err = unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR)
	if errors.Is(err, unix.ENOTEMPTY) {
		err = nil // it holds something of this layer
	}
	return sysError("unlinkat", err)
}

func (r *run) removeLowerChildren(dirfd int, dirPath string) error {
	if err := r.touch(&dir{fd: dirfd, path: dirPath}); err != nil {
		return err
	}
	return eachName(dirfd, func(name string) error { return r.removeLower(dirfd, dirPath, name) })
}

// remove removes whatever name is, with everything in it, whichever layer it
// came from: another entry takes its place.
func (r *run) remove(parent *dir, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(parent.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		what := st.Mode & unix.S_IFMT
		r.stale = r.stale || what == unix.S_IFDIR || what == unix.S_IFLNK
	}
	return removeAll(parent.fd, name)
}

func removeAll(dirfd int, name string) error {
	err := unix.Unlinkat(dirfd, name, 0)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if !errors.Is(err, unix.EISDIR) {
		return sysError("unlinkat", err)
	}
	fd, err := openForReading(dirfd, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := eachName(fd, func(child string) error { return removeAll(fd, child) }); err != nil {
		return err
	}
	return sysError("unlinkat", unix.Unlinkat(dirfd, name, unix.AT_REMOVEDIR))
}

func openForReading(dirfd int, name string) (int, error) {
	fd, err := unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, sysError("openat", err)
	}
	return fd, nil
}

// eachName calls visit for the names in a directory, but "." and "..", some at
// a time. Names may be removed meanwhile (readdir(3)). The descriptor may be
// O_PATH and stays open; while visit has the last names, no other is.
func eachName(dirfd int, visit func(name string) error) error {
	fd, err := openForReading(dirfd, ".")
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), ".")
	defer f.Close()
	for last := false; !last; {
		const most = 1024
		names, err := f.Readdirnames(most)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if last = len(names) < most; last {
			f.Close()
		}
		for _, name := range names {
			if err := visit(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// readNames lists a directory, "." and ".." left out. The descriptor may be
// O_PATH and stays open.
func readNames(dirfd int) ([]string, error) {
	fd, err := openForReading(dirfd, ".")
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), ".")
	defer f.Close()
	return f.Readdirnames(-1)
}
