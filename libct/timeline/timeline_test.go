package timeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"testing"
	"time"
)

func TestStepsAreRecordedInTheirOrderAlsoWhenTheyFail(t *testing.T) {
	r := &Recorder{}
	var traced []string
	r.Trace = func(s Span) { traced = append(traced, s.Name) }
	before := time.Now().UnixNano()
	broken := errors.New("broken")
	if err := r.Step("outer", func() error {
		_ = r.Step("inner", func() error { time.Sleep(time.Millisecond); return nil })
		return broken
	}); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	spans := r.Spans()
	if len(spans) != 2 || spans[0].Name != "inner" || spans[1].Name != "outer" {
		t.Fatalf("%+v", spans)
	}
	inner, outer := spans[0], spans[1]
	if inner.Dur < int64(time.Millisecond) || outer.Dur < inner.Dur || outer.Start < before || inner.Start < outer.Start {
		t.Errorf("inner %+v, outer %+v, after %d", inner, outer, before)
	}
	if !slices.Equal(traced, []string{"inner", "outer"}) {
		t.Errorf("traced %q", traced)
	}
}

func TestTheNilRecorderRunsTheSteps(t *testing.T) {
	var r *Recorder
	ran, broken := false, errors.New("broken")
	if err := r.Step("x", func() error { ran = true; return broken }); !ran || !errors.Is(err, broken) {
		t.Errorf("ran %v, error %v", ran, err)
	}
	r.Merge("init", 1, []Span{{Name: "x"}})
	if r.Spans() != nil {
		t.Error("it has spans")
	}
}

// TestWriteMakesAChromeTrace: what ui.perfetto.dev needs of the JSON object
// format: X events with microseconds, and a name for each process.
func TestWriteMakesAChromeTrace(t *testing.T) {
	r := &Recorder{}
	_ = r.Step(`odd "name"`, func() error { return nil })
	var traced []string
	r.Trace = func(s Span) { traced = append(traced, s.Name) }
	r.Merge("init", 4711, []Span{{Name: "mount", Start: 1_700_000_000_123_456_789, Dur: 1500}})
	r.Merge("nobody", 1, nil)
	var buf bytes.Buffer
	if err := r.Write(&buf, "hako run web"); err != nil {
		t.Fatal(err)
	}
	var trace struct {
		TraceEvents []struct {
			Name     string
			Ph       string
			TS, Dur  float64
			PID, TID int
			Args     map[string]string
		} `json:"traceEvents"`
	}
	if err := json.Unmarshal(buf.Bytes(), &trace); err != nil {
		t.Fatal(err)
	}
	e := trace.TraceEvents
	if len(e) != 4 {
		t.Fatalf("%d events: %s", len(e), buf.String())
	}
	if e[0].Ph != "M" || e[0].Name != "process_name" || e[0].Args["name"] != "hako run web" || e[0].PID != os.Getpid() {
		t.Errorf("%+v", e[0])
	}
	if e[1].Ph != "X" || e[1].Name != `odd "name"` || e[1].PID != os.Getpid() || e[1].TS == 0 {
		t.Errorf("%+v", e[1])
	}
	if e[2].Args["name"] != "init" || e[2].PID != 4711 {
		t.Errorf("%+v", e[2])
	}
	if e[3].PID != 4711 || e[3].TID != 4711 || e[3].Dur != 1.5 || int64(e[3].TS) != 1_700_000_000_123_456 {
		t.Errorf("%+v", e[3])
	}
	if !slices.Equal(traced, []string{"init: mount"}) {
		t.Errorf("traced %q", traced)
	}
}
