package v2

import (
	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// pids bounds the number of tasks.
func (w *limiter) pids(update, _ *limits.Limits) error {
	if update.Tasks == nil {
		return nil
	}
	return w.set(tree.Setting{File: "pids.max", Value: bytesOrMax(*update.Tasks), New: *update.Tasks == limits.Unlimited})
}
