package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The smallest limit is looked for in steps, from what crun needs to far above
// what anybody does.
const (
	limitStepKiB = 32
	maxLimitKiB  = 16 << 10
	limitTries   = 3 // a limit counts if it suffices so many times
)

const memoryDir = "/sys/fs/cgroup/memory"

// needsMemory says why there is nothing to measure in this view.
func needsMemory() error {
	if _, err := os.Stat(filepath.Join(memoryDir, "memory.limit_in_bytes")); err != nil {
		return errors.New("this view has no memory controller")
	}
	return nil
}

// eachFit measures one number of each runtime, in MiB.
func (w *worker) eachFit(measure func(target) (float64, error)) ([]samples, error) {
	var all []samples
	for _, r := range w.opts.Runtimes {
		s := samples{Name: r.Name}
		err := w.unfit[r.Name]
		if err == nil {
			err = needsMemory()
		}
		var value float64
		if err == nil {
			value, err = measure(r)
		}
		if w.stopped.Load() {
			return nil, errors.New("stopped")
		}
		if err != nil {
			s.Error = err.Error()
		} else {
			s.PeakMiB = []float64{value}
		}
		all = append(all, s)
	}
	return all, nil
}

// measureInitMemory reads the most that the container's cgroup was charged
// for when it is created: the init stage, before the program.
func (w *worker) measureInitMemory() ([]samples, error) {
	return w.eachFit(func(r target) (float64, error) {
		id, bundle, err := w.bundle(r, "charged", "/bin/true")
		if err != nil {
			return 0, err
		}
		if err := quiet(r, "create", "--bundle", bundle, id); err != nil {
			return 0, err
		}
		defer w.deleteContainers()
		data, err := os.ReadFile(filepath.Join(memoryDir, id, "memory.max_usage_in_bytes"))
		if err != nil {
			return 0, err
		}
		n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
		return float64(n) / (1 << 20), err
	})
}

// measureLimit bisects for the smallest memory limit with which a container
// runs /bin/true.
func (w *worker) measureLimit() ([]samples, error) {
	return w.eachFit(func(r target) (float64, error) {
		low, high := 0, maxLimitKiB/limitStepKiB // low fails, high suffices
		if err := w.runLimited(r, high*limitStepKiB); err != nil {
			return 0, err
		}
		for high-low > 1 && !w.stopped.Load() {
			middle := (low + high) / 2
			if w.runLimited(r, middle*limitStepKiB) == nil {
				high = middle
			} else {
				low = middle
			}
		}
		return float64(high*limitStepKiB) / 1024, nil
	})
}

func (w *worker) runLimited(r target, kib int) error {
	linux, _ := w.spec["linux"].(map[string]any) // bundle has looked
	before := linux["resources"]
	linux["resources"] = map[string]any{"memory": map[string]any{"limit": kib << 10}}
	defer func() { linux["resources"] = before }()
	for i := range limitTries {
		id, bundle, err := w.bundle(r, fmt.Sprintf("limit%d-%d", kib, i), "/bin/true")
		if err != nil {
			return err
		}
		err = quiet(r, "run", "--bundle", bundle, id)
		if err != nil {
			w.deleteContainers()
			return err
		}
	}
	return nil
}
