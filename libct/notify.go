package libct

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// notifyProxy passes the container's sd_notify(3) messages on to the service
// manager that started hako. The container gets a socket of its own: a
// sender inside could not be told from others, and the manager's socket does
// not exist in its root.
type notifyProxy struct {
	fd   int    // the container writes here; -1: there is no manager to tell
	path string // of the manager's socket
}

// notifySocket is where the container's socket will be, "" without a manager.
func (r *Runtime) notifySocket(id string) string {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return ""
	}
	return filepath.Join(r.Root, id, "notify", "notify.sock")
}

// makeNotifyDir makes the folder that is mounted into the container.
func (r *Runtime) makeNotifyDir(id string) error {
	path := r.notifySocket(id)
	if path == "" {
		return nil
	}
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.Chmod(filepath.Dir(path), 0o755) // whatever the umask
}

// listenNotify makes the container's socket, just before its program starts.
func (c *Container) listenNotify() (*notifyProxy, error) {
	n := &notifyProxy{fd: -1, path: os.Getenv("NOTIFY_SOCKET")}
	path := c.r.notifySocket(c.record.ID)
	if _, err := os.Stat(filepath.Dir(path)); path == "" || err != nil {
		return n, nil //nolint:nilerr // created without a manager
	}
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: filepath.Dir(path), Err: err}
	}
	defer unix.Close(dir)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	// By descriptor: the path may be longer than the 108 bytes of sun_path.
	short := "/proc/self/fd/" + strconv.Itoa(dir) + "/" + filepath.Base(path)
	// For whatever user the process is. Not by chmod(2) afterwards: a name in
	// a folder that the container sees could be something else by then.
	before := unix.Umask(0)
	err = unix.Bind(fd, &unix.SockaddrUnix{Name: short})
	unix.Umask(before)
	if err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "bind", Path: path, Err: err}
	}
	n.fd = fd
	return n, nil
}

func (n *notifyProxy) close() {
	if n.fd >= 0 {
		unix.Close(n.fd)
		n.fd = -1
	}
}

const maxNotify = 4096 // bytes of one message that are read

// forward waits until the container says that it is ready, or has ended, and
// tells the manager with the main pid as the host sees it.
func (n *notifyProxy) forward(c *Container) error {
	if n.fd < 0 {
		return nil
	}
	defer n.close()
	pidfd, err := openPidfd(c.record.Pid, c.record.StartTime)
	if errors.Is(err, ErrNotRunning) {
		return nil
	}
	if err != nil {
		return err
	}
	defer pidfd.Close()
	for {
		fds := []unix.PollFd{{Fd: int32(n.fd), Events: unix.POLLIN}, {Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("poll", err)
		}
		if fds[0].Revents&unix.POLLIN == 0 {
			if fds[1].Revents != 0 {
				return nil // it ended without a word
			}
			continue
		}
		buf := make([]byte, maxNotify)
		got, err := unix.Read(n.fd, buf)
		if err != nil {
			return os.NewSyscallError("read", err)
		}
		if message := wanted(string(buf[:got])); message != "" {
			return n.tell(message + "MAINPID=" + strconv.Itoa(c.record.Pid) + "\n")
		}
	}
}

// wanted keeps the lines of a message that may come from a container: its own
// MAINPID would be a pid of another namespace. It is empty until READY=1.
func wanted(message string) string {
	var keep strings.Builder
	ready := false
	for line := range strings.Lines(message) {
		line = strings.TrimSuffix(line, "\n")
		if line == "READY=1" {
			ready = true
		}
		if line == "READY=1" || strings.HasPrefix(line, "STATUS=") {
			keep.WriteString(line + "\n")
		}
	}
	if !ready {
		return ""
	}
	return keep.String()
}

// tell sends message to the manager. A leading "@" is the abstract namespace;
// sd_notify(3).
func (n *notifyProxy) tell(message string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, []byte(message), unix.MSG_NOSIGNAL, &unix.SockaddrUnix{Name: n.path}); err != nil {
		return fmt.Errorf("NOTIFY_SOCKET %s: %w", n.path, err)
	}
	return nil
}
