package v1

import (
	"strconv"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

const priorityFile = "net_prio.ifpriomap"

// netCls marks packets with a class.
func (w limiter) netCls(update, _ *limits.Limits) error {
	if update.Network == nil || update.Network.ClassID == nil {
		return nil
	}
	return w.set(unsigned("net_cls.classid", uint64(*update.Network.ClassID), 0))
}

// netPrio sets the priority of packets by interface.
func (w limiter) netPrio(update, _ *limits.Limits) error {
	if update.Network == nil {
		return nil
	}
	for _, p := range update.Network.Priorities {
		value := p.Interface + " " + strconv.FormatUint(uint64(p.Priority), 10)
		if err := w.set(tree.Setting{File: priorityFile, Value: value}); err != nil {
			return err
		}
	}
	return nil
}
