package v2

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
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
