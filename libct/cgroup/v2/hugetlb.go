package v2

import (
	"strconv"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// hugeTLB limits reservations, as the runtime specification wants it, and use:
// a reservation that was made before an update would not be counted.
func (w *limiter) hugeTLB(update, _ *limits.Limits) error {
	for _, h := range update.HugeTLB {
		value := strconv.FormatUint(h.LimitBytes, 10)
		for _, file := range [...]string{".max", ".rsvd.max"} {
			if err := w.set(tree.Setting{File: "hugetlb." + h.PageSize + file, Value: value}); err != nil {
				return err
			}
		}
	}
	return nil
}
