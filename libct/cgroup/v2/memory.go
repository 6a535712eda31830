package v2

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/stats"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// memory writes memory.max and its companions. swap.max goes first: to make
// room for a lower memory.max the kernel may use as much swap as is new.
func (w *limiter) memory(update, after *limits.Limits) error {
	m := update.Memory
	if m == nil {
		return nil
	}
	if err := w.checkUsage(m, after.Memory); err != nil {
		return err
	}
	if m.LimitBytes != nil || m.TotalBytes != nil {
		swap, ok, err := limits.SwapMax(after.Memory.LimitBytes, after.Memory.TotalBytes)
		if err != nil {
			return err
		}
		if ok {
			if err := w.set(tree.Setting{File: "memory.swap.max", Value: bytesOrMax(swap), New: swap == limits.Unlimited}); err != nil {
				return err
			}
		}
	}
	if n := m.LimitBytes; n != nil {
		if err := w.set(tree.Setting{File: "memory.max", Value: bytesOrMax(*n), New: *n == limits.Unlimited}); err != nil {
			return err
		}
	}
	if n := m.ReservationBytes; n != nil {
		low := limits.MemoryLow(*n)
		return w.set(tree.Setting{File: "memory.low", Value: strconv.FormatInt(low, 10), New: low == 0})
	}
	return nil
}

// checkUsage refuses a limit that the kernel would enforce by killing.
func (w *limiter) checkUsage(update, after *limits.Memory) error {
	if w.fresh || !after.CheckUsage || update.LimitBytes == nil || *update.LimitBytes == limits.Unlimited {
		return nil
	}
	used, err := tree.ReadInt(w.g.dir, "memory.current")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // writing the limit will say why
	}
	if err != nil {
		return err
	}
	if *update.LimitBytes < used {
		return fmt.Errorf("a limit of %d bytes is below the %d in use, and checkBeforeUpdate is set: %w", *update.LimitBytes, used, unix.EBUSY)
	}
	return nil
}

// memoryStats adds memory to swap, as v1 counts it and runc prints it.
func memoryStats(r *tree.Reader, s *stats.Stats) {
	m := &s.Memory
	m.PSI = r.PSI("memory.pressure")
	m.Raw = r.Keyed("memory.stat")
	if m.Raw == nil {
		return
	}
	m.Cache = m.Raw["file"]
	m.Usage = stats.MemoryEntry{
		Limit:   r.Uint("memory.max"),
		Usage:   r.Uint("memory.current"),
		Max:     r.Uint("memory.peak"), // since Linux 5.19
		Failcnt: r.Keyed("memory.events")["max"],
	}
	if r.Text("memory.swap.max") == "" {
		return // CONFIG_SWAP is off
	}
	m.Swap = stats.MemoryEntry{
		Limit:   addLimits(r.Uint("memory.swap.max"), m.Usage.Limit),
		Usage:   r.Uint("memory.swap.current") + m.Usage.Usage,
		Failcnt: r.Keyed("memory.swap.events")["max"],
	}
}

// addLimits knows that "max" is the largest number.
func addLimits(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}
