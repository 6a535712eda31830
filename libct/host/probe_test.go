package host

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestProbeAgreesWithProc(t *testing.T) {
	facts, err := Probe()
	if err != nil {
		t.Fatal(err)
	}
	if facts.EUID != os.Geteuid() {
		t.Errorf("EUID %d, want %d", facts.EUID, os.Geteuid())
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			want, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
			if err != nil || facts.Bounding != want {
				t.Errorf("Bounding %x, want %x (%v)", facts.Bounding, want, err)
			}
		}
	}
	if last, err := os.ReadFile("/proc/sys/kernel/cap_last_cap"); err == nil {
		if want := strings.TrimSpace(string(last)); strconv.Itoa(facts.LastCap) != want {
			t.Errorf("LastCap %d, want %s", facts.LastCap, want)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := facts.Cgroup, modeOf(string(mounts)); got != want {
		t.Errorf("Cgroup %q, want %q", got, want)
	}
}

func modeOf(mounts string) CgroupMode {
	switch {
	case strings.Contains(mounts, " /sys/fs/cgroup cgroup2 "):
		return CgroupV2
	case strings.Contains(mounts, " /sys/fs/cgroup/unified cgroup2 "):
		return CgroupHybrid
	case strings.Contains(mounts, " cgroup "):
		return CgroupV1
	}
	return CgroupNone
}

// A process in a user namespace of its own is seen as such.
func TestProbeInUserNamespace(t *testing.T) {
	if os.Getenv("HOST_TEST_CHILD") == "" {
		runInUserNamespace(t)
		return
	}
	facts, err := Probe()
	if err != nil {
		t.Fatal(err)
	}
	if !facts.UserNamespace || !facts.SetgroupsDenied {
		t.Errorf("facts %+v: want UserNamespace and SetgroupsDenied", facts)
	}
}

func BenchmarkProbe(b *testing.B) {
	for b.Loop() {
		if _, err := Probe(); err != nil {
			b.Fatal(err)
		}
	}
}
