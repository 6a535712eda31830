package layer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// beneath is the descriptor of a root filesystem that no path of an image
// leads out of. Only this file turns paths into descriptors; everything else
// works on a directory's descriptor and a single name in it.
type beneath struct {
	fd int
}

func openBeneath(path string) (beneath, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return beneath{}, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return beneath{fd: fd}, nil
}

func (b beneath) close() error { return unix.Close(b.fd) }

// openDir opens a directory at a path that is known to hold no symlink; one
// that turns up nevertheless is an error (ELOOP), never followed. "" is the
// root itself.
func (b beneath) openDir(canonical string, flags uint64) (int, error) {
	if canonical == "" {
		canonical = "."
	}
	return b.open(canonical, unix.OpenHow{
		Flags:   flags | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// openInRoot resolves unsafePath as a process inside the root would: symlinks
// are followed, and "/" and ".." end at the root.
func (b beneath) openInRoot(unsafePath string, flags uint64) (int, error) {
	return b.open(unsafePath, unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// open calls openat2, again when a rename or mount anywhere on the system made
// the kernel unsure that it stayed beneath (EAGAIN; openat2(2)): at once at
// first, then a second long while the system is busy with such.
func (b beneath) open(path string, how unix.OpenHow) (int, error) {
	const atOnce, inAll = 100, 1100
	for attempt := 1; ; attempt++ {
		fd, err := unix.Openat2(b.fd, path, &how)
		again := errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR)
		if err == nil || !again || attempt == inAll {
			return fd, err
		}
		if attempt > atOnce {
			time.Sleep(time.Millisecond)
		}
	}
}

// readFile reads a regular file of at most maxBytes. What else may be there
// is not opened: a FIFO would block, a device could do anything.
func (b beneath) readFile(unsafePath string, maxBytes int64) ([]byte, error) {
	handle, err := b.openInRoot(unsafePath, unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer unix.Close(handle)
	var st unix.Stat_t
	if err := unix.Fstat(handle, &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, errors.New("not a regular file")
	}
	if st.Size > maxBytes {
		return nil, fmt.Errorf("%d bytes, at most %d are read", st.Size, maxBytes)
	}
	f, err := os.Open(procPath(handle))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxBytes))
}

// procPath names the object behind a descriptor for the calls that take only
// a path, or refuse an O_PATH descriptor; the kernel does not walk a path
// again (proc_pid_fd(5)).
func procPath(fd int) string {
	return "/proc/self/fd/" + strconv.Itoa(fd)
}
