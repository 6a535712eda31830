// Command bench times an OCI runtime against its peers, on one machine, in
// one run, with the same bundle.
//
// It is three processes, so that every number belongs to one tree only:
//
//	bench          flags, one worker a view, report
//	bench worker   in a private mount namespace: bundles, running containers, clean-up
//	bench timer    subreaper that starts the commands of one measure and reaps all they leave
//
// It runs on the host and knows nothing of hako but its command line.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// target is one runtime under test.
type target struct {
	Name string `json:"name"`
	Path string `json:"path"`
}

// options is what the command line says; the worker receives it as JSON.
type options struct {
	N         int      `json:"n"`
	Busybox   string   `json:"busybox"`
	Runtimes  []target `json:"runtimes"`
	Measures  []string `json:"measures"`
	Views     []string `json:"views"`
	SpecMaker string   `json:"specMaker"` // the runtime whose `spec` all share
	Profiles  string   `json:"profiles"`  // folder with Docker's seccomp profile, and libseccomp.py

	jsonPath string
	strict   bool
}

// measureNames lists the measures in the order of the report.
var measureNames = []string{
	"run", "exec", "parallel", "lifecycle", "rss", "memory", "limit", "version",
	"seccomp", "seccomp-compile", "seccomp-getpid", "seccomp-futex", "seccomp-last",
}

func main() {
	if err := dispatch(os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		if errors.Is(err, errMissed) {
			os.Exit(1)
		}
		os.Exit(2)
	}
}

func dispatch(args []string) error {
	if len(args) == 3 && args[1] == "worker" {
		return workerMain(args[2])
	}
	if len(args) == 2 && args[1] == "timer" {
		return timerMain()
	}
	if (len(args) == 2 || len(args) == 3) && args[1] == "calls" {
		return callsMain(strings.Join(args[2:], ""))
	}
	opts, err := parseOptions(args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	return bench(opts)
}

func parseOptions(args []string) (*options, error) {
	var opts options
	var view, only string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&opts.N, "n", 40, "samples of each measure")
	flags.StringVar(&view, "view", "both", "cgroup view: v2, v1 or both")
	flags.StringVar(&only, "only", strings.Join(measureNames, ","), "measures, comma separated")
	flags.StringVar(&opts.jsonPath, "json", "", "also write the results to `FILE`")
	flags.BoolVar(&opts.strict, "strict", false, "exit 1 if a target is missed")
	flags.StringVar(&opts.Busybox, "busybox", "/bin/busybox", "static busybox for the root filesystem")
	flags.StringVar(&opts.Profiles, "profiles", "libct/seccomp/testdata", "`FOLDER` of docker.json and libseccomp.py")
	flags.Func("r", "runtime as `NAME=PATH`; repeatable; hako, crun and runc are compared", func(s string) error {
		name, path, ok := strings.Cut(s, "=")
		if !ok || name == "" || strings.ContainsAny(name, "/ ") {
			return fmt.Errorf("%q: want NAME=PATH", s)
		}
		abs, err := filepath.Abs(path)
		opts.Runtimes = append(opts.Runtimes, target{name, abs})
		return err
	})
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("%s: unexpected argument", flags.Arg(0))
	}
	return &opts, opts.complete(view, only)
}

// complete checks the options and fills in what follows from them.
func (o *options) complete(view, only string) error {
	switch view {
	case "both":
		o.Views = []string{"v2", "v1"}
		var fs unix.Statfs_t
		if unix.Statfs("/sys/fs/cgroup", &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
			o.Views = []string{"v2"} // the machine has no v1 hierarchy
		}
	case "v1", "v2":
		o.Views = []string{view}
	default:
		return fmt.Errorf("--view %s: want v2, v1 or both", view)
	}
	for m := range strings.SplitSeq(only, ",") {
		if !slices.Contains(measureNames, m) {
			return fmt.Errorf("--only %s: want some of %s", m, strings.Join(measureNames, ","))
		}
		o.Measures = append(o.Measures, m)
		if m == "seccomp" && only != strings.Join(measureNames, ",") {
			o.Measures = append(o.Measures, "seccomp-compile", "seccomp-getpid", "seccomp-futex", "seccomp-last")
		}
	}
	var err error
	if o.Profiles, err = filepath.Abs(o.Profiles); err != nil {
		return err
	}
	if o.N < 1 {
		return fmt.Errorf("-n %d: want at least 1", o.N)
	}
	if len(o.Runtimes) == 0 {
		return errors.New("no runtime given: use bench/run, or -r NAME=PATH")
	}
	o.SpecMaker = o.Runtimes[0].Path
	for _, r := range o.Runtimes {
		if _, err := os.Stat(r.Path); err != nil {
			return err
		}
		if r.Name == "runc" {
			o.SpecMaker = r.Path
		}
	}
	return nil
}

func bench(opts *options) error {
	if os.Geteuid() != 0 {
		return errors.New("needs root: private cgroup views are mounts")
	}
	rep := newReport(opts)
	rep.header(os.Stdout)
	for _, view := range opts.Views {
		v, err := runWorker(opts, view)
		if err != nil {
			return fmt.Errorf("view %s: %w", view, err)
		}
		rep.Views = append(rep.Views, v)
		v.table(os.Stdout, opts)
	}
	rep.judge(opts)
	rep.verdict(os.Stdout)
	if opts.jsonPath != "" {
		data, err := json.MarshalIndent(rep, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(opts.jsonPath, append(data, '\n'), 0o644); err != nil {
			return err
		}
	}
	if opts.strict && rep.missed() {
		return errMissed
	}
	return nil
}

var errMissed = errors.New("a target was missed")

// runWorker measures one view in a child with a private mount namespace.
func runWorker(opts *options, view string) (*viewResult, error) {
	one := *opts
	one.Views = []string{view}
	arg, err := json.Marshal(one)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe", "worker", string(arg))
	cmd.Stderr = os.Stderr
	// The os package makes / private, recursively, with CLONE_NEWNS.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGTERM}
	var v viewResult
	return &v, callChild(cmd, &v)
}

// callChild runs cmd, forwards the signals that end it, and decodes the one
// JSON value it prints. A signal ends the call in an error, after the child
// has cleaned up.
func callChild(cmd *exec.Cmd, result any) error {
	runtime.LockOSThread() // Pdeathsig is tied to the thread that forks
	defer runtime.UnlockOSThread()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP)
	defer signal.Stop(signals)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	interrupted := make(chan os.Signal, 1)
	go func() {
		for {
			select {
			case s := <-signals:
				select {
				case interrupted <- s:
				default:
				}
				cmd.Process.Signal(unix.SIGTERM) // best effort: it may be gone
			case <-done:
				return
			}
		}
	}()
	decodeErr := json.NewDecoder(out).Decode(result)
	waitErr := cmd.Wait()
	close(done)
	select {
	case s := <-interrupted:
		return fmt.Errorf("stopped by %s", s)
	default:
	}
	if waitErr != nil {
		return fmt.Errorf("bench %s: %w", cmd.Args[1], waitErr)
	}
	return decodeErr
}
