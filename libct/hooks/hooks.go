// Package hooks runs the programs a config names for the points of a
// container's life; runtime-spec config.md#posix-platform-hooks.
//
// It runs wherever it is called, on the host or in the container, from the
// calling thread, in the current directory. It does not know what a container
// is: the state is bytes.
package hooks

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/hako-runtime/hako/libct/relay"
	"golang.org/x/sys/unix"
)

// maxOutput is how much of a hook's output is kept, for the error: the last
// bytes of either stream.
const maxOutput = 64 << 10

// timerSlackNS is what the first process of the machine has.
const timerSlackNS = 50_000

// Run runs the hooks one after the other and stops at the first that fails:
// it cannot be executed, does not exit with 0, or runs past its timeout. Each
// gets the state on standard input, exactly the environment it names, and every
// signal's default disposition, none blocked. Of the caller's descriptors only those without
// close-on-exec reach it.
//
// The message begins "error running POINT hook #N:", which scripts look for,
// and quotes the hook's output. Nothing is left to be reaped, and nothing runs
// on after a timeout but what the hook moved to another process group.
func Run(point string, hooks []Hook, stateJSON []byte) error {
	for i, hook := range hooks {
		if err := hook.run(stateJSON); err != nil {
			return fmt.Errorf("error running %s hook #%d: %w", point, i, err)
		}
	}
	return nil
}

// RunAll runs every hook, whatever happens to the others, and reports each
// failure to warn: the rule for poststop; runtime-spec runtime.md#lifecycle,
// step 13.
func RunAll(point string, hooks []Hook, stateJSON []byte, warn func(error)) {
	for i, hook := range hooks {
		if err := hook.run(stateJSON); err != nil {
			warn(fmt.Errorf("error running %s hook #%d: %w", point, i, err))
		}
	}
}

func (h Hook) run(stateJSON []byte) error {
	pipes, err := openPipes()
	if err != nil {
		return err
	}
	defer pipes.close()
	child, err := h.start(pipes)
	if err != nil {
		return err
	}
	defer unix.Close(child.pidfd)
	pipes.closeChildSide()

	stdout, stderr, inTime, err := pipes.serve(child.pidfd, stateJSON, h.deadline())
	if !inTime || err != nil {
		// The process is not reaped yet, so the number of its group is not reused.
		_ = unix.Kill(-child.pid, unix.SIGKILL)
		_ = unix.Kill(child.pid, unix.SIGKILL)
	}
	status, waitErr := child.wait()
	switch {
	case err != nil:
		return err
	case !inTime:
		return fmt.Errorf("hook ran past specified timeout of %.1fs%s", float64(h.TimeoutS), quote(stdout, stderr))
	case waitErr != nil:
		return waitErr
	case status.Signaled():
		return fmt.Errorf("signal: %s%s", status.Signal(), quote(stdout, stderr))
	case status.ExitStatus() != 0:
		return fmt.Errorf("exit status %d%s", status.ExitStatus(), quote(stdout, stderr))
	}
	return nil
}

func quote(stdout, stderr []byte) string {
	return ", stdout: " + strings.TrimSpace(string(stdout)) + ", stderr: " + strings.TrimSpace(string(stderr))
}

// deadline is zero without a timeout.
func (h Hook) deadline() time.Time {
	if h.TimeoutS <= 0 {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(h.TimeoutS) * time.Second)
}

type process struct {
	pid   int
	pidfd int
}

// start executes the hook as the leader of a process group of its own, so that
// a timeout reaches its children too. os/exec would copy the output with
// goroutines, on other threads than init's locked one, and would wait for every
// holder of the pipes.
func (h Hook) start(pipes *pipes) (process, error) {
	args := h.Args
	if len(args) == 0 {
		args = []string{h.Path}
	}
	child := process{pidfd: -1}
	// What hako's caller ignored (nohup) or blocked is not for hooks.
	restore := relay.Default()
	// Nor is the slack that hako gives its threads. Best effort: PR_SET_TIMERSLACK(2const).
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, timerSlackNS, 0, 0, 0)
	pid, err := syscall.ForkExec(h.Path, args, &syscall.ProcAttr{
		Env:   h.Env,
		Files: []uintptr{uintptr(pipes.stdin.read), uintptr(pipes.stdout.write), uintptr(pipes.stderr.write)},
		Sys:   &syscall.SysProcAttr{Setpgid: true, PidFD: &child.pidfd},
	})
	restore()
	if err != nil {
		return child, &os.PathError{Op: "exec", Path: h.Path, Err: err}
	}
	child.pid = pid
	return child, nil
}

// wait reaps the process.
func (p process) wait() (status unix.WaitStatus, err error) {
	for {
		_, err = unix.Wait4(p.pid, &status, 0, nil)
		if err != unix.EINTR {
			return status, os.NewSyscallError("wait4", err)
		}
	}
}
