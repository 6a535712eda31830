package hooks

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var state = []byte(`{"id":"c1","pid":7}`)

func sh(script string) Hook { return Hook{Path: "/bin/sh", Args: []string{"sh", "-c", script}} }

func TestHooksRunInOrderWithTheStateOnStdin(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	hooks := []Hook{sh("echo 1 >>" + log), sh("cat >>" + log), sh("echo 3 >>" + log)}
	if err := Run("createRuntime", hooks, state); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(log)
	if want := "1\n" + string(state) + "3\n"; string(got) != want {
		t.Errorf("log %q, want %q", got, want)
	}
}

func TestEnvironmentIsExactlyTheHooks(t *testing.T) {
	t.Setenv("HAKO_LEAK", "1")
	out := filepath.Join(t.TempDir(), "env")
	for _, tt := range []struct {
		name string
		env  []string
		want string
	}{
		{"none", nil, ""},
		{"given", []string{"A=1", "B=2 3"}, "A=1\x00B=2 3\x00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			hook := sh("cat /proc/self/environ >" + out)
			hook.Path, hook.Args, hook.Env = "/bin/cp", []string{"cp", "/proc/self/environ", out}, tt.env
			if err := Run("prestart", []Hook{hook}, state); err != nil {
				t.Fatal(err)
			}
			if got, _ := os.ReadFile(out); string(got) != tt.want {
				t.Errorf("environment %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFailureNamesPointNumberAndOutput(t *testing.T) {
	tests := []struct {
		name  string
		hooks []Hook
		want  string
	}{
		{"exit status", []Hook{sh("true"), sh("echo out; echo bad >&2; exit 3")}, "error running prestart hook #1: exit status 3, stdout: out, stderr: bad"},
		{"signal", []Hook{sh("kill -9 $$")}, "error running prestart hook #0: signal: killed, stdout: , stderr: "},
		{"no program", []Hook{{Path: "/nonexistent/hook"}}, "error running prestart hook #0: exec /nonexistent/hook: no such file or directory"},
		{"timeout", []Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo slow >&2; sleep 60"}, TimeoutS: 1}}, "error running prestart hook #0: hook ran past specified timeout of 1.0s, stdout: , stderr: slow"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := Run("prestart", tt.hooks, state)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestTheCauseOfAFailedExecIsKept(t *testing.T) {
	err := Run("prestart", []Hook{{Path: "/nonexistent"}}, state)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestFirstFailureStopsTheRest(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	if err := Run("poststart", []Hook{sh("exit 1"), sh("touch " + mark)}, state); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the next hook ran")
	}
}

func TestRunAllGoesOnAndWarns(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	var warnings []string
	RunAll("poststop", []Hook{sh("exit 1"), {Path: "/nonexistent"}, sh("touch " + mark)}, state, func(err error) { warnings = append(warnings, err.Error()) })
	if len(warnings) != 2 || !strings.HasPrefix(warnings[1], "error running poststop hook #1: exec /nonexistent: ") {
		t.Errorf("warnings %q", warnings)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Error("the last hook did not run")
	}
}

func TestTimeoutKillsTheChildrenToo(t *testing.T) {
	pidfile := filepath.Join(t.TempDir(), "pid")
	hook := sh("sleep 60 & echo $! >" + pidfile + "; wait")
	hook.TimeoutS = 1
	begin := time.Now()
	if err := Run("prestart", []Hook{hook}, state); err == nil {
		t.Fatal("no error")
	}
	if d := time.Since(begin); d < time.Second || d > 10*time.Second {
		t.Errorf("took %v", d)
	}
	pid, _ := os.ReadFile(pidfile)
	for range 100 {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the hook's child still runs")
}

func TestADaemonLeftBehindDoesNotHoldUpTheStart(t *testing.T) {
	begin := time.Now()
	hook := sh("sleep 5 & echo started >&2; exit 0")
	if err := Run("prestart", []Hook{hook}, state); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestAHookNeedNotReadTheState(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 1<<20)
	if err := Run("prestart", []Hook{sh("exit 0"), sh("exec <&-; sleep 0.1; exit 0")}, big); err != nil {
		t.Error(err)
	}
	if err := Run("prestart", []Hook{sh("test $(wc -c) = 1048576")}, big); err != nil {
		t.Error("a state larger than a pipe: ", err)
	}
}

func TestOutputIsBounded(t *testing.T) {
	err := Run("prestart", []Hook{sh("head -c 5000000 /dev/zero | tr '\\0' x >&2; echo END >&2; exit 1")}, state)
	if err == nil || len(err.Error()) > maxOutput+200 || !strings.HasSuffix(err.Error(), "END") {
		t.Errorf("%d bytes", len(err.Error()))
	}
}

func TestNothingButStdioReachesAHook(t *testing.T) {
	// What the test runner itself inherited.
	if err := unix.CloseRange(3, 1<<31, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		t.Skip("needs close_range(2): ", err)
	}
	err := Run("prestart", []Hook{{Path: "/bin/ls", Args: []string{"ls", "/proc/self/fd", "/nonexistent"}}}, state)
	if err == nil || !strings.Contains(err.Error(), "stdout: /proc/self/fd:\n0\n1\n2\n3, stderr") { // 3: the folder
		t.Errorf("got %v", err)
	}
}

func TestNoZombieAndNoDescriptorIsLeft(t *testing.T) {
	before := countFDs(t)
	_ = Run("prestart", []Hook{sh("exit 0")}, state)
	_ = Run("prestart", []Hook{sh("exit 1")}, state)
	_ = Run("prestart", []Hook{{Path: "/nonexistent"}}, state)
	if after := countFDs(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("wait4 = %d, %v; want ECHILD", pid, err)
	}
}

func countFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("needs /proc: ", err)
	}
	return len(entries)
}
