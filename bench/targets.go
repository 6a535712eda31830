package main

import (
	"fmt"
	"io"
	"slices"
)

// goal is one promise about hako. With a peer the number is hako's divided
// by the peer's, else it is hako's own.
//
// Times are judged by their minima: on a shared machine a minimum says what
// the program costs, a median says that and what the neighbours did.
type goal struct {
	measure string
	what    string
	peer    string
	limit   float64
	value   func(series) spread
	floor   string // the series that nobody can be below
}

func wallOf(s series) spread { return s.WallMS }
func cpuOf(s series) spread  { return s.CPUMS }
func peakOf(s series) spread { return s.PeakMiB }

var goals = []goal{
	{"run", "run, wall ÷ crun", "crun", 1.0, wallOf, ""},
	{"run", "run, wall ÷ runc", "runc", 0.4, wallOf, ""},
	{"run", "run, user+sys ÷ crun", "crun", 1.0, cpuOf, ""},
	{"exec", "exec, wall ÷ crun", "crun", 1.0, wallOf, ""},
	{"exec", "exec, wall ÷ runc", "runc", 0.4, wallOf, ""},
	{"parallel", "50 parallel run, wall ÷ crun", "crun", 1.0, wallOf, ""},
	{"seccomp", "run with Docker's seccomp profile, wall ÷ crun", "crun", 1.0, wallOf, ""},
	{"seccomp", "run with Docker's seccomp profile, wall ÷ runc", "runc", 0.4, wallOf, ""},
	{"seccomp-compile", "compile Docker's profile ÷ libseccomp", "libseccomp", 0.5, wallOf, ""},
	{"seccomp-last", "personality() under Docker's profile, overhead ÷ crun", "crun", 0.5, wallOf, smallestRuns},
	{"seccomp-last", "personality() under Docker's profile, overhead ÷ runc", "runc", 0.5, wallOf, smallestRuns},
	{"seccomp-last", "personality() under Docker's profile, overhead ÷ that of the smallest filter that runs", smallestRuns, 1.2, wallOf, ""},
	{"rss", "peak RSS of run, MiB", "", 8, peakOf, ""},
}

const binaryLimitMiB = 12

// judge fills in the verdicts for what was measured.
func (rep *report) judge(opts *options) {
	for _, v := range rep.Views {
		for _, g := range goals {
			if slices.Contains(opts.Measures, g.measure) {
				rep.Targets = append(rep.Targets, g.judge(v))
			}
		}
	}
	size := verdict{What: "binary, MiB", Limit: binaryLimitMiB, Why: "hako: not measured"}
	for _, r := range rep.Runtimes {
		if r.Name == "hako" {
			size.Got, size.OK, size.Why = r.SizeMiB, r.SizeMiB <= binaryLimitMiB, ""
		}
	}
	rep.Targets = append(rep.Targets, size)
}

func (g goal) judge(v *viewResult) verdict {
	verdict := verdict{View: v.View, What: g.what, Limit: g.limit}
	hako := v.find(g.measure, "hako")
	if hako.Error != "" {
		verdict.Why = "hako: " + hako.Error
		return verdict
	}
	verdict.Got = g.value(hako).Min
	if g.peer == "" {
		verdict.Got = slices.Max(g.value(hako).Samples)
	} else {
		peer := v.find(g.measure, g.peer)
		if peer.Error != "" {
			verdict.Got, verdict.Why = 0, g.peer+": "+peer.Error
			return verdict
		}
		verdict.Got /= g.value(peer).Min
		if g.floor != "" {
			verdict.Floor = g.value(v.find(g.measure, g.floor)).Min / g.value(peer).Min
		}
	}
	verdict.OK = verdict.Got <= g.limit
	return verdict
}

func (rep *report) missed() bool {
	return slices.ContainsFunc(rep.Targets, func(v verdict) bool { return !v.OK })
}

func (rep *report) verdict(w io.Writer) {
	if !slices.ContainsFunc(rep.Runtimes, func(r runtimeInfo) bool { return r.Name == "hako" }) {
		fmt.Fprintf(w, "\nTargets: hako was not measured.\n")
		return
	}
	fmt.Fprintf(w, "\n## Targets (times by their minima)\n\n| view | target | got | limit | |\n| --- | --- | ---: | ---: | --- |\n")
	for _, v := range rep.Targets {
		mark := "ok"
		if !v.OK {
			mark = "MISSED"
		}
		if v.Floor > v.Limit {
			mark = fmt.Sprintf("%s (no filter that runs is below %.2f)", mark, v.Floor)
		}
		got := fmt.Sprintf("%.2f", v.Got)
		if v.Why != "" {
			got, mark = "-", mark+" ("+v.Why+")"
		}
		fmt.Fprintf(w, "| %s | %s | %s | ≤ %.2f | %s |\n", v.View, v.What, got, v.Limit, mark)
	}
}
