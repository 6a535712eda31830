package v2

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// limiter writes control files of one cgroup.
type limiter struct {
	g     *Group
	fresh bool // the cgroup is new: what it has anyway need not be written
}

// Limit writes what update says. after is what holds then, for the files that
// hold more than one value: at first it is update itself, later that and what
// was said before. fresh tells that the cgroup is as [Group.Make] made it.
//
// The error matches errors.ErrUnsupported if a controller is missing.
func (g *Group) Limit(update, after *limits.Limits, fresh bool) error {
	if update == nil {
		return nil
	}
	w := limiter{g, fresh}
	if err := onlyV1(update); err != nil {
		return err
	}
	for _, part := range [...]struct {
		property string // of linux.resources
		apply    func(update, after *limits.Limits) error
	}{
		{"memory", w.memory}, {"cpu", w.cpu}, {"cpu", w.cpuset}, {"pids", w.pids}, {"blockIO", w.io},
		{"hugepageLimits", w.hugeTLB}, {"rdma", w.rdma}, {"unified", w.unified},
	} {
		if err := part.apply(update, after); err != nil {
			return fmt.Errorf("linux.resources.%s: %w", part.property, err)
		}
	}
	return nil
}

// onlyV1 refuses what plan has refused already on a v2 host: a hybrid one may
// have some controllers here.
func onlyV1(update *limits.Limits) error {
	m, c := update.Memory, update.CPU
	if m == nil {
		m = new(limits.Memory)
	}
	if c == nil {
		c = new(limits.CPU)
	}
	limited := func(n *int64) bool { return n != nil && *n != limits.Unlimited }
	for _, one := range [...]struct {
		said     bool
		property string
	}{
		{limited(m.KernelBytes), "memory.kernel"},
		{limited(m.KernelTCPBytes), "memory.kernelTCP"},
		{m.Swappiness != nil, "memory.swappiness"},
		{m.DisableOOMKiller != nil && *m.DisableOOMKiller, "memory.disableOOMKiller"},
		{c.RealtimeRuntimeUS != nil, "cpu.realtimeRuntime"},
		{c.RealtimePeriodUS != nil, "cpu.realtimePeriod"},
		{update.Network != nil, "network"},
	} {
		if one.said {
			return fmt.Errorf("linux.resources.%s: cgroup v2 has nothing like it: %w", one.property, errors.ErrUnsupported)
		}
	}
	return nil
}

// set writes a control file. One that is missing may be so because its
// controller has not reached the cgroup: then that is made up for, or explained.
func (w *limiter) set(s tree.Setting) error {
	if s.New && w.fresh {
		return nil
	}
	err := tree.Write(w.g.dir, s.File, s.Value)
	if !errors.Is(err, fs.ErrNotExist) {
		return explain(s, err)
	}
	if s.New {
		return nil // nothing limits it
	}
	controller, _, _ := strings.Cut(s.File, ".")
	if err := w.g.require(controller); err != nil {
		return fmt.Errorf("%s: %w", s.File, err)
	}
	return explain(s, tree.Write(w.g.dir, s.File, s.Value))
}

// explain adds what the kernel means; Documentation/admin-guide/cgroup-v2.rst.
func explain(s tree.Setting, err error) error {
	hint := ""
	switch controller, _, _ := strings.Cut(s.File, "."); {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist) && controller == "hugetlb":
		hint = "no huge pages of this size; /sys/kernel/mm/hugepages has those there are"
	case errors.Is(err, fs.ErrNotExist) && s.File == "memory.swap.max":
		hint = "the kernel does not count swap (CONFIG_SWAP, swapaccount=1)"
	case errors.Is(err, fs.ErrNotExist):
		hint = "this kernel's " + controller + " controller has no such file"
	case errors.Is(err, unix.ENODEV) && controller == "io":
		hint = "no such disk"
	}
	if hint == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, hint)
}

// bytesOrMax writes a size as the kernel reads it.
func bytesOrMax(n int64) string {
	if n == limits.Unlimited {
		return "max"
	}
	return strconv.FormatInt(n, 10)
}

// require makes a controller reach the cgroup, or says why it cannot.
func (g *Group) require(controller string) error {
	available, err := words(g.root, "cgroup.controllers")
	if err != nil {
		return err
	}
	if !available[controller] {
		return fmt.Errorf("the kernel has no %s controller in cgroup v2 (built without it, switched off, or in use by v1): %w", controller, errors.ErrUnsupported)
	}
	return g.eachParent(func(dir string) error {
		if on, err := words(dir, "cgroup.subtree_control"); err == nil && on[controller] {
			return nil // perhaps not ours to write, but there
		}
		err := error(unix.EBUSY)
		if !turnsThreaded(dir) {
			err = tree.Write(dir, "cgroup.subtree_control", "+"+controller)
		}
		if err == nil {
			return nil
		}
		return g.whyNot(dir, controller, err)
	})
}

// turnsThreaded says that a controller must not be handed down from dir, as it
// holds processes: the kernel refuses most controllers there, but by cpu,
// cpuset and pids the cgroup becomes a threaded domain, whose children cannot
// hold processes. The root may have both; cgroups(7), "Thread mode".
func turnsThreaded(dir string) bool {
	if _, err := tree.Read(dir, "cgroup.type"); errors.Is(err, fs.ErrNotExist) {
		return false
	}
	processes, err := tree.Read(dir, "cgroup.procs")
	return err == nil && processes != ""
}

// whyNot explains the errors of cgroup.subtree_control; cgroups(7).
func (g *Group) whyNot(dir, controller string, err error) error {
	kind, _ := tree.Read(dir, "cgroup.type")
	kind = strings.TrimSpace(kind)
	name := strings.TrimPrefix(dir, g.root)
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("cgroup %s has processes itself, so that it cannot hand the %s controller down; move them to one below, or choose another linux.cgroupsPath: %w", name, controller, err)
	case kind == "threaded", kind == "domain threaded", kind == "domain invalid":
		return fmt.Errorf("cgroup %s is of type %q, which has no %s controller for processes below; choose another linux.cgroupsPath: %w", name, kind, controller, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cgroup %s has not been given the %s controller: %w", name, controller, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return fmt.Errorf("the %s controller is not delegated to the container's cgroup: %w", controller, err)
	}
	return err
}

// enableAll hands all controllers down, as far as that goes: so that what the
// container uses is counted, can be limited later, and by itself below. What a
// limit needs and is missing yet is up to require.
func (g *Group) enableAll() {
	available, err := words(g.root, "cgroup.controllers")
	if err != nil {
		return
	}
	_ = g.eachParent(func(dir string) error { // best effort
		on, err := words(dir, "cgroup.subtree_control")
		if err != nil {
			return err
		}
		missing := ""
		for controller := range available {
			if !on[controller] {
				missing += " +" + controller
			}
		}
		if missing == "" {
			return nil
		}
		if turnsThreaded(dir) {
			return unix.EBUSY // nor is there anything for those below
		}
		if tree.Write(dir, "cgroup.subtree_control", missing[1:]) == nil {
			return nil
		}
		for controller := range strings.FieldsSeq(missing) {
			if tree.Write(dir, "cgroup.subtree_control", controller) != nil {
				delete(available, controller[1:])
			}
		}
		return nil
	})
}

// eachParent calls fn for the cgroups above this one, from the root.
func (g *Group) eachParent(fn func(dir string) error) error {
	for i, c := range g.path {
		if c == '/' {
			if err := fn(g.root + g.path[:i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// words reads a file that lists words.
func words(dir, file string) (map[string]bool, error) {
	text, err := tree.Read(dir, file)
	if err != nil {
		return nil, err
	}
	set := map[string]bool{}
	for word := range strings.FieldsSeq(text) {
		set[word] = true
	}
	return set, nil
}

// Has tells whether the hierarchy has a controller.
func (g *Group) Has(controller string) bool {
	available, err := words(g.root, "cgroup.controllers")
	return err == nil && available[controller]
}
