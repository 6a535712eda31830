// Package initproc is the container side of hako: the init stage, from its
// first instruction after execve to the execve of the user's program.
//
// It runs in the container's namespaces, on the locked main thread, with full
// capabilities until the step that drops them. It reads its plan from the
// host once; it does not know config.json, the state folder or any path of
// the host. steps.go is the table of contents.
package initproc

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct/fastjson"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/proc"
	"github.com/hako-runtime/hako/libct/rootfs"
	"github.com/hako-runtime/hako/libct/safepath"
	"github.com/hako-runtime/hako/libct/timeline"
	"github.com/hako-runtime/hako/libct/wire"
	"golang.org/x/sys/unix"
)

// stage is what the steps share.
type stage struct {
	conn     *wire.Conn
	boot     plan.Boot
	plan     *plan.Plan
	files    map[plan.File]*os.File
	recorder *timeline.Recorder
	warnings []string

	proc     *safepath.Proc // a verified procfs
	root     *safepath.Root // the container's root, also before it is entered
	mounter  *rootfs.Mounter
	slave    *os.File // of the terminal
	program  string   // what args[0] was found to be
	env      []string
	step     string // the running one, for the error
	ready    bool   // errors go to the result FIFO, not to the wire
	filtered bool   // the seccomp filter is installed
	cwdLate  bool   // the working directory is only reachable as the user
}

// A process whose first argument is init gets no further than here: while
// packages are initialized, Go keeps the main goroutine on the main thread by
// itself, and runtime.LockOSThread would start a thread to make threads from.
// What only the command line imports is not even initialized.
func init() {
	if len(os.Args) > 1 && os.Args[1] == "init" && strings.HasPrefix(filepath.Base(os.Args[0]), "hako") {
		run()
	}
}

// run is the init stage. It does not return.
func run() {
	// Before anything else: execve made us dumpable again.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	// What is made for the container has the modes that the steps ask for,
	// not what the caller's umask leaves of them.
	unix.Umask(0o022)
	s, err := receive()
	if err != nil {
		fmt.Fprintln(os.Stderr, "hako init:", err)
		os.Exit(1)
	}
	if err := s.run(); err != nil {
		s.fail(err)
	}
	os.Exit(1)
}

// receive takes the plan from the host.
func receive() (*stage, error) {
	if len(os.Args) < 3 {
		return nil, fmt.Errorf("not for use by hand")
	}
	fd, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return nil, fmt.Errorf("not for use by hand")
	}
	conn, err := wire.Inherited(fd)
	if err != nil {
		return nil, err
	}
	if err := proc.SealDescriptors(); err != nil {
		return nil, err
	}
	s := &stage{conn: conn, files: make(map[plan.File]*os.File)}
	var files []*os.File
	if err := conn.Expect(wire.Plan, &s.boot, &files); err != nil {
		_ = conn.Send(wire.Fail, wire.NewFailure("receive the plan", err)) // best effort: the host may be gone
		return nil, fmt.Errorf("plan: %w", err)
	}
	if len(files) != len(s.boot.Files) || s.boot.Plan == nil {
		return nil, fmt.Errorf("plan: %d descriptors for %d parts", len(files), len(s.boot.Files))
	}
	for i, f := range files {
		s.files[s.boot.Files[i]] = f
	}
	s.plan = s.boot.Plan
	if s.boot.Record {
		s.recorder = new(timeline.Recorder)
	}
	return s, nil
}

func (s *stage) run() error {
	steps := execSteps()
	if s.plan.Setup != nil {
		steps = createSteps()
	}
	for _, st := range steps {
		if st.skip != nil && st.skip(s) {
			continue
		}
		s.step = st.name
		if err := s.recorder.Step(st.name, func() error { return st.run(s) }); err != nil {
			return err
		}
	}
	return nil
}

// fail tells the host why the stage ends.
func (s *stage) fail(err error) {
	f := wire.NewFailure(s.step, err)
	f.Hook = s.step == stepCreateHooks || s.step == stepStartHooks
	f.Bare = s.step == stepExecute || s.step == stepProgram
	if !s.ready {
		_ = s.report()                // best effort: the host may be gone
		_ = s.conn.Send(wire.Fail, f) // likewise
		return
	}
	result := s.files[plan.File{Role: plan.FileResult}]
	if data, err := fastjson.Marshal(f); err == nil {
		_, _ = result.Write(data) // best effort: start may be gone
	}
}

// report sends what the host should know apart from success or failure.
func (s *stage) report() error {
	if len(s.warnings) == 0 && s.recorder == nil {
		return nil
	}
	return s.conn.Send(wire.Report, &plan.Report{Warnings: s.warnings, Spans: s.recorder.Spans()})
}

func (s *stage) warn(format string, args ...any) {
	s.warnings = append(s.warnings, fmt.Sprintf(format, args...))
}
