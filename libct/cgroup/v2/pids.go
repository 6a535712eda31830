package v2

import (
	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/stats"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// pids bounds the number of tasks.
func (w *limiter) pids(update, _ *limits.Limits) error {
	if update.Tasks == nil {
		return nil
	}
	return w.set(tree.Setting{File: "pids.max", Value: bytesOrMax(*update.Tasks), New: *update.Tasks == limits.Unlimited})
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
