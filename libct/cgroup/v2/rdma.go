package v2

import (
	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// rdma writes a line for each device.
func (w *limiter) rdma(update, _ *limits.Limits) error {
	for _, r := range update.RDMA {
		if err := w.set(tree.Setting{File: "rdma.max", Value: r.Line()}); err != nil {
			return err
		}
	}
	return nil
}
