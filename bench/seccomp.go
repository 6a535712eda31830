package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

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
