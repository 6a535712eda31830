package v2

import (
	"strconv"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/stats"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// cpu writes weight, bandwidth and idleness. An idle cgroup has no weight of
// its own, and the kernel refuses to set one: it ends being idle before, and
// becomes it after.
func (w *limiter) cpu(update, after *limits.Limits) error {
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
		weight := limits.Weight(*c.Shares)
		if err := w.set(tree.Setting{File: "cpu.weight", Value: strconv.FormatUint(weight, 10), New: weight == 100}); err != nil {
			return err
		}
	}
	if err := w.bandwidth(c, after.CPU); err != nil {
		return err
	}
	if c.Idle != nil && *c.Idle {
		return w.set(tree.Setting{File: "cpu.idle", Value: "1"})
	}
	return nil
}

// bandwidth writes cpu.max, which is "QUOTA PERIOD"; without the second it
// stays what it was.
func (w *limiter) bandwidth(update, after *limits.CPU) error {
	quota := tree.Setting{File: "cpu.max", Value: "max", New: true}
	if after.QuotaUS != nil && *after.QuotaUS != limits.Unlimited {
		quota.Value, quota.New = strconv.FormatInt(*after.QuotaUS, 10), false
	}
	if after.PeriodUS != nil {
		quota.Value += " " + strconv.FormatUint(*after.PeriodUS, 10)
		quota.New = false
	}
	limited := update.QuotaUS != nil || update.PeriodUS != nil
	if update.BurstUS == nil {
		if !limited {
			return nil
		}
		return w.set(quota)
	}
	burst := tree.Setting{File: "cpu.max.burst", Value: strconv.FormatUint(*update.BurstUS, 10), New: *update.BurstUS == 0}
	if !limited {
		return w.set(burst)
	}
	return tree.AnyOrder(w.set, quota, burst)
}

// cpuset writes where processes may run.
func (w *limiter) cpuset(update, _ *limits.Limits) error {
	if update.CPUSet == nil {
		return nil
	}
	for _, s := range [...]tree.Setting{
		{File: "cpuset.cpus", Value: update.CPUSet.CPUs}, {File: "cpuset.mems", Value: update.CPUSet.Mems},
	} {
		if s.Value == "" {
			continue
		}
		if err := w.set(s); err != nil {
			return err
		}
	}
	return nil
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
