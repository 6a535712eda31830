package layer

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"path"

	"golang.org/x/sys/unix"
)

// apply does what one entry of the archive says.
func (r *run) apply(header *tar.Header, content io.Reader) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil // defaults for later entries; none that a layer uses
	}
	if err := r.prepare(); err != nil {
		return err
	}
	name, err := cleanName(header.Name)
	if err != nil {
		return err
	}
	if name == "" {
		return r.putRoot(header)
	}
	kind, err := classify(name)
	if err != nil || kind == ignored {
		return err
	}
	if kind != ordinary {
		return r.whiteout(name, kind)
	}
	parent, err := r.lookup(parentOf(name), true)
	if err != nil {
		return err
	}
	return r.put(parent, path.Base(name), header, content)
}

// put makes the object that header describes as name in parent. What was
// there is removed first, unless both are directories (layer.md, "Changeset
// over existing files").
func (r *run) put(parent *dir, name string, header *tar.Header, content io.Reader) error {
	if err := checkNumbers(header); err != nil {
		return err
	}
	var err error
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		err = r.putFile(parent, name, header, content)
	case tar.TypeDir:
		err = r.putDir(parent, name, header)
	case tar.TypeSymlink:
		err = r.putSymlink(parent, name, header)
	case tar.TypeLink:
		err = r.putHardLink(parent, name, header.Linkname)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		err = r.putNode(parent, name, header)
	default:
		err = fmt.Errorf("unknown type %q", header.Typeflag)
	}
	if err != nil {
		return err
	}
	return r.upper.add(parent.join(name))
}

// Widths of the two halves of a device number on Linux; the kernel drops
// higher bits (new_decode_dev in include/linux/kdev_t.h).
const (
	majorBits = 12
	minorBits = 20
)

// checkNumbers refuses ids and device numbers that the kernel would truncate
// or, with -1, take for "leave it as it is" (chown(2)).
func checkNumbers(header *tar.Header) error {
	for _, id := range []int{header.Uid, header.Gid} {
		if id < 0 || id >= math.MaxUint32 {
			return fmt.Errorf("owner %d:%d out of range", header.Uid, header.Gid)
		}
	}
	if header.Typeflag != tar.TypeChar && header.Typeflag != tar.TypeBlock {
		return nil
	}
	if uint64(header.Devmajor)>>majorBits != 0 || uint64(header.Devminor)>>minorBits != 0 {
		return fmt.Errorf("device %d:%d out of range", header.Devmajor, header.Devminor)
	}
	return nil
}

// create calls make, which must fail with EEXIST rather than reuse what is
// there; if it does, the old object is removed.
func (r *run) create(parent *dir, name, call string, make func() error) error {
	if err := r.touch(parent); err != nil {
		return err
	}
	err := make()
	if errors.Is(err, unix.EEXIST) {
		if err := r.remove(parent, name); err != nil {
			return err
		}
		err = make()
	}
	if err != nil {
		return sysError(call, err)
	}
	return nil
}

func (r *run) putRoot(header *tar.Header) error {
	if header.Typeflag != tar.TypeDir {
		return fmt.Errorf("the root must be a directory, not of type %q", header.Typeflag)
	}
	if err := checkNumbers(header); err != nil {
		return err
	}
	fd, err := r.tree.root.openDir("", unix.O_RDONLY)
	if err != nil {
		return sysError("openat2", err)
	}
	defer unix.Close(fd)
	return r.describeDir("", fd, header, false)
}

func (r *run) putDir(parent *dir, name string, header *tar.Header) error {
	isNew := !isDir(parent.fd, name)
	if isNew && r.tree.options.KeepDirlinks && r.isDirlink(parent, name) {
		return nil // later entries are written through it
	}
	if isNew {
		err := r.create(parent, name, "mkdirat", func() error {
			return unix.Mkdirat(parent.fd, name, 0o700)
		})
		if err != nil {
			return err
		}
	}
	fd, err := unix.Openat(parent.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return sysError("openat", err)
	}
	defer unix.Close(fd)
	return r.describeDir(parent.join(name), fd, header, isNew)
}

// isDirlink says whether name is a symlink that leads to a directory inside.
func (r *run) isDirlink(parent *dir, name string) bool {
	if _, err := readlink(parent.fd, name); err != nil {
		return false
	}
	_, err := r.lookup(parent.join(name), false)
	return err == nil
}

// describeDir gives a directory the attributes of its entry. Its times wait
// until nothing more is put into it.
func (r *run) describeDir(canonical string, fd int, header *tar.Header, isNew bool) error {
	r.times[canonical] = headerTimes(header)
	delete(r.tree.modes, canonical)
	if mode := uint32(header.Mode & 0o7777); r.tree.options.Rootless && mode&0o700 != 0o700 {
		r.tree.modes[canonical] = mode
		open := *header
		open.Mode |= 0o700
		header = &open
	}
	return r.setAttributes(fd, header, isNew)
}

func (r *run) putFile(parent *dir, name string, header *tar.Header, content io.Reader) error {
	fd := -1
	err := r.create(parent, name, "openat", func() (err error) {
		fd, err = unix.Openat(parent.fd, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := r.writeContent(fd, content, header.Size); err != nil {
		return err
	}
	if err := r.setAttributes(fd, header, true); err != nil {
		return err
	}
	if err := r.report(fd); err != nil {
		return err
	}
	return setTimes(fd, "", headerTimes(header))
}

// report tells the hash of the file that writeContent wrote last.
func (r *run) report(fd int) error {
	if r.tree.options.Hashed == nil {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return sysError("fstat", err)
	}
	var sum [sha256.Size]byte
	r.hash.Sum(sum[:0])
	r.tree.options.Hashed(st.Ino, sum)
	return nil
}

// putSymlink stores the target as it is: whoever follows it later resolves it
// in the container's root.
func (r *run) putSymlink(parent *dir, name string, header *tar.Header) error {
	err := r.create(parent, name, "symlinkat", func() error {
		return unix.Symlinkat(header.Linkname, parent.fd, name)
	})
	if err != nil {
		return err
	}
	fd, err := unix.Openat(parent.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return sysError("openat", err)
	}
	defer unix.Close(fd)
	if err := r.tree.setOwner(fd, header.Uid, header.Gid); err != nil {
		return err
	}
	if err := r.replaceXattrs(fd, header, true); err != nil {
		return err
	}
	return setTimes(parent.fd, name, headerTimes(header))
}

// putHardLink links to an object of the tree, also to a symlink itself. The
// entry's attributes are those of the target and are not applied.
func (r *run) putHardLink(parent *dir, name, unsafeTarget string) error {
	target, err := cleanName(unsafeTarget)
	if err != nil {
		return fmt.Errorf("link target: %w", err)
	}
	if target == "" {
		return errors.New("hard link to the root")
	}
	from, err := r.lookup(parentOf(target), false)
	if err != nil {
		return fmt.Errorf("link target %s: %w", quoteName(unsafeTarget), err)
	}
	base := path.Base(target)
	if from.path == parent.path && base == name {
		return checkExists(from.fd, base) // a link to itself is there already
	}
	err = r.create(parent, name, "linkat", func() error {
		return unix.Linkat(from.fd, base, parent.fd, name, 0)
	})
	if err != nil {
		return fmt.Errorf("link target %s: %w", quoteName(unsafeTarget), err)
	}
	return nil
}

// putNode makes a device or FIFO. It is never opened.
func (r *run) putNode(parent *dir, name string, header *tar.Header) error {
	mode := uint32(unix.S_IFIFO)
	switch header.Typeflag {
	case tar.TypeChar:
		mode = unix.S_IFCHR
	case tar.TypeBlock:
		mode = unix.S_IFBLK
	}
	if mode != unix.S_IFIFO && r.tree.options.SkipDevices {
		return nil
	}
	if mode != unix.S_IFIFO && r.tree.options.Rootless {
		return r.putDeviceFile(parent, name, header)
	}
	number := unix.Mkdev(uint32(header.Devmajor), uint32(header.Devminor))
	err := r.create(parent, name, "mknodat", func() error {
		return unix.Mknodat(parent.fd, name, mode, int(number))
	})
	if err != nil {
		return err
	}
	fd, err := unix.Openat(parent.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return sysError("openat", err)
	}
	defer unix.Close(fd)
	if err := r.setAttributes(fd, header, true); err != nil {
		return err
	}
	return setTimes(parent.fd, name, headerTimes(header))
}

// putDeviceFile makes the empty file that stands for a device where devices
// cannot be made: nobody may open it.
func (r *run) putDeviceFile(parent *dir, name string, header *tar.Header) error {
	file := *header
	file.Typeflag, file.Size, file.Mode = tar.TypeReg, 0, 0
	r.tree.warn("device", fmt.Sprintf("entry %s: a device became an empty file (further ones do so silently)", quoteName(header.Name)))
	return r.putFile(parent, name, &file, nil)
}

// contentChunk is how much of a file is copied at once; also the smallest run
// of zeros that becomes a hole.
const contentChunk = 128 << 10

// writeContent copies size bytes to an empty file. Chunks of zeros are left
// out, so that a sparse file of a terabyte costs no terabyte.
func (r *run) writeContent(fd int, content io.Reader, size int64) error {
	if r.buf == nil {
		r.buf = make([]byte, 2*contentChunk)
		r.hash = sha256.New()
	}
	r.hash.Reset()
	hashing := r.tree.options.Hashed != nil
	chunk, zeros := r.buf[:contentChunk], r.buf[contentChunk:]
	hole := false
	for done := int64(0); done < size; {
		n, err := io.ReadFull(content, chunk[:min(contentChunk, size-done)])
		if err != nil {
			return fmt.Errorf("content ends after %d of %d bytes: %w", done+int64(n), size, io.ErrUnexpectedEOF)
		}
		done += int64(n)
		if hashing {
			r.hash.Write(chunk[:n])
		}
		if hole = n == contentChunk && bytes.Equal(chunk, zeros); hole {
			_, err = unix.Seek(fd, int64(n), io.SeekCurrent)
		} else {
			err = writeAll(fd, chunk[:n])
		}
		if err != nil {
			return sysError("write", err)
		}
	}
	if hole {
		return sysError("ftruncate", unix.Ftruncate(fd, size))
	}
	return nil
}

func writeAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		p = p[max(n, 0):]
	}
	return nil
}

func isDir(dirfd int, name string) bool {
	var st unix.Stat_t
	err := unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	return err == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

func checkExists(dirfd int, name string) error {
	var st unix.Stat_t
	return sysError("fstatat", unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW))
}
