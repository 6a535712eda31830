package main

import (
	"slices"
	"strings"
	"testing"
)

func TestSpread(t *testing.T) {
	for _, tt := range []struct {
		name        string
		values      []float64
		min, median float64
	}{
		{"none", nil, 0, 0},
		{"odd", []float64{3, 1, 2}, 1, 2},
		{"even", []float64{4, 1, 3, 2}, 1, 2.5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := spreadOf(tt.values)
			if got.Min != tt.min || got.Median != tt.median || !slices.Equal(got.Samples, tt.values) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, tt := range []struct {
		name string
		args string
		want string // "" for success
	}{
		{"defaults", "-r a=/bin/sh", ""},
		{"some measures", "-r a=/bin/sh --only run,exec --view v1 -n 1", ""},
		{"no runtime", "", "no runtime given"},
		{"unknown measure", "-r a=/bin/sh --only runs", "--only runs"},
		{"unknown view", "-r a=/bin/sh --view v3", "--view v3"},
		{"no samples", "-r a=/bin/sh -n 0", "-n 0"},
		{"absent runtime", "-r a=/absent", "/absent"},
		{"stray argument", "-r a=/bin/sh run", "unexpected argument"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parseOptions(strings.Fields(tt.args))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func one(name string, wall float64) series {
	return series{Name: name, WallMS: spreadOf([]float64{wall}), CPUMS: spreadOf([]float64{wall})}
}

func TestGoals(t *testing.T) {
	for _, tt := range []struct {
		name   string
		series []series
		ok     bool
		why    string
	}{
		{"as fast as the peer", []series{one("hako", 5), one("crun", 5)}, true, ""},
		{"slower than the peer", []series{one("hako", 6), one("crun", 5)}, false, ""},
		{"no hako", []series{one("crun", 5)}, false, "hako"},
		{"hako fails", []series{{Name: "hako", Error: "exit status 1"}, one("crun", 5)}, false, "exit status 1"},
		{"the peer fails", []series{one("hako", 5), {Name: "crun", Error: "exit status 1"}}, false, "crun"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := &viewResult{View: "v2", Measures: map[string][]series{"run": tt.series}}
			got := goals[0].judge(v)
			if got.OK != tt.ok || (got.Why == "") != (tt.why == "") || !strings.Contains(got.Why, tt.why) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// A failed command is an error, never a fast sample.
func TestFailedCommandIsNoSample(t *testing.T) {
	tm, err := newTimer(t.TempDir() + "/stderr")
	if err != nil {
		t.Fatal(err)
	}
	shell := func(script string) []step { return []step{{Argv: []string{"/bin/sh", "-c", script}, Settle: true}} }
	got, err := tm.interleave(&plan{N: 2, Warmup: 1, Jobs: []job{
		{Name: "good", Steps: shell("exit 0")},
		{Name: "bad", Steps: shell("echo first >&2; echo the reason >&2; exit 3")},
		{Name: "absent", Steps: []step{{Argv: []string{"/absent"}}}},
		{Name: "one of two", Parallel: true, Steps: append(shell("exit 0"), shell("exit 4")...)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "exit status 3: the reason", "no such file", "exit status 4"} {
		s := got[i]
		if want == "" && (s.Error != "" || len(s.WallMS) != 2 || len(s.CPUMS) != 2) ||
			want != "" && (!strings.Contains(s.Error, want) || len(s.WallMS) != 0) {
			t.Errorf("%s: got %+v, want error %q", s.Name, s, want)
		}
	}
}
