package early_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// told is what testdata/tell prints.
type told struct {
	Args, Env  []string
	Procs      int
	Soft, Hard uint64
}

// build links testdata/tell, with entry as its first instruction or without.
func build(t *testing.T, ldflags string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tell")
	cmd := exec.Command("go", "build", "-o", path, "-ldflags", ldflags, "./testdata/tell")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// run executes the program under the limits, by the shell, as only a process can
// lower its own for good.
func run(t *testing.T, path, prelude string, env, args []string) told {
	t.Helper()
	cmd := exec.Command("/bin/sh", append([]string{"-c", prelude + `; exec "$0" "$@"`, path}, args...)...)
	cmd.Env = append([]string{}, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var got told
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %q", err, out)
	}
	// What the shell itself adds.
	var kept []string
	for _, e := range got.Env {
		if !strings.HasPrefix(e, "PWD=") && !strings.HasPrefix(e, "OLDPWD=") && !strings.HasPrefix(e, "_=") && !strings.HasPrefix(e, "SHLVL=") {
			kept = append(kept, e)
		}
	}
	slices.Sort(kept) // the shell has an order of its own
	got.Env = kept
	return got
}

func TestEntry(t *testing.T) {
	path := build(t, "-E github.com/hako-runtime/hako/libct/early.entry")
	many := make([]string, 50)
	for i := range many {
		many[i] = strconv.Itoa(i)
	}
	const one = "GOMAXPROCS=1"
	tests := []struct {
		name, prelude string
		env, args     []string
		want          told
	}{
		{"no arguments, no environment", "ulimit -n 200", nil, nil, told{Env: []string{one}, Soft: 200, Hard: 200}},
		{"one of each", "ulimit -n 200", []string{"A=b"}, []string{"c"}, told{Args: []string{"c"}, Env: []string{"A=b", one}, Soft: 200, Hard: 200}},
		{"empty ones", "ulimit -n 200", []string{"A="}, []string{"", ""}, told{Args: []string{"", ""}, Env: []string{"A=", one}, Soft: 200, Hard: 200}},
		{"many arguments", "ulimit -n 200", []string{"A=b", "C=d"}, many, told{Args: many, Env: []string{"A=b", "C=d", one}, Soft: 200, Hard: 200}},
		{"the caller's number of processors", "ulimit -n 200", []string{"GOMAXPROCS=2"}, nil, told{Env: []string{one}, Soft: 200, Hard: 200}},
		{"a low limit", "ulimit -n 4", nil, nil, told{Env: []string{one}, Soft: 4, Hard: 4}},
		{"no descriptors at all", "ulimit -n 0", nil, nil, told{Env: []string{one}}},
		{"closed streams", "ulimit -n 200; exec <&- 2>&-", nil, nil, told{Env: []string{one}, Soft: 200, Hard: 200}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.want.Procs = 1
			if test.want.Args == nil {
				test.want.Args = []string{}
			}
			if got := run(t, path, test.prelude, test.env, test.args); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

// TestExec shows that a program that is executed has the caller's limit again:
// what entry lowered is not what package syscall restores.
func TestExec(t *testing.T) {
	path := build(t, "-E github.com/hako-runtime/hako/libct/early.entry")
	for _, soft := range []string{"4", "100", "300"} {
		script := "ulimit -S -n " + soft + `; ulimit -H -n 300; exec "$0" exec`
		out, err := exec.Command("/bin/sh", "-c", script, path).CombinedOutput()
		if want := soft + "\n300\n"; err != nil || string(out) != want {
			t.Errorf("soft limit %s: got %q, %v; want %q", soft, out, err, want)
		}
	}
}

// TestNoEntry shows that a program that was linked without entry is like any other.
func TestNoEntry(t *testing.T) {
	got := run(t, build(t, ""), "ulimit -n 200", []string{"GOMAXPROCS=2"}, nil)
	want := told{Args: []string{}, Env: []string{"GOMAXPROCS=2"}, Procs: 2, Soft: 200, Hard: 200}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
