package libct

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"time"

	"github.com/hako-runtime/hako/libct/cgroup"
	"github.com/hako-runtime/hako/libct/fastjson"
	"github.com/hako-runtime/hako/libct/hooks"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/proc"
	"github.com/hako-runtime/hako/libct/spawn"
	"github.com/hako-runtime/hako/libct/wire"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// step is one row of the host's lists. Its name is the trace line and the
// timeline entry.
type step struct {
	name string
	run  func() error
}

// work works off steps until one fails.
func (r *Runtime) work(steps []step) error {
	for _, s := range steps {
		if err := r.Timeline.Step(s.name, s.run); err != nil {
			return err
		}
	}
	return nil
}

// launch is one init stage being started, for create and exec alike.
type launch struct {
	r          *Runtime
	plan       *plan.Plan  // needed when serving
	files      []*os.File  // sent to init; closed when sent
	roles      []plan.File // what they are
	state      json.RawMessage
	keyring    bool // the container has a session keyring of its own
	foreground bool // hako copies the terminal
	openInside bool // init opens the sources of mounts
	adjustOOM  bool // init sets its oom score
	late       bool // init is put into the cgroup when only execve is left
	target     *spawn.Target
	cgroup     *os.File
	preserve   int // descriptors from 3 on that are for the process
	namespaces spawn.Namespaces
	hooks      func(pid int) error         // when init asks for them
	listening  func() (specs.State, error) // the state for a seccomp agent; nil: that of a container being created

	child *spawn.Process
	conn  *wire.Conn
}

// attach adds a descriptor to what init receives. l closes it.
func (l *launch) attach(f *os.File, role plan.Role, index int) {
	l.files = append(l.files, f)
	l.roles = append(l.roles, plan.File{Role: role, Index: index})
}

// spawn makes the process; it waits for its plan.
func (l *launch) spawn() error {
	if err := checkInherited(l.preserve); err != nil {
		return err
	}
	exe, err := spawn.Self()
	if err != nil {
		return err
	}
	defer exe.Close()
	conn, theirs, err := wire.Pair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	l.child, err = spawn.Start(spawn.Child{
		Exe:  exe,
		Args: []string{"hako:init", "init", strconv.Itoa(3 + l.preserve)},
		// No garbage collection: it lives for a millisecond.
		Env:         []string{"GOGC=off"},
		Namespaces:  l.namespaces,
		Target:      l.target,
		Cgroup:      l.cgroup,
		Wire:        theirs,
		PreserveFDs: l.preserve,
	})
	if err != nil {
		conn.Close()
		if l.cgroup != nil {
			err = cgroup.Explain(l.cgroup, err)
		}
		return err
	}
	l.conn = conn
	// What the caller of hako left open is not for hooks.
	return proc.SealDescriptors()
}

// checkInherited refuses --preserve-fds of descriptors that the caller did
// not leave open: theirs are not close-on-exec, ours are.
func checkInherited(n int) error {
	for fd := 3; fd < 3+n; fd++ {
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			return fmt.Errorf("--preserve-fds=%d: descriptor %d is not open", n, fd)
		}
	}
	return nil
}

// adjust does to the waiting process what only the host has the privilege for.
func (l *launch) adjust() error {
	p := &l.plan.Process
	if p.Scheduler == nil {
		proc.ResetScheduler(l.child.Pid)
	}
	if l.plan.Namespaces.Has(unix.CLONE_NEWUSER) || l.target != nil {
		proc.RaiseHardLimits(l.child.Pid, p.Rlimits)
	}
	if p.OOMScoreAdj == nil {
		return nil
	}
	adj := strconv.Itoa(*p.OOMScoreAdj)
	err := os.WriteFile("/proc/"+strconv.Itoa(l.child.Pid)+"/oom_score_adj", []byte(adj), 0)
	if errors.Is(err, fs.ErrPermission) {
		// The file belongs to root as long as the process is not dumpable. It
		// may still be allowed to raise its score by itself.
		l.adjustOOM = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("process.oomScoreAdj %s: %w", adj, err)
	}
	return nil
}

// initsPart is the plan without what is only the host's business: whoever
// gets to look into init, a container with CAP_SYS_PTRACE, finds no path and
// no hook's environment of the host there.
func initsPart(p *plan.Plan) *plan.Plan {
	part := &plan.Plan{ID: p.ID, Setup: p.Setup, Process: p.Process, Namespaces: spawn.Namespaces{New: p.Namespaces.New}}
	for _, j := range p.Namespaces.Join {
		part.Namespaces.Join = append(part.Namespaces.Join, spawn.Join{Flag: j.Flag})
	}
	part.Hooks = hooks.Set{CreateContainer: p.Hooks.CreateContainer, StartContainer: p.Hooks.StartContainer}
	if len(p.Hooks.Prestart)+len(p.Hooks.CreateRuntime) > 0 {
		part.Hooks.CreateRuntime = make([]hooks.Hook, 1) // enough to ask for them
	}
	return part
}

// serve sends the plan and answers init until it is ready. Nothing that init
// says can make the host do anything twice.
func (l *launch) serve() error {
	boot := &plan.Boot{
		Plan: initsPart(l.plan), Files: l.roles, State: l.state, Keyring: l.keyring, Foreground: l.foreground,
		OpenSources: l.openInside, AdjustOOM: l.adjustOOM, Late: l.late, Record: l.r.Timeline != nil,
	}
	err := l.conn.Send(wire.Plan, boot, l.files...)
	wire.CloseAll(l.files)
	l.files = nil
	if err != nil {
		return l.died(err)
	}
	var seen [wire.Fail + 1]bool
	for {
		kind, payload, files, err := l.conn.Receive()
		if err != nil {
			return l.died(err)
		}
		wire.CloseAll(files) // init has none to give
		if int(kind) < len(seen) && seen[kind] {
			return fmt.Errorf("second %s message from the init stage", kind)
		}
		switch kind {
		case wire.Hooks:
			err = l.serveHooks()
		case wire.Seccomp:
			err = l.serveListener(payload)
		case wire.Report:
			err = l.serveReport(payload)
		case wire.Ready:
			return nil
		case wire.Fail:
			return wire.ReadFailure(payload)
		default:
			return fmt.Errorf("%s message from the init stage", kind)
		}
		if err != nil {
			return err
		}
		seen[kind] = true
	}
}

func (l *launch) serveHooks() error {
	if l.hooks == nil {
		return errors.New("the init stage asks for hooks that there are none of")
	}
	if err := l.hooks(l.child.Pid); err != nil {
		return err
	}
	return l.conn.Send(wire.Go, nil)
}

func (l *launch) serveReport(payload []byte) error {
	var rep plan.Report
	if err := fastjson.Unmarshal(payload, &rep); err != nil {
		return fmt.Errorf("report of the init stage: %w", err)
	}
	for _, w := range rep.Warnings {
		l.r.Warn(w)
	}
	l.r.Timeline.Merge("init", l.child.Pid, rep.Spans)
	return nil
}

// executed waits until the process has executed its program; for exec, which
// has no start to report to.
func (l *launch) executed() error {
	kind, payload, files, err := l.conn.Receive()
	wire.CloseAll(files)
	if errors.Is(err, io.EOF) {
		return nil // closed by execve
	}
	if err != nil {
		return err
	}
	if kind == wire.Fail {
		return wire.ReadFailure(payload)
	}
	return fmt.Errorf("%s message from the init stage", kind)
}

// explain turns an error of acting on the process into the reason of its
// death, if it is dead.
func (l *launch) explain(err error) error {
	if errors.Is(err, unix.ESRCH) || errors.Is(err, fs.ErrNotExist) {
		return l.died(err)
	}
	return err
}

// died explains why the wire broke. The process has been reaped afterwards.
func (l *launch) died(err error) error {
	if f := l.child.Failure(); f != nil {
		return f
	}
	var grace time.Duration
	if errors.Is(err, io.EOF) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ESRCH) {
		grace = time.Second // the wire is closed a moment before the end
	}
	if status := l.child.End(grace); status.Signaled() && grace > 0 {
		hint := ""
		if n := l.memoryLimit(); n > 0 && status.Signal() == unix.SIGKILL {
			hint = fmt.Sprintf("; linux.resources.memory.limit is perhaps too low to start with: %d bytes", n)
		}
		return fmt.Errorf("the init stage was killed by signal %d (%s)%s: %w", status.Signal(), unix.SignalName(status.Signal()), hint, err)
	}
	return fmt.Errorf("the init stage ended early: %w", err)
}

// memoryLimit is the container's, 0 without one.
func (l *launch) memoryLimit() int64 {
	if l.plan == nil || l.plan.Cgroup.Limits == nil || l.plan.Cgroup.Limits.Memory == nil {
		return 0
	}
	if n := l.plan.Cgroup.Limits.Memory.LimitBytes; n != nil {
		return *n
	}
	return 0
}

// release closes what the host holds of the init stage, which goes on.
func (l *launch) release() {
	wire.CloseAll(l.files)
	l.files = nil
	if l.conn != nil {
		l.conn.Close()
	}
	if l.child != nil {
		l.child.Release()
	}
	if l.cgroup != nil {
		l.cgroup.Close()
	}
}

// abort ends the init stage and reaps it.
func (l *launch) abort() {
	if l.child != nil {
		l.child.End(0)
	}
	l.release()
}
