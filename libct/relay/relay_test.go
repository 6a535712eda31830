package relay

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain is also the process that relays: it prints the pid of its child,
// a shell that says which signals it gets.
func TestMain(m *testing.M) {
	if os.Getenv("RELAY_TEST") != "" {
		relayTo()
	}
	os.Exit(m.Run())
}

func relayTo() {
	cmd := exec.Command("sh", "-c", `for s in HUP INT QUIT TERM USR1 USR2 CONT RTMIN+3; do
		trap "echo got $s" $s 2>/dev/null || trap "echo got $s" 37
		done; trap "exit 0" ALRM; echo ready; while :; do sleep 0.01; done`)
	cmd.Stdout = os.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	fd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		panic(err)
	}
	stop, err := To(os.NewFile(uintptr(fd), "pidfd"))
	if err != nil {
		panic(err)
	}
	fmt.Println("relaying")
	_ = cmd.Wait()
	stop()
	_ = unix.Kill(os.Getpid(), unix.SIGTERM) // for ourselves again
	select {}
}

// TestEverySignalArrives sends each signal to the relaying process many times,
// while its threads are busy, and waits for it to come out of the child.
func TestEverySignalArrives(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "RELAY_TEST=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	expect := func(want string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), want) {
				return
			}
		}
		t.Fatalf("end of output before %q", want)
	}
	for range 2 { // the shell has its traps, the relay its handlers
		expect("")
	}
	for range 5 {
		for name, sig := range map[string]unix.Signal{
			"HUP": unix.SIGHUP, "INT": unix.SIGINT, "QUIT": unix.SIGQUIT, "TERM": unix.SIGTERM,
			"USR1": unix.SIGUSR1, "USR2": unix.SIGUSR2, "CONT": unix.SIGCONT, "RTMIN+3": 37,
		} {
			if signal.Ignored(sig) {
				continue // by who runs the tests (nohup), and so by the relay
			}
			if err := unix.Kill(cmd.Process.Pid, sig); err != nil {
				t.Fatal(err)
			}
			expect("got " + name)
		}
	}
	if err := unix.Kill(cmd.Process.Pid, unix.SIGALRM); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != unix.SIGTERM {
		t.Errorf("after stop: %v, want to die of its own SIGTERM", err)
	}
}
