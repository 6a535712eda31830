package cgroup

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct/cgroup/devices"
	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/systemd"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
	"github.com/hako-runtime/hako/libct/host"
	"golang.org/x/sys/unix"
)

// managed is a group that systemd makes and removes. What systemd says of
// limits and devices is said first, and then control files are written as
// without it, since it has properties for only some, and coarser ones.
//
// Whatever needs no change of the unit (state, exec, kill, pause, statistics)
// is done by the driver, without a conversation.
type managed struct {
	*group
	mode  host.CgroupMode
	begun *systemd.Manager // from Locate to the end of Add or Create
	made  bool             // the unit is ours, as far as we know
}

// Locate is [Open] for a container that is about to be made: it fills in the
// Path that only systemd knows.
func Locate(spec *Spec, mode host.CgroupMode) (Group, error) {
	if spec.Unit == nil {
		return Open(*spec, mode)
	}
	manager, err := systemd.Connect(spec.Unit.User)
	if err != nil {
		return nil, err
	}
	root, err := manager.Root()
	var g Group
	if err == nil {
		spec.Path = spec.Unit.Path(root)
		g, err = Open(*spec, mode)
	}
	if err != nil {
		manager.Close()
		return nil, err
	}
	g.(*managed).begun = manager
	return g, nil
}

func (m *managed) unit() *systemd.Unit { return m.spec.Unit }

// Create refuses a cgroup that others are in. A slice is started here, a scope
// in Add, because it cannot be without a process.
func (m *managed) Create() error {
	pids, err := m.Processes()
	if err != nil {
		return err
	}
	if len(pids) > 0 {
		return &tree.NotEmptyError{Path: m.spec.Path, PIDs: pids}
	}
	if !m.unit().IsSlice() {
		return nil
	}
	return m.start(0)
}

// start starts the unit and makes what systemd does not make.
func (m *managed) start(pid int) error {
	manager := m.begun
	defer m.end()
	properties, err := m.properties(manager)
	if err != nil {
		return err
	}
	err = manager.Start(m.unit(), pid, properties)
	m.made = !errors.Is(err, unix.EEXIST)
	if err != nil {
		return err
	}
	if err := m.checkPlace(pid); err != nil {
		return err
	}
	return m.Adopt()
}

// end closes the conversation that Locate began.
func (m *managed) end() {
	if m.begun != nil {
		m.begun.Close()
		m.begun = nil
	}
}

// properties are those of the limits and device rules. A user's manager has
// no privilege for devices, and ignores what is said of them.
func (m *managed) properties(manager *systemd.Manager) ([]systemd.Property, error) {
	v2 := m.mode == host.CgroupV2
	list := systemd.Accounting(v2)
	if err := m.checkIdle(manager, m.spec.Limits); err != nil {
		return nil, err
	}
	now, _ := limits.Staged(m.spec.Limits)
	of, err := systemd.Limits(now, v2)
	if err != nil {
		return nil, err
	}
	list = append(list, of...)
	if m.unit().User || len(m.spec.Devices) == 0 {
		return list, nil
	}
	return append(list, deviceProperties(m.spec.Devices)...), nil
}

// checkIdle: before systemd 252 there is no CPUWeight=idle, and systemd would
// take the file's value back the next time it looks at the unit. v1's file it
// does not know.
func (m *managed) checkIdle(manager *systemd.Manager, l *limits.Limits) error {
	const first = 252
	if m.mode != host.CgroupV2 || l == nil || l.CPU == nil || l.CPU.Idle == nil || !*l.CPU.Idle {
		return nil
	}
	version, err := manager.Version()
	if err == nil && version < first {
		err = fmt.Errorf("linux.resources.cpu.idle needs systemd %d, this is %d: %w", first, version, errors.ErrUnsupported)
	}
	return err
}

// deviceProperties say what the rules allow. What systemd cannot say (one
// minor number of every major one, an exception from all) it allows, and only
// our own rules hold.
func deviceProperties(rules []devices.Rule) []systemd.Property {
	allowed, everything := devices.Allowed(rules)
	if everything {
		return systemd.Devices(nil)
	}
	list := make([]systemd.Device, 0, len(allowed))
	for _, r := range allowed {
		list = append(list, systemd.Device{Type: r.Type, Major: r.Major, Minor: r.Minor, Access: r.Letters()})
	}
	return systemd.Devices(list)
}

// checkPlace holds against what the path was worked out to be: everything
// after this relies on it.
func (m *managed) checkPlace(pid int) error {
	if pid == 0 {
		return nil
	}
	file := "/proc/" + strconv.Itoa(pid) + "/cgroup"
	table, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	controllers := "name=systemd" // where systemd keeps its units on v1
	if m.mode == host.CgroupV2 {
		controllers = ""
	}
	for line := range strings.Lines(string(table)) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) == 3 && fields[1] == controllers && fields[2] != m.spec.Path {
			return fmt.Errorf("systemd has put unit %s into cgroup %s, not %s", m.unit().Name, fields[2], m.spec.Path)
		}
	}
	return nil
}

// Dir is nothing while the container is being made, unless the unit is there
// already; and nothing for a user, who may not clone out of a session's
// cgroup, which is not that of the user's manager: Add knows what to do.
func (m *managed) Dir() (*os.File, error) {
	if m.begun != nil || m.unit().User {
		return nil, nil
	}
	return m.driver.Dir()
}

// Limit is for Add to do while there is no scope yet.
func (m *managed) Limit() error {
	if m.begun != nil {
		return nil
	}
	return m.group.Limit()
}

// Settle tells systemd too.
func (m *managed) Settle() error {
	_, later := limits.Staged(m.spec.Limits)
	if later == nil {
		return nil
	}
	return m.Update(later, nil)
}

// Add starts the scope and limits it, or moves one more process into it.
func (m *managed) Add(pid int) error {
	if m.begun != nil {
		if err := m.start(pid); err != nil {
			return err
		}
		if err := m.group.Limit(); err != nil {
			return err
		}
		if m.mode == host.CgroupV2 {
			return nil // it is there
		}
		return m.driver.Add(pid)
	}
	err := m.driver.Add(pid)
	if !m.unit().User || !errors.Is(err, os.ErrPermission) {
		return err
	}
	// cgroups(7), delegation containment: the common ancestor is not ours.
	return m.talk(func(manager *systemd.Manager) error { return manager.Attach(m.unit(), pid) })
}

// AddUncounted leaves all to Add where that may have to ask systemd.
func (m *managed) AddUncounted(pid int) error {
	if m.unit().User {
		return nil
	}
	return m.driver.AddUncounted(pid)
}

// talk has a conversation of its own.
func (m *managed) talk(about func(*systemd.Manager) error) error {
	manager, err := systemd.Connect(m.unit().User)
	if err != nil {
		return err
	}
	defer manager.Close()
	return about(manager)
}

// Update writes the control files, so that what the kernel refuses is not said
// to systemd; has systemd change the unit; and writes the files again, because
// systemd does, less exactly. On v1 systemd denies all devices for a moment
// whenever it changes anything, so the processes stand still until our rules
// hold again.
func (m *managed) Update(l *limits.Limits, rules []devices.Rule) error {
	if err := m.group.Update(l, rules); err != nil {
		return err
	}
	properties, err := m.updated(l, rules)
	if err != nil || len(properties) == 0 {
		return err
	}
	if len(rules) == 0 && m.mode != host.CgroupV2 {
		rules = m.spec.Devices
	}
	if len(rules) > 0 && m.mode != host.CgroupV2 {
		thaw, err := m.hold()
		if err != nil {
			return err
		}
		defer thaw()
	}
	err = m.talk(func(manager *systemd.Manager) error {
		if err := m.checkIdle(manager, l); err != nil {
			return err
		}
		return manager.Set(m.unit(), properties)
	})
	return errors.Join(err, m.apply(l, m.spec.Limits, rules, false))
}

// hold freezes the processes, unless they are; thaw undoes that. Best effort:
// where nothing can be frozen, a device may be denied for a moment.
func (m *managed) hold() (thaw func(), err error) {
	frozen, err := m.Frozen()
	if err != nil {
		return nil, err
	}
	if frozen || m.Freeze() != nil {
		return func() {}, nil
	}
	return func() { _ = m.Thaw() }, nil
}

// updated are the properties that change; the limits are those of after.
func (m *managed) updated(l *limits.Limits, rules []devices.Rule) (list []systemd.Property, err error) {
	if l != nil {
		if list, err = systemd.Update(m.spec.Limits, l, m.mode == host.CgroupV2); err != nil {
			return nil, err
		}
	}
	if len(rules) > 0 && !m.unit().User {
		list = append(list, deviceProperties(rules)...)
	}
	return list, nil
}

// Discard leaves the slices above, which are systemd's, and a unit that
// somebody else has made.
func (m *managed) Discard() error {
	m.end()
	if !m.made {
		return nil
	}
	return m.Clear()
}

// Remove removes the directories, of which systemd does not know all, and the
// unit.
func (m *managed) Remove() error {
	if err := m.group.Remove(); err != nil {
		return err
	}
	return m.stop()
}

// Clear is Remove that kills what is left inside.
func (m *managed) Clear() error {
	if err := m.group.Clear(); err != nil {
		return err
	}
	return m.stop()
}

// stop waits until systemd has forgotten the unit, so that the name is free.
// A manager that is gone has taken its units with it.
func (m *managed) stop() error {
	err := m.talk(func(manager *systemd.Manager) error { return manager.Stop(m.unit()) })
	if systemd.IsUnreachable(err) {
		return nil
	}
	return err
}
