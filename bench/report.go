package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// report is the JSON file.
type report struct {
	Time     string        `json:"time"`
	Kernel   string        `json:"kernel"`
	CPUs     int           `json:"cpus"`
	N        int           `json:"n"`
	Runtimes []runtimeInfo `json:"runtimes"`
	Views    []*viewResult `json:"views"`
	Targets  []verdict     `json:"targets"`
}

type runtimeInfo struct {
	target
	Version string  `json:"version"`
	SizeMiB float64 `json:"sizeMiB"`
}

type viewResult struct {
	View     string              `json:"view"`
	Measures map[string][]series `json:"measures"`
}

// series is one measure of one runtime. Wall, CPU and PeakMiB have no
// samples where they do not apply or where Error is set.
type series struct {
	Name    string `json:"name"`
	WallMS  spread `json:"wallMS"`
	CPUMS   spread `json:"cpuMS"`
	PeakMiB spread `json:"peakMiB"`
	Error   string `json:"error,omitempty"`
}

type spread struct {
	Min     float64   `json:"min"`
	Median  float64   `json:"median"`
	Samples []float64 `json:"samples,omitempty"`
}

// verdict compares one number with its limit. Got is 0 and Why is set if it
// could not be measured.
type verdict struct {
	View  string  `json:"view,omitempty"`
	What  string  `json:"what"`
	Got   float64 `json:"got"`
	Limit float64 `json:"limit"`
	Floor float64 `json:"floor,omitempty"` // what Got cannot be below
	OK    bool    `json:"ok"`
	Why   string  `json:"why,omitempty"`
}

func summarize(s samples) series {
	if s.Error != "" {
		return series{Name: s.Name, Error: s.Error}
	}
	return series{Name: s.Name, WallMS: spreadOf(s.WallMS), CPUMS: spreadOf(s.CPUMS), PeakMiB: spreadOf(s.PeakMiB)}
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	median := sorted[half]
	if len(sorted)%2 == 0 {
		median = (sorted[half-1] + sorted[half]) / 2
	}
	return spread{Min: sorted[0], Median: median, Samples: values}
}

func newReport(opts *options) *report {
	rep := &report{Time: time.Now().UTC().Format(time.RFC3339), CPUs: runtime.NumCPU(), N: opts.N}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		rep.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	for _, r := range opts.Runtimes {
		info := runtimeInfo{target: r, Version: "unknown version"}
		if st, err := os.Stat(r.Path); err == nil {
			info.SizeMiB = float64(st.Size()) / (1 << 20)
		}
		if out, err := versionOf(r); err == nil {
			info.Version, _, _ = strings.Cut(out, "\n")
		}
		rep.Runtimes = append(rep.Runtimes, info)
	}
	return rep
}

func versionOf(r target) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, r.Path, "--version").Output()
	return string(out), err
}

func (rep *report) header(w io.Writer) {
	fmt.Fprintf(w, "Linux %s, %d CPUs, n=%d, %s\n\n", rep.Kernel, rep.CPUs, rep.N, rep.Time)
	fmt.Fprintf(w, "| runtime | version | MiB | path |\n| --- | --- | ---: | --- |\n")
	for _, r := range rep.Runtimes {
		fmt.Fprintf(w, "| %s | %s | %.1f | %s |\n", r.Name, r.Version, r.SizeMiB, r.Path)
	}
}

var viewTitles = map[string]string{
	"v2": "cgroup2 only",
	"v1": "the machine's own cgroup mounts (v1), without a unified mount that has controllers",
}

var measureTitles = map[string]string{
	"run":       "run",
	"exec":      "exec",
	"parallel":  fmt.Sprintf("%d parallel run", parallelCount),
	"lifecycle": "create+start+delete",
	"rss":       "peak RSS of run, MiB",
	"memory":    "charged to the container when it is created, MiB",
	"limit":     "smallest memory limit that runs true, MiB",
	"version":   "--version",

	"seccomp":         "run with Docker's seccomp profile",
	"seccomp-compile": "compile Docker's profile",
	"seccomp-getpid":  "getpid() under it, ns more than without",
	"seccomp-futex":   "futex() under it, ns more than without",
	"seccomp-last":    "personality() under it, ns more than without",
}

// table prints one row a measure and runtime; the ratios divide hako's
// number by the row's peer, minimum first, then median.
func (v *viewResult) table(w io.Writer, opts *options) {
	fmt.Fprintf(w, "\n## View %s: %s\n\n", v.View, viewTitles[v.View])
	fmt.Fprintln(w, "| measure | runtime | wall ms: min | median | user+sys ms: min | median | hako ÷ it: wall min, median | user+sys min, median |")
	fmt.Fprintln(w, "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
	for _, name := range opts.Measures {
		hako := v.find(name, "hako")
		for _, s := range v.Measures[name] {
			if s.Error != "" {
				fmt.Fprintf(w, "| %s | %s | ERROR: %s |\n", measureTitles[name], s.Name, strings.ReplaceAll(s.Error, "|", "/"))
				continue
			}
			wall, cpu := s.WallMS, s.CPUMS
			ratios := ratio(hako.WallMS, wall) + " | " + ratio(hako.CPUMS, cpu)
			if len(s.PeakMiB.Samples) > 0 {
				wall, ratios = s.PeakMiB, ratio(hako.PeakMiB, s.PeakMiB)+" |"
			}
			if s.Name == "hako" {
				ratios = "|"
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", measureTitles[name], s.Name, wall, cpu, ratios)
		}
	}
}

func (v *viewResult) find(measure, name string) series {
	for _, s := range v.Measures[measure] {
		if s.Name == name {
			return s
		}
	}
	return series{Name: name, Error: "not measured"}
}

// String is two cells of the table.
func (s spread) String() string {
	if len(s.Samples) == 0 {
		return " | "
	}
	return fmt.Sprintf("%.2f | %.2f", s.Min, s.Median)
}

func ratio(a, b spread) string {
	if len(a.Samples) == 0 || len(b.Samples) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f, %.2f", a.Min/b.Min, a.Median/b.Median)
}
