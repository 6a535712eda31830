package plan

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/hako-runtime/hako/libct/host"
	"github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// rootFacts is a host where hako runs as root.
var rootFacts = host.Facts{Cgroup: host.CgroupV2, LastCap: 40, Bounding: 1<<41 - 1}

func testOptions() Options { return Options{ID: "web", Bundle: "/bundles/web"} }

// goldenCases: the host and command line of each config in testdata.
func goldenCases() map[string]struct {
	facts   host.Facts
	options Options
} {
	type row = struct {
		facts   host.Facts
		options Options
	}
	lsm := rootFacts
	lsm.AppArmor = true
	everything := lsm
	everything.SELinux = true
	notify := testOptions()
	notify.NotifySocket, notify.ListenFDs, notify.PreserveFDs = "/run/hako/web/notify/notify.sock", 2, 1
	return map[string]row{
		"default":    {rootFacts, testOptions()},
		"docker":     {lsm, testOptions()},
		"podman":     {rootFacts, testOptions()},
		"rootless":   {host.Facts{EUID: 1000, EGID: 1000, LastCap: 40, Bounding: 1<<41 - 1}, testOptions()},
		"everything": {everything, notify},
	}
}

func load(t testing.TB, name string) *specs.Spec {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func TestPlanOfConfig(t *testing.T) {
	cases := goldenCases()
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) {
			p, warnings, err := New(load(t, name), cases[name].facts, cases[name].options)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, name, p, warnings)
			survives(t, p)
		})
	}
}

// survives: a plan is the same after it was sent or saved.
func survives(t *testing.T, p *Plan) {
	t.Helper()
	data, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	again := new(Plan)
	if err := json.Unmarshal(data, again); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(p, again) {
		t.Errorf("sent %+v\nread %+v", p, again)
	}
}

func TestPlanOfExec(t *testing.T) {
	c := goldenCases()["everything"]
	spec := load(t, "everything")
	container, _, err := New(spec, c.facts, c.options)
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name    string
		process *specs.Process
		options ExecOptions
	}{
		{"exec-configured", spec.Process, ExecOptions{AddCaps: []string{"CAP_KILL", "CAP_SYS_PTRACE"}}},
		{"exec-bare", &specs.Process{Args: []string{"ps"}, Cwd: "/"}, ExecOptions{PreserveFDs: 3, AddCaps: []string{"CAP_AUDIT_WRITE"}}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			p, warnings, err := Exec(container, tc.process, c.facts, tc.options)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, tc.name, p, warnings)
		})
	}
}

// compare is with testdata/NAME.plan.json, which -update writes.
func compare(t *testing.T, name string, p *Plan, warnings []string) {
	t.Helper()
	got := canonical(t, struct {
		Warnings []string `json:"warnings,omitempty"`
		Plan     *Plan    `json:"plan"`
	}{warnings, p})
	file := filepath.Join("testdata", name+".plan.json")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s; look at the change made by -update.\n%s", file, firstDifference(got, want))
	}
}

// canonical sorts the properties, so that only values count.
func canonical(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var values any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&values); err != nil {
		t.Fatal(err)
	}
	if data, err = json.MarshalIndent(values, "", "\t"); err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

func firstDifference(got, want []byte) string {
	gotLines, wantLines := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range min(len(gotLines), len(wantLines)) {
		if !bytes.Equal(gotLines[i], wantLines[i]) {
			return "got  " + string(gotLines[i]) + "\nwant " + string(wantLines[i])
		}
	}
	return "one is longer"
}

func BenchmarkDecode(b *testing.B) {
	data, err := os.ReadFile("testdata/default.json")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeAndNew(b *testing.B) {
	data, err := os.ReadFile("testdata/default.json")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		spec, err := Decode(data)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := New(spec, rootFacts, testOptions()); err != nil {
			b.Fatal(err)
		}
	}
}
