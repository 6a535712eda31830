package v1

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/stats"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// hugeTLB limits reservations, as the runtime specification wants it, and use:
// a reservation that was made before an update would not be counted.
func (w limiter) hugeTLB(update, _ *limits.Limits) error {
	for _, h := range update.HugeTLB {
		value := strconv.FormatUint(h.LimitBytes, 10)
		for _, file := range [...]string{".limit_in_bytes", ".rsvd.limit_in_bytes"} {
			err := w.set(tree.Setting{File: "hugetlb." + h.PageSize + file, Value: value})
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%w: no huge pages of this size; /sys/kernel/mm/hugepages has those there are", err)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// hugetlbStats counts as failures also those of reservations, as v2's events do:
// a page is reserved before it is used, and the limits are the same.
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
			Failcnt: r.Uint(prefix+"failcnt") + r.Uint(prefix+"rsvd.failcnt"), // rsvd since Linux 5.7
		}
	}
}
