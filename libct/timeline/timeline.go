// Package timeline records named steps and writes them as a Chrome trace,
// which chrome://tracing and ui.perfetto.dev show as a picture.
//
// A leaf, used on both sides; init's spans reach the host with wire's Report.
// See the "Trace Event Format" document, JSON object format.
package timeline

import (
	"encoding/json"
	"io"
	"os"
	"time"
)

// Span is one step. Times are nanoseconds of CLOCK_REALTIME, because the
// monotonic clock differs between time namespaces.
type Span struct {
	Name  string `json:"name"`
	Start int64  `json:"start"` // ns since 1970
	Dur   int64  `json:"dur"`   // ns
}

// Recorder collects the spans of one process.
// The nil Recorder records nothing.
type Recorder struct {
	Trace func(Span) // called after every step, for --debug; may be nil
	spans []Span
	lanes []lane
}

type lane struct {
	name  string
	pid   int
	spans []Span
}

// Step runs f and records it under name.
func (r *Recorder) Step(name string, f func() error) error {
	if r == nil {
		return f()
	}
	start := time.Now()
	err := f()
	r.add(Span{Name: name, Start: start.UnixNano(), Dur: time.Since(start).Nanoseconds()})
	return err
}

func (r *Recorder) add(s Span) {
	r.spans = append(r.spans, s)
	if r.Trace != nil {
		r.Trace(s)
	}
}

// Spans returns what was recorded so far in this process.
func (r *Recorder) Spans() []Span {
	if r == nil {
		return nil
	}
	return r.spans
}

// Merge adds the spans of another process as a lane of its own.
func (r *Recorder) Merge(name string, pid int, spans []Span) {
	if r == nil || len(spans) == 0 {
		return
	}
	r.lanes = append(r.lanes, lane{name, pid, spans})
	if r.Trace != nil {
		for _, s := range spans {
			s.Name = name + ": " + s.Name
			r.Trace(s)
		}
	}
}

type event struct {
	Name string            `json:"name"`
	Ph   string            `json:"ph"`
	TS   float64           `json:"ts,omitempty"`  // µs
	Dur  float64           `json:"dur,omitempty"` // µs
	PID  int               `json:"pid"`
	TID  int               `json:"tid"`
	Args map[string]string `json:"args,omitempty"`
}

// Write writes the trace of this process, called name, and of all merged ones.
func (r *Recorder) Write(w io.Writer, name string) error {
	lanes := append([]lane{{name, os.Getpid(), r.spans}}, r.lanes...)
	var events []event
	for _, l := range lanes {
		events = append(events, event{Name: "process_name", Ph: "M", PID: l.pid, TID: l.pid, Args: map[string]string{"name": l.name}})
		for _, s := range l.spans {
			events = append(events, event{Name: s.Name, Ph: "X", TS: float64(s.Start) / 1e3, Dur: float64(s.Dur) / 1e3, PID: l.pid, TID: l.pid})
		}
	}
	return json.NewEncoder(w).Encode(struct {
		TraceEvents     []event `json:"traceEvents"`
		DisplayTimeUnit string  `json:"displayTimeUnit"`
	}{events, "ns"})
}
