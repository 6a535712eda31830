package libct

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestStartTimeOfProcessesWithHostileNames(t *testing.T) {
	for _, comm := range []string{"a", ") Z 1 2", "((", "))))", ") S 1 (x", "\n) R 1", " ", "\xff\xfe"} {
		t.Run(strconv.Quote(comm), func(t *testing.T) {
			// A process is named after the file it executes; proc_pid_comm(5).
			program := filepath.Join(t.TempDir(), comm)
			sleep, err := os.ReadFile("/bin/sleep")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(program, sleep, 0o700); err != nil {
				t.Fatal(err)
			}
			before, err := startTime(os.Getpid())
			if err != nil {
				t.Fatal(err)
			}
			p, err := os.StartProcess(program, []string{"sleep", "1000"}, &os.ProcAttr{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = p.Kill(); _, _ = p.Wait() }()
			name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", p.Pid))
			if err != nil || string(name) != comm+"\n" {
				t.Fatalf("the process is called %q, %v", name, err)
			}
			// A moment after us; another field would be something quite different.
			got, err := startTime(p.Pid)
			if err != nil || got < before || got > before+100*60*60 {
				t.Errorf("%d, %v; want a little more than %d", got, err, before)
			}
		})
	}
}

func TestParseStat(t *testing.T) {
	fields := func(threads string) string {
		return " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 " + threads + " 18 4711 20"
	}
	rest := fields("1")
	for _, c := range []struct {
		name, stat string
		want       uint64
		is         error
	}{
		{"running", "7 (sh) R" + rest, 4711, nil},
		{"name with parentheses", "7 (a) Z 1 (b) S" + rest, 4711, nil},
		{"zombie", "7 (sh) Z" + rest, 0, unix.ESRCH},
		{"dead", "7 (sh) X" + rest, 0, unix.ESRCH},
		{"zombie on its way out", "7 (sh) Z" + fields("0"), 0, unix.ESRCH},
		{"others live on when the first thread has ended", "7 (sh) Z" + fields("2"), 4711, nil},
		{"empty", "", 0, errAny},
		{"no name", "7 sh R" + rest, 0, errAny},
		{"cut", "7 (sh) R 1 2 3", 0, errAny},
		{"nothing after the name", "7 (sh)", 0, errAny},
		{"no number", strings.Replace("7 (sh) R"+rest, "4711", "x", 1), 0, strconv.ErrSyntax},
		{"negative", strings.Replace("7 (sh) R"+rest, "4711", "-1", 1), 0, strconv.ErrSyntax},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseStat([]byte(c.stat))
			if got != c.want || (err == nil) != (c.is == nil) || c.is != nil && c.is != errAny && !errors.Is(err, c.is) {
				t.Errorf("%d, %v; want %d, %v", got, err, c.want, c.is)
			}
		})
	}
}

var errAny = errors.New("any error")

func TestAReusedNumberIsNotTheProcess(t *testing.T) {
	self := os.Getpid()
	since, err := startTime(self)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		pid   int
		since uint64
		want  bool
	}{
		{"itself", self, since, true}, {"older", self, since - 1, false}, {"newer", self, since + 1, false},
		{"never saved", 0, 0, false}, {"negative: a group", -1, since, false}, {"no such process", 1 << 22, since, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := openPidfd(c.pid, c.since)
			if alive(c.pid, c.since) != c.want || (err == nil) != c.want || !c.want && !errors.Is(err, ErrNotRunning) {
				t.Errorf("alive: %v, pidfd: %v", !c.want, err)
			}
			if f != nil {
				f.Close()
			}
		})
	}
}

func TestWaitGoneEndsInTime(t *testing.T) {
	p, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Kill(); _, _ = p.Wait() }()
	since, err := startTime(p.Pid)
	if err != nil {
		t.Fatal(err)
	}
	pidfd, err := openPidfd(p.Pid, since)
	if err != nil {
		t.Fatal(err)
	}
	defer pidfd.Close()
	if err := waitGone(pidfd, 20*time.Millisecond); err == nil {
		t.Error("a living process is gone")
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := waitGone(pidfd, time.Minute); err != nil {
		t.Error(err)
	}
}

func TestExitCode(t *testing.T) {
	for status, want := range map[unix.WaitStatus]int{0: 0, 7 << 8: 7, 255 << 8: 255, 9: 137, 15: 143, 11 | 0x80: 139} {
		if got := exitCode(status); got != want {
			t.Errorf("%#x: %d, want %d", uint32(status), got, want)
		}
	}
}

func TestPidFile(t *testing.T) {
	victim := func(dir string) string { return filepath.Join(dir, "victim") }
	for _, c := range []struct {
		name string
		put  func(dir string) error
		want error
	}{
		{"new", func(string) error { return nil }, nil},
		{"old", func(d string) error { return os.WriteFile(d+"/pid", []byte("123456789"), 0o600) }, nil},
		{"link in its place", func(d string) error { return os.Symlink(victim(d), d+"/pid") }, nil},
		{"leftover", func(d string) error { return os.WriteFile(d+"/.pid", []byte("123456789"), 0o600) }, nil},
		{"link in the way", func(d string) error { return os.Symlink(victim(d), d+"/.pid") }, nil},
		{"hard link in the way", func(d string) error { return os.Link(victim(d), d+"/.pid") }, nil},
		{"FIFO in the way", func(d string) error { return unix.Mkfifo(d+"/.pid", 0o600) }, nil},
		{"folder in the way", func(d string) error { return os.MkdirAll(d+"/.pid/x", 0o700) }, fs.ErrExist},
		{"folder in its place", func(d string) error { return os.MkdirAll(d+"/pid/x", 0o700) }, fs.ErrExist},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(victim(dir), []byte("victim"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := c.put(dir); err != nil {
				t.Fatal(err)
			}
			err := writePidFile(dir+"/pid", 42)
			if !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			if text, _ := os.ReadFile(victim(dir)); string(text) != "victim" {
				t.Errorf("the victim is %q", text)
			}
			if c.want != nil {
				return
			}
			if text, err := os.ReadFile(dir + "/pid"); string(text) != "42" || err != nil {
				t.Errorf("%q, %v", text, err)
			}
			if _, err := os.Lstat(dir + "/.pid"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the temporary file: %v", err)
			}
		})
	}
	if err := writePidFile("", 1); err != nil {
		t.Errorf("no pid file: %v", err)
	}
	if err := writePidFile(filepath.Join(t.TempDir(), "none/pid"), 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing folder: %v", err)
	}
}

func TestListenFDs(t *testing.T) {
	self := strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		pid, fds string
		want     int
	}{
		{self, "3", 3}, {"", "3", 3}, {"1", "3", 0}, {self + " ", "3", 0}, {self, "", 0}, {self, "-1", 0},
		{self, "x", 0}, {self, "99999999999999999999", 0},
	} {
		t.Setenv("LISTEN_PID", c.pid)
		t.Setenv("LISTEN_FDS", c.fds)
		if got := listenFDs(); got != c.want {
			t.Errorf("LISTEN_PID=%q LISTEN_FDS=%q: %d, want %d", c.pid, c.fds, got, c.want)
		}
	}
}

func TestWhatAContainerMayTellTheServiceManager(t *testing.T) {
	for message, want := range map[string]string{
		"READY=1":                        "READY=1\n",
		"READY=1\nSTATUS=up\n":           "READY=1\nSTATUS=up\n",
		"STATUS=starting":                "",
		"READY=1\nMAINPID=1\nFDSTORE=1":  "READY=1\n",
		"READY=1\nSTOPPING=1\nERRNO=2":   "READY=1\n",
		"READY=10":                       "",
		"XREADY=1":                       "",
		"":                               "",
		"MAINPID=1\n\n\nREADY=1":         "READY=1\n",
		"READY=1\nSTATUS=a\nMAINPID=1\n": "READY=1\nSTATUS=a\n",
	} {
		if got := wanted(message); got != want {
			t.Errorf("%q became %q, want %q", message, got, want)
		}
	}
}

func TestTheFirstErrorIsTold(t *testing.T) {
	first, second := errors.New("first"), errors.New("second")
	if err := firstWith([]error{first, nil, nil}); err != first {
		t.Errorf("got %v", err)
	}
	err := firstWith([]error{first, nil, second})
	if err.Error() != "first; clean-up: second" || !errors.Is(err, first) || !errors.Is(err, second) {
		t.Errorf("got %v", err)
	}
}
