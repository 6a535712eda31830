package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	scratch       = "/dev/shm" // covered by a tmpfs of our own mount namespace
	warmups       = 3
	parallelCount = 50
	rssSamples    = 5
)

// worker holds what the measures of one view share.
type worker struct {
	opts    *options
	spec    map[string]any // what every bundle's config.json derives from
	unfit   map[string]error
	stopped atomic.Bool
	calls   map[string][]samples // of the calls under a seccomp filter; nil: not measured yet
}

func workerMain(arg string) error {
	w := &worker{opts: new(options)}
	if err := json.Unmarshal([]byte(arg), w.opts); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	go func() {
		for range signals {
			w.stopped.Store(true)
		}
	}()
	result, err := w.measureView(w.opts.Views[0])
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

func (w *worker) measureView(view string) (*viewResult, error) {
	if err := enterView(view); err != nil {
		return nil, err
	}
	if err := w.makeRootfs(); err != nil {
		return nil, err
	}
	defer w.cleanUp()
	if err := w.makeSpec(); err != nil {
		return nil, err
	}
	if err := w.findUnfit(); err != nil {
		return nil, err
	}
	measures := map[string]func() ([]samples, error){
		"run":       w.measureRun,
		"exec":      w.measureExec,
		"parallel":  w.measureParallel,
		"lifecycle": w.measureLifecycle,
		"rss":       w.measureRSS,
		"version":   w.measureVersion,
		"memory":    w.measureInitMemory,
		"limit":     w.measureLimit,

		"seccomp":         w.measureSeccomp,
		"seccomp-compile": w.measureCompile,
		"seccomp-getpid":  w.measureCalls("getpid"),
		"seccomp-futex":   w.measureCalls("futex"),
		"seccomp-last":    w.measureCalls("last"),
	}
	result := &viewResult{View: view, Measures: map[string][]series{}}
	for _, name := range measureNames {
		if !slices.Contains(w.opts.Measures, name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s %s\n", view, name)
		all, err := measures[name]()
		if w.stopped.Load() {
			return nil, errors.New("stopped")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, s := range all {
			result.Measures[name] = append(result.Measures[name], summarize(s))
		}
	}
	return result, nil
}

// enterView arranges cgroup mounts and scratch space in this process's own
// mount namespace. For v2 the machine's mounts at /sys/fs/cgroup give way to
// one cgroup2 mount; v1 is the machine's own view, without its unified mount
// if that one has controllers: crun refuses such hybrids.
func enterView(view string) error {
	if err := unix.Mount("tmpfs", scratch, "tmpfs", 0, "mode=755"); err != nil {
		return &os.PathError{Op: "mount tmpfs", Path: scratch, Err: err}
	}
	const cgroupDir = "/sys/fs/cgroup"
	if view == "v1" {
		const unified = cgroupDir + "/unified"
		controllers, err := os.ReadFile(unified + "/cgroup.controllers")
		if err != nil || len(strings.TrimSpace(string(controllers))) == 0 {
			return nil // no cgroup2 mount, or one that crun accepts
		}
		// Covered, not unmounted: what a runtime writes there goes with us.
		if err := unix.Mount("tmpfs", unified, "tmpfs", 0, "mode=755"); err != nil {
			return &os.PathError{Op: "mount tmpfs", Path: unified, Err: err}
		}
		return nil
	}
	if err := unix.Unmount(cgroupDir, unix.MNT_DETACH); err != nil {
		return &os.PathError{Op: "umount", Path: cgroupDir, Err: err}
	}
	if err := unix.Mount("cgroup2", cgroupDir, "cgroup2", 0, ""); err != nil {
		return &os.PathError{Op: "mount cgroup2", Path: cgroupDir, Err: err}
	}
	return nil
}

// findUnfit proves of each runtime that it really runs containers: it must
// pass on a status that only the container's own shell can know.
func (w *worker) findUnfit() error {
	w.unfit = map[string]error{}
	for _, r := range w.opts.Runtimes {
		id, bundle, err := w.bundle(r, "proof", "/bin/sh", "-c", "exit $((6 * 7))")
		if err != nil {
			return err
		}
		var exit *exec.ExitError
		err = quiet(r, "run", "--bundle", bundle, id)
		if !errors.As(err, &exit) || exit.ExitCode() != 42 {
			w.unfit[r.Name] = fmt.Errorf("a container that exits 42: %w", cmp.Or(err, errors.New("exit status 0")))
		}
	}
	return nil
}

func (w *worker) measureVersion() ([]samples, error) {
	return w.timed(warmups, w.opts.N, func(r target) (job, error) {
		return job{Steps: []step{{Argv: []string{r.Path, "--version"}, Settle: true}}}, nil
	})
}

func (w *worker) measureRun() ([]samples, error) {
	return w.timed(warmups, w.opts.N, func(r target) (job, error) {
		id, bundle, err := w.bundle(r, "run", "/bin/true")
		return job{Steps: []step{runStep(r, id, bundle)}}, err
	})
}

func runStep(r target, id, bundle string) step {
	return step{Argv: []string{r.Path, "--root", stateRoot(r), "run", "--bundle", bundle, id}, Settle: true}
}

func (w *worker) measureParallel() ([]samples, error) {
	return w.timed(1, max(3, w.opts.N/8), func(r target) (job, error) {
		j := job{Parallel: true}
		for i := range parallelCount {
			id, bundle, err := w.bundle(r, fmt.Sprintf("parallel%d", i), "/bin/true")
			if err != nil {
				return j, err
			}
			j.Steps = append(j.Steps, runStep(r, id, bundle))
		}
		return j, nil
	})
}

func (w *worker) measureLifecycle() ([]samples, error) {
	return w.timed(warmups, w.opts.N, func(r target) (job, error) {
		id, bundle, err := w.bundle(r, "lifecycle", "/bin/true")
		root := stateRoot(r)
		return job{Steps: []step{
			{Argv: []string{r.Path, "--root", root, "create", "--bundle", bundle, id}},
			{Argv: []string{r.Path, "--root", root, "start", id}, Settle: true},
			{Argv: []string{r.Path, "--root", root, "delete", id}, Settle: true},
		}}, err
	})
}

// measureExec times exec in containers that sleep. They are children of this
// process, not of the timer, so the timer's sums do not include them.
func (w *worker) measureExec() ([]samples, error) {
	broken := map[string]error{}
	all, err := w.timed(warmups, w.opts.N, func(r target) (job, error) {
		id, bundle, err := w.bundle(r, "exec", "/bin/sleep", "100000")
		if err != nil {
			return job{}, err
		}
		if err := quiet(r, "create", "--bundle", bundle, id); err != nil {
			broken[r.Name] = err
		} else if err := quiet(r, "start", id); err != nil {
			broken[r.Name] = err
		}
		argv := []string{r.Path, "--root", stateRoot(r), "exec", id, "/bin/true"}
		return job{Steps: []step{{Argv: argv, Settle: true}}}, nil
	})
	for i := range all {
		if err := broken[all[i].Name]; err != nil {
			all[i].Error = err.Error()
		}
	}
	w.deleteContainers()
	return all, err
}

// quiet runs one untimed command of runtime r.
func quiet(r target, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.Path, append([]string{"--root", stateRoot(r)}, args...)...)
	cmd.Env = cleanEnv
	cmd.SysProcAttr = ownGroup
	// A file, not a pipe: the container keeps it open.
	log, err := os.CreateTemp(scratch, "quiet")
	if err != nil {
		return err
	}
	defer log.Close()
	defer os.Remove(log.Name())
	cmd.Stderr = log
	if err := cmd.Run(); err != nil {
		data, _ := os.ReadFile(log.Name()) // best effort: it only explains err
		return fmt.Errorf("%s %s: %w: %s", r.Name, args[0], err, strings.TrimSpace(string(data)))
	}
	return nil
}

// timed runs one measure over all runtimes in a timer process.
func (w *worker) timed(warmup, n int, makeJob func(target) (job, error)) ([]samples, error) {
	var all, unfit []samples
	p := plan{N: n, Warmup: warmup, StderrPath: filepath.Join(scratch, "stderr")}
	for _, r := range w.opts.Runtimes {
		if err := w.unfit[r.Name]; err != nil {
			unfit = append(unfit, samples{Name: r.Name, Error: err.Error()})
			continue
		}
		j, err := makeJob(r)
		if err != nil {
			return nil, err
		}
		j.Name = r.Name
		p.Jobs = append(p.Jobs, j)
	}
	input, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe", "timer")
	cmd.Stdin = strings.NewReader(string(input))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = dieWithParent
	err = callChild(cmd, &all)
	return append(all, unfit...), err
}

// measureRSS reads VmHWM of the foreground `run` process: at the time the
// container waits for input, and again until the process is gone.
//
// Not ru_maxrss: that one includes the harness's own pages before execve
// (exec_mmap in the kernel's fs/exec.c) and the runtime's children.
func (w *worker) measureRSS() ([]samples, error) {
	var all []samples
	for _, r := range w.opts.Runtimes {
		s := samples{Name: r.Name}
		if err := w.unfit[r.Name]; err != nil {
			s.Error = err.Error()
			all = append(all, s)
			continue
		}
		id, bundle, err := w.bundle(r, "rss", "/bin/sh", "-c", "echo ready; read line; exit 0")
		if err != nil {
			return nil, err
		}
		for range rssSamples {
			peakKiB, err := peakRSS(runStep(r, id, bundle).Argv)
			if w.stopped.Load() {
				return nil, errors.New("stopped")
			}
			if err != nil {
				s.Error = err.Error()
				break
			}
			s.PeakMiB = append(s.PeakMiB, float64(peakKiB)/1024)
		}
		all = append(all, s)
	}
	return all, nil
}

func peakRSS(argv []string) (kib int, err error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = cleanEnv
	cmd.SysProcAttr = ownGroup
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	var complaint strings.Builder
	cmd.Stderr = &complaint
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	watchdog := time.AfterFunc(commandLimit, killChildren)
	defer watchdog.Stop()
	_, readyErr := out.Read(make([]byte, 64))
	kib = vmHWM(cmd.Process.Pid)
	in.Close()
	for last := kib; last > 0; last = vmHWM(cmd.Process.Pid) {
		kib = last
	}
	if err := errors.Join(cmd.Wait(), readyErr); err != nil {
		return 0, fmt.Errorf("%w: %s", err, strings.TrimSpace(complaint.String()))
	}
	return kib, nil
}

// vmHWM is the peak resident set in KiB, 0 once the process has no memory.
func vmHWM(pid int) (kib int) {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // best effort: it may have ended
	if _, after, ok := strings.Cut(string(data), "VmHWM:"); ok {
		fmt.Sscan(after, &kib)
	}
	return kib
}
