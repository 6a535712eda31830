package tree

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Write writes value to a control file of dir in one write(2).
func Write(dir, name, value string) error {
	f, err := open(unix.AT_FDCWD, filepath.Join(dir, name), unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	return WriteFile(f, value)
}

// WriteAt is Write relative to an open directory.
func WriteAt(dir *os.File, name, value string) error {
	f, err := open(int(dir.Fd()), name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	return WriteFile(f, value)
}

// WriteFile writes value in one write(2): a control file takes each write as
// a whole command.
func WriteFile(f *os.File, value string) error {
	return pathError("write "+strconv.Quote(value), f.Name(), ignoringEINTR(func() error {
		_, err := unix.Write(int(f.Fd()), []byte(value))
		return err
	}))
}

// OpenFile opens a control file of dir for reading.
func OpenFile(dir, name string) (*os.File, error) {
	return open(unix.AT_FDCWD, filepath.Join(dir, name), unix.O_RDONLY)
}

// Read reads a control file of dir.
func Read(dir, name string) (string, error) {
	f, err := OpenFile(dir, name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return ReadFile(f)
}

// ReadFile reads f from its start, also a second time.
func ReadFile(f *os.File) (string, error) {
	var all []byte
	buf := make([]byte, 4096)
	for {
		n := 0
		err := ignoringEINTR(func() (err error) {
			n, err = unix.Pread(int(f.Fd()), buf, int64(len(all)))
			return err
		})
		if err != nil {
			return "", pathError("read", f.Name(), err)
		}
		if n == 0 {
			return string(all), nil
		}
		all = append(all, buf[:n]...)
	}
}

// open opens close-on-exec and outside of Go's poller, which cgroup files
// cannot use.
func open(parentFD int, name string, flags int) (*os.File, error) {
	fd := -1
	err := ignoringEINTR(func() (err error) {
		fd, err = unix.Openat(parentFD, name, flags|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

func ignoringEINTR(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: path, Err: err}
}

// ReadInt reads a control file of dir that holds a number.
func ReadInt(dir, name string) (int64, error) {
	text, err := Read(dir, name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return n, pathError("parse", filepath.Join(dir, name), err)
}
