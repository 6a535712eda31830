package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/devices"
	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/host"
)

func ptr[T any](v T) *T { return &v }

// file is a control file in both versions, and what it says.
type file struct {
	controller, v1, wantV1, v2, wantV2 string
}

const (
	mib       = 1 << 20
	unlimited = "9223372036854771712" // of v1: the greatest multiple of a page
)

// updates are the limits at create, and then updates, each with the files after it.
var updates = []struct {
	name  string
	v1    bool // v2 has nothing like it
	steps []struct {
		l    limits.Limits
		want []file
	}
}{
	{"memory", false, []struct {
		l    limits.Limits
		want []file
	}{
		{memory(64*mib, 128*mib), swap("67108864", "134217728", "67108864")},
		{limits.Limits{Memory: &limits.Memory{LimitBytes: ptr[int64](32 * mib)}}, swap("33554432", "134217728", "100663296")},
		{memory(256*mib, 512*mib), swap("268435456", "536870912", "268435456")},
		{limits.Limits{Memory: &limits.Memory{TotalBytes: ptr[int64](300 * mib)}}, swap("268435456", "314572800", "46137344")},
		{memory(16*mib, 16*mib), swap("16777216", "16777216", "0")},
		{limits.Limits{Memory: &limits.Memory{LimitBytes: ptr[int64](limits.Unlimited)}}, []file{
			{"memory", "memory.limit_in_bytes", unlimited, "memory.max", "max"},
			{"memory", "memory.memsw.limit_in_bytes", unlimited, "memory.swap.max", "max"},
		}},
		{limits.Limits{Memory: &limits.Memory{ReservationBytes: ptr[int64](mib)}}, []file{{"memory", "memory.soft_limit_in_bytes", "1048576", "memory.low", "1048576"}}},
		{limits.Limits{Memory: &limits.Memory{ReservationBytes: ptr[int64](limits.Unlimited)}}, []file{{"memory", "memory.soft_limit_in_bytes", unlimited, "memory.low", "0"}}},
	}},
	{"memory of v1", true, []struct {
		l    limits.Limits
		want []file
	}{
		{limits.Limits{Memory: &limits.Memory{Swappiness: ptr[uint64](10), DisableOOMKiller: ptr(true)}}, []file{{"memory", "memory.swappiness", "10", "", ""}}},
		{limits.Limits{Memory: &limits.Memory{Swappiness: ptr[uint64](0), DisableOOMKiller: ptr(false), KernelTCPBytes: ptr[int64](mib)}}, []file{
			{"memory", "memory.swappiness", "0", "", ""}, {"memory", "memory.kmem.tcp.limit_in_bytes", "1048576", "", ""},
		}},
	}},
	{"cpu", false, []struct {
		l    limits.Limits
		want []file
	}{
		{bandwidth(50000, 100000, 0), cfs("50000", "100000", "0")},
		{bandwidth(20000, 20000, 10000), cfs("20000", "20000", "10000")},
		{bandwidth(5000, 10000, 2000), cfs("5000", "10000", "2000")},
		{bandwidth(800000, 1000000, 700000), cfs("800000", "1000000", "700000")},
		{limits.Limits{CPU: &limits.CPU{PeriodUS: ptr[uint64](900000)}}, cfs("800000", "900000", "700000")},
		{limits.Limits{CPU: &limits.CPU{QuotaUS: ptr[int64](limits.Unlimited), BurstUS: ptr[uint64](0)}}, []file{
			{"cpu", "cpu.cfs_quota_us", "-1", "cpu.max", "max 900000"},
		}},
		{limits.Limits{CPU: &limits.CPU{Shares: ptr[uint64](512)}}, []file{{"cpu", "cpu.shares", "512", "cpu.weight", "59"}}},
		{limits.Limits{CPU: &limits.CPU{Shares: ptr[uint64](256), Idle: ptr(true)}}, []file{{"cpu", "cpu.idle", "1", "cpu.idle", "1"}}},
		{limits.Limits{CPU: &limits.CPU{Shares: ptr[uint64](2048), Idle: ptr(false)}}, []file{
			{"cpu", "cpu.idle", "0", "cpu.idle", "0"}, {"cpu", "cpu.shares", "2048", "cpu.weight", "174"},
		}},
	}},
	{"cpuset", false, []struct {
		l    limits.Limits
		want []file
	}{
		{limits.Limits{CPUSet: &limits.CPUSet{CPUs: "0", Mems: "0"}}, []file{{"cpuset", "cpuset.cpus", "0", "cpuset.cpus", "0"}, {"cpuset", "cpuset.mems", "0", "cpuset.mems", "0"}}},
		{limits.Limits{CPUSet: &limits.CPUSet{CPUs: "0-1"}}, []file{{"cpuset", "cpuset.cpus", "0-1", "cpuset.cpus", "0-1"}, {"cpuset", "cpuset.mems", "0", "cpuset.mems", "0"}}},
	}},
	{"pids", false, []struct {
		l    limits.Limits
		want []file
	}{
		{limits.Limits{Tasks: ptr[int64](100)}, []file{{"pids", "pids.max", "100", "pids.max", "100"}}},
		{limits.Limits{Tasks: ptr[int64](0)}, []file{{"pids", "pids.max", "0", "pids.max", "0"}}},
		{limits.Limits{Tasks: ptr[int64](limits.Unlimited)}, []file{{"pids", "pids.max", "max", "pids.max", "max"}}},
	}},
	{"huge pages", false, []struct {
		l    limits.Limits
		want []file
	}{
		{hugePages(2 * mib), []file{{"hugetlb", "hugetlb.2MB.limit_in_bytes", "2097152", "hugetlb.2MB.max", "2097152"}}},
		{hugePages(0), []file{{"hugetlb", "hugetlb.2MB.rsvd.limit_in_bytes", "0", "hugetlb.2MB.rsvd.max", "0"}}},
	}},
}

func memory(limit, total int64) limits.Limits {
	return limits.Limits{Memory: &limits.Memory{LimitBytes: &limit, TotalBytes: &total}}
}

func swap(limit, total, swapMax string) []file {
	return []file{
		{"memory", "memory.limit_in_bytes", limit, "memory.max", limit},
		{"memory", "memory.memsw.limit_in_bytes", total, "memory.swap.max", swapMax},
	}
}

func bandwidth(quotaUS int64, periodUS, burstUS uint64) limits.Limits {
	return limits.Limits{CPU: &limits.CPU{QuotaUS: &quotaUS, PeriodUS: &periodUS, BurstUS: &burstUS}}
}

func cfs(quota, period, burst string) []file {
	return []file{
		{"cpu", "cpu.cfs_quota_us", quota, "cpu.max", quota + " " + period},
		{"cpu", "cpu.cfs_period_us", period, "cpu.max", quota + " " + period},
		{"cpu", "cpu.cfs_burst_us", burst, "cpu.max.burst", burst},
	}
}

func hugePages(n uint64) limits.Limits {
	return limits.Limits{HugeTLB: []limits.HugeTLB{{PageSize: "2MB", LimitBytes: n}}}
}

// find returns the group's directory with a controller; v1 tells whether it
// is in a v1 hierarchy.
func find(g Group, controller string) (dir string, v1 bool) {
	for name, dir := range g.Paths() {
		if name == controller {
			return dir, true
		}
		text, err := os.ReadFile(filepath.Join(dir, "../cgroup.controllers"))
		if err == nil && strings.Contains(" "+strings.TrimSpace(string(text))+" ", " "+controller+" ") {
			return dir, false
		}
	}
	return "", false
}

func (f file) check(t *testing.T, g Group) {
	t.Helper()
	dir, v1 := find(g, f.controller)
	name, want := f.v2, f.wantV2
	if v1 {
		name, want = f.v1, f.wantV1
	}
	got, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil || strings.TrimSpace(string(got)) != want {
		t.Errorf("%s: %q, %v, want %q", name, got, err, want)
	}
}

// Each property has its value in the kernel after create and each update, in
// whichever direction it goes; without its controller it is refused.
func TestLimitsHold(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		for _, tt := range updates {
			t.Run(tt.name, func(t *testing.T) {
				g, err := Open(Spec{Path: testPath(t), Limits: &tt.steps[0].l}, mode)
				if err != nil {
					t.Fatal(err)
				}
				controller := tt.steps[0].want[0].controller
				dir, v1 := find(g, controller)
				missing := dir == "" || tt.v1 && !v1
				if err := createLimited(g); missing {
					if !errors.Is(err, errors.ErrUnsupported) {
						t.Errorf("without a %s controller: %v", controller, err)
					}
					return
				} else if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := g.Clear(); err != nil {
						t.Error(err)
					}
				})
				for i, step := range tt.steps {
					if i > 0 {
						if err := g.Update(&step.l, nil); err != nil {
							t.Fatalf("update %d: %v", i, err)
						}
					}
					for _, f := range step.want {
						f.check(t, g)
					}
				}
			})
		}
	})
}

// An update with a limit below what is used is refused where the config asks
// for that; v1's kernel always does.
func TestUpdateBelowTheUsage(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		l := memory(256*mib, 256*mib)
		l.Memory.CheckUsage = true
		g, err := Open(Spec{Path: testPath(t), Limits: &l}, mode)
		if err != nil {
			t.Fatal(err)
		}
		dir, v1 := find(g, "memory")
		err = createLimited(g)
		if dir == "" {
			if !errors.Is(err, errors.ErrUnsupported) {
				t.Errorf("without a memory controller: %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := g.Clear(); err != nil {
				t.Error(err)
			}
		}()
		usage := filepath.Join(dir, "memory.current")
		if v1 {
			usage = filepath.Join(dir, "memory.usage_in_bytes")
		}
		start(t, g, `x=$(head -c 30000000 /dev/zero | tr '\0' x); sleep 1000; echo "$x"`)
		eventually(t, "memory is used", func() bool {
			text, _ := os.ReadFile(usage)
			return len(strings.TrimSpace(string(text))) > 7 // ten million
		})
		below := memory(4*mib, 4*mib)
		if err := g.Update(&below, nil); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "in use") {
			t.Errorf("error %v", err)
		}
		if pids, err := g.Processes(); err != nil || len(pids) == 0 {
			t.Errorf("processes %v, %v", pids, err)
		}
	})
}

// While device rules are replaced there is no moment in which what both allow
// is denied, or what both deny is allowed. v1 has no way to promise that.
func TestDeviceRulesAreReplacedAtomically(t *testing.T) {
	inLayout(t, host.CgroupV2, func(t *testing.T, mode host.CgroupMode) {
		g := newGroup(t, mode, testPath(t), onlyZero...)
		dir := t.TempDir()
		start(t, g, `i=0; while :; do
			: </dev/zero || echo zero >>`+dir+`/wrong; (: </dev/null) 2>&- && echo null >>`+dir+`/wrong
			i=$((i+1)); echo $i >`+dir+`/count; done`)
		count := func() string { text, _ := os.ReadFile(dir + "/count"); return strings.TrimSpace(string(text)) }
		eventually(t, "the first look", func() bool { return count() != "" })
		more := slices.Concat(onlyZero, []devices.Rule{{Type: 'c', Major: 1, Minor: 9, Read: true, Allow: true}})
		before := count()
		for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
			for _, rules := range [][]devices.Rule{more, onlyZero} {
				if err := g.Update(nil, rules); err != nil {
					t.Fatal(err)
				}
			}
		}
		if count() == before {
			t.Error("nothing was looked at meanwhile")
		}
		if wrong, err := os.ReadFile(dir + "/wrong"); err == nil {
			t.Errorf("wrong: %.200s", wrong)
		}
		if err := g.Update(nil, more); err != nil {
			t.Fatal(err)
		}
		if err := start(t, g, ": </dev/urandom").Wait(); err != nil {
			t.Error("the new rules do not hold: ", err)
		}
	})
}
