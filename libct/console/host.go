package console

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// messageName goes with the descriptor; engines show it at most.
const messageName = "/dev/ptmx"

// Send hands the master to the other end of a stream socket and says that
// nothing follows. The payload is the name, as with runc: a message of a
// stream socket must not be empty. SCM_RIGHTS: unix(7).
// Runs in the container, or on the host after a restore.
func Send(socket, master *os.File) error {
	rights := unix.UnixRights(int(master.Fd()))
	if err := retry(func() error {
		return unix.Sendmsg(int(socket.Fd()), []byte(messageName), rights, nil, unix.MSG_NOSIGNAL)
	}); err != nil {
		return fmt.Errorf("console socket: %w", os.NewSyscallError("sendmsg", err))
	}
	// Best effort: the receiver has what it needs, and may be gone already.
	_ = unix.Shutdown(int(socket.Fd()), unix.SHUT_WR)
	return nil
}

// Receive waits for the one descriptor that [Send] sends and checks that it is
// a terminal. The name is the sender's to choose and ignored.
// Runs on the host.
func Receive(socket *os.File) (*os.File, error) {
	name := make([]byte, 4096)
	control := make([]byte, unix.CmsgSpace(4*16))
	var n, controlN int
	err := retry(func() (err error) {
		n, controlN, _, _, err = unix.Recvmsg(int(socket.Fd()), name, control, unix.MSG_CMSG_CLOEXEC)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("console socket: %w", os.NewSyscallError("recvmsg", err))
	}
	if n == 0 && controlN == 0 {
		return nil, errors.New("console socket: closed before a terminal was sent")
	}
	fds := descriptors(control[:controlN])
	if len(fds) != 1 {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return nil, fmt.Errorf("console socket: %d descriptors, want one terminal", len(fds))
	}
	master := os.NewFile(uintptr(fds[0]), messageName)
	if !IsTerminal(master) {
		master.Close()
		return nil, errors.New("console socket: the descriptor is not a terminal")
	}
	return master, nil
}

// descriptors collects all that arrived, so that none stays open by mistake.
func descriptors(control []byte) (fds []int) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	for i := range messages {
		if rights, err := unix.ParseUnixRights(&messages[i]); err == nil {
			fds = append(fds, rights...)
		}
	}
	return fds
}

// Dial connects to the socket of --console-socket. The path may be longer
// than the 107 bytes of a socket address. Runs on the host.
func Dial(path string) (*os.File, error) {
	target, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("console socket: %w", &os.PathError{Op: "open", Path: path, Err: err})
	}
	defer unix.Close(target)
	var stat unix.Stat_t
	if err := unix.Fstat(target, &stat); err != nil {
		return nil, fmt.Errorf("console socket: %w", &os.PathError{Op: "fstat", Path: path, Err: err})
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return nil, fmt.Errorf("console socket %s: not a socket", path)
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	address := &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(target)}
	if err := retry(func() error { return unix.Connect(fd, address) }); err != nil {
		unix.Close(fd)
		return nil, dialError(path, err)
	}
	return os.NewFile(uintptr(fd), path), nil
}

func dialError(path string, err error) error {
	wrapped := os.NewSyscallError("connect", err)
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return fmt.Errorf("console socket %s: nobody listens: %w", path, wrapped)
	case errors.Is(err, unix.EPROTOTYPE):
		return fmt.Errorf("console socket %s: not a stream socket: %w", path, wrapped)
	}
	return fmt.Errorf("console socket %s: %w", path, wrapped)
}

// ClearONLCR stops the terminal from sending "\r\n" for "\n". It is for a
// terminal that the runtime itself copies from; the user's terminal, see
// [MakeRaw], does that translation then. A terminal that is sent to
// --console-socket is left as the kernel makes it: engines count on it.
func ClearONLCR(terminal *os.File) error {
	termios, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		return os.NewSyscallError("ioctl TCGETS", err)
	}
	termios.Oflag &^= unix.ONLCR
	return os.NewSyscallError("ioctl TCSETS", unix.IoctlSetTermios(int(terminal.Fd()), unix.TCSETS, termios))
}

// MakeRaw lets every byte typed at the user's terminal through unchanged, as
// cfmakeraw(3), but leaves output processing on: it translates the "\n" of a
// container whose terminal has ONLCR off. restore may be called more than
// once. Runs on the host.
func MakeRaw(terminal *os.File) (restore func() error, err error) {
	fd := int(terminal.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, os.NewSyscallError("ioctl TCGETS", err)
	}
	raw := *before
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	raw.Oflag |= unix.OPOST
	raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	raw.Cflag &^= unix.CSIZE | unix.PARENB
	raw.Cflag |= unix.CS8
	raw.Cc[unix.VMIN] = 1
	raw.Cc[unix.VTIME] = 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &raw); err != nil {
		return nil, os.NewSyscallError("ioctl TCSETS", err)
	}
	restore = func() error {
		return os.NewSyscallError("ioctl TCSETS", unix.IoctlSetTermios(int(terminal.Fd()), unix.TCSETS, before))
	}
	return restore, nil
}

// ControllingTerminal opens the terminal of the caller's session, for when
// standard input, output and error are all redirected. tty(4).
// Runs on the host.
func ControllingTerminal() (*os.File, error) {
	terminal, err := os.OpenFile("/dev/tty", os.O_RDWR|unix.O_NOCTTY, 0)
	if errors.Is(err, unix.ENXIO) {
		return nil, fmt.Errorf("a terminal is asked for, but there is none: %w", err)
	}
	return terminal, err
}

func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
