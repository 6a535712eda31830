package libct

import (
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// sleeper starts a process that ends by the first signal.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func TestSignalsThatTellOfHakoAreNotForwarded(t *testing.T) {
	cmd := sleeper(t)
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pidfd)
	for _, s := range []unix.Signal{unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE} {
		if !forwardOne(s, pidfd, nil) {
			t.Errorf("%v: the process is gone", s)
		}
	}
	if !forwardOne(unix.SIGTERM, pidfd, nil) {
		t.Error("SIGTERM: the process was gone before")
	}
	_ = cmd.Wait()
	if s := cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(); s != unix.SIGTERM {
		t.Errorf("ended by %v, want SIGTERM: SIGPIPE would have ended it as well", s)
	}
	if forwardOne(unix.SIGTERM, pidfd, nil) {
		t.Error("the process was reaped, and is said to be there")
	}
}

func TestAttendTellsHowTheProcessEnded(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 7": 7, "kill -TERM $$": 143, "kill -KILL $$": 137} {
		p, err := os.StartProcess("/bin/sh", []string{"sh", "-c", script}, &os.ProcAttr{})
		if err != nil {
			t.Fatal(err)
		}
		if code, err := attend(p.Pid, nil); code != want || err != nil {
			t.Errorf("%s: %d, %v; want %d", script, code, err, want)
		}
		if err := unix.Kill(p.Pid, 0); err == nil {
			t.Errorf("%s: not reaped", script)
		}
	}
}
