package v1

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/stats"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// Control files of the memory controller; memory.rst.
const (
	limitFile = "memory.limit_in_bytes"
	totalFile = "memory.memsw.limit_in_bytes"
)

func usageOf(limit string) string {
	if limit == totalFile {
		return "memory.memsw.usage_in_bytes"
	}
	return "memory.usage_in_bytes"
}

// memory: the kernel keeps the limit at or below that of memory with swap, so
// that the order of the two depends on which way they go. Lifting the first
// lifts the second.
func (w limiter) memory(update, _ *limits.Limits) error {
	m := update.Memory
	if m == nil {
		return nil
	}
	total := m.TotalBytes
	if total == nil && m.LimitBytes != nil && *m.LimitBytes == limits.Unlimited {
		total = m.LimitBytes
	}
	var both []tree.Setting
	for _, one := range [...]struct {
		file  string
		bytes *int64
	}{{limitFile, m.LimitBytes}, {totalFile, total}} {
		if one.bytes != nil {
			both = append(both, bytesSetting(one.file, *one.bytes))
		}
	}
	if err := tree.AnyOrder(w.set, both...); err != nil {
		return err
	}
	if m.ReservationBytes != nil {
		if err := w.set(bytesSetting("memory.soft_limit_in_bytes", *m.ReservationBytes)); err != nil {
			return err
		}
	}
	if err := w.kernelMemory(m); err != nil {
		return err
	}
	return w.reclaim(m)
}

func bytesSetting(file string, n int64) tree.Setting {
	return tree.Setting{File: file, Value: strconv.FormatInt(n, 10), New: n == limits.Unlimited}
}

// kernelMemory: since Linux 5.16 the file takes every value and forgets it,
// which is found out by reading it back.
func (w limiter) kernelMemory(m *limits.Memory) error {
	const file = "memory.kmem.limit_in_bytes"
	if n := m.KernelBytes; n != nil {
		s := bytesSetting(file, *n)
		if err := w.set(s); err != nil {
			return err
		}
		if !s.New {
			if got, err := tree.ReadInt(w.g.With(w.controller), file); err != nil || got > *n {
				return errors.Join(err, fmt.Errorf("kernel: this kernel has no limit for its memory alone, memory.limit includes it: %w", errors.ErrUnsupported))
			}
		}
	}
	if n := m.KernelTCPBytes; n != nil {
		return w.set(bytesSetting("memory.kmem.tcp.limit_in_bytes", *n))
	}
	return nil
}

func (w limiter) reclaim(m *limits.Memory) error {
	if m.Swappiness != nil {
		if err := w.set(tree.Setting{File: "memory.swappiness", Value: strconv.FormatUint(*m.Swappiness, 10)}); err != nil {
			return err
		}
	}
	if m.DisableOOMKiller == nil {
		return nil
	}
	s := tree.Setting{File: "memory.oom_control", Value: "0", New: true}
	if *m.DisableOOMKiller {
		s.Value, s.New = "1", false
	}
	return w.set(s)
}

func memoryStats(r *tree.Reader, s *stats.Stats) {
	m := &s.Memory
	m.Raw = r.Keyed("memory.stat")
	m.Cache = m.Raw["cache"]
	entry := func(prefix string) stats.MemoryEntry {
		return stats.MemoryEntry{
			Limit:   r.Uint(prefix + "limit_in_bytes"),
			Usage:   r.Uint(prefix + "usage_in_bytes"),
			Max:     r.Uint(prefix + "max_usage_in_bytes"),
			Failcnt: r.Uint(prefix + "failcnt"),
		}
	}
	m.Usage = entry("memory.")
	m.Swap = entry("memory.memsw.")
	m.Kernel = entry("memory.kmem.")
	m.KernelTCP = entry("memory.kmem.tcp.")
}
