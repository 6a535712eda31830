package libct

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct/cgroup"
	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/host"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/proc"
	"github.com/hako-runtime/hako/libct/rdt"
	"github.com/hako-runtime/hako/libct/rootfs"
	"github.com/hako-runtime/hako/libct/spawn"
	"github.com/hako-runtime/hako/libct/wire"
	"golang.org/x/sys/unix"
)

// execution is one process on its way into a running container.
type execution struct {
	c     *Container
	o     ExecOptions
	group cgroup.Group
	init  *os.File // pidfd of the container's process
	term  *terminal
	stop  func() // of relaying signals; may be nil
	launch
}

// Exec executes a process in the container. In the foreground it returns the
// process's exit code, 128+n for signal n; detached it returns 0 as soon as
// the program has been executed.
//
// Errors match [ErrNotRunning], [ErrPaused] and plan.Invalid.
func (c *Container) Exec(o ExecOptions) (exitCode int, err error) {
	if c.seesEntering() {
		if err := spawn.Protect(); err != nil {
			return 0, err
		}
	}
	x := &execution{c: c, o: o}
	defer x.close()
	err = c.r.work([]step{
		{"check the container", x.check},
		{"clone the init stage", x.clone},
		// From here to "serve" init's runtime starts, in parallel with us.
		{"plan", x.makePlan},
		{"remember capabilities", x.remember},
		{"open the root", x.openRoot},
		{"prepare the terminal", x.openTerminal},
		{"place the init stage", x.place},
		{"serve the init stage", x.serve},
		{"relay signals", x.relay},
		{"join the cgroup", x.joinLate},
		{"execute", x.executed},
		{"write the pid file", x.report},
	})
	if err != nil {
		x.abort()
		return 0, err
	}
	x.release()
	if o.Detach {
		return 0, nil
	}
	return attend(x.child.Pid, x.term)
}

// seesEntering tells whether a process that enters can be looked into while it
// is still a copy of hako: by whoever has CAP_SYS_PTRACE, in the container or in
// what shares its pid namespace, and no user namespace in between.
func (c *Container) seesEntering() bool {
	p := c.record.Plan
	return p.Namespaces.Has(unix.CLONE_NEWPID) && !p.Namespaces.Has(unix.CLONE_NEWUSER) &&
		(mayPtrace(&p.Process) || c.record.Ptraces || p.Namespaces.New&unix.CLONE_NEWPID == 0)
}

func mayPtrace(p *plan.Process) bool { return p.Caps.Bounding&(1<<unix.CAP_SYS_PTRACE) != 0 }

// remember tells later commands of a capability that the container does not
// have by its config.
func (x *execution) remember() error {
	if !mayPtrace(&x.plan.Process) || mayPtrace(&x.c.record.Plan.Process) || x.c.record.Ptraces {
		return nil
	}
	if err := x.c.lock(); err != nil {
		return err
	}
	defer x.c.dir.Unlock()
	x.c.record.Ptraces = true
	return x.c.dir.Save(&x.c.record)
}

// relay comes as late as the program allows: until init is ready, a signal
// ends hako, whatever init may be waiting for.
func (x *execution) relay() (err error) {
	if !x.o.Detach {
		x.stop, err = relaySignals(x.child.Pid)
	}
	return err
}

func (x *execution) close() {
	if x.stop != nil {
		x.stop()
	}
	if x.init != nil {
		x.init.Close()
	}
	x.term.close()
}

// check does without the container's full status: a created one may execute
// as well as a running one.
func (x *execution) check() (err error) {
	rec := &x.c.record
	if !rec.Ready {
		return fmt.Errorf("cannot exec in a container that is not created: %w", ErrNotRunning)
	}
	if x.init, err = openPidfd(rec.Pid, rec.StartTime); err != nil {
		return fmt.Errorf("cannot exec in a stopped container: %w", err)
	}
	if x.group, err = x.c.group(); err != nil {
		return err
	}
	frozen, err := x.group.Frozen()
	if err != nil {
		return err
	}
	if frozen && !x.o.IgnorePaused {
		return fmt.Errorf("cannot exec in a paused container (use --ignore-paused to override): %w", ErrPaused)
	}
	left, err := x.group.Room()
	if err != nil {
		return err
	}
	if x.late = left >= 0 && left < limits.RoomForInit; x.late {
		return nil
	}
	x.cgroup, err = x.group.Dir()
	return err
}

func (x *execution) makePlan() error {
	facts, err := host.Probe()
	if err != nil {
		return err
	}
	process, err := x.o.Process(x.c.record.Process)
	if err != nil {
		return err
	}
	p, warnings, err := plan.Exec(x.c.record.Plan, process, facts, plan.ExecOptions{
		AddCaps: x.o.Caps, PreserveFDs: x.o.PreserveFDs, ListenFDs: listenFDs(),
	})
	if err != nil {
		return err
	}
	for _, w := range warnings {
		x.c.r.Warn(w)
	}
	if err := checkLabels(p); err != nil {
		return err
	}
	x.launch.plan = p
	x.listening = x.c.agentState
	x.keyring = x.c.record.Plan.Setup.NewKeyring
	return nil
}

// target lists the namespaces in which the container's process differs from
// us. The pidfd proves afterwards that it was that process all the time.
func (x *execution) target() error {
	rec := &x.c.record
	flags, err := spawn.Differing(rec.Pid, rec.Plan.Namespaces.New)
	if err != nil && alive(rec.Pid, rec.StartTime) {
		return fmt.Errorf("the namespaces of the container's process cannot be entered (has its first thread ended?): %w", err)
	}
	if err != nil || unix.PidfdSendSignal(int(x.init.Fd()), 0, nil, 0) != nil {
		return ErrNotRunning
	}
	x.launch.target = &spawn.Target{PidFD: x.init, Flags: flags}
	return nil
}

func (x *execution) openTerminal() (err error) {
	if !x.plan.Process.Terminal {
		if x.o.ConsoleSocket != "" {
			return errors.New("--console-socket is given, but the process has no terminal")
		}
		return nil
	}
	if x.o.ConsoleSocket == "" && x.o.Detach {
		return errors.New("a detached process with a terminal needs --console-socket")
	}
	if x.o.ConsoleSocket != "" {
		socket, err := dialConsole(x.o.ConsoleSocket)
		if err != nil {
			return err
		}
		x.attach(socket, plan.FileConsole, 0)
		return nil
	}
	var theirs *os.File
	if x.term, theirs, err = newTerminal(); err != nil {
		return err
	}
	x.term.fit(&x.plan.Process)
	x.foreground = true
	x.attach(theirs, plan.FileConsole, 0)
	return nil
}

// openRoot opens the root of a container that has only changed its root
// directory: no mount namespace leads there.
func (x *execution) openRoot() error {
	rec := &x.c.record
	if rec.Plan.Setup.Root.Enter != rootfs.EnterChroot {
		return nil
	}
	path := "/proc/" + strconv.Itoa(rec.Pid) + "/root"
	root, err := os.OpenFile(path, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil || unix.PidfdSendSignal(int(x.init.Fd()), 0, nil, 0) != nil {
		if err == nil {
			root.Close()
		}
		return ErrNotRunning
	}
	x.attach(root, plan.FileRoot, 0)
	return nil
}

// joinCgroups moves the child where it could not be born.
func (x *execution) joinCgroups() error {
	if x.late {
		return x.join(x.group.AddUncounted)
	}
	if x.cgroup == nil {
		if err := x.join(x.group.Add); err != nil {
			return err
		}
	}
	return x.joinBelow()
}

// joinLate moves the child where the limit of tasks has room for one, but not
// for the threads of the init stage. Moving is not refused by the kernel.
func (x *execution) joinLate() error {
	if !x.late {
		return nil
	}
	if _, err := x.group.Room(); err != nil {
		return err
	}
	if err := x.join(x.group.Add); err != nil {
		return err
	}
	if err := x.joinBelow(); err != nil {
		return err
	}
	p := &x.plan.Process
	set := p.AffinityFinal
	if set == nil {
		set = p.AffinityInitial
	}
	if set != nil { // before Linux 6.2, joining a cpuset forgets it
		if err := proc.SetAffinity(x.child.Pid, set); err != nil {
			return x.explain(fmt.Errorf("process.execCPUAffinity: %w", err))
		}
	}
	return x.conn.Send(wire.Go, nil)
}

func (x *execution) join(add func(pid int) error) error {
	err := add(x.child.Pid)
	if errors.Is(err, unix.EBUSY) {
		// As in clone. Only cgroup2 is like that; of a hybrid host's
		// hierarchies it is the last.
		err = x.joinInitsCgroup(x.child.Pid)
	}
	if err != nil {
		return x.explain(err)
	}
	return nil
}

// joinBelow moves the child to what --cgroup names.
func (x *execution) joinBelow() error {
	for _, sub := range x.o.Cgroups {
		if err := x.group.AddTo(sub, x.child.Pid); err != nil {
			return fmt.Errorf("--cgroup %s: %w", sub, err)
		}
	}
	return nil
}

func (x *execution) clone() error {
	x.launch.r = x.c.r
	x.preserve = x.o.PreserveFDs + listenFDs()
	if err := x.target(); err != nil {
		return err
	}
	err := x.spawn()
	if !errors.Is(err, unix.EBUSY) || x.cgroup == nil {
		return err
	}
	// The container has moved its processes into cgroups of its own, and the
	// upper one may not hold any: cgroups(7), no internal processes.
	if err := x.useInitsCgroup(); err != nil {
		return err
	}
	return x.spawn()
}

// place does what the host has to do to the waiting process from outside.
func (x *execution) place() error {
	if set := x.plan.Process.AffinityInitial; set != nil {
		if err := proc.SetAffinity(x.child.Pid, set); err != nil {
			return x.explain(fmt.Errorf("process.execCPUAffinity.initial: %w", err))
		}
	}
	if err := x.joinCgroups(); err != nil {
		return err
	}
	if group := x.c.record.Plan.RDT; group != nil {
		if err := (rdt.FS{}).Add(*group, x.child.Pid); err != nil {
			return x.explain(fmt.Errorf("linux.intelRdt: %w", err))
		}
	}
	return x.explain(x.adjust())
}

// useInitsCgroup opens the cgroup that the container's process is in by now,
// to be born in.
func (x *execution) useInitsCgroup() error {
	dir, err := x.initsCgroup("")
	if err != nil {
		return err
	}
	x.cgroup.Close()
	x.cgroup, err = os.Open(dir)
	return err
}

// joinInitsCgroup moves pid there.
func (x *execution) joinInitsCgroup(pid int) error {
	hierarchy := "" // of a v2 host
	if _, ok := x.group.Paths()[hierarchy]; !ok {
		hierarchy = "unified"
	}
	dir, err := x.initsCgroup(hierarchy)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
}

// initsCgroup is the directory of the container's process in the cgroup2
// hierarchy of that name.
func (x *execution) initsCgroup(hierarchy string) (dir string, err error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(x.c.record.Pid) + "/cgroup")
	if err != nil {
		return "", err
	}
	sub, err := subCgroup(string(data), x.c.record.Plan.Cgroup.Path)
	if err != nil {
		return "", err
	}
	return filepath.Join(x.group.Paths()[hierarchy], sub), nil
}

// subCgroup is the path beneath top of the cgroup v2 in table, which must be
// there; proc_pid_cgroup(5).
func subCgroup(table, top string) (string, error) {
	for line := range strings.Lines(table) {
		path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		if !ok {
			continue
		}
		sub, err := filepath.Rel(top, path)
		// "/../x" is outside of our cgroup namespace; cgroup_namespaces(7).
		if err != nil || !filepath.IsLocal(sub) || filepath.Clean(path) != path {
			return "", fmt.Errorf("the container's process is in cgroup %s, which is not beneath %s", path, top)
		}
		return sub, nil
	}
	return "", errors.New("the container's process is in no cgroup v2")
}

// report tells the caller of the process, now that it is executing.
func (x *execution) report() error {
	if err := sendPidfd(x.o.PidfdSocket, x.child.Pid); err != nil {
		return err
	}
	return writePidFile(x.o.PidFile, x.child.Pid)
}
