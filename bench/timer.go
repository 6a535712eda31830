package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// step is one command. With Settle, every process it left behind must end
// before the next step; that waiting is not counted as wall time.
type step struct {
	Argv   []string `json:"argv"`
	Settle bool     `json:"settle"`
}

// job is what one runtime does for one sample of a measure.
type job struct {
	Name     string `json:"name"`
	Steps    []step `json:"steps"`
	Parallel bool   `json:"parallel"` // start all steps at once
}

// plan is what the timer reads from its standard input.
type plan struct {
	Jobs       []job  `json:"jobs"`
	N          int    `json:"n"`
	Warmup     int    `json:"warmup"`
	StderrPath string `json:"stderrPath"`
}

// samples are the counted runs of one job. Wall is from before fork to the
// end of the started process; CPU is user+sys of its whole tree.
type samples struct {
	Name   string    `json:"name"`
	WallMS []float64 `json:"wallMS"`
	CPUMS  []float64 `json:"cpuMS"`
	// PeakMiB is the peak resident set; the timer leaves it empty.
	PeakMiB []float64 `json:"peakMiB,omitempty"`
	Error   string    `json:"error,omitempty"`
}

// timer owns the processes of one measure.
type timer struct {
	stderr  *os.File
	devNull *os.File
	stopped atomic.Bool
}

// commandLimit ends a command that hangs; far above any honest run.
const commandLimit = 60 * time.Second

func timerMain() error {
	// wait4 must see every orphan of the runtimes; PR_SET_CHILD_SUBREAPER(2const).
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl", err)
	}
	runtime.LockOSThread()
	var p plan
	if err := json.NewDecoder(os.Stdin).Decode(&p); err != nil {
		return err
	}
	t, err := newTimer(p.StderrPath)
	if err != nil {
		return err
	}
	results, err := t.interleave(&p)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}

func newTimer(stderrPath string) (*timer, error) {
	stderr, err := os.OpenFile(stderrPath, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	devNull, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	t := &timer{stderr: stderr, devNull: devNull}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	go func() {
		<-signals
		t.stopped.Store(true)
		time.AfterFunc(3*time.Second, killChildren)
	}()
	return t, nil
}

// interleave takes one sample of each job a round, so that the machine's
// moods fall on all alike. The order within a round is shuffled: in a fixed
// one, crun against itself measured 1.14, for whom it had to follow. The
// shuffle is the same each time. A job that fails once is dropped.
func (t *timer) interleave(p *plan) ([]samples, error) {
	results := make([]samples, len(p.Jobs))
	for i := range p.Jobs {
		results[i].Name = p.Jobs[i].Name
	}
	random := rand.New(rand.NewPCG(1, 2))
	for round := range p.Warmup + p.N {
		for _, i := range random.Perm(len(p.Jobs)) {
			if results[i].Error != "" {
				continue
			}
			wall, cpu, err := t.sample(&p.Jobs[i])
			if t.stopped.Load() {
				return nil, errors.New("stopped")
			}
			if err != nil {
				results[i].Error = err.Error()
				continue
			}
			if round >= p.Warmup {
				results[i].WallMS = append(results[i].WallMS, ms(wall))
				results[i].CPUMS = append(results[i].CPUMS, ms(cpu))
			}
		}
	}
	return results, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// sample runs one job once; whatever happens, no process of it survives.
func (t *timer) sample(j *job) (wall, cpu time.Duration, err error) {
	if err := t.stderr.Truncate(0); err != nil {
		return 0, 0, err
	}
	watchdog := time.AfterFunc(commandLimit, killChildren)
	defer watchdog.Stop()
	r := reaper{running: map[int][]string{}}
	if j.Parallel {
		wall, err = t.together(&r, j.Steps)
	} else {
		wall, err = t.oneByOne(&r, j.Steps)
	}
	if err != nil {
		killChildren()
	}
	r.settle()
	if err != nil {
		err = fmt.Errorf("%w%s", err, t.complaint())
	}
	return wall, r.cpu, err
}

func (t *timer) oneByOne(r *reaper, steps []step) (time.Duration, error) {
	var wall time.Duration
	for _, s := range steps {
		start := time.Now()
		if err := t.start(r, s.Argv); err != nil {
			return 0, err
		}
		err := r.waitStarted()
		wall += time.Since(start)
		if err != nil {
			return 0, err
		}
		if s.Settle {
			r.settle()
		}
	}
	return wall, nil
}

func (t *timer) together(r *reaper, steps []step) (time.Duration, error) {
	start := time.Now()
	for _, s := range steps {
		if err := t.start(r, s.Argv); err != nil {
			return 0, err
		}
	}
	err := r.waitStarted()
	return time.Since(start), err
}

// start forks argv in a process group of its own: Ctrl-C is the harness's
// business, which then deletes the containers in order.
func (t *timer) start(r *reaper, argv []string) error {
	null := t.devNull.Fd()
	pid, err := syscall.ForkExec(argv[0], argv, &syscall.ProcAttr{
		Env:   cleanEnv,
		Files: []uintptr{null, null, t.stderr.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true},
	})
	if err != nil {
		return &os.PathError{Op: "exec", Path: argv[0], Err: err}
	}
	r.running[pid] = argv
	return nil
}

// cleanEnv keeps the caller's session (systemd, XDG) out of the numbers.
var cleanEnv = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}

// complaint is the last line the runtimes wrote to stderr.
func (t *timer) complaint() string {
	data, err := io.ReadAll(io.NewSectionReader(t.stderr, 0, 1<<20))
	text := strings.TrimSpace(string(data))
	if err != nil || text == "" {
		return ""
	}
	return ": " + text[strings.LastIndexByte(text, '\n')+1:]
}

// reaper adds up the CPU time of all that ends.
type reaper struct {
	running map[int][]string // started, not yet reaped
	cpu     time.Duration
}

// waitStarted reaps until every started command has ended; the first
// status other than 0 is the error.
func (r *reaper) waitStarted() error {
	var failed error
	for len(r.running) > 0 {
		pid, status, err := r.reap()
		if err != nil {
			return err
		}
		argv, ours := r.running[pid]
		delete(r.running, pid)
		if ours && status != 0 && failed == nil {
			failed = fmt.Errorf("%s: %s", strings.Join(argv, " "), describe(status))
		}
	}
	return failed
}

// settle reaps until no descendant is left.
func (r *reaper) settle() {
	for {
		if _, _, err := r.reap(); err != nil {
			clear(r.running)
			return
		}
	}
}

// reap waits for one child or adopted orphan. The rusage of wait4(2) covers
// the process and the descendants that it has itself waited for.
func (r *reaper) reap() (pid int, status unix.WaitStatus, err error) {
	var ru unix.Rusage
	for {
		pid, err = unix.Wait4(-1, &status, 0, &ru)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return 0, 0, os.NewSyscallError("wait4", err)
	}
	r.cpu += time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	return pid, status, nil
}

func describe(s unix.WaitStatus) string {
	if s.Signaled() {
		return s.Signal().String()
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

// killChildren kills the descendants of this process, and nothing else: a
// subreaper's orphans turn up as its children, so a few passes reach all.
func killChildren() {
	for range 50 {
		lists, _ := filepath.Glob("/proc/self/task/*/children")
		alive := false
		for _, list := range lists {
			data, _ := os.ReadFile(list) // best effort: the thread may be gone
			for field := range strings.FieldsSeq(string(data)) {
				var pid int
				if _, err := fmt.Sscan(field, &pid); err == nil && pid > 1 {
					alive = unix.Kill(pid, unix.SIGKILL) == nil || alive
				}
			}
		}
		if !alive {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
