package rootfs

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxDepth bounds copyUp: a directory of the image can be deeper than our
// descriptors last.
const maxDepth = 256

// copyUp copies the contents of the directory src, which may be hostile, into
// the empty directory dst: types, contents, owners, modes, extended
// attributes and times. Hard links become files of their own. Nothing is
// followed, and device nodes are copied, never opened.
func copyUp(src, dst int) error {
	in, err := unix.Openat(src, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("openat", err)
	}
	out, err := unix.Openat(dst, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(in)
		return os.NewSyscallError("openat", err)
	}
	return copyDir(os.NewFile(uintptr(in), "."), os.NewFile(uintptr(out), "."), maxDepth)
}

// copyDir copies what is in src and closes both.
func copyDir(src, dst *os.File, depth int) error {
	defer src.Close()
	defer dst.Close()
	if depth == 0 {
		return &os.PathError{Op: "copy", Path: src.Name(), Err: unix.ELOOP}
	}
	names, err := src.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := copyEntry(src, dst, name, depth); err != nil {
			return err
		}
	}
	return nil
}

func copyEntry(src, dst *os.File, name string, depth int) error {
	from, to := int(src.Fd()), int(dst.Fd())
	var st unix.Stat_t
	if err := unix.Fstatat(from, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "stat", Path: name, Err: err}
	}
	var err error
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		err = copySubdir(src, dst, name, depth)
	case unix.S_IFREG:
		err = copyFile(from, to, name)
	case unix.S_IFLNK:
		err = copyLink(from, to, name, int(st.Size))
	case unix.S_IFSOCK:
		return nil // means nothing without its process
	default:
		err = unix.Mknodat(to, name, st.Mode, int(st.Rdev))
	}
	if err != nil {
		if pe := new(os.PathError); errors.As(err, &pe) {
			return err // of something below
		}
		return &os.PathError{Op: "copy", Path: name, Err: err}
	}
	return copyMeta(to, name, &st)
}

func copySubdir(src, dst *os.File, name string, depth int) error {
	if err := unix.Mkdirat(int(dst.Fd()), name, 0o700); err != nil {
		return err
	}
	const flags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	in, err := unix.Openat(int(src.Fd()), name, flags, 0)
	if err != nil {
		return err
	}
	out, err := unix.Openat(int(dst.Fd()), name, flags, 0)
	if err != nil {
		unix.Close(in)
		return err
	}
	copyXattrs(in, out)
	return copyDir(os.NewFile(uintptr(in), name), os.NewFile(uintptr(out), name), depth-1)
}

func copyFile(from, to int, name string) error {
	// O_NONBLOCK: it may have become a FIFO since it was looked at.
	in, err := unix.Openat(from, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(in)
	var st unix.Stat_t
	if err := unix.Fstat(in, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return unix.EAGAIN // exchanged meanwhile
	}
	out, err := unix.Openat(to, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(out)
	copyXattrs(in, out)
	for {
		n, err := unix.Sendfile(out, in, nil, 1<<30)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return err
		}
	}
}

func copyLink(from, to int, name string, size int) error {
	buf := make([]byte, size+1)
	n, err := unix.Readlinkat(from, name, buf)
	if err != nil {
		return err
	}
	if n > size {
		return unix.EAGAIN // exchanged meanwhile
	}
	return unix.Symlinkat(string(buf[:n]), to, name)
}

// copyXattrs is best effort: a tmpfs takes only some attributes.
func copyXattrs(in, out int) {
	size, err := unix.Flistxattr(in, nil)
	if err != nil || size == 0 {
		return
	}
	list := make([]byte, size)
	if size, err = unix.Flistxattr(in, list); err != nil {
		return
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(list[:size]), "\x00"), "\x00") {
		n, err := unix.Fgetxattr(in, name, nil)
		if err != nil {
			continue
		}
		value := make([]byte, n)
		if n, err = unix.Fgetxattr(in, name, value); err == nil {
			_ = unix.Fsetxattr(out, name, value[:n], 0)
		}
	}
}

// copyMeta sets owner, mode and times of an object that only we have seen.
func copyMeta(dirfd int, name string, st *unix.Stat_t) error {
	err := unix.Fchownat(dirfd, name, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFLNK {
		err = unix.Fchmodat(dirfd, name, st.Mode&0o7777, 0)
	}
	if err == nil {
		times := []unix.Timespec{st.Atim, st.Mtim}
		err = unix.UtimesNanoAt(dirfd, name, times, unix.AT_SYMLINK_NOFOLLOW)
	}
	if err != nil {
		return &os.PathError{Op: "copy", Path: name, Err: err}
	}
	return nil
}
