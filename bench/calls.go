package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"github.com/hako-runtime/hako/libct/seccomp"
	"github.com/hako-runtime/hako/libct/seccomp/bpf"
	"golang.org/x/sys/unix"
)

const (
	callSamples = 8 // of new containers, of which each is the best of
	callRounds  = 8 // turns of
	callBatches = 40
	callBatch   = 200 // calls: so few that some batch is left alone
)

// floors are filters that the caller of calls installs itself: no filter can
// cost less. The kernel never runs the first one: it sees that all is allowed
// (since Linux 5.11). The second one asks for an argument, so it has to run.
var floors = map[string][]bpf.Instruction{
	smallest:     {{Op: bpf.Return, K: uint32(seccomp.Allow)}},
	smallestRuns: {{Op: bpf.Load, K: bpf.OffsetArgs}, {Op: bpf.Return, K: uint32(seccomp.Allow)}},
}

const (
	smallest     = "smallest filter"
	smallestRuns = "smallest filter that runs"
)

// caller is a container in which this program calls when it is told to.
type caller struct {
	name string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Scanner
	best map[string]float64 // nanoseconds
}

// measureCalls times a call in containers.
func (w *worker) measureCalls(call string) func() ([]samples, error) {
	return func() ([]samples, error) {
		if w.calls == nil {
			if err := w.measureAllCalls(); err != nil {
				return nil, err
			}
		}
		return w.calls[call], nil
	}
}

// measureAllCalls is one pass for the three measures: the best of each sample
// less the best of all without a filter.
func (w *worker) measureAllCalls() error {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(rootfsDir(), "bin/bench"), self, 0o755); err != nil {
		return err
	}
	w.calls = map[string][]samples{}
	fit := w.fit()
	if len(fit) == 0 {
		return errors.New("no runtime runs containers")
	}
	free := map[string]float64{}
	var names []string
	var all []map[string]float64
	for range callSamples {
		callers, err := w.startCallers(fit)
		if err == nil {
			err = w.turns(callers)
		}
		for _, c := range callers {
			c.in.Close()
			_ = c.cmd.Wait() // it has told what there was to tell
			if c.name != "" {
				names, all = append(names, c.name), append(all, c.best)
			} else {
				least(free, c.best)
			}
		}
		if err != nil {
			return err
		}
	}
	for i, best := range all {
		for call, ns := range best {
			w.addCall(call, names[i], ns-free[call])
		}
	}
	return nil
}

// fit are the runtimes that run containers; of the others there is an error in
// the results.
func (w *worker) fit() (list []target) {
	for _, r := range w.opts.Runtimes {
		err := w.unfit[r.Name]
		if err == nil {
			list = append(list, r)
			continue
		}
		for _, call := range []string{"getpid", "futex", "last"} {
			w.calls[call] = append(w.calls[call], samples{Name: r.Name, Error: err.Error()})
		}
	}
	return list
}

// startCallers starts containers with each runtime's filter, with the smallest
// ones, and with none, which have no name. What it returns has been started,
// also if there is an error.
func (w *worker) startCallers(fit []target) (callers []*caller, err error) {
	start := func(r target, name, use string, make func(target, string, ...string) (string, string, error), args ...string) {
		if err != nil {
			return
		}
		var id, bundle string
		if id, bundle, err = make(r, use, append([]string{"/bin/bench", "calls"}, args...)...); err != nil {
			return
		}
		var c *caller
		if c, err = startCaller(name, runStep(r, id, bundle).Argv); err == nil {
			callers = append(callers, c)
		}
	}
	for _, r := range fit {
		start(r, r.Name, "filtered", w.filtered)
		start(r, "", "free", w.bundle)
	}
	start(fit[0], smallest, "smallest", w.bundle, smallest)
	start(fit[0], smallestRuns, "smallest-runs", w.bundle, smallestRuns)
	return callers, err
}

// turns lets the callers call one after the other, often: what the neighbours
// do concerns everybody.
func (w *worker) turns(callers []*caller) error {
	watchdog := time.AfterFunc(commandLimit, killChildren)
	defer watchdog.Stop()
	for range callRounds {
		for _, c := range callers {
			if err := c.turn(); err != nil {
				return err
			}
		}
		if w.stopped.Load() {
			return errors.New("stopped")
		}
	}
	return nil
}

// least keeps the smaller times in best.
func least(best, ns map[string]float64) {
	for call, took := range ns {
		if old, ok := best[call]; !ok || took < old {
			best[call] = took
		}
	}
}

func (w *worker) addCall(call, name string, ns float64) {
	for i := range w.calls[call] {
		if one := &w.calls[call][i]; one.Name == name {
			one.WallMS = append(one.WallMS, ns)
			return
		}
	}
	w.calls[call] = append(w.calls[call], samples{Name: name, WallMS: []float64{ns}})
}

func startCaller(name string, argv []string) (*caller, error) {
	c := &caller{name: name, cmd: exec.Command(argv[0], argv[1:]...), best: map[string]float64{}}
	c.cmd.Env = cleanEnv
	c.cmd.SysProcAttr = ownGroup
	c.cmd.Stderr = os.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.in, c.out = in, bufio.NewScanner(out)
	return c, c.cmd.Start()
}

func (c *caller) turn() error {
	_, err := c.in.Write([]byte{'\n'})
	if err == nil && !c.out.Scan() {
		err = errors.Join(c.out.Err(), io.ErrUnexpectedEOF)
	}
	var ns map[string]float64
	if err == nil {
		err = json.Unmarshal(c.out.Bytes(), &ns)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.cmd.Path, err)
	}
	least(c.best, ns)
	return nil
}

// callsMain runs in a container: for each line that comes, the best time of
// some calls as JSON. floor names the filter to install before, "" is none.
func callsMain(floor string) error {
	runtime.LockOSThread()
	if floor != "" {
		filter := &seccomp.Filter{Program: bpf.Encode(floors[floor], binary.NativeEndian), Flags: seccomp.FlagSpecAllow}
		installer, err := seccomp.NewInstaller(filter)
		if err != nil {
			return err
		}
		if _, err := installer.Install(); err != nil {
			return err
		}
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if err := json.NewEncoder(os.Stdout).Encode(timeCalls()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// timeCalls returns nanoseconds.
func timeCalls() map[string]float64 {
	var word uint32
	best := map[string]float64{}
	for name, call := range map[string][3]uintptr{
		"getpid": {unix.SYS_GETPID},
		"futex":  {unix.SYS_FUTEX, 0, 1}, // FUTEX_WAKE of nobody
		"last":   {unix.SYS_PERSONALITY, 0xffffffff},
	} {
		if name == "futex" {
			call[1] = uintptr(unsafe.Pointer(&word))
		}
		for range callBatches {
			start := time.Now()
			for range callBatch {
				_, _, _ = syscall.RawSyscall(call[0], call[1], call[2], 0)
			}
			least(best, map[string]float64{name: float64(time.Since(start).Nanoseconds()) / callBatch})
		}
	}
	runtime.KeepAlive(&word)
	return best
}
