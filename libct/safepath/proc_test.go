package safepath

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func procs(t *testing.T) map[string]*Proc {
	t.Helper()
	opened, err := OpenProc()
	if err != nil {
		t.Fatal(err)
	}
	own, err := NewProc()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Close(); own.Close() })
	return map[string]*Proc{"opened": opened, "own": own}
}

func TestProcReadsAndWrites(t *testing.T) {
	for name, p := range procs(t) {
		data, err := p.ReadFile("self/status")
		if err != nil || !strings.Contains(string(data), "Pid:\t"+strconv.Itoa(os.Getpid())+"\n") {
			t.Errorf("%s: self is somebody else: %v", name, err)
		}
		if err := p.WriteFile("thread-self/comm", []byte("hako-test")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := p.ReadFile("sys/kernel/ostype"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProcRefuses(t *testing.T) {
	// Where a resolver that fails this test may write.
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		want       error
	}{
		{"a magic link", "self/exe", unix.ELOOP},
		{"a descriptor", "self/fd/0", unix.ELOOP},
		{"a root", "self/root" + victim, unix.ELOOP},
		{"dots", ".." + victim, unix.EXDEV},
		{"an absolute name", victim, unix.EXDEV},
		{"an empty name", "", unix.EINVAL},
		{"a NUL", "self/comm\x00", unix.EINVAL},
		{"what does not exist", "no/such", unix.ENOENT},
	} {
		for name, p := range procs(t) {
			t.Run(c.name+", "+name, func(t *testing.T) {
				if f, err := p.Open(c.path, unix.O_RDONLY); !errors.Is(err, c.want) {
					t.Errorf("got %v, %v", f, err)
				}
				if err := p.WriteFile(c.path, []byte("x")); !errors.Is(err, c.want) {
					t.Errorf("write: got %v", err)
				}
			})
		}
	}
}

// The container of these tests has a hostile /proc; each case runs in a mount
// namespace of its own.
func TestHostileProc(t *testing.T) {
	cases := map[string]func(t *testing.T){
		"a tmpfs is not procfs": func(t *testing.T) {
			mount(t, "tmpfs", "/proc", "tmpfs", 0)
			if _, err := OpenProc(); !errors.Is(err, ErrNotProc) {
				t.Errorf("got %v", err)
			}
		},
		"a directory of procfs is not its root": func(t *testing.T) {
			mount(t, "/proc/self", "/proc", "", unix.MS_BIND)
			if _, err := OpenProc(); !errors.Is(err, ErrNotProc) {
				t.Errorf("got %v", err)
			}
		},
		"a covered file is refused": func(t *testing.T) {
			mount(t, "/dev/null", "/proc/"+strconv.Itoa(os.Getpid())+"/comm", "", unix.MS_BIND)
			p, err := OpenProc()
			if err != nil {
				t.Fatal(err)
			}
			if err := p.WriteFile("self/comm", []byte("x")); !errors.Is(err, unix.EXDEV) {
				t.Errorf("got %v", err)
			}
		},
		"an own instance sees below": func(t *testing.T) {
			mount(t, "/dev/null", "/proc/"+strconv.Itoa(os.Getpid())+"/comm", "", unix.MS_BIND)
			p, err := NewProc()
			if err != nil {
				t.Fatal(err)
			}
			if err := p.WriteFile("self/comm", []byte("seen")); err != nil {
				t.Error(err)
			}
		},
	}
	if name := os.Getenv("HAKO_SAFEPATH_TEST"); name != "" {
		cases[name](t)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: mount namespaces")
	}
	for name := range cases {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe", "-test.run=^TestHostileProc$")
			cmd.Env = append(os.Environ(), "HAKO_SAFEPATH_TEST="+name)
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func mount(t *testing.T, source, target, fsType string, flags uintptr) {
	t.Helper()
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(source, target, fsType, flags, ""); err != nil {
		t.Fatal(err)
	}
}
