package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/hako-runtime/hako/libct/host"
	planning "github.com/hako-runtime/hako/libct/plan"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func (w *worker) profile() (profile *specs.LinuxSeccomp, err error) {
	data, err := os.ReadFile(filepath.Join(w.opts.Profiles, "docker.json"))
	if err != nil {
		return nil, err
	}
	return profile, json.Unmarshal(data, &profile)
}

// filtered is bundle with Docker's profile.
func (w *worker) filtered(r target, use string, args ...string) (id, dir string, err error) {
	linux, ok := w.spec["linux"].(map[string]any)
	if !ok {
		return "", "", errors.New("spec: no linux object")
	}
	if linux["seccomp"], err = w.profile(); err != nil {
		return "", "", err
	}
	defer delete(linux, "seccomp")
	return w.bundle(r, use, args...)
}

func (w *worker) measureSeccomp() ([]samples, error) {
	return w.timed(warmups, w.opts.N, func(r target) (job, error) {
		id, bundle, err := w.filtered(r, "seccomp", "/bin/true")
		return job{Steps: []step{runStep(r, id, bundle)}}, err
	})
}

// measureCompile times what is between a decoded profile and its program, in
// this process, and what libseccomp takes for the same rules.
func (w *worker) measureCompile() ([]samples, error) {
	profile, err := w.profile()
	if err != nil {
		return nil, err
	}
	ours := samples{Name: "hako"}
	for range w.opts.N {
		with, err := planTime(profile)
		if err != nil {
			return nil, err
		}
		without, err := planTime(nil)
		if err != nil {
			return nil, err
		}
		ours.WallMS = append(ours.WallMS, with-without)
	}
	return []samples{ours, w.libseccompTime(profile)}, nil
}

// planTime is milliseconds, the best of a few.
func planTime(profile *specs.LinuxSeccomp) (best float64, err error) {
	spec := &specs.Spec{
		Version: "1.0.2", Root: &specs.Root{Path: "/"}, Linux: &specs.Linux{Seccomp: profile},
		Process: &specs.Process{Args: []string{"x"}, Cwd: "/"},
	}
	for i := range 10 {
		start := time.Now()
		_, _, err := planning.New(spec, host.Facts{}, planning.Options{ID: "x", Bundle: "/"})
		took := float64(time.Since(start).Nanoseconds()) / 1e6
		if err != nil {
			return 0, err
		}
		if i == 0 || took < best {
			best = took
		}
	}
	return best, nil
}

// libseccompTime asks the helper of the differential test.
func (w *worker) libseccompTime(profile *specs.LinuxSeccomp) samples {
	s := samples{Name: "libseccomp"}
	type rule struct {
		Call   string      `json:"call"`
		Action uint32      `json:"action"`
		Args   [][4]uint64 `json:"args"`
	}
	job := struct {
		Time     int      `json:"time"`
		Arches   []string `json:"arches"`
		Default  uint32   `json:"default"`
		Optimize int      `json:"optimize"`
		Rules    []rule   `json:"rules"`
	}{Time: 10, Default: unix.SECCOMP_RET_ERRNO | 1, Optimize: 2}
	for _, a := range profile.Architectures {
		job.Arches = append(job.Arches, strings.ToLower(strings.TrimPrefix(string(a), "SCMP_ARCH_")))
	}
	operators := map[specs.LinuxSeccompOperator]uint64{specs.OpNotEqual: 1, specs.OpEqualTo: 4, specs.OpMaskedEqual: 7}
	for _, one := range profile.Syscalls {
		args := [][4]uint64{}
		for _, a := range one.Args {
			args = append(args, [4]uint64{uint64(a.Index), operators[a.Op], a.Value, a.ValueTwo})
		}
		for _, name := range one.Names {
			if one.Action == specs.ActAllow {
				job.Rules = append(job.Rules, rule{name, unix.SECCOMP_RET_ALLOW, args})
			}
		}
	}
	line, err := json.Marshal(job)
	if err != nil {
		s.Error = err.Error()
		return s
	}
	for range w.opts.N {
		cmd := exec.Command("python3", filepath.Join(w.opts.Profiles, "libseccomp.py"))
		cmd.Stdin = strings.NewReader(string(line) + "\n")
		out, err := cmd.Output()
		seconds := 0.0
		if err == nil {
			err = json.Unmarshal(out, &seconds)
		}
		if err != nil {
			s.Error = fmt.Sprintf("libseccomp.py: %v", err)
			return s
		}
		s.WallMS = append(s.WallMS, seconds*1e3)
	}
	return s
}

const callRounds = 3

// measureCalls times a call in containers: this program executes in them.
func (w *worker) measureCalls(call string) func() ([]samples, error) {
	return func() ([]samples, error) {
		self, err := os.ReadFile("/proc/self/exe")
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(rootfsDir(), "bin/bench"), self, 0o755); err != nil {
			return nil, err
		}
		if w.calls == nil {
			w.measureAllCalls()
		}
		return w.calls[call], nil
	}
}

// measureAllCalls is one pass for the three measures.
func (w *worker) measureAllCalls() {
	w.calls = map[string][]samples{}
	for _, call := range []string{"getpid", "futex", "last"} {
		for _, r := range w.opts.Runtimes {
			w.calls[call] = append(w.calls[call], samples{Name: r.Name})
		}
	}
	// In turns: what the neighbours do concerns everybody.
	for range callRounds {
		for i, r := range w.opts.Runtimes {
			ns, err := w.overhead(r)
			if w.unfit[r.Name] != nil {
				err = w.unfit[r.Name]
			}
			for call := range w.calls {
				if one := &w.calls[call][i]; err != nil {
					one.Error = err.Error()
				} else {
					one.WallMS = append(one.WallMS, ns[call])
				}
			}
		}
	}
}

// overhead is nanoseconds with the filter less those without.
func (w *worker) overhead(r target) (map[string]float64, error) {
	var took [2]map[string]float64
	for i, make := range []func(target, string, ...string) (string, string, error){w.filtered, w.bundle} {
		id, bundle, err := make(r, "calls", "/bin/bench", "calls")
		if err != nil {
			return nil, err
		}
		argv := runStep(r, id, bundle).Argv
		cmd := exec.Command(argv[0], argv[1:]...)
		cmd.Env = cleanEnv
		cmd.SysProcAttr = ownGroup
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.Name, err)
		}
		if err := json.Unmarshal(out, &took[i]); err != nil {
			return nil, err
		}
	}
	for call := range took[0] {
		took[0][call] -= took[1][call]
	}
	return took[0], nil
}

// callsMain runs in a container: the best time of some calls, as JSON.
func callsMain() error {
	runtime.LockOSThread()
	var word uint32
	ns := map[string]float64{}
	for name, call := range map[string][3]uintptr{
		"getpid": {unix.SYS_GETPID},
		"futex":  {unix.SYS_FUTEX, 0, 1}, // FUTEX_WAKE of nobody
		"last":   {unix.SYS_PERSONALITY, 0xffffffff},
	} {
		if name == "futex" {
			call[1] = uintptr(unsafe.Pointer(&word))
		}
		const batch = 10000
		for i := range 20 {
			start := time.Now()
			for range batch {
				_, _, _ = syscall.RawSyscall(call[0], call[1], call[2], 0)
			}
			took := float64(time.Since(start).Nanoseconds()) / batch
			if i == 0 || took < ns[name] {
				ns[name] = took
			}
		}
	}
	runtime.KeepAlive(&word)
	return json.NewEncoder(os.Stdout).Encode(ns)
}
