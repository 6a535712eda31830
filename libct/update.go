package libct

import (
	"fmt"

	"github.com/hako-runtime/hako/libct/cgroup"
	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/host"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/rdt"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// UpdateOptions are the changes that update makes.
type UpdateOptions struct {
	Resources     *specs.LinuxResources // what is absent stays as it is
	L3CacheSchema string                // as in linux.intelRdt; "" stays as it is
	MemBwSchema   string
}

// Update changes limits of a container that is created, running or paused.
// All is checked before anything is changed. If the kernel refuses a part, what
// was changed until then is taken back as far as possible. Later commands see
// the limits that are in force then.
//
// Errors match [ErrNotRunning] and plan.Invalid.
func (c *Container) Update(o UpdateOptions) error {
	if !c.record.Ready {
		// A hook of create must not wait for create's lock.
		return fmt.Errorf("it is not created: %w", ErrNotRunning)
	}
	if err := c.lock(); err != nil {
		return err
	}
	defer c.dir.Unlock()
	status, err := c.status()
	if err != nil {
		return err
	}
	if status == Stopped {
		return ErrNotRunning
	}
	u := &update{c: c}
	if u.group, err = c.group(); err != nil {
		return err
	}
	if err := u.compose(o); err != nil {
		return err
	}
	return u.apply()
}

// update is one call of [Container.Update].
type update struct {
	c      *Container
	group  cgroup.Group
	limits *limits.Limits // to be changed
	after  *limits.Limits // in force then
	rdt    *rdt.Group     // with the schemata to be changed; nil: none
	rdtNow *rdt.Group     // as the container's then
}

// compose checks everything that can be checked before.
func (u *update) compose(o UpdateOptions) (err error) {
	facts, err := host.Probe()
	if err != nil {
		return err
	}
	facts.Cgroup = u.c.record.Cgroups
	resources := o.Resources
	if resources == nil {
		resources = new(specs.LinuxResources)
	}
	container := u.c.record.Plan
	var warnings []string
	u.limits, u.after, warnings, err = plan.Update(container, resources, facts)
	for _, w := range warnings {
		u.c.r.Warn(w)
	}
	if err != nil {
		return err
	}
	u.rdtNow = container.RDT
	if o.L3CacheSchema == "" && o.MemBwSchema == "" {
		return nil
	}
	u.rdt, u.rdtNow, err = plan.UpdateRDT(container, &specs.LinuxIntelRdt{L3CacheSchema: o.L3CacheSchema, MemBwSchema: o.MemBwSchema})
	if err != nil {
		return err
	}
	if err := (rdt.FS{}).Available(); err != nil {
		return fmt.Errorf("linux.intelRdt: %w", err)
	}
	return nil
}

// apply changes the cgroup, resctrl, and the record, in this order.
func (u *update) apply() error {
	rec := &u.c.record
	before := rec.Plan.Cgroup.Limits
	if u.limits != nil {
		if err := u.group.Update(u.limits, nil); err != nil {
			return u.revert(before, err)
		}
	}
	if u.rdt != nil {
		if err := u.changeRDT(); err != nil {
			return u.revert(before, fmt.Errorf("linux.intelRdt: %w", err))
		}
	}
	if u.limits == nil && u.rdt == nil {
		return nil
	}
	rec.Plan.Cgroup.Limits, rec.Plan.RDT = u.after, u.rdtNow
	u.c.cgroup = nil // it was opened for the limits of before
	if err := u.c.dir.Save(rec); err != nil {
		rec.Plan.Cgroup.Limits = before
		return u.revert(before, err)
	}
	return nil
}

// revert takes back what has been changed in the cgroup; err stays the error
// that is told.
func (u *update) revert(before *limits.Limits, err error) error {
	if u.limits == nil {
		return err
	}
	return firstWith([]error{err, u.group.Update(limits.Reverted(before, u.limits), nil)})
}

// changeRDT writes the schemata. A container without a class of its own gets
// one, as with runc, and all of its processes move there.
func (u *update) changeRDT() error {
	fs := rdt.FS{}
	if u.c.record.Plan.RDT != nil {
		return fs.SetSchemata(*u.rdt)
	}
	if err := fs.Create(*u.rdt); err != nil {
		return err
	}
	if err := u.moveAll(fs); err != nil {
		return firstWith([]error{err, fs.Remove(*u.rdt)})
	}
	return nil
}

// moveAll stops the container meanwhile, so that nobody is forked unseen.
func (u *update) moveAll(fs rdt.FS) (err error) {
	frozen, err := u.group.Frozen()
	if err != nil {
		return err
	}
	if !frozen {
		if err := u.group.Freeze(); err != nil {
			return err
		}
		defer func() {
			if thawErr := u.group.Thaw(); err == nil {
				err = thawErr
			}
		}()
	}
	pids, err := u.group.Processes()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := fs.AddThreads(*u.rdt, pid); err != nil {
			return err
		}
	}
	return nil
}
