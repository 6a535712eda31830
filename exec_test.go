package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v3"
)

func TestParseUser(t *testing.T) {
	tests := []struct {
		in  string
		uid uint32
		gid *uint32
	}{
		{"0", 0, nil}, {"1000", 1000, nil}, {"1000:0", 1000, new(uint32(0))}, {"4294967294:100", 4294967294, new(uint32(100))},
	}
	for _, tt := range tests {
		uid, gid, err := parseUser(tt.in)
		if err != nil || uid != tt.uid || (gid == nil) != (tt.gid == nil) || gid != nil && *gid != *tt.gid {
			t.Errorf("parseUser(%q) = %d, %v, %v", tt.in, uid, gid, err)
		}
	}
	// A user that is not a number must never become another identity.
	for _, bad := range []string{"", ":", "root", "1000:", ":1000", "1000:users", "-1", "4294967295", "4294967296", "0x10", "1 ", "1_0", "1:2:3"} {
		if uid, _, err := parseUser(bad); err == nil {
			t.Errorf("parseUser(%q) = %d, want an error", bad, uid)
		}
	}
}

// parseExec parses a command line of exec and applies it to a process.
func parseExec(t *testing.T, configured *specs.Process, args ...string) *specs.Process {
	t.Helper()
	p, err := tryExec(t, configured, args...)
	if err != nil {
		t.Fatalf("exec %q: %v", args, err)
	}
	return p
}

func tryExec(t *testing.T, configured *specs.Process, args ...string) (p *specs.Process, err error) {
	t.Helper()
	c := command(t, "exec")
	c.Action = func(_ context.Context, c *cli.Command) error {
		build, err := execProcess(c)
		if err != nil {
			return err
		}
		p, err = build(configured)
		return err
	}
	root := &cli.Command{Name: "hako", Commands: []*cli.Command{c}, ExitErrHandler: func(context.Context, *cli.Command, error) {}}
	err = root.Run(t.Context(), append([]string{"hako", "exec"}, args...))
	return p, err
}

func TestEverythingBehindTheIDBelongsToTheProcess(t *testing.T) {
	for _, args := range [][]string{
		{"sh", "-c", "ls -l"}, {"--version"}, {"-t"}, {"ls", "--", "-t"}, {"help"}, {"exec", "web", "-e", "A=1"}, {"a", ""},
	} {
		p := parseExec(t, &specs.Process{}, append([]string{"-e", "B=2", "web"}, args...)...)
		if !slices.Equal(p.Args, args) || p.Terminal || !slices.Equal(p.Env, []string{"B=2"}) {
			t.Errorf("%q became %q, env %q", args, p.Args, p.Env)
		}
	}
}

func TestTwoHyphensMayDivideIDAndCommand(t *testing.T) {
	if p := parseExec(t, &specs.Process{}, "web", "--", "ls", "-t"); !slices.Equal(p.Args, []string{"ls", "-t"}) {
		t.Errorf("%q", p.Args)
	}
}

func TestExecFlagsChangeACopy(t *testing.T) {
	configured := &specs.Process{
		Args: []string{"init"}, Env: append(make([]string, 0, 9), "A=1"), Cwd: "/", Terminal: true,
		User:         specs.User{UID: 1, GID: 2, AdditionalGids: append(make([]uint32, 0, 9), 3)},
		Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}, Inheritable: []string{"CAP_CHOWN"}},
	}
	before, _ := json.Marshal(configured)
	p := parseExec(t, configured, "-e", "B=1,2", "--env=C= x ", "--cwd", "/tmp", "-t", "-u", "7:8", "-g", "9", "--additional-gids", "10",
		"--process-label", "L", "--apparmor", "P", "--no-new-privs", "web", "sh")
	want := &specs.Process{
		Args: []string{"sh"}, Env: []string{"A=1", "B=1,2", "C= x "}, Cwd: "/tmp", Terminal: true, NoNewPrivileges: true,
		User:            specs.User{UID: 7, GID: 8, AdditionalGids: []uint32{3, 9, 10}},
		ApparmorProfile: "P", SelinuxLabel: "L",
		Capabilities: configured.Capabilities,
	}
	got, _ := json.Marshal(p)
	wanted, _ := json.Marshal(want)
	if string(got) != string(wanted) {
		t.Errorf("got  %s\nwant %s", got, wanted)
	}
	parseExec(t, configured, "-e", "X=1", "-g", "99", "web", "sh")
	if after, _ := json.Marshal(configured); string(after) != string(before) {
		t.Errorf("the container's own process changed: %s", after)
	}
	if again, _ := json.Marshal(p); string(again) != string(got) {
		t.Errorf("two processes share memory: %s", again)
	}
}

func TestExecWithoutFlagsKeepsTheProcess(t *testing.T) {
	caps := &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}}
	p := parseExec(t, &specs.Process{Terminal: true, NoNewPrivileges: true, Cwd: "/x", User: specs.User{UID: 5}, Capabilities: caps}, "web", "sh")
	if p.Terminal || !p.NoNewPrivileges || p.Cwd != "/x" || p.User.UID != 5 || p.Capabilities != caps {
		t.Errorf("%+v", p)
	}
}

func TestExecProcessFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "process.json")
	if err := os.WriteFile(file, []byte(`{"args":["sh"],"cwd":"/","terminal":true,"user":{"uid":4}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := parseExec(t, &specs.Process{Env: []string{"A=1"}}, "-p", file, "web")
	if !slices.Equal(p.Args, []string{"sh"}) || !p.Terminal || p.User.UID != 4 || p.Env != nil {
		t.Errorf("%+v", p)
	}
	if _, err := tryExec(t, nil, "-p", "/nonexistent", "web"); err == nil || err.Error() != "--process: open /nonexistent: no such file or directory" {
		t.Errorf("got %v", err)
	}
}
