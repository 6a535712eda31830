package v2

import (
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/stats"
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
