// Package wire carries typed messages and descriptors between the host and
// the init stage, over one socket pair.
//
// A leaf: payloads are JSON of whatever the two sides agree on, in generated
// code, because reflection would cost each start half a millisecond. The host
// treats everything that it reads as hostile: lengths are checked, and no
// number from the other side is used as a descriptor, a pid or a path.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"unsafe"

	"github.com/hako-runtime/hako/libct/fastjson"
	"golang.org/x/sys/unix"
)

//go:generate ../fastjson/generate zwire.go wire.go

// Kind says what a message means.
type Kind uint8

// The messages of a start, in their order.
const (
	Plan    Kind = iota + 1 // host → init: everything, once
	Hooks                   // init → host: run the hooks of the runtime namespace now
	Go                      // host → init: hooks are done, the listener is taken, or you are in the cgroup; go on
	Seccomp                 // init → host: the filter is installed; take its listener
	Report                  // init → host, before Ready or Fail, if there is anything to tell
	Ready                   // init → host: waiting for start
	Fail                    // init → host: this is why it ended
)

func (k Kind) String() string {
	names := [...]string{Plan: "plan", Hooks: "hooks", Go: "go", Seccomp: "seccomp", Report: "report", Ready: "ready", Fail: "fail"}
	if int(k) < len(names) && names[k] != "" {
		return names[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Limits of one message.
const (
	maxPayload    = 64 << 20 // bytes
	maxFDs        = 4096
	fdsPerMessage = 200 // SCM_MAX_FD is 253; unix(7)
	headerLen     = 8
)

// Failure is the payload of Fail. As an error it reads like the original one
// and matches its errno.
//
//easyjson:json
type Failure struct {
	Step  string `json:"step"`
	Text  string `json:"text"`
	Errno int    `json:"errno,omitempty"` // of the system call that failed; 0 if none did
	Hook  bool   `json:"hook,omitempty"`  // a hook failed
	Bare  bool   `json:"bare,omitempty"`  // Text is the whole message: the program cannot be executed
}

// NewFailure describes err, which happened in step.
func NewFailure(step string, err error) *Failure {
	f := &Failure{Step: step, Text: err.Error()}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		f.Errno = int(errno)
	}
	return f
}

// ReadFailure decodes the payload of Fail; the error is the failure itself.
func ReadFailure(payload []byte) error {
	f := new(Failure)
	if err := fastjson.Unmarshal(payload, f); err != nil {
		return fmt.Errorf("failure of the init stage: %w", err)
	}
	return f
}

func (f *Failure) Error() string {
	if f.Step == "" || f.Bare {
		return f.Text
	}
	return f.Step + ": " + f.Text
}

// Unwrap makes errors.Is see the errno.
func (f *Failure) Unwrap() error {
	if f.Errno == 0 {
		return nil
	}
	return syscall.Errno(f.Errno)
}

// Conn is one end of the wire. It blocks in system calls, without the
// runtime's poller; it is for one goroutine.
type Conn struct {
	fd     int
	inside bool // of the container
}

// Pair makes a connected wire; the file is the other side's end.
func Pair() (*Conn, *os.File, error) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	return &Conn{fd: p[0]}, os.NewFile(uintptr(p[1]), "wire"), nil
}

// Inherited is the end that the parent left at descriptor fd. It will be
// closed on exec.
func Inherited(fd int) (*Conn, error) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil || kind != unix.AF_UNIX {
		return nil, fmt.Errorf("descriptor %d is not hako's socket: init is not for use by hand", fd)
	}
	unix.CloseOnExec(fd)
	return &Conn{fd: fd, inside: true}, nil
}

// Close closes the wire; the other side reads end of file.
func (c *Conn) Close() error {
	if c.fd < 0 {
		return nil
	}
	err := unix.Close(c.fd)
	c.fd = -1
	return err
}

// Send sends one message; payload may be nil.
func (c *Conn) Send(kind Kind, payload fastjson.Marshaler, files ...*os.File) error {
	var body []byte
	if payload != nil {
		var err error
		if body, err = fastjson.Marshal(payload); err != nil {
			return err
		}
	}
	if len(body) > maxPayload || len(files) > maxFDs {
		return fmt.Errorf("%s message of %d bytes and %d descriptors is too large", kind, len(body), len(files))
	}
	msg := make([]byte, headerLen, headerLen+len(body))
	msg[0] = byte(kind)
	binary.BigEndian.PutUint16(msg[2:], uint16(len(files)))
	binary.BigEndian.PutUint32(msg[4:], uint32(len(body)))
	if err := c.write(append(msg, body...)); err != nil {
		return err
	}
	return c.sendFiles(files)
}

func (c *Conn) write(b []byte) error {
	for len(b) > 0 {
		n, err := c.writeSome(b)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// writeSome uses write(2) inside: under the container's filter it is the one
// call that is sure to be decided without anybody's help. The Go runtime
// ignores the SIGPIPE of a host that has died.
func (c *Conn) writeSome(b []byte) (n int, err error) {
	if c.inside {
		n, err = unix.Write(c.fd, b)
		return n, os.NewSyscallError("write", err)
	}
	n, err = unix.SendmsgN(c.fd, b, nil, nil, unix.MSG_NOSIGNAL)
	return n, os.NewSyscallError("sendmsg", err)
}

// sendFiles sends descriptors behind a message, each batch with one byte.
func (c *Conn) sendFiles(files []*os.File) error {
	for len(files) > 0 {
		n := min(len(files), fdsPerMessage)
		fds := make([]int, n)
		for i, f := range files[:n] {
			fds[i] = int(f.Fd())
		}
		if err := retry(func() error {
			return unix.Sendmsg(c.fd, []byte{0}, unix.UnixRights(fds...), nil, unix.MSG_NOSIGNAL)
		}); err != nil {
			return os.NewSyscallError("sendmsg", err)
		}
		files = files[n:]
	}
	return nil
}

// Receive reads the next message. Its files belong to the caller.
// The error is io.EOF if the other side is gone.
func (c *Conn) Receive() (kind Kind, payload []byte, files []*os.File, err error) {
	var h [headerLen]byte
	if err := c.read(h[:]); err != nil {
		return 0, nil, nil, err
	}
	kind = Kind(h[0])
	nfds := int(binary.BigEndian.Uint16(h[2:]))
	size := binary.BigEndian.Uint32(h[4:])
	if size > maxPayload || nfds > maxFDs {
		return kind, nil, nil, fmt.Errorf("%s message of %d bytes and %d descriptors is too large", kind, size, nfds)
	}
	payload = make([]byte, size)
	if err := c.read(payload); err != nil {
		return kind, nil, nil, notEOF(err)
	}
	for len(files) < nfds {
		batch, err := c.receiveFiles(min(nfds-len(files), fdsPerMessage))
		files = append(files, batch...)
		if err != nil {
			CloseAll(files)
			return kind, nil, nil, notEOF(err)
		}
	}
	return kind, payload, files, nil
}

// Expect reads the next message, which must be of the given kind or a Fail,
// which is returned as an error, and decodes it into payload if not nil.
// Descriptors are accepted only if keep is not nil.
func (c *Conn) Expect(want Kind, payload fastjson.Unmarshaler, keep *[]*os.File) error {
	kind, body, files, err := c.Receive()
	if err != nil {
		return err
	}
	if keep != nil && kind == want {
		*keep = files
	} else {
		CloseAll(files)
	}
	if kind == Fail {
		return ReadFailure(body)
	}
	if kind != want {
		return fmt.Errorf("%s message where %s was expected", kind, want)
	}
	if payload == nil {
		return nil
	}
	return fastjson.Unmarshal(body, payload)
}

// AwaitGo waits for [Go] in a raw system call, during which the Go runtime starts
// no thread. It fails with io.EOF if the other side is gone.
func (c *Conn) AwaitGo() error {
	var h [headerLen]byte
	for {
		n, _, errno := syscall.RawSyscall(unix.SYS_READ, uintptr(c.fd), uintptr(unsafe.Pointer(&h[0])), headerLen)
		switch {
		case errno == unix.EINTR:
			continue
		case errno != 0 && errno != unix.ECONNRESET:
			return os.NewSyscallError("read", errno)
		case errno != 0 || n < headerLen:
			return io.EOF
		case Kind(h[0]) != Go:
			return fmt.Errorf("%s message where %s was expected", Kind(h[0]), Go)
		}
		return nil
	}
}

func (c *Conn) read(b []byte) error {
	for done := 0; done < len(b); {
		n, err := unix.Read(c.fd, b[done:])
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ECONNRESET):
			return io.EOF // the other side died with something unread
		case err != nil:
			return os.NewSyscallError("read", err)
		case n == 0 && done == 0:
			return io.EOF
		case n == 0:
			return io.ErrUnexpectedEOF
		default:
			done += n
		}
	}
	return nil
}

func (c *Conn) receiveFiles(n int) ([]*os.File, error) {
	var b [1]byte
	oob := make([]byte, unix.CmsgSpace(4*fdsPerMessage))
	var data, got, flags int
	err := retry(func() (err error) {
		data, got, flags, _, err = unix.Recvmsg(c.fd, b[:], oob, unix.MSG_CMSG_CLOEXEC)
		return err
	})
	if errors.Is(err, unix.ECONNRESET) || err == nil && data == 0 {
		return nil, io.EOF
	}
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	var files []*os.File
	messages, err := unix.ParseSocketControlMessage(oob[:got])
	if err != nil {
		return nil, err
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue // credentials or the like: not asked for
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	if len(files) != n || flags&unix.MSG_CTRUNC != 0 {
		return files, fmt.Errorf("%d descriptors came where %d were announced (limit of open files?)", len(files), n)
	}
	return files, nil
}

// CloseAll closes files.
func CloseAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
