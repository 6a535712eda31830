package v1

import (
	"strconv"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/stats"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// pids bounds the number of tasks.
func (w limiter) pids(update, _ *limits.Limits) error {
	if update.Tasks == nil {
		return nil
	}
	s := tree.Setting{File: "pids.max", Value: "max", New: true}
	if *update.Tasks != limits.Unlimited {
		s.Value, s.New = strconv.FormatInt(*update.Tasks, 10), false
	}
	return w.set(s)
}

func pidsStats(r *tree.Reader, s *stats.Stats) {
	s.Pids = stats.Pids{Current: r.Uint("pids.current")}
	if r.Text("pids.max") != "max" {
		s.Pids.Limit = r.Uint("pids.max")
	}
}
