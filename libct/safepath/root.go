// Package safepath resolves paths that an image or a config can influence.
//
// A [Root] confines every lookup to one directory, by descriptor: absolute
// names, "..", and symlinks that point out of it end inside it, and magic
// links of procfs are refused. A [Proc] is a handle that is known to be
// procfs. A leaf: it knows neither containers nor images. Both sides use it.
//
// What it does not promise: a directory that somebody else renames out of
// the root while a handle to it is open stays open.
package safepath

import (
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// resolveInRoot confines a lookup as chroot(2) would; openat2(2).
const resolveInRoot = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS

// maxRetries bounds EAGAIN: the kernel could not prove that a ".." stayed
// beneath the root while something else in the system was renamed or
// mounted; openat2(2).
const maxRetries = 512

// Root is a handle to a directory that no lookup through it can leave.
type Root struct {
	f *os.File
}

// OpenRoot opens the directory at path, which is trusted and follows
// symlinks, as the root of later lookups.
func OpenRoot(path string) (*Root, error) {
	fd, err := openat2(unix.AT_FDCWD, path, unix.O_PATH|unix.O_DIRECTORY, 0, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return NewRoot(os.NewFile(uintptr(fd), path)), nil
}

// NewRoot makes the directory f a root and takes ownership of f.
func NewRoot(f *os.File) *Root { return &Root{f: f} }

// FD returns the descriptor of the directory, for *at system calls.
func (r *Root) FD() int { return int(r.f.Fd()) }

// Close closes the handle.
func (r *Root) Close() error { return r.f.Close() }

// Open opens unsafePath beneath the root with the O_* flags, to which
// O_CLOEXEC is added; mode counts only with O_CREAT. The last component is
// followed unless O_NOFOLLOW is given. O_NONBLOCK is for opening only: the file
// that is returned waits. See openat2(2), RESOLVE_IN_ROOT.
func (r *Root) Open(unsafePath string, flags int, mode uint32) (*os.File, error) {
	if err := check(unsafePath); err != nil {
		return nil, pathError("open", unsafePath, err)
	}
	fd, err := openat2(r.FD(), unsafePath, flags, mode, resolveInRoot)
	runtime.KeepAlive(r)
	if err == nil && flags&unix.O_NONBLOCK != 0 {
		if err = unix.SetNonblock(fd, false); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return nil, pathError("open", unsafePath, err)
	}
	return os.NewFile(uintptr(fd), unsafePath), nil
}

// Parent resolves all of unsafePath but its last component and returns the
// directory with the name of that component, which is never "", "." or
// "..": such paths have no name and yield EINVAL. The directory is a handle
// for *at system calls (O_PATH).
func (r *Root) Parent(unsafePath string) (dir *os.File, base string, err error) {
	parent, base, err := split(unsafePath)
	if err != nil {
		return nil, "", pathError("open", unsafePath, err)
	}
	dir, err = r.Open(parent, unix.O_PATH|unix.O_DIRECTORY, 0)
	return dir, base, err
}

// Lstat describes unsafePath without following its last component.
func (r *Root) Lstat(unsafePath string) (unix.Stat_t, error) {
	var st unix.Stat_t
	f, err := r.Open(unsafePath, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return st, err
	}
	defer f.Close()
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return st, pathError("fstat", unsafePath, err)
	}
	return st, nil
}

// Readlink returns the target of the symlink at unsafePath; EINVAL if it is
// something else.
func (r *Root) Readlink(unsafePath string) (string, error) {
	f, err := r.Open(unsafePath, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	target, err := readlinkat(int(f.Fd()), "")
	if err == unix.ENOENT { // what the kernel says of an O_PATH handle that is no symlink
		err = unix.EINVAL
	}
	if err != nil {
		return "", pathError("readlink", unsafePath, err)
	}
	return target, nil
}

// check refuses names that no system call would take as they are.
func check(unsafePath string) error {
	if unsafePath == "" || strings.IndexByte(unsafePath, 0) >= 0 {
		return unix.EINVAL
	}
	return nil
}

// split separates the last component of unsafePath.
func split(unsafePath string) (parent, base string, err error) {
	if err := check(unsafePath); err != nil {
		return "", "", err
	}
	p := strings.TrimRight(unsafePath, "/")
	i := strings.LastIndexByte(p, '/')
	parent, base = p[:i+1], p[i+1:]
	if base == "" || base == "." || base == ".." {
		return "", "", unix.EINVAL
	}
	if parent == "" {
		parent = "."
	}
	return parent, base, nil
}

func pathError(op, path string, err error) error {
	return &os.PathError{Op: op, Path: path, Err: err}
}

// openat2 is openat2(2), repeated while the kernel asks for it.
func openat2(dirfd int, path string, flags int, mode uint32, resolve uint64) (int, error) {
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: resolve}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(mode)
	}
	for try := 1; ; try++ {
		fd, err := unix.Openat2(dirfd, path, &how)
		if err == unix.EINTR || err == unix.EAGAIN && try < maxRetries {
			continue
		}
		return fd, err
	}
}

// readlinkat reads a link of any length.
func readlinkat(dirfd int, name string) (string, error) {
	for size := 256; ; size *= 2 {
		buf := make([]byte, size)
		n, err := unix.Readlinkat(dirfd, name, buf)
		if err != nil {
			return "", err
		}
		if n < size {
			return string(buf[:n]), nil
		}
	}
}
