package v1

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/hako-runtime/hako/libct/cgroup/stats"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// record makes folders that look like hierarchies: CONTROLLER/FILE.
func record(t *testing.T, files map[string]string) *Group {
	t.Helper()
	root := t.TempDir()
	var hierarchies []tree.Hierarchy
	for name, text := range files {
		dir := filepath.Join(root, filepath.Dir(name))
		if err := os.Mkdir(dir, 0o700); err == nil {
			hierarchies = append(hierarchies, tree.Hierarchy{Name: filepath.Base(dir), FSType: "cgroup", Options: []string{filepath.Base(dir)}, Mountpoint: dir})
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return New(hierarchies, "/")
}

func TestStats(t *testing.T) {
	got := stats.Stats{Hugetlb: map[string]stats.Hugetlb{}}
	err := record(t, map[string]string{
		"cpu/cpu.stat":                            "nr_periods 7\nnr_throttled 3\nthrottled_time 12345\nnr_bursts 0\nburst_time 0\n",
		"cpuacct/cpuacct.usage":                   "300\n",
		"cpuacct/cpuacct.stat":                    "user 2\nsystem 1\n",
		"cpuacct/cpuacct.usage_percpu":            "100 200 \n",
		"cpuacct/cpuacct.usage_all":               "cpu user system\n0 60 40\n1 120 80\n",
		"cpuset/cpuset.cpus":                      "0,2-3\n",
		"cpuset/cpuset.mems":                      "0\n",
		"cpuset/cpuset.sched_load_balance":        "1\n",
		"cpuset/cpuset.memory_migrate":            "1\n",
		"cpuset/cpuset.sched_relax_domain_level":  "-1\n",
		"memory/memory.stat":                      "cache 10\nrss 20\n",
		"memory/memory.limit_in_bytes":            "9223372036854771712\n",
		"memory/memory.usage_in_bytes":            "30\n",
		"memory/memory.max_usage_in_bytes":        "40\n",
		"memory/memory.failcnt":                   "5\n",
		"memory/memory.memsw.limit_in_bytes":      "60\n",
		"memory/memory.memsw.usage_in_bytes":      "35\n",
		"memory/memory.kmem.usage_in_bytes":       "8\n",
		"memory/memory.kmem.tcp.limit_in_bytes":   "9\n",
		"pids/pids.current":                       "3\n",
		"pids/pids.max":                           "50\n",
		"hugetlb/hugetlb.2MB.usage_in_bytes":      "2097152\n",
		"hugetlb/hugetlb.2MB.max_usage_in_bytes":  "4194304\n",
		"hugetlb/hugetlb.2MB.failcnt":             "1\n",
		"hugetlb/hugetlb.2MB.rsvd.usage_in_bytes": "6\n",
		"hugetlb/hugetlb.2MB.rsvd.failcnt":        "2\n",
	}).Stats(&got)
	if err != nil {
		t.Fatal(err)
	}
	want := stats.Stats{
		CPU: stats.CPU{
			Usage: stats.CPUUsage{
				Total: 300, Kernel: 10_000_000, User: 20_000_000,
				PerCPU: []uint64{100, 200}, PerCPUKernel: []uint64{40, 80}, PerCPUUser: []uint64{60, 120},
			},
			Throttling: stats.Throttling{Periods: 7, ThrottledPeriods: 3, ThrottledTime: 12345},
		},
		CPUSet: stats.CPUSet{CPUs: []uint16{0, 2, 3}, Mems: []uint16{0}, MemoryMigrate: 1, SchedLoadBalance: 1, SchedRelaxDomainLevel: -1},
		Memory: stats.Memory{
			Cache:     10,
			Usage:     stats.MemoryEntry{Limit: 9223372036854771712, Usage: 30, Max: 40, Failcnt: 5},
			Swap:      stats.MemoryEntry{Limit: 60, Usage: 35},
			Kernel:    stats.MemoryEntry{Usage: 8},
			KernelTCP: stats.MemoryEntry{Limit: 9},
			Raw:       map[string]uint64{"cache": 10, "rss": 20},
		},
		Pids:    stats.Pids{Current: 3, Limit: 50},
		Hugetlb: map[string]stats.Hugetlb{"2MB": {Usage: 2097152, Max: 4194304, Failcnt: 3}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestBlockIOIsFromTheSchedulerThatCounts(t *testing.T) {
	const bytesLines = "8:0 Read 1\n8:0 Write 2\n8:0 Total 3\nTotal 3\n"
	entries := []stats.BlockIOEntry{{Major: 8, Op: "Read", Value: 1}, {Major: 8, Op: "Write", Value: 2}, {Major: 8, Op: "Total", Value: 3}}
	for _, prefix := range []string{"blkio.", "blkio.bfq.", "blkio.throttle."} {
		files := map[string]string{
			"blkio/blkio.bfq.io_serviced_recursive":      "Total 0\n", // compiled in, not in use
			"blkio/blkio.throttle.io_serviced_recursive": "8:0 Read 9\nTotal 9\n",
		}
		files["blkio/"+prefix+"io_serviced_recursive"] = bytesLines
		files["blkio/"+prefix+"io_service_bytes_recursive"] = bytesLines
		files["blkio/"+prefix+"io_merged_recursive"] = bytesLines
		files["blkio/"+prefix+"io_queued_recursive"] = bytesLines
		files["blkio/"+prefix+"io_service_time_recursive"] = bytesLines
		files["blkio/"+prefix+"io_wait_time_recursive"] = bytesLines
		files["blkio/"+prefix+"time_recursive"] = "8:16 77\n"
		files["blkio/"+prefix+"sectors_recursive"] = "8:16 78\n"
		var got stats.Stats
		if err := record(t, files).Stats(&got); err != nil {
			t.Fatal(err)
		}
		want := stats.BlockIO{
			IoServicedRecursive: entries, IoServiceBytesRecursive: entries, IoMergedRecursive: entries,
			IoQueuedRecursive: entries, IoServiceTimeRecursive: entries, IoWaitTimeRecursive: entries,
			IoTimeRecursive:  []stats.BlockIOEntry{{Major: 8, Minor: 16, Value: 77}},
			SectorsRecursive: []stats.BlockIOEntry{{Major: 8, Minor: 16, Value: 78}},
		}
		if !reflect.DeepEqual(got.BlockIO, want) {
			t.Errorf("%s: %+v", prefix, got.BlockIO)
		}
	}
}

func TestDamagedFiguresAreAnError(t *testing.T) {
	for name, text := range map[string]string{
		"pids/pids.current":                  "x\n",
		"cpuacct/cpuacct.usage_percpu":       "1 x\n",
		"cpuacct/cpuacct.usage_all":          "cpu user system\n0 1\n",
		"cpuset/cpuset.cpus":                 "0-\n",
		"blkio/blkio.io_serviced_recursive":  "8 Read 1\n",
		"memory/memory.memsw.limit_in_bytes": "-1\n",
	} {
		if err := record(t, map[string]string{name: text}).Stats(new(stats.Stats)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestWithoutMemoryControllerNothingIsWatched(t *testing.T) {
	if _, err := record(t, map[string]string{"pids/pids.current": ""}).WatchOOM(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
