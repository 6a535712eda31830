package libct

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/hako-runtime/hako/libct/cgroup"
	"github.com/hako-runtime/hako/libct/hooks"
	"github.com/hako-runtime/hako/libct/host"
	"github.com/hako-runtime/hako/libct/netdev"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/rdt"
	"github.com/hako-runtime/hako/libct/rootfs"
	"github.com/hako-runtime/hako/libct/spawn"
	"github.com/hako-runtime/hako/libct/state"
	"github.com/hako-runtime/hako/libct/wire"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// creation is one container on its way into being.
type creation struct {
	r       *Runtime
	id      string
	o       CreateOptions
	console *os.File // socket that receives the terminal

	// makeConsole makes console in the foreground; nil: dial --console-socket.
	makeConsole func() (*os.File, error)

	bundle string

	spec   *specs.Spec
	facts  host.Facts
	plan   *plan.Plan
	dir    *state.Dir
	rec    record
	unmade cgroup.Group // not yet ours
	group  cgroup.Group
	rdt    bool // the resctrl group exists

	hookFailed bool // a prestart or createRuntime hook
	launch
}

// Create makes the container id, up to the point where its process waits for
// [Container.Start]. It either succeeds or leaves nothing behind.
//
// Errors match [ErrExists] and plan.Invalid. See runtime-spec runtime.md#create.
func (r *Runtime) Create(id string, o CreateOptions) (*Container, error) {
	c := &creation{r: r, id: id, o: o}
	ct, err := c.create()
	if err != nil {
		return nil, err
	}
	ct.dir.Unlock()
	return ct, nil
}

// create works off the host's list of steps. The container stays locked.
func (c *creation) create() (*Container, error) {
	err := c.r.work([]step{
		{"read config", c.readConfig},
		{"plan", c.makePlan},
		{"reserve the state folder", c.reserve},
		{"create the cgroup", c.createCgroup},
		{"clone the init stage", c.clone},
		// From here to "serve" init's runtime starts, in parallel with us.
		{"open the sources of mounts", c.openSources},
		{"place the init stage", c.place},
		// After it: of a unit of systemd there are no directories before.
		{"open the view of cgroups", c.openCgroupView},
		{"save the state", c.saveProcess},
		{"serve the init stage", c.serve},
		{"apply what init needed room for", c.settle},
		{"save the state as created", c.saveReady},
		{"write the pid file", c.writePid},
	})
	if err != nil {
		return nil, c.undo(err)
	}
	c.release()
	return &Container{r: c.r, dir: c.dir, record: c.rec, cgroup: c.group}, nil
}

// undo removes what has been made; err stays the error that is told.
func (c *creation) undo(err error) error {
	c.abort()
	if c.console != nil {
		c.console.Close()
	}
	left := []error{err}
	if c.group != nil {
		left = append(left, c.group.Discard())
	}
	if c.rdt {
		left = append(left, (rdt.FS{}).Remove(*c.plan.RDT))
	}
	if c.dir != nil {
		left = append(left, c.dir.Remove())
	}
	if c.failedInHook(err) {
		ct := &Container{r: c.r, dir: c.dir, record: c.rec}
		left = append(left, ct.poststop())
	}
	return firstWith(left)
}

// failedInHook tells the failures after which the lifecycle goes on with
// poststop; runtime-spec runtime.md#lifecycle, steps 3 to 6.
func (c *creation) failedInHook(err error) bool {
	var failure *wire.Failure
	return c.hookFailed || errors.As(err, &failure) && failure.Hook
}

// firstWith joins errors only if there is more than the first.
func firstWith(errs []error) error {
	if rest := errors.Join(errs[1:]...); rest != nil {
		return fmt.Errorf("%w; clean-up: %w", errs[0], rest)
	}
	return errs[0]
}

func (c *creation) readConfig() (err error) {
	if err := plan.ValidID(c.id); err != nil {
		return err
	}
	if c.bundle, err = filepath.Abs(c.o.Bundle); err != nil {
		return err
	}
	if c.o.PidFile != "" {
		if c.o.PidFile, err = filepath.Abs(c.o.PidFile); err != nil {
			return err
		}
	}
	spec, err := plan.ReadConfig(c.bundle)
	if err == nil && joinsPidNamespace(spec) {
		if err := spawn.Protect(); err != nil {
			return err
		}
	}
	// As runc does: a relative root, the hooks' programs and a relative
	// --console-socket are the bundle's.
	if err := os.Chdir(c.bundle); err != nil {
		return fmt.Errorf("bundle: %w", err)
	}
	c.spec = spec
	return err
}

// joinsPidNamespace tells whether others, who may have CAP_SYS_PTRACE, can look
// into the container's process from the beginning.
func joinsPidNamespace(spec *specs.Spec) (joins bool) {
	if spec.Linux == nil {
		return false
	}
	for _, ns := range spec.Linux.Namespaces {
		if ns.Type == specs.UserNamespace {
			return false
		}
		joins = joins || ns.Type == specs.PIDNamespace && ns.Path != ""
	}
	return joins
}

func (c *creation) makePlan() error {
	warnings, err := c.compose()
	if err != nil {
		return err
	}
	for _, w := range warnings {
		c.r.Warn(w)
	}
	if err := checkLabels(c.plan); err != nil {
		return err
	}
	return c.checkConsole()
}

// compose makes the plan of c.spec on this host.
func (c *creation) compose() (warnings []string, err error) {
	if c.facts, err = host.Probe(); err != nil {
		return nil, err
	}
	c.r.applyRootless(&c.facts)
	c.plan, warnings, err = plan.New(c.spec, c.facts, plan.Options{
		ID: c.id, Bundle: c.bundle, NoPivot: c.o.NoPivot, NoNewKeyring: c.o.NoNewKeyring,
		PreserveFDs: c.o.PreserveFDs, ListenFDs: listenFDs(), NotifySocket: c.r.notifySocket(c.id), Systemd: c.r.Systemd,
		OwnNamespaces: c.ownNamespaces(), Debug: c.r.Debug,
	})
	return warnings, err
}

// ownNamespaces are the types of the joined ones that the runtime is in itself:
// what would be set up there is the host's.
func (c *creation) ownNamespaces() (own []specs.LinuxNamespaceType) {
	if c.spec.Linux == nil {
		return nil
	}
	files := map[specs.LinuxNamespaceType]string{specs.MountNamespace: "mnt", specs.NetworkNamespace: "net"}
	for _, ns := range c.spec.Linux.Namespaces {
		if ns.Path != "" && host.IsOwnNamespace(cmp.Or(files[ns.Type], string(ns.Type)), ns.Path) {
			own = append(own, ns.Type)
		}
	}
	return own
}

// checkConsole refuses what could only fail later.
func (c *creation) checkConsole() error {
	if !c.plan.Process.Terminal {
		if c.o.ConsoleSocket != "" {
			return errors.New("--console-socket is given, but process.terminal is false")
		}
		return nil
	}
	var err error
	if c.makeConsole != nil {
		c.console, err = c.makeConsole()
		return err
	}
	c.console, err = dialConsole(c.o.ConsoleSocket)
	return err
}

// listenFDs is the number of descriptors that systemd has handed to hako for
// the container; sd_listen_fds(3).
func listenFDs() int {
	if pid := os.Getenv("LISTEN_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	n, err := strconv.Atoi(os.Getenv("LISTEN_FDS"))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

func (c *creation) reserve() (err error) {
	// Before the record names the cgroup: delete --force kills what is in it.
	err = c.checkCgroup()
	if state.At(c.r.Root, c.id).Exists() {
		return ErrExists
	}
	if err != nil {
		return err
	}
	c.dir, err = state.Reserve(c.r.Root, c.id)
	if errors.Is(err, fs.ErrExist) && state.At(c.r.Root, c.id).Exists() {
		return ErrExists
	}
	if err != nil {
		return stateRootError(c.r.Root, err)
	}
	if c.r.Sticky {
		if err := os.Chmod(c.r.Root, 0o700|os.ModeSticky); err != nil {
			return fmt.Errorf("state root: %w", err)
		}
	}
	c.rec = record{
		Version: recordVersion, ID: c.id, Created: time.Now().UTC(),
		Cgroups: c.facts.Cgroup, Plan: c.plan, Process: c.spec.Process,
	}
	// Before anything is made outside: delete --force has to find it.
	if err := c.dir.Anchor(c.plan.Cgroup.Anchor(c.facts.Cgroup), c.plan.Cgroup.Path); err != nil {
		return err
	}
	return c.r.makeNotifyDir(c.id)
}

func stateRootError(root string, err error) error {
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		return fmt.Errorf("state root: %w (set XDG_RUNTIME_DIR, or give --root)", err)
	}
	return fmt.Errorf("state root: %w", err)
}

// openSources opens what init may not look up for itself.
func (c *creation) openSources() error {
	if c.console != nil {
		c.attach(c.console, plan.FileConsole, 0)
		c.console = nil
	}
	start, result, err := c.dir.MakeFIFOs()
	if err != nil {
		return err
	}
	c.attach(start, plan.FileStart, 0)
	c.attach(result, plan.FileResult, 0)
	if c.plan.Setup.Root.Enter == rootfs.EnterChroot {
		return nil
	}
	err = rootfs.OpenSources(c.wanted(), func(part rootfs.Source, index int, f *os.File) {
		c.attach(f, plan.Role(part), index)
	})
	if errors.Is(err, rootfs.ErrUnprivileged) {
		c.openInside = true
		return nil
	}
	return err
}

// wanted is what the container takes from the host's file systems. sysfs
// cannot be mounted where the network namespace is not one of the container's
// user namespace; user_namespaces(7).
func (c *creation) wanted() rootfs.Wanted {
	n, setup := &c.plan.Namespaces, c.plan.Setup
	return rootfs.Wanted{
		RootPath: setup.Root.HostPath, Mounts: setup.Mounts, Devices: setup.Devices,
		Masks:     len(setup.Restrict.UnsafeMasked) > 0,
		HostSysfs: n.Has(unix.CLONE_NEWUSER) && n.New&unix.CLONE_NEWNET == 0,
		UIDMap:    n.UIDMap, GIDMap: n.GIDMap,
	}
}

// checkCgroup refuses a cgroup that others are in, which would be theirs also
// after create was killed half-way.
func (c *creation) checkCgroup() (err error) {
	if c.unmade, err = cgroup.Locate(&c.plan.Cgroup, c.facts.Cgroup); err != nil {
		return fmt.Errorf("linux.cgroupsPath: %w", err)
	}
	if !c.unmade.Exists() {
		return nil
	}
	pids, err := c.unmade.Processes()
	if err == nil && len(pids) > 0 {
		err = fmt.Errorf("cgroup %s: %d processes are in it, among them %d: %w", c.plan.Cgroup.Path, len(pids), pids[0], cgroup.ErrNotEmpty)
	}
	return err
}

func (c *creation) createCgroup() (err error) {
	err = c.unmade.Create()
	if c.goesWithout(err) {
		c.r.Warn(fmt.Sprintf("linux.cgroupsPath: %v: without a cgroup, as --rootless=true has it", err))
		c.plan.Cgroup = cgroup.Spec{}
		if c.unmade, err = cgroup.Open(c.plan.Cgroup, c.facts.Cgroup); err == nil {
			err = c.dir.Anchor(c.plan.Cgroup.Anchor(c.facts.Cgroup), "")
		}
	}
	if err != nil {
		return err
	}
	c.group = c.unmade // from here on undo removes it
	c.cgroup, err = c.group.Dir()
	return err
}

// describeCgroupView prepares a mount of type cgroup: what is mounted on this
// host, and where the container is. Without a cgroup of its own it sees its
// caller's, which it must not be able to change.
func (c *creation) describeCgroupView() error {
	isCgroup := func(m rootfs.Mount) bool { return m.Kind == rootfs.KindCgroup }
	if c.plan.Setup.Root.Enter == rootfs.EnterChroot || !slices.ContainsFunc(c.plan.Setup.Mounts, isCgroup) {
		return nil
	}
	view := &rootfs.CgroupMount{Namespaced: c.plan.Namespaces.Has(unix.CLONE_NEWCGROUP)}
	c.plan.Setup.CgroupView = view
	paths := c.group.Paths()
	hierarchies := c.group.Hierarchies()
	if !c.plan.Cgroup.Exists() {
		view.Foreign = true
		var err error
		if hierarchies, paths, err = cgroup.Own(c.facts.Cgroup); err != nil {
			return err
		}
	}
	for _, h := range hierarchies {
		view.Hierarchies = append(view.Hierarchies, rootfs.CgroupHierarchy{
			Name: h.Name, FSType: h.FSType, Options: h.Options, Path: paths[h.Name], Links: h.Links,
		})
	}
	return nil
}

// openCgroupView opens it, if init cannot mount it anew.
func (c *creation) openCgroupView() error {
	if err := c.describeCgroupView(); err != nil || c.openInside {
		return err
	}
	trees, err := rootfs.OpenCgroupView(c.plan.Setup.CgroupView, c.plan.Setup.Mounts)
	if err != nil {
		return err
	}
	for i, t := range trees {
		c.attach(t, plan.FileCgroup, i)
	}
	return nil
}

func (c *creation) clone() error {
	c.launch.r, c.launch.plan = c.r, c.plan
	c.namespaces, c.preserve = c.plan.Namespaces, c.plan.Process.PreserveFDs
	if len(c.plan.Hooks.CreateContainer)+len(c.plan.Hooks.StartContainer) > 0 {
		var err error
		if c.launch.state, err = hookState(c.plan, specs.StateCreating, 0); err != nil {
			return err
		}
	}
	c.keyring = c.plan.Setup.NewKeyring
	c.launch.hooks = c.runtimeHooks
	return c.spawn()
}

// place does what the host has to do to the waiting process from outside.
func (c *creation) place() error {
	pid := c.child.Pid
	// Before it moves in, where it has to: so no limit is below what it uses,
	// and a realtime process finds time there; sched(7).
	if err := c.group.Limit(); err != nil {
		return err
	}
	if c.cgroup == nil {
		err := c.group.Add(pid)
		if errors.Is(err, fs.ErrNotExist) {
			return err // a control file, not the process
		}
		if err != nil {
			return c.explain(err)
		}
	}
	if err := c.adjust(); err != nil {
		return c.explain(err)
	}
	if c.plan.RDT != nil {
		if err := (rdt.FS{}).Create(*c.plan.RDT); err != nil {
			return fmt.Errorf("linux.intelRdt: %w", err)
		}
		c.rdt = true
		if err := (rdt.FS{}).Add(*c.plan.RDT, pid); err != nil {
			return fmt.Errorf("linux.intelRdt: %w", err)
		}
	}
	if len(c.plan.NetDevices) == 0 {
		return nil
	}
	netns, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net")
	if err != nil {
		return err
	}
	defer netns.Close()
	if err := netdev.Move(c.plan.NetDevices, netns); err != nil {
		return fmt.Errorf("linux.netDevices: %w", err)
	}
	return nil
}

func (c *creation) saveProcess() (err error) {
	c.rec.Pid = c.child.Pid
	if c.rec.StartTime, err = startTime(c.rec.Pid); err != nil {
		return c.explain(err)
	}
	if len(c.plan.Hooks.Prestart)+len(c.plan.Hooks.CreateRuntime) == 0 && c.plan.Cgroup.Exists() {
		return nil // nobody asks before it is ready; delete has the anchor
	}
	return c.dir.Save(&c.rec)
}

func (c *creation) settle() error { return c.group.Settle() }

func (c *creation) saveReady() error {
	c.rec.Ready = true
	if err := c.dir.Save(&c.rec); err != nil {
		return err
	}
	return sendPidfd(c.o.PidfdSocket, c.rec.Pid)
}

// The pid file is the last thing: an engine that sees it may act on the pid.
func (c *creation) writePid() error { return writePidFile(c.o.PidFile, c.rec.Pid) }

// runtimeHooks runs the hooks of the runtime namespace, when the container's
// namespaces and mounts are made and its root is not yet entered.
func (c *creation) runtimeHooks(pid int) error {
	state, err := hookState(c.plan, specs.StateCreating, pid)
	if err != nil {
		return err
	}
	if err = hooks.Run("prestart", c.plan.Hooks.Prestart, state); err == nil {
		err = hooks.Run("createRuntime", c.plan.Hooks.CreateRuntime, state)
	}
	c.hookFailed = err != nil
	return err
}
