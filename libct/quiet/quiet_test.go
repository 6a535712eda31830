package quiet

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestTheFirstThreadIsOursAndOversleeps(t *testing.T) {
	thread := firstThread()
	id, err := strconv.Atoi(thread)
	if err != nil || id <= os.Getpid() {
		t.Fatalf("the first thread of %d is %q", os.Getpid(), thread)
	}
	if _, err := os.Stat("/proc/self/task/" + thread); err != nil {
		t.Fatal(err)
	}
	// The file of a thread that is not the first of its process is only at /proc/TID.
	slack, err := os.ReadFile("/proc/" + thread + "/timerslack_ns")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(slack)); got != slackText || got != strconv.Itoa(SlackNS) {
		t.Errorf("timer slack of the monitor: %s, want %s", got, slackText)
	}
	// Children inherit that of the thread which forks.
	if slack, _, _ := syscall.RawSyscall(syscall.SYS_PRCTL, 30, 0, 0); slack >= SlackNS {
		t.Errorf("timer slack of the main thread: %d", slack)
	}
}
