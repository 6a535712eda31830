package v2

import (
	"math"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct/cgroup/stats"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// Stats fills in what the directory has files for. Those of a controller are
// there if it is enabled; cpu.stat and *.pressure are in every cgroup.
func (g *Group) Stats(s *stats.Stats) error {
	r := &tree.Reader{Dir: g.dir}
	for _, read := range [...]func(*tree.Reader, *stats.Stats){
		cpuStats, cpusetStats, memoryStats, pidsStats, ioStats, hugetlbStats,
	} {
		read(r, s)
	}
	return r.Err
}

func cpuStats(r *tree.Reader, s *stats.Stats) {
	stat := r.Keyed("cpu.stat")
	const us = 1000 // in ns
	s.CPU.Usage = stats.CPUUsage{
		Total:  us * stat["usage_usec"],
		Kernel: us * stat["system_usec"],
		User:   us * stat["user_usec"],
	}
	s.CPU.Throttling = stats.Throttling{
		Periods:          stat["nr_periods"],
		ThrottledPeriods: stat["nr_throttled"],
		ThrottledTime:    us * stat["throttled_usec"],
	}
	s.CPU.PSI = r.PSI("cpu.pressure")
}

func cpusetStats(r *tree.Reader, s *stats.Stats) {
	s.CPUSet.CPUs = r.List("cpuset.cpus.effective")
	s.CPUSet.Mems = r.List("cpuset.mems.effective")
}

// memoryStats adds memory to swap, as v1 counts it and runc prints it.
func memoryStats(r *tree.Reader, s *stats.Stats) {
	m := &s.Memory
	m.PSI = r.PSI("memory.pressure")
	m.Raw = r.Keyed("memory.stat")
	if m.Raw == nil {
		return
	}
	m.Cache = m.Raw["file"]
	m.Usage = stats.MemoryEntry{
		Limit:   r.Uint("memory.max"),
		Usage:   r.Uint("memory.current"),
		Max:     r.Uint("memory.peak"), // since Linux 5.19
		Failcnt: r.Keyed("memory.events")["max"],
	}
	if r.Text("memory.swap.max") == "" {
		return // CONFIG_SWAP is off
	}
	m.Swap = stats.MemoryEntry{
		Limit:   addLimits(r.Uint("memory.swap.max"), m.Usage.Limit),
		Usage:   r.Uint("memory.swap.current") + m.Usage.Usage,
		Failcnt: r.Keyed("memory.swap.events")["max"],
	}
}

// addLimits knows that "max" is the largest number.
func addLimits(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

// pidsStats counts for itself if the controller is off.
func pidsStats(r *tree.Reader, s *stats.Stats) {
	limit := r.Text("pids.max")
	if limit == "" {
		s.Pids.Current = tasks(r)
		return
	}
	s.Pids.Current = r.Uint("pids.current")
	if limit != "max" {
		s.Pids.Limit = r.Uint("pids.max")
	}
}

func tasks(r *tree.Reader) uint64 {
	n, err := tree.CountTasks(r.Dir)
	if r.Err == nil {
		r.Err = err
	}
	return n
}

// ioStats puts io.stat into the lists of v1. Lines are
// "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6". Discards are left out
// while there are none, as runc leaves them out altogether.
func ioStats(r *tree.Reader, s *stats.Stats) {
	b := &s.BlockIO
	b.PSI = r.PSI("io.pressure")
	for line := range strings.Lines(r.Text("io.stat")) {
		fields := strings.Fields(line)
		major, minor, ok := deviceNumber(fields)
		if !ok {
			continue
		}
		for _, f := range fields[1:] {
			key, text, _ := strings.Cut(f, "=")
			value, err := strconv.ParseUint(text, 10, 64)
			if err != nil {
				continue // cost.usage and such have other forms
			}
			e := stats.BlockIOEntry{Major: major, Minor: minor, Value: value}
			switch key {
			case "rbytes", "rios":
				e.Op = "Read"
			case "wbytes", "wios":
				e.Op = "Write"
			case "dbytes", "dios":
				e.Op = "Discard"
			default:
				continue
			}
			switch {
			case e.Op == "Discard" && value == 0:
			case strings.HasSuffix(key, "bytes"):
				b.IoServiceBytesRecursive = append(b.IoServiceBytesRecursive, e)
			default:
				b.IoServicedRecursive = append(b.IoServicedRecursive, e)
			}
		}
	}
}

func deviceNumber(fields []string) (major, minor uint64, ok bool) {
	if len(fields) == 0 {
		return 0, 0, false
	}
	first, second, ok := strings.Cut(fields[0], ":")
	major, err1 := strconv.ParseUint(first, 10, 32)
	minor, err2 := strconv.ParseUint(second, 10, 32)
	return major, minor, ok && err1 == nil && err2 == nil
}

// hugetlbStats leaves out reservations (hugetlb.2MB.rsvd.current).
func hugetlbStats(r *tree.Reader, s *stats.Stats) {
	for _, name := range r.Glob("hugetlb.*.current") {
		size := strings.TrimSuffix(strings.TrimPrefix(name, "hugetlb."), ".current")
		if strings.HasSuffix(size, ".rsvd") {
			continue
		}
		s.Hugetlb[size] = stats.Hugetlb{
			Usage:   r.Uint(name),
			Failcnt: r.Keyed("hugetlb." + size + ".events")["max"],
		}
	}
}
