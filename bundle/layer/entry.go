package layer

import (
	"archive/tar"
	"bytes"
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
	r.prepare()
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
	r.upper[parent.join(name)] = struct{}{}
	return nil
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
	return r.describeDir("", fd, header)
}

func (r *run) putDir(parent *dir, name string, header *tar.Header) error {
	if !isDir(parent.fd, name) {
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
	return r.describeDir(parent.join(name), fd, header)
}

// describeDir gives a directory the attributes of its entry. Its times wait
// until nothing more is put into it.
func (r *run) describeDir(canonical string, fd int, header *tar.Header) error {
	r.times[canonical] = headerTimes(header)
	return r.setAttributes(fd, header)
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
	if err := r.setAttributes(fd, header); err != nil {
		return err
	}
	return setTimes(fd, "", headerTimes(header))
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
	if err := unix.Fchownat(fd, "", header.Uid, header.Gid, unix.AT_EMPTY_PATH); err != nil {
		return sysError("fchownat", err)
	}
	if err := r.replaceXattrs(fd, header); err != nil {
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
	if err := r.setAttributes(fd, header); err != nil {
		return err
	}
	return setTimes(parent.fd, name, headerTimes(header))
}

// contentChunk is how much of a file is copied at once; also the smallest run
// of zeros that becomes a hole.
const contentChunk = 128 << 10

// writeContent copies size bytes to an empty file. Chunks of zeros are left
// out, so that a sparse file of a terabyte costs no terabyte.
func (r *run) writeContent(fd int, content io.Reader, size int64) error {
	if r.buf == nil {
		r.buf = make([]byte, 2*contentChunk)
	}
	chunk, zeros := r.buf[:contentChunk], r.buf[contentChunk:]
	hole := false
	for done := int64(0); done < size; {
		n, err := io.ReadFull(content, chunk[:min(contentChunk, size-done)])
		if err != nil {
			return fmt.Errorf("content ends after %d of %d bytes: %w", done+int64(n), size, io.ErrUnexpectedEOF)
		}
		done += int64(n)
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
