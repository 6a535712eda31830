package v2

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/hako-runtime/hako/libct/cgroup/stats"
)

// recorded is a cgroup of Linux 6.12, with figures that differ.
var recorded = map[string]string{
	"cpu.stat":                 "usage_usec 534875\nuser_usec 236670\nsystem_usec 298205\nnice_usec 0\nnr_periods 7\nnr_throttled 3\nthrottled_usec 12\nnr_bursts 0\nburst_usec 0\n",
	"cpu.pressure":             "some avg10=1.50 avg60=0.25 avg300=0.00 total=315\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=300\n",
	"cpuset.cpus.effective":    "0-1,4\n",
	"cpuset.mems.effective":    "0\n",
	"memory.stat":              "anon 53248\nfile 1265664\nkernel 249856\n",
	"memory.max":               "20971520\n",
	"memory.current":           "1568768\n",
	"memory.peak":              "13848576\n",
	"memory.events":            "low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\noom_group_kill 0\n",
	"memory.swap.max":          "1000\n",
	"memory.swap.current":      "10\n",
	"memory.swap.events":       "high 0\nmax 2\nfail 0\n",
	"memory.pressure":          "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
	"pids.current":             "3\n",
	"pids.max":                 "50\n",
	"io.stat":                  "254:0 rbytes=1265664 wbytes=1 rios=17 wios=2 dbytes=0 dios=0\n8:16 rbytes=0 wbytes=0 rios=0 wios=0 dbytes=5 dios=6 cost.usage=7.5\n7:0 \n",
	"hugetlb.2MB.current":      "2097152\n",
	"hugetlb.2MB.rsvd.current": "4194304\n",
	"hugetlb.2MB.events":       "max 9\n",
}

func record(t *testing.T, files map[string]string) *Group {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return New(root, "/")
}

func TestStats(t *testing.T) {
	got := stats.Stats{Hugetlb: map[string]stats.Hugetlb{}}
	if err := record(t, recorded).Stats(&got); err != nil {
		t.Fatal(err)
	}
	want := stats.Stats{
		CPU: stats.CPU{
			Usage:      stats.CPUUsage{Total: 534875000, Kernel: 298205000, User: 236670000},
			Throttling: stats.Throttling{Periods: 7, ThrottledPeriods: 3, ThrottledTime: 12000},
			PSI:        &stats.PSI{Some: stats.Pressure{Avg10: 1.5, Avg60: .25, Total: 315}, Full: stats.Pressure{Total: 300}},
		},
		CPUSet: stats.CPUSet{CPUs: []uint16{0, 1, 4}, Mems: []uint16{0}},
		Memory: stats.Memory{
			Cache: 1265664,
			Usage: stats.MemoryEntry{Limit: 20971520, Usage: 1568768, Max: 13848576, Failcnt: 4},
			Swap:  stats.MemoryEntry{Limit: 20972520, Usage: 1568778, Failcnt: 2},
			Raw:   map[string]uint64{"anon": 53248, "file": 1265664, "kernel": 249856},
			PSI:   &stats.PSI{Some: stats.Pressure{Total: 1}},
		},
		Pids: stats.Pids{Current: 3, Limit: 50},
		BlockIO: stats.BlockIO{
			IoServiceBytesRecursive: []stats.BlockIOEntry{
				{Major: 254, Op: "Read", Value: 1265664}, {Major: 254, Op: "Write", Value: 1},
				{Major: 8, Minor: 16, Op: "Read"}, {Major: 8, Minor: 16, Op: "Write"}, {Major: 8, Minor: 16, Op: "Discard", Value: 5},
			},
			IoServicedRecursive: []stats.BlockIOEntry{
				{Major: 254, Op: "Read", Value: 17}, {Major: 254, Op: "Write", Value: 2},
				{Major: 8, Minor: 16, Op: "Read"}, {Major: 8, Minor: 16, Op: "Write"}, {Major: 8, Minor: 16, Op: "Discard", Value: 6},
			},
		},
		Hugetlb: map[string]stats.Hugetlb{"2MB": {Usage: 2097152, Failcnt: 9}},
	}
	if !reflect.DeepEqual(got, want) {
		a, _ := json.MarshalIndent(got, "", " ")
		b, _ := json.MarshalIndent(want, "", " ")
		t.Errorf("got %s\nwant %s", a, b)
	}
}

func TestNoLimitIsTheLargestNumber(t *testing.T) {
	files := map[string]string{"memory.stat": "file 1\n", "memory.max": "max\n", "memory.swap.max": "max\n", "pids.max": "max\n", "pids.current": "1\n"}
	for name, limits := range map[string][2]string{"both": {"max", "max"}, "swap": {"1", "max"}, "memory": {"max", "1"}} {
		files["memory.max"], files["memory.swap.max"] = limits[0]+"\n", limits[1]+"\n"
		var s stats.Stats
		if err := record(t, files).Stats(&s); err != nil {
			t.Fatal(err)
		}
		if s.Memory.Swap.Limit != math.MaxUint64 || s.Pids.Limit != 0 || s.Pids.Current != 1 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestWhatIsNotThereCountsNothing(t *testing.T) {
	var s stats.Stats
	if err := record(t, nil).Stats(&s); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s, stats.Stats{}) {
		t.Errorf("%+v", s)
	}
}

func TestDamagedFiguresAreAnError(t *testing.T) {
	for _, name := range []string{"pids.current", "pids.max", "memory.current", "cpuset.cpus.effective", "io.pressure"} {
		files := map[string]string{"pids.max": "1\n", "memory.stat": "file 1\n", name: "some total=x\n"}
		var s stats.Stats
		if err := record(t, files).Stats(&s); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
