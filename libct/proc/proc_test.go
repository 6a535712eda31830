package proc

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const childEnv = "HAKO_PROC_TEST_CHILD"

// TestMain runs a child of these tests when asked to: process attributes are
// changed in a process of their own, on a locked thread.
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

// runChild returns the output of a child; prepare is shell code that runs
// before it and may limit what it inherits.
func runChild(t *testing.T, name, prepare string) string {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-c", prepare+"\nexec "+os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(strings.ReplaceAll(string(out), "\t", " "))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if reason, ok := strings.CutPrefix(text, "skip: "); ok {
		t.Skip(reason)
	}
	return text
}

// shell replaces the child by a script that looks at what is left.
func shell(script string) error {
	return syscall.Exec("/bin/sh", []string{"sh", "-c", script}, []string{"PATH=" + os.Getenv("PATH")})
}

const nofile = "ulimit -Sn 1000; ulimit -Hn 4096"

func TestConfiguredNoFileSurvivesExec(t *testing.T) {
	if got := runChild(t, "nofile", nofile); got != "200 300" {
		t.Errorf("soft and hard limit %q, want 200 300", got)
	}
}

func TestUnconfiguredNoFileIsTheCallers(t *testing.T) {
	if got := runChild(t, "no-limits", nofile); got != "1000 4096" {
		t.Errorf("soft and hard limit %q, want 1000 4096", got)
	}
}

func TestRaisingHardLimitsLowersNothing(t *testing.T) {
	if got := runChild(t, "raise", ""); got != "true" {
		t.Errorf("unchanged: %q, want true", got)
	}
}

func TestOtherLimitsReachTheProgram(t *testing.T) {
	if got := runChild(t, "core", "ulimit -c 8"); got != "1 2" {
		t.Errorf("soft and hard limit in blocks %q, want 1 2", got)
	}
}

func TestRefusedLimitIsNamed(t *testing.T) {
	const want = "RLIMIT_NICE soft 9 hard 2: setrlimit: invalid argument"
	if got := runChild(t, "bad-limit", ""); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSchedulerReachesTheProgram(t *testing.T) {
	if got := runChild(t, "sched", ""); got != fmt.Sprint(unix.SCHED_BATCH, " 5") {
		t.Errorf("policy and nice %q", got)
	}
}

func TestDeadlineRefusalSaysWhy(t *testing.T) {
	got := runChild(t, "deadline", "")
	if got != "" && !strings.Contains(got, "cannot be combined with limited cpus") {
		t.Errorf("got %q", got)
	}
}

func TestIOPriorityReachesTheProgram(t *testing.T) {
	if got := runChild(t, "ioprio", ""); got != "2 6" {
		t.Errorf("class and level %q, want 2 6", got)
	}
}

func TestPersonalityReachesTheProgram(t *testing.T) {
	if got := runChild(t, "personality", ""); got != "00000008" {
		t.Errorf("personality %q, want 00000008", got)
	}
}

func TestMemoryPolicyIsSet(t *testing.T) {
	if got := runChild(t, "mempolicy", ""); got != fmt.Sprint(unix.MPOL_BIND, " 1") {
		t.Errorf("mode and nodes %q", got)
	}
}

func TestAffinityIsSetAndReset(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("needs two processors")
	}
	runChild(t, "affinity", "")
}

func TestIgnoredAndBlockedSignalsAreReset(t *testing.T) {
	got := runChild(t, "signals", "trap '' HUP INT QUIT TERM USR1 PIPE CHLD")
	if got != "SigBlk: 0000000000000000\nSigIgn: 0000000000000000" {
		t.Errorf("got %q", got)
	}
}

func TestWithoutResetSignalsStayIgnored(t *testing.T) { // the test above tests something
	if got := runChild(t, "signals-kept", "trap '' HUP"); !strings.HasSuffix(got, "1") {
		t.Errorf("got %q", got)
	}
}

func TestSessionKeyringIsNewAndSearchable(t *testing.T) { runChild(t, "keyring", "") }

func TestKeyPermissionsAreReadFromTheDescription(t *testing.T) {
	got, err := keyPermissions("keyring;0;0;3f130000;_ses.a;b")
	if err != nil || got != 0x3f130000 {
		t.Errorf("got %#x, %v", got, err)
	}
	for _, bad := range []string{"", "keyring;0;0", "keyring;0;0;xyz;n"} {
		if _, err := keyPermissions(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func children() map[string]func() error {
	const limits = `echo $(ulimit -Sn) $(ulimit -Hn)`
	return map[string]func() error{
		"no-limits": func() error { return shell(limits) },
		"nofile": func() error {
			if err := SetRlimits([]Rlimit{{unix.RLIMIT_NOFILE, 200, 300}}); err != nil {
				return err
			}
			return shell(limits)
		},
		"raise": func() error {
			before := new(unix.Rlimit)
			if err := unix.Prlimit(0, unix.RLIMIT_CORE, nil, before); err != nil {
				return err
			}
			// Lower than now: nothing changes, also no soft limit.
			RaiseHardLimits(os.Getpid(), []Rlimit{{unix.RLIMIT_CORE, 0, 0}})
			after := new(unix.Rlimit)
			if err := unix.Prlimit(0, unix.RLIMIT_CORE, nil, after); err != nil {
				return err
			}
			fmt.Println(*before == *after)
			return nil
		},
		"core": func() error {
			if err := SetRlimits([]Rlimit{{unix.RLIMIT_CORE, 512, 1024}}); err != nil {
				return err
			}
			return shell(`echo $(ulimit -Sc) $(ulimit -Hc)`)
		},
		"bad-limit": func() error {
			fmt.Println(SetRlimits([]Rlimit{{unix.RLIMIT_NICE, 9, 2}}))
			return nil
		},
		"sched": func() error {
			if err := SetScheduler(Scheduler{Policy: unix.SCHED_BATCH, Nice: 5}); err != nil {
				return err
			}
			return again("sched-after")
		},
		"sched-after": func() error {
			attr, err := unix.SchedGetAttr(os.Getpid(), 0)
			if err == nil {
				fmt.Println(attr.Policy, attr.Nice)
			}
			return err
		},
		"deadline": func() error {
			if err := SetAffinity(0, CPUSet{1}); err != nil {
				return err
			}
			if err := SetScheduler(Scheduler{Policy: unix.SCHED_DEADLINE, Runtime: 1e6, Deadline: 1e7, Period: 1e7}); err != nil {
				fmt.Println(err)
			}
			return nil
		},
		"ioprio": func() error {
			if err := SetIOPriority(IOPriority{Class: 2, Level: 6}); err != nil {
				return err
			}
			return again("ioprio-after")
		},
		"ioprio-after": func() error {
			n, _, errno := unix.RawSyscall(unix.SYS_IOPRIO_GET, 1, uintptr(os.Getpid()), 0)
			if errno != 0 {
				return errno
			}
			fmt.Println(n>>13, n&7)
			return nil
		},
		"personality": func() error {
			if err := SetPersonality(0x8); err != nil {
				return err
			}
			return shell("cat /proc/self/personality")
		},
		"mempolicy":    childMemoryPolicy,
		"affinity":     childAffinity,
		"keyring":      childKeyring,
		"signals":      func() error { return childSignals(true) },
		"signals-kept": func() error { return childSignals(false) },
	}
}

// again executes this test binary once more, as another child.
func again(name string) error {
	return syscall.Exec("/proc/self/exe", os.Args[:1], []string{childEnv + "=" + name})
}

func childMemoryPolicy() error {
	if err := SetMemoryPolicy(MemoryPolicy{Mode: unix.MPOL_DEFAULT}); err == unix.ENOSYS {
		fmt.Println("skip: needs CONFIG_NUMA")
		return nil
	} else if err != nil {
		return err
	}
	if err := SetMemoryPolicy(MemoryPolicy{Mode: unix.MPOL_BIND, Nodes: []uint64{1}}); err != nil {
		return err
	}
	var mode int32
	var nodes [32]uintptr
	if err := getMemPolicy(&mode, &nodes); err != 0 {
		return err
	}
	fmt.Println(mode, nodes[0])
	return nil
}

func childAffinity() error {
	var before, one, after unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	first := 0
	for !before.IsSet(first) {
		first++
	}
	if err := SetAffinity(0, CPUSet(nil).with(first, first)); err != nil {
		return err
	}
	if err := unix.SchedGetaffinity(0, &one); err != nil || one.Count() != 1 || !one.IsSet(first) {
		return fmt.Errorf("after SetAffinity: %v, %v", one.Count(), err)
	}
	if err := ResetAffinity(); err != nil {
		return err
	}
	if err := unix.SchedGetaffinity(0, &after); err != nil || after.Count() < before.Count() {
		return fmt.Errorf("after ResetAffinity: %v of %v, %v", after.Count(), before.Count(), err)
	}
	if err := SetAffinity(0, nil); err == nil {
		return fmt.Errorf("an empty set was accepted")
	}
	return nil
}

func childSignals(reset bool) error {
	signal.Ignore(syscall.SIGUSR2)
	blocked := unix.Sigset_t{}
	blocked.Val[0] = 1<<(unix.SIGUSR1-1) | 1<<(unix.SIGWINCH-1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &blocked, nil); err != nil {
		return err
	}
	if reset {
		if err := ResetSignals(); err != nil {
			return err
		}
	}
	return syscall.Exec("/bin/grep", []string{"grep", "-o", "-E", "^Sig(Blk|Ign).*", "/proc/self/status"}, nil)
}

func childKeyring() error {
	const all = unix.KEY_SPEC_SESSION_KEYRING
	before, err := unix.KeyctlGetKeyringID(all, false)
	if err != nil {
		before = 0
	}
	if err := JoinSessionKeyring("_ses.hako-test", KeyUserSearch); err != nil {
		fmt.Println("skip: needs keyrings:", err)
		return nil
	}
	after, err := unix.KeyctlGetKeyringID(all, false)
	if err != nil || after == before {
		return fmt.Errorf("session keyring %d, before %d, %v", after, before, err)
	}
	text, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, after)
	if err != nil {
		return err
	}
	perm, err := keyPermissions(text)
	if err != nil || perm&KeyUserSearch == 0 || !strings.HasSuffix(text, ";_ses.hako-test") {
		return fmt.Errorf("keyring %s, %v", text, err)
	}
	// Executing in the container finds the same keyring by its name.
	if err := JoinSessionKeyring("_ses.hako-test", KeyNoChange); err != nil {
		return err
	}
	if again, err := unix.KeyctlGetKeyringID(all, false); err != nil || again != after {
		return fmt.Errorf("joined again: %d, want %d, %v", again, after, err)
	}
	return nil
}

func TestNamesAreTheSpecs(t *testing.T) {
	tests := []struct {
		name  string
		names []string
		want  map[string]uint64
		value func(string) (uint64, bool)
	}{
		{"rlimits", RlimitNames(), map[string]uint64{"RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_RTTIME": unix.RLIMIT_RTTIME}, as(RlimitResource)},
		{"policies", SchedulerPolicies(), map[string]uint64{"SCHED_OTHER": 0, "SCHED_ISO": 4, "SCHED_DEADLINE": 6}, as(SchedulerPolicy)},
		{"flags", SchedulerFlags(), map[string]uint64{"SCHED_FLAG_RESET_ON_FORK": 1, "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40}, as(SchedulerFlag)},
		{"io classes", IOPriorityClasses(), map[string]uint64{"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_IDLE": 3}, as(IOPriorityClass)},
		{"memory modes", MemoryPolicyModes(), map[string]uint64{"MPOL_DEFAULT": 0, "MPOL_WEIGHTED_INTERLEAVE": 6}, as(MemoryPolicyMode)},
		{"memory flags", MemoryPolicyFlags(), map[string]uint64{"MPOL_F_STATIC_NODES": 1 << 15, "MPOL_F_NUMA_BALANCING": 1 << 13}, as(MemoryPolicyFlag)},
		{"domains", PersonalityDomains(), map[string]uint64{"LINUX": 0, "LINUX32": 8}, as(PersonalityDomain)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, want := range tt.want {
				if got, ok := tt.value(name); !ok || got != want || !slices.Contains(tt.names, name) {
					t.Errorf("%s = %d, %v; want %d", name, got, ok, want)
				}
			}
			for _, name := range tt.names {
				if _, ok := tt.value(name); !ok {
					t.Errorf("%s is listed but not known", name)
				}
			}
			if _, ok := tt.value("NOPE"); ok {
				t.Error("NOPE is known")
			}
		})
	}
	if got := RlimitName(unix.RLIMIT_CORE); got != "RLIMIT_CORE" {
		t.Errorf("RlimitName = %s", got)
	}
}

func as[T int | uint32 | uint64](f func(string) (T, bool)) func(string) (uint64, bool) {
	return func(name string) (uint64, bool) {
		v, ok := f(name)
		return uint64(v), ok
	}
}
