package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/hako-runtime/hako/libct/fastjson"
	"golang.org/x/sys/unix"
)

// pair is a wire of which the test holds the raw other end.
func pair(t testing.TB) (*Conn, int) {
	t.Helper()
	c, theirs, err := Pair()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(theirs.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, fd
}

func header(kind Kind, fds uint16, size uint32) []byte {
	h := make([]byte, headerLen)
	h[0] = byte(kind)
	binary.BigEndian.PutUint16(h[2:], fds)
	binary.BigEndian.PutUint32(h[4:], size)
	return h
}

// countFDs counts what is open, to find what leaks.
func countFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("needs /proc: ", err)
	}
	return len(entries)
}

// nulls opens n descriptors.
func nulls(t *testing.T, n int) []*os.File {
	t.Helper()
	files := make([]*os.File, n)
	for i := range files {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		files[i] = f
	}
	t.Cleanup(func() { CloseAll(files) })
	return files
}

func TestMessagesArriveAsTheyWereSent(t *testing.T) {
	big := NewFailure("step", errors.New(strings.Repeat("x", 3<<20))) // more than a socket's buffer
	for _, c := range []struct {
		kind    Kind
		payload fastjson.Marshaler
		files   int
	}{
		{Go, nil, 0}, {Ready, nil, 0}, {Fail, NewFailure("s", unix.EPERM), 0}, {Plan, big, 0},
		{Plan, nil, 1}, {Plan, nil, 200}, {Plan, nil, 201}, {Plan, big, 254}, {Plan, nil, 600},
	} {
		t.Run(fmt.Sprintf("%s with %d", c.kind, c.files), func(t *testing.T) {
			files := nulls(t, c.files)
			mine, fd := pair(t)
			theirs := &Conn{fd: fd}
			defer theirs.Close()
			sent := make(chan error)
			go func() { sent <- mine.Send(c.kind, c.payload, files...) }()
			kind, payload, got, err := theirs.Receive()
			if err != nil {
				t.Fatal(err)
			}
			defer CloseAll(got)
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			var want []byte
			if c.payload != nil {
				want, _ = fastjson.Marshal(c.payload)
			}
			if kind != c.kind || !bytes.Equal(payload, want) || len(got) != c.files {
				t.Errorf("%s, %d bytes, %d files; want %s, %d, %d", kind, len(payload), len(got), c.kind, len(want), c.files)
			}
			for _, f := range got {
				if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
					t.Fatalf("a descriptor is not close-on-exec: %v", err)
				}
			}
		})
	}
}

func TestSeveralMessagesKeepTheirDescriptors(t *testing.T) {
	mine, fd := pair(t)
	theirs := &Conn{fd: fd}
	defer theirs.Close()
	for n := range 4 {
		if err := mine.Send(Plan, NewFailure("", fmt.Errorf("%d", n)), nulls(t, n)...); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 4 {
		kind, payload, files, err := theirs.Receive()
		CloseAll(files)
		if kind != Plan || err != nil || len(files) != n || !strings.Contains(string(payload), fmt.Sprint(n)) {
			t.Errorf("message %d: %s %s, %d files, %v", n, kind, payload, len(files), err)
		}
	}
}

func TestTooMuchIsNotSent(t *testing.T) {
	mine, fd := pair(t)
	null := nulls(t, 1)
	many := make([]*os.File, maxFDs+1)
	for i := range many {
		many[i] = null[0]
	}
	if err := mine.Send(Plan, nil, many...); err == nil {
		t.Error("too many descriptors were sent")
	}
	if err := mine.Send(Plan, raw(make([]byte, maxPayload+1))); err == nil {
		t.Error("too many bytes were sent")
	}
	mine.Close()
	if n, err := unix.Read(fd, make([]byte, 1)); n != 0 || err != nil {
		t.Errorf("read %d, %v: a part was sent", n, err)
	}
	unix.Close(fd)
}

type raw []byte

func (r raw) MarshalEasyJSON(w *fastjson.Writer) { w.Raw(r, nil) }

func TestAwaitGoAcceptsNothingElse(t *testing.T) {
	for _, tt := range []struct {
		name string
		sent []byte // then the other side closes
		want error
	}{
		{"go", header(Go, 0, 0), nil},
		{"end of file", nil, io.EOF},
		{"cut", header(Go, 0, 0)[:headerLen-1], io.EOF},
		{"another message", header(Fail, 0, 0), errAny},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, fd := pair(t)
			if _, err := unix.Write(fd, tt.sent); err != nil {
				t.Fatal(err)
			}
			unix.Close(fd)
			err := c.AwaitGo()
			if (err == nil) != (tt.want == nil) || tt.want != nil && tt.want != errAny && !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

var errAny = errors.New("any error")

func TestHostileFrames(t *testing.T) {
	null := nulls(t, 1)
	send := func(fd int, b []byte, n int) {
		fds := make([]int, n)
		for i := range fds {
			fds[i] = int(null[0].Fd())
		}
		_ = unix.Sendmsg(fd, b, unix.UnixRights(fds...), nil, 0)
	}
	for _, c := range []struct {
		name string
		say  func(fd int)
		want string
		is   error
	}{
		{"nothing", func(int) {}, "EOF", io.EOF},
		{"half a header", func(fd int) { send(fd, header(Ready, 0, 0)[:5], 0) }, "unexpected EOF", io.ErrUnexpectedEOF},
		{"no payload", func(fd int) { send(fd, header(Fail, 0, 9), 0) }, "unexpected EOF", io.ErrUnexpectedEOF},
		{"half a payload", func(fd int) { send(fd, append(header(Fail, 0, 9), "abc"...), 0) }, "unexpected EOF", io.ErrUnexpectedEOF},
		{"oversized", func(fd int) { send(fd, header(Fail, 0, maxPayload+1), 0) }, "too large", nil},
		{"largest number", func(fd int) { send(fd, header(Fail, 0, 1<<32-1), 0) }, "too large", nil},
		{"too many announced", func(fd int) { send(fd, header(Fail, maxFDs+1, 0), 0) }, "too large", nil},
		{"fewer descriptors", func(fd int) { send(fd, header(Fail, 3, 0), 0); send(fd, []byte{0}, 2) }, "2 descriptors came where 3 were announced", nil},
		{"more descriptors", func(fd int) { send(fd, header(Fail, 3, 0), 0); send(fd, []byte{0}, 4) }, "4 descriptors came where 3 were announced", nil},
		{"many more descriptors", func(fd int) { send(fd, header(Fail, 3, 0), 0); send(fd, []byte{0}, 253) }, "descriptors came where 3", nil},
		{"a byte without descriptors", func(fd int) { send(fd, header(Fail, 1, 0), 0); send(fd, []byte{0}, 0) }, "0 descriptors came where 1", nil},
		{"no descriptors", func(fd int) { send(fd, header(Fail, 3, 0), 0) }, "unexpected EOF", io.ErrUnexpectedEOF},
		{"an end between batches", func(fd int) { send(fd, header(Fail, 201, 0), 0); send(fd, []byte{0}, 200) }, "unexpected EOF", io.ErrUnexpectedEOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			mine, fd := pair(t)
			before := countFDs(t)
			c.say(fd)
			if err := unix.Shutdown(fd, unix.SHUT_WR); err != nil {
				t.Fatal(err)
			}
			_, _, files, err := mine.Receive()
			if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v, want %s", err, c.want)
			}
			if len(files) != 0 {
				t.Errorf("%d files with an error", len(files))
			}
			unix.Close(fd)
			if after := countFDs(t); after != before-1 {
				t.Errorf("%d descriptors before, %d after", before-1, after)
			}
		})
	}
}

// TestDescriptorsWithTheBytesAreDropped: only those that are announced, and
// come behind the message, are ever seen.
func TestDescriptorsWithTheBytesAreDropped(t *testing.T) {
	null := nulls(t, 1)
	mine, fd := pair(t)
	before := countFDs(t)
	if err := unix.Sendmsg(fd, header(Ready, 0, 0), unix.UnixRights(int(null[0].Fd()), int(null[0].Fd())), nil, 0); err != nil {
		t.Fatal(err)
	}
	kind, _, files, err := mine.Receive()
	if kind != Ready || len(files) != 0 || err != nil {
		t.Errorf("%s, %d files, %v", kind, len(files), err)
	}
	if after := countFDs(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	unix.Close(fd)
}

func TestAClosedPeerIsAnErrorAndNoSignal(t *testing.T) {
	mine, fd := pair(t)
	unix.Close(fd)
	if err := mine.Send(Go, nil); !errors.Is(err, unix.EPIPE) {
		t.Errorf("send: %v, want EPIPE", err)
	}
	if _, _, _, err := mine.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("receive: %v, want EOF", err)
	}
}

// TestAPeerThatDiesWithSomethingUnread resets the connection: for the reader
// that is the end.
func TestAPeerThatDiesWithSomethingUnread(t *testing.T) {
	mine, fd := pair(t)
	if err := mine.Send(Go, nil); err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	if _, _, _, err := mine.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("receive: %v, want EOF", err)
	}
	// The same where descriptors are expected.
	mine, fd = pair(t)
	if err := mine.Send(Go, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(fd, header(Plan, 1, 0)); err != nil {
		t.Fatal(err)
	}
	var h [headerLen]byte
	if err := mine.read(h[:]); err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	if _, err := mine.receiveFiles(1); !errors.Is(err, io.EOF) {
		t.Errorf("descriptors: %v, want EOF", err)
	}
}

// TestAPlanLargerThanTheBufferToADyingReader ends, whatever was read.
func TestAPlanLargerThanTheBufferToADyingReader(t *testing.T) {
	for _, read := range []int{0, 1, headerLen, 100_000} {
		mine, fd := pair(t)
		sent := make(chan error)
		go func() {
			sent <- mine.Send(Plan, NewFailure("", errors.New(strings.Repeat("x", 8<<20))), nulls(t, 1)...)
		}()
		if _, err := io.ReadFull(reader(fd), make([]byte, read)); err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		if err := <-sent; !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("after %d bytes: %v, want EPIPE", read, err)
		}
	}
}

type reader int

func (r reader) Read(b []byte) (int, error) { return unix.Read(int(r), b) }

func TestExpect(t *testing.T) {
	null := nulls(t, 1)
	for _, c := range []struct {
		name string
		kind Kind
		body fastjson.Marshaler
		keep bool
		want string // "" is success
		is   error
	}{
		{"expected", Go, NewFailure("s", unix.EPERM), true, "", nil},
		{"expected, descriptors are not", Go, NewFailure("s", unix.EPERM), false, "", nil},
		{"failure", Fail, NewFailure("s", unix.EPERM), true, "s: operation not permitted", unix.EPERM},
		{"something else", Ready, nil, true, "ready message where go was expected", nil},
		{"no payload", Go, nil, true, "EOF", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			mine, fd := pair(t)
			theirs := &Conn{fd: fd}
			before := countFDs(t)
			if err := theirs.Send(c.kind, c.body, null[0]); err != nil {
				t.Fatal(err)
			}
			var files []*os.File
			keep := &files
			if !c.keep {
				keep = nil
			}
			err := mine.Expect(Go, new(Failure), keep)
			if c.want == "" != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v, want %s", err, c.want)
			}
			CloseAll(files)
			if after := countFDs(t); after != before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
			theirs.Close()
		})
	}
}

func TestAFailureKeepsTextAndErrno(t *testing.T) {
	for _, c := range []struct {
		f    *Failure
		want string
		is   error
	}{
		{NewFailure("mount", fmt.Errorf("/data: %w", unix.EACCES)), "mount: /data: permission denied", unix.EACCES},
		{NewFailure("mount", errors.New("odd \"\n\x00\xff")), "mount: odd \"\n\x00\ufffd", nil},
		{NewFailure("", unix.ENOENT), "no such file or directory", unix.ENOENT},
		{&Failure{Step: "s", Text: "exec: x", Bare: true}, "exec: x", nil},
		{&Failure{Text: "x", Errno: -1}, "x", nil},
		{&Failure{Text: "x", Errno: 1 << 40}, "x", nil},
	} {
		data, err := fastjson.Marshal(c.f)
		if err != nil {
			t.Fatal(err)
		}
		got := ReadFailure(data)
		if got.Error() != c.want || c.is != nil && !errors.Is(got, c.is) {
			t.Errorf("%q, want %q", got, c.want)
		}
		if cause := errors.Unwrap(got); c.is == nil && cause != nil {
			_ = cause.Error() // must not panic
			if errors.Is(got, unix.EPERM) {
				t.Errorf("%q is EPERM", got)
			}
		}
	}
}

func TestOnlyASocketIsInherited(t *testing.T) {
	null := nulls(t, 1)
	for _, fd := range []int{int(null[0].Fd()), -1, 1 << 20} {
		if _, err := Inherited(fd); err == nil {
			t.Errorf("descriptor %d was taken for the wire", fd)
		}
	}
	_, fd := pair(t)
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
	c, err := Inherited(fd)
	if err != nil {
		t.Fatal(err)
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("it would survive execve: %v", err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error("closing twice: ", err)
		}
	}
}

// FuzzReceive: any bytes give a message within the limits or an error, and
// no descriptor that was not announced.
func FuzzReceive(f *testing.F) {
	f.Add([]byte{}, uint8(0))
	f.Add(header(Ready, 0, 0), uint8(0))
	f.Add(append(header(Fail, 0, 11), `{"text":"x"}`...), uint8(1))
	f.Add(append(header(Plan, 1, 2), `{}.`...), uint8(2))
	f.Add(header(Plan, 0xffff, 1<<32-1), uint8(3))
	f.Add(append(header(Report, 2, 0), 0, 0), uint8(1))
	null, err := os.Open("/dev/null")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte, fds uint8) {
		if len(data) > 1<<16 {
			return // the socket's buffer: nobody reads while we write
		}
		mine, fd := pair(t)
		rights := make([]int, fds%8)
		for i := range rights {
			rights[i] = int(null.Fd())
		}
		if len(data) > 0 {
			if err := unix.Sendmsg(fd, data[:len(data)-1], nil, nil, 0); err != nil {
				t.Skip(err)
			}
			if err := unix.Sendmsg(fd, data[len(data)-1:], unix.UnixRights(rights...), nil, 0); err != nil {
				t.Skip(err)
			}
		}
		unix.Close(fd)
		for {
			kind, payload, files, err := mine.Receive()
			CloseAll(files)
			if err != nil {
				if len(files) > 0 {
					t.Error("files with an error")
				}
				return
			}
			if len(payload) > len(data) || len(files) > len(rights) {
				t.Errorf("%d bytes and %d files of %d and %d", len(payload), len(files), len(data), len(rights))
			}
			if kind == Fail {
				_ = ReadFailure(payload).Error()
			}
		}
	})
}
