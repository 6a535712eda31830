package safepath

import (
	"errors"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symlinks one path may contain; path_resolution(7).
const maxLinks = 40

// MkdirAll makes the directory unsafePath and its missing parents, each with
// mode (less the umask), and returns a handle to it (O_PATH). Symlinks are
// followed beneath the root, dangling ones too: their target is made.
// Objects that exist are left alone; ENOTDIR if one is not a directory.
func (r *Root) MkdirAll(unsafePath string, mode uint32) (*os.File, error) {
	f, err := r.Open(unsafePath, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err == nil || !errors.Is(err, unix.ENOENT) {
		return f, err
	}
	return r.create(unsafePath, mode, unix.S_IFDIR|mode)
}

// CreateFile makes the empty regular file unsafePath with mode (less the
// umask) if nothing is there, and missing parents with mode 0755, and
// returns a handle to what is there (O_PATH), whatever its type. Nothing is
// opened for reading or writing. Symlinks are followed as in MkdirAll.
func (r *Root) CreateFile(unsafePath string, mode uint32) (*os.File, error) {
	f, err := r.Open(unsafePath, unix.O_PATH, 0)
	if err == nil || !errors.Is(err, unix.ENOENT) {
		return f, err
	}
	return r.create(unsafePath, 0o755, unix.S_IFREG|mode)
}

// MkParent is Parent, and makes missing parents with mode as MkdirAll does.
func (r *Root) MkParent(unsafePath string, mode uint32) (dir *os.File, base string, err error) {
	parent, base, err := split(unsafePath)
	if err != nil {
		return nil, "", pathError("mkdir", unsafePath, err)
	}
	dir, err = r.MkdirAll(parent, mode)
	return dir, base, err
}

// create makes unsafePath component by component. last is the type and mode
// of the last one.
func (r *Root) create(unsafePath string, dirMode, last uint32) (*os.File, error) {
	w := walker{root: r.FD(), dirMode: dirMode, lastMode: last}
	w.push(unsafePath)
	fd, err := w.walk()
	w.close()
	runtime.KeepAlive(r)
	if err != nil {
		return nil, pathError("mkdir", unsafePath, err)
	}
	return os.NewFile(uintptr(fd), unsafePath), nil
}

// walker resolves a path one component at a time, because openat2(2) cannot
// create directories. It holds every directory on its way, so ".." returns to
// the directory it came from and never above the root.
type walker struct {
	root     int
	dirs     []int    // open directories beneath the root; the last is current
	rest     []string // components still to resolve, last one first
	links    int
	dirMode  uint32
	lastMode uint32 // S_IFDIR or S_IFREG, with the permissions
}

// push puts the components of path before those still to resolve.
func (w *walker) push(path string) {
	parts := strings.Split(path, "/")
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i] != "" && parts[i] != "." {
			w.rest = append(w.rest, parts[i])
		}
	}
}

func (w *walker) cwd() int {
	if n := len(w.dirs); n > 0 {
		return w.dirs[n-1]
	}
	return w.root
}

func (w *walker) close() {
	for _, fd := range w.dirs {
		unix.Close(fd)
	}
	w.dirs = nil
}

// walk returns a new descriptor of the last component.
func (w *walker) walk() (int, error) {
	for len(w.rest) > 0 {
		name := w.rest[len(w.rest)-1]
		w.rest = w.rest[:len(w.rest)-1]
		if name == ".." {
			if n := len(w.dirs); n > 0 {
				unix.Close(w.dirs[n-1])
				w.dirs = w.dirs[:n-1]
			}
			continue
		}
		if len(w.rest) == 0 && w.lastMode&unix.S_IFMT == unix.S_IFREG {
			fd, done, err := w.file(name)
			if done || err != nil {
				return fd, err
			}
			continue
		}
		if err := w.dir(name); err != nil {
			return -1, err
		}
	}
	if w.lastMode&unix.S_IFMT == unix.S_IFREG {
		return -1, unix.EISDIR // the path ended in ".." or a link did
	}
	if n := len(w.dirs); n > 0 { // the caller's from here on
		fd := w.dirs[n-1]
		w.dirs = w.dirs[:n-1]
		return fd, nil
	}
	return openat2(w.root, ".", unix.O_PATH|unix.O_DIRECTORY, 0, 0)
}

// dir enters the directory name, makes it, or expands the symlink name.
func (w *walker) dir(name string) error {
	for range maxRetries {
		fd, err := openat2(w.cwd(), name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0, unix.RESOLVE_NO_SYMLINKS)
		if err == nil {
			w.dirs = append(w.dirs, fd)
			return nil
		}
		if err == unix.ENOTDIR || err == unix.ELOOP {
			return w.expand(name)
		}
		if err == unix.ENOENT {
			err = unix.Mkdirat(w.cwd(), name, w.dirMode)
		}
		if err != nil && err != unix.EEXIST {
			return err
		}
	}
	return unix.EAGAIN
}

// file opens or makes the file name, or expands the symlink name (not done).
func (w *walker) file(name string) (fd int, done bool, err error) {
	for range maxRetries {
		fd, err := openat2(w.cwd(), name, unix.O_PATH|unix.O_NOFOLLOW, 0, 0)
		if err == unix.ENOENT {
			err = unix.Mknodat(w.cwd(), name, w.lastMode, 0)
			if err != nil && err != unix.EEXIST {
				return -1, false, err
			}
			continue
		}
		if err != nil {
			return -1, false, err
		}
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
			return fd, true, err
		}
		unix.Close(fd)
		return -1, false, w.expand(name)
	}
	return -1, false, unix.EAGAIN
}

// expand replaces the symlink name by its target.
func (w *walker) expand(name string) error {
	target, err := readlinkat(w.cwd(), name)
	if err == unix.EINVAL {
		return unix.ENOTDIR
	}
	if err != nil {
		return err
	}
	if w.links++; w.links > maxLinks {
		return unix.ELOOP
	}
	if strings.HasPrefix(target, "/") {
		w.close()
	}
	w.push(target)
	return nil
}
