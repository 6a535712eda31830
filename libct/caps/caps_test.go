package caps

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const childEnv = "HAKO_CAPS_TEST_CHILD"

// TestMain runs a child of these tests when asked to: capabilities are changed
// in a process of their own, on a locked thread.
func TestMain(m *testing.M) {
	child, ok := children()[os.Getenv(childEnv)]
	if !ok {
		os.Exit(m.Run())
	}
	runtime.LockOSThread()
	if err := child(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runChild(t *testing.T, name string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: changes capabilities")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestParseTakesTheSpellingOfTheManPageOnly(t *testing.T) {
	tests := []struct {
		name    string
		in      []string
		want    uint64
		unknown []string
	}{
		{"nothing", nil, 0, nil},
		{"first and last", []string{"CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"}, 1 | 1<<40, nil},
		{"twice", []string{"CAP_KILL", "CAP_KILL"}, 1 << 5, nil},
		{"without prefix", []string{"KILL"}, 0, []string{"KILL"}},
		{"lower case", []string{"cap_kill"}, 0, []string{"cap_kill"}},
		{"unknown once each, in order", []string{"CAP_B", "CAP_A", "CAP_B", "CAP_SYS_ADMIN"}, 1 << 21, []string{"CAP_B", "CAP_A"}},
		{"empty name", []string{""}, 0, []string{""}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, unknown := Parse(tt.in)
			if got != tt.want || !slices.Equal(unknown, tt.unknown) {
				t.Errorf("Parse = %#x, %q; want %#x, %q", got, unknown, tt.want, tt.unknown)
			}
		})
	}
}

func TestNamesGoBackToTheSameMask(t *testing.T) {
	mask, unknown := Parse(Known())
	if unknown != nil || mask != All(len(Known())-1) {
		t.Fatalf("all names: mask %#x, unknown %q", mask, unknown)
	}
	if got := Names(mask); !slices.Equal(got, Known()) {
		t.Errorf("Names(all) = %q", got)
	}
	if got := Names(1 << 63); !slices.Equal(got, []string{"CAP_63"}) {
		t.Errorf("a bit without a name: %q", got)
	}
}

func TestNumbersAreTheKernels(t *testing.T) {
	for name, want := range map[string]int{
		"CAP_CHOWN": unix.CAP_CHOWN, "CAP_SETPCAP": unix.CAP_SETPCAP, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN,
		"CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN, "CAP_MKNOD": unix.CAP_MKNOD, "CAP_SETFCAP": unix.CAP_SETFCAP,
		"CAP_SYSLOG": unix.CAP_SYSLOG, "CAP_AUDIT_READ": unix.CAP_AUDIT_READ, "CAP_PERFMON": unix.CAP_PERFMON,
		"CAP_BPF": unix.CAP_BPF, "CAP_CHECKPOINT_RESTORE": unix.CAP_CHECKPOINT_RESTORE,
	} {
		if got, ok := number(name); !ok || got != want {
			t.Errorf("%s = %d, %v; want %d", name, got, ok, want)
		}
	}
	if len(table) != unix.CAP_LAST_CAP+1 {
		t.Errorf("%d names, the kernel headers have %d", len(table), unix.CAP_LAST_CAP+1)
	}
}

func TestAllCountsTheLast(t *testing.T) {
	for last, want := range map[int]uint64{-1: 0, 0: 1, 40: 1<<41 - 1, 63: ^uint64(0)} {
		if got := All(last); got != want {
			t.Errorf("All(%d) = %#x, want %#x", last, got, want)
		}
	}
}

func TestLastAgreesWithTheKernel(t *testing.T) {
	data, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		t.Skip("needs /proc: ", err)
	}
	want, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	if got, err := Last(); err != nil || got != want {
		t.Errorf("Last = %d, %v; want %d", got, err, want)
	}
}

func TestCurrentAgreesWithProc(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	got, err := Current()
	if err != nil {
		t.Fatal(err)
	}
	want, err := fromProc()
	if err != nil {
		t.Skip("needs /proc: ", err)
	}
	if got != want {
		t.Errorf("Current = %+v\nwant %+v", got, want)
	}
}

func TestBoundingSetBecomesExactlyWhatIsKept(t *testing.T) { runChild(t, "bounding") }
func TestDroppingWithoutPrivilegeIsAnError(t *testing.T)   { runChild(t, "bounding-eperm") }
func TestSetsAreAppliedAndAmbientWarns(t *testing.T)       { runChild(t, "apply") }
func TestWhatTheRuntimeLacksIsNamed(t *testing.T)          { runChild(t, "missing") }
func TestKeepCapsSurvivesTheChangeOfUser(t *testing.T)     { runChild(t, "keepcaps") }
func TestBitsBeyondTheKernelHaveNoEffect(t *testing.T)     { runChild(t, "beyond") }
func TestAmbientReachesTheProgram(t *testing.T)            { runChild(t, "ambient-exec") }

const kill, chown, netRaw = 1 << unix.CAP_KILL, 1 << unix.CAP_CHOWN, 1 << unix.CAP_NET_RAW

func children() map[string]func() error {
	return map[string]func() error{
		"bounding": func() error {
			if err := DropBounding(kill | chown | 1<<63); err != nil {
				return err
			}
			got, err := fromProc()
			if err == nil && got.Bounding != kill|chown {
				err = fmt.Errorf("bounding set %v", Names(got.Bounding))
			}
			return err
		},
		"bounding-eperm": func() error {
			if _, err := Apply(Sets{}); err != nil {
				return err
			}
			if err := DropBounding(0); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "CAP_CHOWN") {
				return fmt.Errorf("want EPERM for CAP_CHOWN, got %v", err)
			}
			return nil
		},
		"apply": func() error {
			want := Sets{Bounding: kill | chown | netRaw, Permitted: kill | chown | netRaw, Effective: kill, Inheritable: chown | netRaw, Ambient: netRaw}
			if err := DropBounding(want.Bounding); err != nil {
				return err
			}
			asked := want
			asked.Ambient |= kill // not inheritable
			failed, err := Apply(asked)
			if err != nil || failed != kill {
				return fmt.Errorf("ambient failed %v, %w", Names(failed), err)
			}
			got, err := fromProc()
			if err == nil && got != want {
				err = fmt.Errorf("got %+v, want %+v", got, want)
			}
			return err
		},
		"missing": func() error {
			if _, err := Apply(Sets{Permitted: kill, Effective: kill}); err != nil {
				return err
			}
			_, err := Apply(Sets{Permitted: kill | chown})
			if !errors.Is(err, unix.EPERM) || !strings.HasSuffix(err.Error(), "does not have CAP_CHOWN") {
				return fmt.Errorf("got %v", err)
			}
			_, err = Apply(Sets{Effective: kill})
			if !errors.Is(err, unix.EPERM) || !strings.HasSuffix(err.Error(), "effective but not permitted: CAP_KILL") {
				return fmt.Errorf("got %v", err)
			}
			return nil
		},
		"keepcaps": func() error {
			if err := SetKeepCaps(true); err != nil {
				return err
			}
			if _, _, errno := unix.RawSyscall(unix.SYS_SETUID, 12345, 0, 0); errno != 0 {
				return errno
			}
			if err := SetKeepCaps(false); err != nil {
				return err
			}
			if _, err := Apply(Sets{Permitted: kill, Effective: kill}); err != nil {
				return err
			}
			got, err := fromProc()
			if err == nil && (got.Permitted != kill || got.Effective != kill) {
				err = fmt.Errorf("got %+v", got)
			}
			return err
		},
		"beyond": func() error {
			failed, err := Apply(Sets{Permitted: kill | 1<<62, Effective: kill | 1<<62, Inheritable: 1 << 62, Ambient: 1 << 62})
			if err != nil || failed != 1<<62 {
				return fmt.Errorf("ambient failed %#x, %w", failed, err)
			}
			return nil
		},
		"ambient-exec": func() error {
			if err := SetKeepCaps(true); err != nil {
				return err
			}
			if _, _, errno := unix.RawSyscall(unix.SYS_SETUID, 12345, 0, 0); errno != 0 {
				return errno
			}
			if _, err := Apply(Sets{Permitted: kill | chown, Effective: kill, Inheritable: kill, Ambient: kill}); err != nil {
				return err
			}
			script := `grep -q '^CapEff:.*0000000000000020$' /proc/self/status || { grep Cap /proc/self/status; exit 1; }`
			return unix.Exec("/bin/sh", []string{"sh", "-c", script}, nil)
		},
	}
}

// fromProc reads the same from proc_pid_status(5).
func fromProc() (s Sets, err error) {
	data, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return s, err
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		name, value, _ := strings.Cut(line, ":")
		into := map[string]*uint64{"CapInh": &s.Inheritable, "CapPrm": &s.Permitted, "CapEff": &s.Effective, "CapBnd": &s.Bounding, "CapAmb": &s.Ambient}[name]
		if into == nil {
			continue
		}
		if *into, err = strconv.ParseUint(strings.TrimSpace(value), 16, 64); err != nil {
			return s, err
		}
	}
	return s, nil
}
