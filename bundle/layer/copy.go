package layer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CopyOptions say what becomes of objects that are copied from one tree to
// another.
type CopyOptions struct {
	Skip func(path string, isDir bool) bool // leave this out, by its path in the tree; may be nil
}

// Found is an object of a tree.
type Found struct {
	Path  string // without symlinks, relative to the root; "" is the root
	IsDir bool
	Size  int64
	Mode  uint32 // with the type, as stat(2) has it
}

// Find looks up a path as a process inside the tree would: symlinks are
// followed, and lead nowhere but into the tree.
//
// The error matches [os.ErrNotExist] if there is nothing.
func (t *Tree) Find(unsafePath string) (Found, error) {
	fd, err := t.root.openInRoot(path.Clean("/"+unsafePath), unix.O_PATH)
	if err != nil {
		return Found{}, &os.PathError{Op: "open", Path: unsafePath, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Found{}, &os.PathError{Op: "fstat", Path: unsafePath, Err: err}
	}
	canonical, err := t.canonical(fd)
	if err != nil {
		return Found{}, &os.PathError{Op: "open", Path: unsafePath, Err: err}
	}
	return Found{canonical, st.Mode&unix.S_IFMT == unix.S_IFDIR, st.Size, st.Mode}, nil
}

// canonical is the path of an open object below the root. It is used beneath
// the root again, and without following symlinks: should it be wrong by then,
// that leads nowhere else.
func (t *Tree) canonical(fd int) (string, error) {
	root, err := os.Readlink(procPath(t.root.fd))
	if err != nil {
		return "", err
	}
	at, err := os.Readlink(procPath(fd))
	if err != nil {
		return "", err
	}
	if at == root {
		return "", nil
	}
	inside, ok := strings.CutPrefix(at, strings.TrimSuffix(root, "/")+"/")
	if !ok {
		return "", errors.New("changed while it was looked at")
	}
	return inside, nil
}

// Glob lists the paths that a pattern of [path.Match] means, sorted; a pattern
// without special characters is itself, whether it exists or not.
func (t *Tree) Glob(pattern string) ([]string, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("pattern %s: %w", quoteName(pattern), err)
	}
	at := []string{""}
	for part := range strings.SplitSeq(path.Clean("/" + pattern)[1:], "/") {
		if !strings.ContainsAny(part, `*?[\`) {
			for i := range at {
				at[i] = joinPath(at[i], part)
			}
			continue
		}
		var next []string
		for _, dir := range at {
			names, err := t.names(dir)
			if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				if ok, _ := path.Match(part, name); ok { // the pattern was checked
					next = append(next, joinPath(dir, name))
				}
			}
		}
		at = next
	}
	slices.Sort(at)
	return at, nil
}

func (t *Tree) names(unsafeDir string) ([]string, error) {
	fd, err := t.root.openInRoot(path.Clean("/"+unsafeDir), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: unsafeDir, Err: err}
	}
	defer unix.Close(fd)
	return readNames(fd)
}

// AddFrom stores what is at a path of a tree that [Tree.Find] gave, as name.
// Of a directory it stores what is in it, and the directory itself only if
// withRoot.
func (p *Packer) AddFrom(t *Tree, from Found, name string, withRoot bool, options CopyOptions) error {
	parentPath, base := parentOf(from.Path), path.Base(from.Path)
	if from.Path == "" {
		base = "."
	}
	parent, err := t.root.openDir(parentPath, unix.O_PATH)
	if err != nil {
		return fmt.Errorf("%s: %w", quoteName(from.Path), sysError("openat2", err))
	}
	defer unix.Close(parent)
	if !from.IsDir || withRoot {
		if _, err := p.add(parent, base, name); err != nil {
			return err
		}
	}
	if !from.IsDir {
		return nil
	}
	return p.addInside(parent, base, from.Path, name, options)
}

func (p *Packer) addInside(dirfd int, base, at, name string, options CopyOptions) error {
	fd, release, err := p.openDir(dirfd, base)
	if err != nil {
		return fmt.Errorf("%s: %w", quoteName(at), err)
	}
	defer release()
	names, err := readNames(fd)
	if err != nil {
		return fmt.Errorf("%s: %w", quoteName(at), err)
	}
	slices.Sort(names)
	for _, child := range names {
		if err := p.addChild(fd, child, joinPath(at, child), joinPath(name, child), options); err != nil {
			return err
		}
	}
	return nil
}

// addChild stores an object with everything in it, but for what options leave
// out. at is where it is, name where it goes.
func (p *Packer) addChild(dirfd int, child, at, name string, options CopyOptions) error {
	isDir, skipped, err := options.look(dirfd, child, at)
	if err == nil && !skipped {
		isDir, err = p.add(dirfd, child, name)
	}
	if err != nil || !isDir {
		return err
	}
	// A directory that is left out may hold something that is not.
	return p.addInside(dirfd, child, at, name, options)
}

// look says whether an object is skipped, and then whether it is a directory.
func (o CopyOptions) look(dirfd int, child, at string) (isDir, skipped bool, err error) {
	if o.Skip == nil {
		return false, false, nil
	}
	var st unix.Stat_t
	if err := unix.Fstatat(dirfd, child, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false, false, fmt.Errorf("%s: %w", quoteName(at), sysError("fstatat", err))
	}
	isDir = st.Mode&unix.S_IFMT == unix.S_IFDIR
	return isDir, o.Skip(at, isDir), nil
}

// AddFile stores a file that exists only in memory.
func (p *Packer) AddFile(name string, mode int64, data []byte) error {
	header := p.made(tar.TypeReg, name, mode)
	header.Size = int64(len(data))
	if err := p.out.WriteHeader(header); err != nil {
		return err
	}
	_, err := p.out.Write(data)
	return err
}

// AddDir stores an empty directory.
func (p *Packer) AddDir(name string, mode int64) error {
	return p.out.WriteHeader(p.made(tar.TypeDir, name+"/", mode))
}

// made describes an object that has no file: it is of now.
func (p *Packer) made(kind byte, name string, mode int64) *tar.Header {
	header := &tar.Header{Typeflag: kind, Name: name, Mode: mode, ModTime: time.Now().Truncate(time.Second)}
	if !p.options.NotAfter.IsZero() && header.ModTime.After(p.options.NotAfter) {
		header.ModTime = p.options.NotAfter.Truncate(time.Second)
	}
	if p.options.Owner != nil {
		header.Uid, header.Gid = p.options.Owner.UID, p.options.Owner.GID
	}
	if p.options.Mode != nil {
		header.Mode = int64(*p.options.Mode)
	}
	return header
}

// OpenFile opens a regular file that [Tree.Find] gave.
func (t *Tree) OpenFile(from Found) (*os.File, error) {
	if from.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, &os.PathError{Op: "open", Path: from.Path, Err: errors.New("not a regular file")}
	}
	fd, err := t.root.open(from.Path, unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: from.Path, Err: err}
	}
	return os.NewFile(uintptr(fd), from.Path), nil
}

// ApplyArchive extracts a tar stream below the directory dir of the tree. It
// is no layer: names that begin with ".wh." are names.
func (t *Tree) ApplyArchive(stream io.Reader, dir string) error {
	r := newRun(t)
	defer r.dropDirs()
	err := t.eachEntry(stream, func(header *tar.Header, content io.Reader) error {
		if base := path.Base(header.Name); strings.HasPrefix(base, whiteoutPrefix) {
			return fmt.Errorf("a layer cannot hold names that begin with %s", whiteoutPrefix)
		}
		header.Name = joinPath(dir, path.Clean("/" + header.Name)[1:])
		if header.Typeflag == tar.TypeLink {
			header.Linkname = joinPath(dir, path.Clean("/" + header.Linkname)[1:])
		}
		if header.Name == joinPath(dir, "") { // "./": the directory is there, or implied
			return nil
		}
		return r.apply(header, content)
	})
	if err != nil {
		return err
	}
	return r.restoreTimes()
}
