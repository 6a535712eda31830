package libct

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

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
