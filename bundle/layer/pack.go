package layer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/idmap"
)

// PackOptions say how objects of the host become entries of a layer.
type PackOptions struct {
	UIDs, GIDs []idmap.Map  // host ids to the layer's; empty: as they are
	Rootless   bool         // owners are those of user.rootlesscontainers, or root
	NotAfter   time.Time    // later modification times become this one; zero: none
	Owner      *Owner       // of everything, instead of what it is; may be nil
	Mode       *uint32      // of everything but symlinks, instead of what it is; may be nil
	Warn       func(string) // told about what a layer cannot hold; may be nil
}

// Owner is who objects belong to.
type Owner struct{ UID, GID int }

// Packer writes a layer: the same objects give the same bytes.
//
// Objects are opened beneath a descriptor and without following symlinks;
// nothing but regular files and directories is ever opened for reading.
type Packer struct {
	options PackOptions
	out     *tar.Writer
	seen    map[inode]string // name of the first entry of each hard-linked object
	buf     []byte
}

type inode struct{ dev, ino uint64 }

// NewPacker starts a layer that is written to w.
func NewPacker(w io.Writer, options PackOptions) *Packer {
	return &Packer{options: options, out: tar.NewWriter(w), seen: map[inode]string{}}
}

// Close ends the archive.
func (p *Packer) Close() error { return p.out.Close() }

// Whiteout hides name of the lower layers.
func (p *Packer) Whiteout(name string) error {
	dir, base := path.Split(name)
	if base == "" || base == "." || base == ".." || strings.HasPrefix(base, whiteoutPrefix) {
		return fmt.Errorf("whiteout of %s: not a name a layer can hide", quoteName(name))
	}
	return p.marker(dir + whiteoutPrefix + base)
}

// Opaque hides all children of the directory in the lower layers; "" is the
// root.
func (p *Packer) Opaque(dir string) error { return p.marker(joinPath(dir, opaqueName)) }

func (p *Packer) marker(name string) error {
	return p.out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, ModTime: time.Unix(0, 0)})
}

// AddTree stores the object at hostPath, with everything in it, as name. The
// directories that lead to name get no entries: a layer is merged into what
// is there. The path itself is trusted; if it is a symlink, that is stored.
func (p *Packer) AddTree(hostPath, name string) error {
	dir, base := filepath.Split(filepath.Clean(hostPath))
	if base == "" || base == ".." {
		dir, base = hostPath, "."
	}
	if dir == "" {
		dir = "."
	}
	parent, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(parent)
	return p.addChild(parent, base, name, name, CopyOptions{})
}

// Change is a path whose present state a layer has to bring about. The path is
// relative to the root; "" is the root itself.
type Change struct {
	Path    string
	Removed bool
}

// AddSorted stores changes of the tree, which are sorted by path; it ends at
// the first error among them.
func (p *Packer) AddSorted(t *Tree, changes iter.Seq2[Change, error]) error {
	parent, parentPath := -1, ""
	defer func() {
		if parent >= 0 {
			unix.Close(parent)
		}
	}()
	for c, err := range changes {
		if err != nil {
			return err
		}
		if err := checkNoWhiteout(c.Path); err != nil {
			return err
		}
		if c.Removed {
			if err := p.Whiteout(c.Path); err != nil {
				return err
			}
			continue
		}
		if dir := parentOf(c.Path); parent < 0 || dir != parentPath {
			if parent >= 0 {
				unix.Close(parent)
			}
			var err error
			if parent, err = t.root.openDir(dir, unix.O_PATH); err != nil {
				return fmt.Errorf("%s: %w", quoteName(c.Path), sysError("openat2", err))
			}
			parentPath = dir
		}
		if _, err := p.add(parent, path.Base(c.Path), c.Path); err != nil {
			return err
		}
	}
	return nil
}

// checkNoWhiteout refuses what another reader would take for a whiteout.
func checkNoWhiteout(name string) error {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, whiteoutPrefix) {
			return fmt.Errorf("%s: a layer cannot hold names that begin with %s", quoteName(name), whiteoutPrefix)
		}
	}
	return nil
}

// add stores one object, without what is in it.
func (p *Packer) add(dirfd int, base, name string) (isDirectory bool, err error) {
	if err := checkNoWhiteout(name); err != nil {
		return false, err
	}
	fd, err := unix.Openat(dirfd, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false, fmt.Errorf("%s: %w", quoteName(name), sysError("openat", err))
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, fmt.Errorf("%s: %w", quoteName(name), sysError("fstat", err))
	}
	if st.Mode&unix.S_IFMT == unix.S_IFSOCK {
		p.warn(fmt.Sprintf("%s: a layer cannot hold sockets: left out", quoteName(name)))
		return false, nil
	}
	restore, err := p.makeReadable(fd, &st)
	if err == nil {
		err = errors.Join(p.write(base, fd, &st, name), restore())
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", quoteName(name), err)
	}
	return st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

func (p *Packer) warn(message string) {
	if p.options.Warn != nil {
		p.options.Warn(message)
	}
}

// makeReadable lends the owner the right to read content and attributes, as
// root needs none (CAP_DAC_OVERRIDE); restore takes it back.
func (p *Packer) makeReadable(fd int, st *unix.Stat_t) (restore func() error, err error) {
	what, mode := st.Mode&unix.S_IFMT, st.Mode&0o7777
	if !p.options.Rootless || mode&0o400 != 0 || (what != unix.S_IFREG && what != unix.S_IFDIR) {
		return func() error { return nil }, nil
	}
	if err := unix.Chmod(procPath(fd), mode|0o400); err != nil {
		return nil, sysError("chmod", err)
	}
	return func() error { return sysError("chmod", unix.Chmod(procPath(fd), mode)) }, nil
}

func (p *Packer) write(base string, fd int, st *unix.Stat_t, name string) error {
	header, err := p.header(fd, st, name)
	if err != nil {
		return err
	}
	id := inode{uint64(st.Dev), st.Ino} //nolint:unconvert // 32 bits on some architectures
	if st.Mode&unix.S_IFMT != unix.S_IFDIR && st.Nlink > 1 {
		if first, ok := p.seen[id]; ok {
			header.Typeflag, header.Linkname, header.Size = tar.TypeLink, first, 0
			return p.out.WriteHeader(header)
		}
		p.seen[id] = name
	}
	if header.Typeflag != tar.TypeReg || header.Size == 0 {
		return p.out.WriteHeader(header)
	}
	file, err := openHandle(base, fd)
	if err != nil {
		return err
	}
	defer unix.Close(file)
	if err := p.out.WriteHeader(header); err != nil {
		return err
	}
	return p.copyContent(file, header.Size)
}

// header describes an object the way Go's tar writes it best: USTAR, with PAX
// records only where that has no room.
func (p *Packer) header(fd int, st *unix.Stat_t, name string) (*tar.Header, error) {
	header := &tar.Header{
		Name:    name,
		Mode:    int64(st.Mode & 0o7777),
		ModTime: time.Unix(int64(st.Mtim.Sec), 0), //nolint:unconvert // 32 bits on some architectures
	}
	if !p.options.NotAfter.IsZero() && header.ModTime.After(p.options.NotAfter) {
		header.ModTime = p.options.NotAfter.Truncate(time.Second)
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		header.Typeflag, header.Size = tar.TypeReg, st.Size
	case unix.S_IFDIR:
		header.Typeflag = tar.TypeDir
		if header.Name = name + "/"; name == "" {
			header.Name = "./"
		}
	case unix.S_IFLNK:
		target, err := readlink(fd, "")
		if err != nil {
			return nil, sysError("readlinkat", err)
		}
		header.Typeflag, header.Linkname = tar.TypeSymlink, target
	case unix.S_IFIFO:
		header.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		header.Typeflag = tar.TypeChar
		if st.Mode&unix.S_IFMT == unix.S_IFBLK {
			header.Typeflag = tar.TypeBlock
		}
		header.Devmajor, header.Devminor = int64(unix.Major(uint64(st.Rdev))), int64(unix.Minor(uint64(st.Rdev))) //nolint:unconvert // as above
	}
	if p.options.Mode != nil && header.Typeflag != tar.TypeSymlink {
		header.Mode = int64(*p.options.Mode)
	}
	xattrs, err := readXattrs(fd)
	if err != nil {
		return nil, err
	}
	if err := p.setOwner(header, st, xattrs); err != nil {
		return nil, err
	}
	for xattr, value := range xattrs {
		if ownedByHost(xattr) || len(value) == 0 {
			continue
		}
		if header.PAXRecords == nil {
			header.PAXRecords = map[string]string{}
		}
		header.PAXRecords[xattrPrefix+xattr] = string(value)
	}
	return header, nil
}

// setOwner maps the owner back to what the image calls it.
func (p *Packer) setOwner(header *tar.Header, st *unix.Stat_t, xattrs map[string][]byte) (err error) {
	if p.options.Owner != nil {
		header.Uid, header.Gid = p.options.Owner.UID, p.options.Owner.GID
		return nil
	}
	if p.options.Rootless {
		header.Uid, header.Gid, err = decodeOwner(xattrs[rootlessXattr])
		delete(xattrs, rootlessXattr)
		return err
	}
	if header.Uid, err = containerID("user", p.options.UIDs, st.Uid); err != nil {
		return err
	}
	header.Gid, err = containerID("group", p.options.GIDs, st.Gid)
	return err
}

func containerID(kind string, maps []idmap.Map, hostID uint32) (int, error) {
	if len(maps) == 0 {
		return int(hostID), nil
	}
	id, ok := idmap.ContainerID(maps, hostID)
	if !ok {
		return 0, fmt.Errorf("%s id %d of the host is not mapped", kind, hostID)
	}
	return int(id), nil
}

// readXattrs returns all extended attributes that can be read.
func readXattrs(fd int) (map[string][]byte, error) {
	names, err := listXattrs(fd)
	if err != nil {
		return nil, err
	}
	xattrs := map[string][]byte{}
	for _, name := range names {
		value, err := getXattr(fd, name)
		if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
			continue // gone meanwhile, or listed by a file system that cannot read it
		}
		if err != nil {
			return nil, fmt.Errorf("extended attribute %q: %w", name, sysError("getxattr", err))
		}
		xattrs[name] = value
	}
	return xattrs, nil
}

func getXattr(fd int, name string) ([]byte, error) {
	const guess = 256
	buf := make([]byte, guess)
	n, err := unix.Getxattr(procPath(fd), name, buf)
	if errors.Is(err, unix.ERANGE) {
		buf = make([]byte, 64<<10) // XATTR_SIZE_MAX; xattr(7)
		n, err = unix.Getxattr(procPath(fd), name, buf)
	}
	if err != nil {
		return nil, err
	}
	return buf[:n], nil
}

// openHandle opens the object behind an O_PATH descriptor for reading: the one
// that was looked at, whatever has its name now.
func openHandle(base string, handle int) (int, error) {
	fd, err := unix.Open(procPath(handle), unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: base, Err: err}
	}
	return fd, nil
}

// openDir opens a directory for listing. The descriptor is released with
// release, which takes back what rootless had to change.
func (p *Packer) openDir(dirfd int, base string) (fd int, release func(), err error) {
	fd, err = openForReading(dirfd, base)
	if !errors.Is(err, unix.EACCES) || !p.options.Rootless {
		return fd, func() { unix.Close(fd) }, err
	}
	handle, err := unix.Openat(dirfd, base, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, nil, sysError("openat", err)
	}
	var st unix.Stat_t
	if err = unix.Fstat(handle, &st); err == nil {
		err = unix.Chmod(procPath(handle), st.Mode&0o7777|0o700)
	}
	if err != nil {
		unix.Close(handle)
		return -1, nil, sysError("chmod", err)
	}
	undo := func() {
		_ = unix.Chmod(procPath(handle), st.Mode&0o7777) // it was so before
		unix.Close(handle)
	}
	if fd, err = openForReading(dirfd, base); err != nil {
		undo()
		return -1, nil, err
	}
	return fd, func() { unix.Close(fd); undo() }, nil
}

func (p *Packer) copyContent(fd int, size int64) error {
	if p.buf == nil {
		p.buf = make([]byte, contentChunk)
	}
	for done := int64(0); done < size; {
		n, err := unix.Read(fd, p.buf[:min(contentChunk, size-done)])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return sysError("read", err)
		}
		if n == 0 {
			return fmt.Errorf("shrank from %d to %d bytes while it was read", size, done)
		}
		if _, err := p.out.Write(p.buf[:n]); err != nil {
			return err
		}
		done += int64(n)
	}
	return nil
}
