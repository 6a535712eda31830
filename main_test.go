package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

var update = flag.Bool("update", false, "rewrite the OPTIONS of manual pages")

// hako runs a command line in this process.
func hako(args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	code = run(append([]string{"hako"}, args...), &out, &errs)
	return out.String(), errs.String(), code
}

func TestVersionIsWhatEnginesParse(t *testing.T) {
	for _, flag := range []string{"--version", "-v"} {
		out, _, code := hako(flag)
		lines := strings.Split(out, "\n")
		if code != 0 || len(lines) != 5 || lines[0] != "hako version "+version ||
			!strings.HasPrefix(lines[1], "commit: ") || lines[2] != "spec: 1.3.0" || !strings.HasPrefix(lines[3], "go: go1.") {
			t.Errorf("hako %s: code %d, %q", flag, code, out)
		}
	}
}

func TestHelpStartsWithNAMEAndTheCommand(t *testing.T) {
	for _, e := range new(app).commands() {
		for _, args := range [][]string{{e.name, "-h"}, {e.name, "--help"}, {"help", e.name}} {
			out, stderr, code := hako(args...)
			lines := strings.Split(out, "\n")
			if code != 0 || stderr != "" || lines[0] != "NAME:" || !strings.HasPrefix(lines[1], "   hako "+e.name+" - ") {
				t.Errorf("hako %v: code %d, %q, %q", args, code, out, stderr)
			}
		}
	}
	for _, args := range [][]string{{}, {"-h"}, {"help"}} {
		out, stderr, code := hako(args...)
		if code != 0 || stderr != "" || !strings.HasPrefix(out, "NAME:\n   hako - ") || !strings.Contains(out, "\n   update ") {
			t.Errorf("hako %v: code %d, %q, %q", args, code, out, stderr)
		}
	}
}

func TestBadCommandLinesGiveOneLine(t *testing.T) {
	root := t.TempDir()
	tests := []struct {
		args []string
		want string
		code int
	}{
		{[]string{"foo"}, "hako: No help topic for 'foo'; hako --help lists the commands", 3},
		{[]string{"foo", "-h"}, "hako: No help topic for 'foo'; hako --help lists the commands", 3},
		{[]string{"foo", "create"}, "hako: No help topic for 'foo'; hako --help lists the commands", 3},
		{[]string{"help", "foo"}, "hako: No help topic for 'foo'", 3},
		{[]string{"--bad"}, "hako: flag provided but not defined: -bad; see hako --help", 1},
		{[]string{"start", "--bad", "x"}, "hako start: flag provided but not defined: -bad; see hako start --help", 1},
		{[]string{"exec", "--bad", "x"}, "hako exec: flag provided but not defined: -bad; see hako exec --help", 255},
		{[]string{"start"}, "hako start: container ID is missing; see hako start --help", 1},
		{[]string{"start", "a", "b"}, `hako start a: unexpected argument "b"; see hako start --help`, 1},
		{[]string{"kill", "a", "9", "10"}, `hako kill a: unexpected argument "10"; see hako kill --help`, 1},
		{[]string{"kill", "a", "FOO"}, `hako kill a: unknown signal "FOO"`, 1},
		{[]string{"exec", "a"}, "hako exec a: neither a command nor --process is given; see hako exec --help", 255},
		{[]string{"exec"}, "hako exec: container ID is missing; see hako exec --help", 255},
		{[]string{"exec", "-u", "root", "a", "sh"}, `hako exec a: --user "root": UID must be a number from 0 to 4294967294`, 255},
		{[]string{"list", "-f", "xml"}, `hako list: --format "xml": must be table or json`, 1},
		{[]string{"list", "x"}, `hako list: unexpected argument "x"; see hako list --help`, 1},
		{[]string{"create", "--preserve-fds", "-1", "a"}, `hako create: invalid value "-1" for flag -preserve-fds: must not be negative; see hako create --help`, 1},
		{[]string{"--log-format", "xml", "list"}, `hako list: --log-format "xml": must be text or json`, 1},
		{[]string{"--log-format", "xml", "exec", "a", "sh"}, `hako exec: --log-format "xml": must be text or json`, 255},
		{[]string{"--rootless", "maybe", "create", "a"}, `hako create: --rootless "maybe": must be true, false or auto`, 1},
		{[]string{"update", "a", "--memory", "-1"}, "hako update a: container does not exist", 1},
		{[]string{"update", "--memory", "50M", "-r", "-", "a"}, "hako update a: container does not exist", 1},
		{[]string{"events", "--stats", "a"}, "hako events a: container does not exist", 1},
		{[]string{"checkpoint", "--image-path", "x", "a"}, "hako checkpoint: not supported yet (issue: checkpoint)", 1},
		{[]string{"restore", "-d", "a"}, "hako restore: not supported yet (issue: checkpoint)", 1},
	}
	for _, tt := range tests {
		out, stderr, code := hako(append([]string{"--root", root}, tt.args...)...)
		if out != "" || stderr != tt.want+"\n" || code != tt.code {
			t.Errorf("hako %q:\n got %d %q %q\nwant %d %q", tt.args, code, out, stderr, tt.code, tt.want)
		}
	}
}

// command returns the built command, as far as the parser needs it.
func command(t *testing.T, name string) *cli.Command {
	t.Helper()
	a := new(app)
	for _, e := range a.commands() {
		if e.name == name {
			return a.finish(e)
		}
	}
	t.Fatalf("no command %s", name)
	return nil
}

func TestOnlyNamedCommandsAreBuilt(t *testing.T) {
	root := new(app).root([]string{"hako", "--log", "x", "create", "web"})
	if len(root.Commands) != 1 || root.Commands[0].Name != "create" {
		t.Errorf("built %d commands", len(root.Commands))
	}
}

func TestIDsMayLookLikeCommands(t *testing.T) {
	for _, id := range []string{"help", "h", "state", "list"} {
		_, stderr, _ := hako("--root", t.TempDir(), "state", id)
		if !strings.HasPrefix(stderr, "hako state "+id+": ") {
			t.Errorf("state %s: %q", id, stderr)
		}
	}
}

func TestOnlyExecAndUnknownCommandsHaveTheirOwnExitCodes(t *testing.T) {
	hook := exec.Command("sh", "-c", "exit 7").Run() // an error with an exit code, as of a hook
	for command, want := range map[string]int{"run": 1, "ps": 1, "exec": 255} {
		a := &app{log: logger{command: command}}
		if got := a.failureCode(fmt.Errorf("hook: %w", hook)); got != want {
			t.Errorf("%s: %d, want %d", command, got, want)
		}
	}
}

func TestTimelineIsWrittenAlsoOnFailure(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trace.json")
	_, _, code := hako("--root", t.TempDir(), "--timeline", file, "state", "none")
	if code != 1 {
		t.Errorf("code %d", code)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var trace struct{ TraceEvents []struct{ Name, Ph string } }
	if err := json.Unmarshal(data, &trace); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(trace.TraceEvents, struct{ Name, Ph string }{"hako state", "X"}) {
		t.Errorf("%s", data)
	}
	if _, stderr, code := hako("--timeline", "/nonexistent/x", "list"); code != 1 || !strings.Contains(stderr, "--timeline: open /nonexistent/x") {
		t.Errorf("%d %q", code, stderr)
	}
}
