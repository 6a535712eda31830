package console

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// socketpair returns both ends of a stream.
func socketpair(t *testing.T) (a, b *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, b = os.NewFile(uintptr(fds[0]), "a"), os.NewFile(uintptr(fds[1]), "b")
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// hostTerminal allocates from the machine's own devpts.
func hostTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("needs /dev/ptmx: ", err)
	}
	slave, err = openPeer(master)
	if err != nil {
		t.Skip("needs a pseudo-terminal: ", err)
	}
	t.Cleanup(func() { master.Close(); slave.Close() })
	return master, slave
}

func TestSentTerminalIsTheSameOne(t *testing.T) {
	master, slave := hostTerminal(t)
	a, b := socketpair(t)
	if err := Send(a, master); err != nil {
		t.Fatal(err)
	}
	got, err := Receive(b)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if err := SetSize(got, 7, 9); err != nil {
		t.Fatal(err)
	}
	if rows, cols, _ := Size(slave); rows != 7 || cols != 9 {
		t.Errorf("size of the slave is %d %d", rows, cols)
	}
	if flags, _ := unix.FcntlInt(got.Fd(), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
		t.Error("not close-on-exec")
	}
}

func TestTheMessageIsWhatEnginesKnowFromRunc(t *testing.T) {
	master, _ := hostTerminal(t)
	a, b := socketpair(t)
	if err := Send(a, master); err != nil {
		t.Fatal(err)
	}
	buf, control := make([]byte, 100), make([]byte, unix.CmsgSpace(4))
	n, controlN, _, _, err := unix.Recvmsg(int(b.Fd()), buf, control, unix.MSG_CMSG_CLOEXEC)
	if err != nil || string(buf[:n]) != "/dev/ptmx" || controlN != len(control) {
		t.Errorf("message %q with %d bytes of control data, %v", buf[:n], controlN, err)
	}
	for _, fd := range descriptors(control[:controlN]) {
		unix.Close(fd)
	}
	if n, err := unix.Read(int(b.Fd()), buf); n != 0 || err != nil {
		t.Errorf("after the message: %d bytes, %v; want the end", n, err)
	}
}

func TestReceiveRefusesWhatIsNotOneTerminal(t *testing.T) {
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	fd := int(null.Fd())
	for _, tt := range []struct {
		name string
		fds  []int
		want string
	}{
		{"none", nil, "0 descriptors"},
		{"two", []int{fd, fd}, "2 descriptors"},
		{"a file", []int{fd}, "not a terminal"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := socketpair(t)
			before := openFDs(t)
			var control []byte
			if tt.fds != nil {
				control = unix.UnixRights(tt.fds...)
			}
			if err := unix.Sendmsg(int(a.Fd()), []byte("x"), control, nil, 0); err != nil {
				t.Fatal(err)
			}
			if _, err := Receive(b); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if after := openFDs(t); after != before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
	t.Run("closed", func(t *testing.T) {
		a, b := socketpair(t)
		a.Close()
		if _, err := Receive(b); err == nil || !strings.Contains(err.Error(), "closed before a terminal was sent") {
			t.Errorf("got %v", err)
		}
	})
}

func openFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("needs /proc: ", err)
	}
	return len(entries)
}

// listen makes a socket that accepts; with closed, one nobody listens on.
func listen(t *testing.T, path string, kind int, closed bool) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(dir)
	wd, _ := os.Getwd()
	if err := unix.Fchdir(dir); err != nil { // the path may be too long for bind
		t.Fatal(err)
	}
	defer os.Chdir(wd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: filepath.Base(path)}); err != nil {
		t.Fatal(err)
	}
	if closed {
		unix.Close(fd)
		return
	}
	if kind == unix.SOCK_STREAM {
		if err := unix.Listen(fd, 1); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { unix.Close(fd) })
}

func TestDialReachesAListenerAtAnyLength(t *testing.T) {
	for _, name := range []string{"s", strings.Repeat("d", 200) + "/s"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		listen(t, path, unix.SOCK_STREAM, false)
		socket, err := Dial(path)
		if err != nil {
			t.Fatalf("%d bytes: %v", len(path), err)
		}
		socket.Close()
	}
}

func TestDialSaysWhatIsWrongWithThePath(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	listen(t, filepath.Join(dir, "closed"), unix.SOCK_STREAM, true)
	listen(t, filepath.Join(dir, "dgram"), unix.SOCK_DGRAM, false)
	for _, tt := range []struct {
		name string
		want string
		is   error
	}{
		{"absent", "no such file or directory", fs.ErrNotExist},
		{"file", "not a socket", nil},
		{"closed", "nobody listens", unix.ECONNREFUSED},
		{"dgram", "not a stream socket", unix.EPROTOTYPE},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Dial(filepath.Join(dir, tt.name))
			if err == nil || !strings.HasPrefix(err.Error(), "console socket") || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want %q", err, tt.want)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v", err, tt.is)
			}
		})
	}
}

func TestRawLetsBytesThroughAndIsUndone(t *testing.T) {
	_, slave := hostTerminal(t)
	before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	restore, err := MakeRaw(slave)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
	if raw.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 || raw.Iflag&unix.ICRNL != 0 {
		t.Error("input is still processed")
	}
	if raw.Oflag&unix.OPOST == 0 || raw.Oflag&unix.ONLCR == 0 {
		t.Error("newlines of the container would not return the carriage")
	}
	for range 2 {
		if err := restore(); err != nil {
			t.Fatal(err)
		}
	}
	if after, _ := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS); *after != *before {
		t.Error("not as before")
	}
}

func TestOnlyTerminalsAreTerminals(t *testing.T) {
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if IsTerminal(null) {
		t.Error("/dev/null is a terminal")
	}
	if _, err := MakeRaw(null); err == nil {
		t.Error("MakeRaw of /dev/null worked")
	}
	if _, _, err := Size(null); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("Size: %v", err)
	}
}
