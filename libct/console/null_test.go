package console

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/safepath"
)

// hostNull makes standard input (to read) and output (to write) a scratch node
// that stands for the host's.
func hostNull(dir string) (*unix.Stat_t, error) {
	path := filepath.Join(dir, "host-null")
	if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		return nil, err
	}
	for fd, access := range []int{unix.O_RDONLY, unix.O_WRONLY} {
		f, err := os.OpenFile(path, access, 0)
		if err != nil {
			return nil, err
		}
		if err := unix.Dup3(int(f.Fd()), fd, 0); err != nil {
			return nil, err
		}
	}
	stat := new(unix.Stat_t)
	return stat, unix.Stat(path, stat)
}

func reopenNull(dir string) (in, out unix.Stat_t, err error) {
	root, err := safepath.OpenRoot(dir)
	if err != nil {
		return in, out, err
	}
	err = errors.Join(ReopenNull(root), unix.Fstat(0, &in), unix.Fstat(1, &out))
	return in, out, err
}

func childNull(dir string) error {
	if _, err := hostNull(dir); err != nil {
		return err
	}
	own := filepath.Join(dir, "dev/null")
	var want unix.Stat_t
	if err := errors.Join(os.Mkdir(filepath.Dir(own), 0o755),
		unix.Mknod(own, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), unix.Stat(own, &want)); err != nil {
		return err
	}
	in, out, err := reopenNull(dir)
	if err != nil {
		return err
	}
	if in.Ino != want.Ino || out.Ino != want.Ino {
		return fmt.Errorf("inodes %d and %d, want %d", in.Ino, out.Ino, want.Ino)
	}
	for fd, want := range []int{unix.O_RDONLY, unix.O_WRONLY} {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil || flags&(unix.O_ACCMODE|unix.O_NONBLOCK) != want {
			return fmt.Errorf("descriptor %d: flags %#o, %w", fd, flags, err)
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags != 0 {
			return fmt.Errorf("descriptor %d: closed by execve, %w", fd, err)
		}
	}
	return nil
}

// childNullNone: what is no null device is not opened; a FIFO would block.
func childNullNone(dir string) error {
	host, err := hostNull(dir)
	if err != nil {
		return err
	}
	own := filepath.Join(dir, "dev/null")
	for _, make := range []func() error{
		func() error { return nil },
		func() error { return os.Mkdir(filepath.Dir(own), 0o755) },
		func() error { return unix.Mkfifo(own, 0o666) },
		func() error { return errors.Join(os.Remove(own), os.Symlink("../host-null", own)) },
		func() error {
			return errors.Join(os.Remove(own), unix.Mknod(own, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))))
		},
	} {
		if err := make(); err != nil {
			return err
		}
		in, out, err := reopenNull(dir)
		if err != nil {
			return err
		}
		if in.Ino != host.Ino || out.Ino != host.Ino {
			return errors.New("reopened")
		}
	}
	return nil
}
