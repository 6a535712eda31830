package v1

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct/cgroup/stats"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// Stats fills in what the mounted controllers tell, and leaves the rest alone.
func (g *Group) Stats(s *stats.Stats) error {
	for _, one := range [...]struct {
		controller string
		read       func(*tree.Reader, *stats.Stats)
	}{
		{"cpu", cpuStats},
		{"cpuacct", cpuacctStats},
		{"cpuset", cpusetStats},
		{"memory", memoryStats},
		{"pids", pidsStats},
		{"blkio", blkioStats},
		{"hugetlb", hugetlbStats},
	} {
		dir := g.With(one.controller)
		if dir == "" {
			continue
		}
		r := &tree.Reader{Dir: dir}
		one.read(r, s)
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

func cpuStats(r *tree.Reader, s *stats.Stats) {
	stat := r.Keyed("cpu.stat")
	s.CPU.Throttling = stats.Throttling{
		Periods:          stat["nr_periods"],
		ThrottledPeriods: stat["nr_throttled"],
		ThrottledTime:    stat["throttled_time"],
	}
}

// cpuacctStats: Documentation/admin-guide/cgroup-v1/cpuacct.rst.
func cpuacctStats(r *tree.Reader, s *stats.Stats) {
	const tick = 1e9 / 100 // ns; USER_HZ is 100 on every architecture of ours
	stat := r.Keyed("cpuacct.stat")
	u := stats.CPUUsage{
		Total:  r.Uint("cpuacct.usage"),
		Kernel: tick * stat["system"],
		User:   tick * stat["user"],
	}
	for text := range strings.FieldsSeq(r.Text("cpuacct.usage_percpu")) {
		n, err := strconv.ParseUint(text, 10, 64)
		fail(r, "cpuacct.usage_percpu", err)
		u.PerCPU = append(u.PerCPU, n)
	}
	// "cpu user system", then a line for each processor.
	for i, line := range lines(r, "cpuacct.usage_all") {
		var cpu, user, kernel uint64
		if i == 0 {
			continue
		}
		_, err := fmt.Sscan(line, &cpu, &user, &kernel)
		fail(r, "cpuacct.usage_all", err)
		u.PerCPUUser, u.PerCPUKernel = append(u.PerCPUUser, user), append(u.PerCPUKernel, kernel)
	}
	s.CPU.Usage = u
}

func lines(r *tree.Reader, name string) []string {
	text := r.Text(name)
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

func fail(r *tree.Reader, name string, err error) {
	if err != nil && r.Err == nil {
		r.Err = fmt.Errorf("%s/%s: %w", r.Dir, name, err)
	}
}

func cpusetStats(r *tree.Reader, s *stats.Stats) {
	s.CPUSet = stats.CPUSet{
		CPUs:                  r.List("cpuset.cpus"),
		CPUExclusive:          r.Uint("cpuset.cpu_exclusive"),
		Mems:                  r.List("cpuset.mems"),
		MemHardwall:           r.Uint("cpuset.mem_hardwall"),
		MemExclusive:          r.Uint("cpuset.mem_exclusive"),
		MemoryMigrate:         r.Uint("cpuset.memory_migrate"),
		MemorySpreadPage:      r.Uint("cpuset.memory_spread_page"),
		MemorySpreadSlab:      r.Uint("cpuset.memory_spread_slab"),
		MemoryPressure:        r.Uint("cpuset.memory_pressure"),
		SchedLoadBalance:      r.Uint("cpuset.sched_load_balance"),
		SchedRelaxDomainLevel: r.Int("cpuset.sched_relax_domain_level"),
	}
}

func memoryStats(r *tree.Reader, s *stats.Stats) {
	m := &s.Memory
	m.Raw = r.Keyed("memory.stat")
	m.Cache = m.Raw["cache"]
	entry := func(prefix string) stats.MemoryEntry {
		return stats.MemoryEntry{
			Limit:   r.Uint(prefix + "limit_in_bytes"),
			Usage:   r.Uint(prefix + "usage_in_bytes"),
			Max:     r.Uint(prefix + "max_usage_in_bytes"),
			Failcnt: r.Uint(prefix + "failcnt"),
		}
	}
	m.Usage = entry("memory.")
	m.Swap = entry("memory.memsw.")
	m.Kernel = entry("memory.kmem.")
	m.KernelTCP = entry("memory.kmem.tcp.")
}

func pidsStats(r *tree.Reader, s *stats.Stats) {
	s.Pids = stats.Pids{Current: r.Uint("pids.current")}
	if r.Text("pids.max") != "max" {
		s.Pids.Limit = r.Uint("pids.max")
	}
}

// blkioStats takes the figures of the I/O scheduler that keeps them: CFQ
// before Linux 5.0, then BFQ; without one, those of throttling.
func blkioStats(r *tree.Reader, s *stats.Stats) {
	b := &s.BlockIO
	for _, prefix := range [...]string{"blkio.", "blkio.bfq.", "blkio.throttle."} {
		read := func(name string) []stats.BlockIOEntry { return blkioEntries(r, prefix+name+"_recursive") }
		b.IoServicedRecursive = read("io_serviced")
		b.IoServiceBytesRecursive = read("io_service_bytes")
		b.IoQueuedRecursive = read("io_queued")
		b.IoServiceTimeRecursive = read("io_service_time")
		b.IoWaitTimeRecursive = read("io_wait_time")
		b.IoMergedRecursive = read("io_merged")
		b.IoTimeRecursive = read("time")
		b.SectorsRecursive = read("sectors")
		if len(b.IoServicedRecursive) > 0 {
			return
		}
	}
}

// blkioEntries reads lines "8:0 Read 1" or "8:0 1"; the last one, "Total 1",
// is the sum of all devices.
func blkioEntries(r *tree.Reader, name string) (entries []stats.BlockIOEntry) {
	for _, line := range lines(r, name) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] == "Total" {
			continue
		}
		var e stats.BlockIOEntry
		if len(fields) > 2 {
			e.Op = fields[1]
		}
		_, err := fmt.Sscanf(fields[0]+" "+fields[len(fields)-1], "%d:%d %d", &e.Major, &e.Minor, &e.Value)
		fail(r, name, err)
		entries = append(entries, e)
	}
	return entries
}

func hugetlbStats(r *tree.Reader, s *stats.Stats) {
	for _, name := range r.Glob("hugetlb.*.usage_in_bytes") {
		prefix := strings.TrimSuffix(name, "usage_in_bytes")
		size := strings.TrimSuffix(strings.TrimPrefix(prefix, "hugetlb."), ".")
		if strings.HasSuffix(size, ".rsvd") {
			continue
		}
		s.Hugetlb[size] = stats.Hugetlb{
			Usage:   r.Uint(name),
			Max:     r.Uint(prefix + "max_usage_in_bytes"),
			Failcnt: r.Uint(prefix + "failcnt"),
		}
	}
}
