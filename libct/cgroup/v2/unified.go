package v2

import (
	"errors"
	"strings"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// unified writes what the config says file by file, a line at a time: that is
// what the kernel reads in files with a line for each device.
func (w *limiter) unified(update, _ *limits.Limits) error {
	for _, u := range update.Unified {
		if strings.Contains(u.File, "/") {
			return errors.New(u.File + " is not in the container's cgroup")
		}
		lines := strings.Split(strings.TrimSuffix(u.Value, "\n"), "\n")
		for _, line := range lines {
			if err := w.set(tree.Setting{File: u.File, Value: line}); err != nil {
				return err
			}
		}
	}
	return nil
}
