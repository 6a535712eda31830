package v1

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/stats"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// Control files of the cpu controller.
const (
	rtPeriodFile  = "cpu.rt_period_us"
	rtRuntimeFile = "cpu.rt_runtime_us"
)

// cpu: an idle cgroup has no shares of its own, and the kernel refuses to set
// them: it ends being idle before, and becomes it after.
func (w limiter) cpu(update, _ *limits.Limits) error {
	c := update.CPU
	if c == nil {
		return nil
	}
	if c.Idle != nil && !*c.Idle {
		if err := w.set(tree.Setting{File: "cpu.idle", Value: "0", New: true}); err != nil {
			return err
		}
	}
	if c.Shares != nil {
		if err := w.set(unsigned("cpu.shares", *c.Shares, limits.DefaultShares)); err != nil {
			return err
		}
	}
	if err := tree.AnyOrder(w.set, bandwidth(c)...); err != nil {
		return err
	}
	if err := w.realtime(c); err != nil {
		return err
	}
	if c.Idle != nil && *c.Idle {
		return w.set(tree.Setting{File: "cpu.idle", Value: "1"})
	}
	return nil
}

func unsigned(file string, n, new uint64) tree.Setting {
	return tree.Setting{File: file, Value: strconv.FormatUint(n, 10), New: n == new}
}

// bandwidth: quota, period and burst bound each other, and the cgroup above
// bounds the quotient of the first two.
func bandwidth(c *limits.CPU) (settings []tree.Setting) {
	if c.PeriodUS != nil {
		settings = append(settings, unsigned("cpu.cfs_period_us", *c.PeriodUS, 100000))
	}
	if c.QuotaUS != nil {
		settings = append(settings, tree.Setting{
			File: "cpu.cfs_quota_us", Value: strconv.FormatInt(*c.QuotaUS, 10), New: *c.QuotaUS == limits.Unlimited,
		})
	}
	if c.BurstUS != nil {
		settings = append(settings, unsigned("cpu.cfs_burst_us", *c.BurstUS, 0))
	}
	return settings
}

// realtime gives time also to the parents that are new, as every cgroup starts
// with none of it; Documentation/scheduler/sched-rt-group.rst.
func (w limiter) realtime(c *limits.CPU) error {
	var settings []tree.Setting
	if c.RealtimePeriodUS != nil {
		settings = append(settings, unsigned(rtPeriodFile, *c.RealtimePeriodUS, 1000000))
	}
	if c.RealtimeRuntimeUS != nil {
		settings = append(settings, tree.Setting{File: rtRuntimeFile, Value: strconv.FormatInt(*c.RealtimeRuntimeUS, 10)})
	}
	if len(settings) == 0 {
		return nil
	}
	if own := w.g.With(w.controller); own != "" {
		for dir := range w.g.newParents(own) {
			err := tree.AnyOrder(func(s tree.Setting) error { return explain(dir, s, tree.Write(dir, s.File, s.Value)) }, settings...)
			if err != nil {
				return err
			}
		}
	}
	return tree.AnyOrder(w.set, settings...)
}

// newParents goes through the directories above dir that Make made, from the top.
func (g *Group) newParents(dir string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, made := range g.made {
			if strings.HasPrefix(dir, made+"/") && !yield(made) {
				return
			}
		}
	}
}

// cpuset narrows what [inheritCPUSet] has filled in.
func (w limiter) cpuset(update, _ *limits.Limits) error {
	if update.CPUSet == nil {
		return nil
	}
	return w.setAll(
		tree.Setting{File: "cpuset.cpus", Value: update.CPUSet.CPUs},
		tree.Setting{File: "cpuset.mems", Value: update.CPUSet.Mems},
	)
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
