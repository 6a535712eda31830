package plan

import (
	"maps"
	"slices"
	"strings"

	"github.com/hako-runtime/hako/libct/cgroup/systemd"
	"github.com/hako-runtime/hako/libct/host"
)

// settingPrefix begins the annotations that are properties of the unit.
const settingPrefix = "org.systemd.property."

// UnsafeAnnotations lists those that change what hako does, for `features`; a
// dot at the end stands for everything that begins so.
func UnsafeAnnotations() []string { return []string{settingPrefix} }

// systemdUnit is cgroupsPath where systemd manages the cgroup. Its path is
// known when the manager has been asked.
func (c *composer) systemdUnit() {
	user := !c.facts.OwnInit
	if user && c.facts.Cgroup != host.CgroupV2 {
		c.refuse("--systemd-cgroup without root needs cgroup v2: v1 cannot be delegated to a user's manager", "linux.cgroupsPath")
	}
	settings := c.settings()
	unit, err := systemd.New(c.linux.CgroupsPath, c.options.ID, user)
	if err != nil {
		c.refuse(err.Error(), "linux.cgroupsPath")
		return
	}
	unit.Settings = settings
	c.plan.Cgroup.Unit = unit
}

func (c *composer) settings() (list []systemd.Setting) {
	for _, key := range slices.Sorted(maps.Keys(c.spec.Annotations)) {
		name, ok := strings.CutPrefix(key, settingPrefix)
		if !ok {
			continue
		}
		s := systemd.Setting{Name: name, Value: c.spec.Annotations[key]}
		if err := s.Check(); err != nil {
			c.refuse(err.Error(), "annotations[%s]", quote(key))
		}
		list = append(list, s)
	}
	return list
}
