// Package snapshot records what a directory tree looks like, and finds what
// has changed since.
//
// The record is a manifest in the format of mtree(5), in the words of umoci
// and gomtree, so that either tool understands the other's. Beside it lies a
// smaller record of inodes and change times, by which most files are known to
// be unchanged without being read.
//
// Trees are walked by descriptor; no symlink is followed and nothing but
// regular files and directories is opened. The package knows nothing of images
// and layers.
package snapshot

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"hash"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Entry is one object of a tree.
type Entry struct {
	Path   string // relative to the root; "" is the root
	Type   string // mtree's word: file, dir, link, char, block, fifo, socket
	Size   int64
	UID    uint32
	GID    uint32
	Mode   uint32 // permissions, set-id and sticky bits
	Nlink  uint64
	Link   string            // target of a symlink
	MTime  int64             // seconds
	Xattrs map[string]string // nil if there are none
	Sum    *[sha256.Size]byte

	stat stamp
}

// stamp tells whether a file can have changed: all of it must be the same.
type stamp struct {
	inode        uint64
	mtime, ctime unix.Timespec
}

// Options say how a tree is walked.
type Options struct {
	// Rootless: directories and files that the owner may not read are made
	// readable for a moment.
	Rootless bool
}

// visitor is told about the objects of a tree in the order of mtree: of each
// directory itself, then what is not a directory, then the directories.
type visitor interface {
	// visit may keep e. The cursor is at e: its content can be read.
	visit(c *cursor, e *Entry) error
	// leave is called after the last object of a directory.
	leave() error
}

// cursor is at one object of the walk.
type cursor struct {
	options Options
	dirfd   int
	name    string
	buf     []byte
}

// walk visits the tree below the open directory root.
func walk(root int, options Options, v visitor) error {
	c := &cursor{options: options, dirfd: root, name: "."}
	e, err := c.look("")
	if err != nil {
		return err
	}
	return c.walkDir(e, v)
}

func (c *cursor) walkDir(e *Entry, v visitor) error {
	if err := v.visit(c, e); err != nil {
		return err
	}
	fd, release, err := c.openDir(e)
	if err != nil {
		return pathError(e.Path, err)
	}
	defer release()
	inside := &cursor{options: c.options, dirfd: fd, buf: c.buf}
	names, err := listNames(fd, fewNames)
	if err != nil {
		return pathError(e.Path, err)
	}
	defer names.close()
	if err := inside.walkFiles(e.Path, names, v); err != nil {
		return err
	}
	for inside.name = range names.marked() {
		path := join(e.Path, inside.name)
		d, err := inside.look(path)
		if err != nil {
			return err
		}
		if d.Type != "dir" {
			return pathError(path, errChanged)
		}
		if err := inside.walkDir(d, v); err != nil {
			return err
		}
	}
	c.buf = inside.buf
	return cmp.Or(names.err(), v.leave())
}

// walkFiles visits what is not a directory and marks the directories.
func (c *cursor) walkFiles(dir string, names *nameList, v visitor) error {
	for c.name = range names.all() {
		e, err := c.look(join(dir, c.name))
		if err != nil {
			return err
		}
		if e.Type == "dir" {
			names.mark(c.name)
			continue
		}
		if err := v.visit(c, e); err != nil {
			return err
		}
	}
	return names.err()
}

// errChanged says that somebody works on a tree while it is walked.
var errChanged = errors.New("changed while it was looked at")

// look describes the object, all but its content and attributes.
func (c *cursor) look(path string) (*Entry, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(c.dirfd, c.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, pathError(path, os.NewSyscallError("fstatat", err))
	}
	e := &Entry{
		Path: path, Type: typeOf(st.Mode), Size: st.Size, UID: st.Uid, GID: st.Gid,
		Mode:  st.Mode & 0o7777,
		Nlink: uint64(st.Nlink),   //nolint:unconvert // 32 bits on some architectures
		MTime: int64(st.Mtim.Sec), //nolint:unconvert // as above
		stat:  stamp{st.Ino, st.Mtim, st.Ctim},
	}
	if e.Type == "link" {
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(c.dirfd, c.name, buf)
		if err != nil {
			return nil, pathError(path, os.NewSyscallError("readlinkat", err))
		}
		e.Link = string(buf[:n])
	}
	return e, nil
}

func typeOf(mode uint32) string {
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		return "dir"
	case unix.S_IFLNK:
		return "link"
	case unix.S_IFCHR:
		return "char"
	case unix.S_IFBLK:
		return "block"
	case unix.S_IFIFO:
		return "fifo"
	case unix.S_IFSOCK:
		return "socket"
	}
	return "file"
}

// readXattrs adds the extended attributes to e.
func (c *cursor) readXattrs(e *Entry) error {
	err := c.tryXattrs(e)
	if !errors.Is(err, unix.EACCES) || !c.options.Rootless || e.Type == "link" {
		return err
	}
	// User attributes take the right to read, which root always has.
	if err := unix.Fchmodat(c.dirfd, c.name, e.Mode|0o400, 0); err != nil {
		return pathError(e.Path, os.NewSyscallError("fchmodat", err))
	}
	e.Xattrs = nil
	return errors.Join(c.tryXattrs(e), unix.Fchmodat(c.dirfd, c.name, e.Mode, 0))
}

func (c *cursor) tryXattrs(e *Entry) error {
	// The last component of a path through the directory's descriptor is not
	// followed by the l-calls; there is no listxattrat(2) before Linux 6.13.
	path := "/proc/self/fd/" + strconv.Itoa(c.dirfd) + "/" + c.name
	n, err := unix.Llistxattr(path, nil)
	if errors.Is(err, unix.ENOTSUP) || (err == nil && n == 0) {
		return nil
	}
	if err != nil {
		return pathError(e.Path, os.NewSyscallError("llistxattr", err))
	}
	list := make([]byte, n)
	if n, err = unix.Llistxattr(path, list); err != nil {
		return pathError(e.Path, os.NewSyscallError("llistxattr", err))
	}
	for name := range strings.SplitSeq(string(list[:n]), "\x00") {
		if name == "" { // behind the last; or overlayfs had counted some that it does not show
			continue
		}
		value := make([]byte, 64<<10) // XATTR_SIZE_MAX; xattr(7)
		n, err := unix.Lgetxattr(path, name, value)
		if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
			continue
		}
		if err != nil {
			return pathError(e.Path, os.NewSyscallError("lgetxattr", err))
		}
		if e.Xattrs == nil {
			e.Xattrs = map[string]string{}
		}
		e.Xattrs[name] = string(value[:n])
	}
	return nil
}

// hash feeds the content of a regular file to h.
func (c *cursor) hash(e *Entry, h hash.Hash) error {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	fd, err := unix.Openat(c.dirfd, c.name, flags, 0)
	if errors.Is(err, unix.EACCES) && c.options.Rootless {
		fd, err = c.openUnreadable(e, flags, 0o400)
	}
	if err != nil {
		return pathError(e.Path, os.NewSyscallError("openat", err))
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Ino != e.stat.inode || typeOf(st.Mode) != "file" {
		return pathError(e.Path, errChanged)
	}
	if c.buf == nil {
		c.buf = make([]byte, 128<<10)
	}
	for {
		n, err := unix.Read(fd, c.buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return pathError(e.Path, os.NewSyscallError("read", err))
		}
		if n == 0 {
			return nil
		}
		h.Write(c.buf[:n])
	}
}

func (c *cursor) sum(e *Entry) error {
	h := sha256.New()
	if err := c.hash(e, h); err != nil {
		return err
	}
	e.Sum = new([sha256.Size]byte)
	h.Sum(e.Sum[:0])
	return nil
}

// openUnreadable opens what the caller owns but may not read, as root could.
func (c *cursor) openUnreadable(e *Entry, flags int, bits uint32) (int, error) {
	if err := unix.Fchmodat(c.dirfd, c.name, e.Mode|bits, 0); err != nil {
		return -1, err
	}
	fd, err := unix.Openat(c.dirfd, c.name, flags, 0)
	return fd, errors.Join(err, unix.Fchmodat(c.dirfd, c.name, e.Mode, 0))
}

// openDir opens the directory at the cursor. What rootless has to change stays
// so until release, as names in it are looked up.
func (c *cursor) openDir(e *Entry) (fd int, release func(), err error) {
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	const needed = 0o500 // read and search
	dirfd, name := c.dirfd, c.name
	undo := func() {}
	if c.options.Rootless && e.Mode&needed != needed {
		if err := unix.Fchmodat(dirfd, name, e.Mode|needed, 0); err != nil {
			return -1, nil, os.NewSyscallError("fchmodat", err)
		}
		undo = func() { _ = unix.Fchmodat(dirfd, name, e.Mode, 0) } // it was so before
	}
	fd, err = unix.Openat(dirfd, name, flags, 0)
	if err != nil {
		undo()
		return -1, nil, os.NewSyscallError("openat", err)
	}
	return fd, func() { unix.Close(fd); undo() }, nil
}

func pathError(path string, err error) error {
	if path == "" {
		path = "."
	}
	return &os.PathError{Op: "snapshot", Path: path, Err: err}
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

func baseOf(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

func parentOf(path string) string { return path[:max(0, strings.LastIndexByte(path, '/'))] }
