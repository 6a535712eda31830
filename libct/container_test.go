package libct

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hako-runtime/hako/libct/fastjson"
	"github.com/hako-runtime/hako/libct/host"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/state"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// savedRecord is the state.json of a container of the default config whose
// process is gone.
func savedRecord(t testing.TB) []byte {
	t.Helper()
	config, err := os.ReadFile("plan/testdata/default.json")
	if err != nil {
		t.Fatal(err)
	}
	spec, err := plan.Decode(config)
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := plan.New(spec, host.Facts{LastCap: 40, Bounding: 1<<41 - 1}, plan.Options{ID: "web", Bundle: "/bundles/web"})
	if err != nil {
		t.Fatal(err)
	}
	data, err := fastjson.Marshal(&record{
		Version: recordVersion, ID: "web", Pid: 1 << 30, StartTime: 7, Ready: true, Created: time.Unix(0, 0).UTC(),
		Cgroups: host.CgroupHybrid, Plan: p, Process: &specs.Process{Cwd: "/", Args: []string{"x"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func newStateDir(t testing.TB, id string) (root string, put func(data []byte)) {
	t.Helper()
	root = t.TempDir()
	d, err := state.Reserve(root, id)
	if err != nil {
		t.Fatal(err)
	}
	d.Unlock()
	return root, func(data []byte) {
		if err := os.WriteFile(filepath.Join(root, id, "state.json"), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A record that does not fit its folder, its version or itself is refused
// before anything is done by it.
func TestARecordThatDoesNotFitIsRefused(t *testing.T) {
	good := string(savedRecord(t))
	for _, tc := range []struct{ name, old, new, want string }{
		{"as it is", "", "", ""},
		{"half of it", good[len(good)/2:], "", "/web/state.json"},
		{"another container's", `"id":"web","pid"`, `"id":"other","pid"`, "of container"},
		{"the plan is another container's", `"plan":{"id":"web"`, `"plan":{"id":"x"`, "of container"},
		{"a newer version", `"version":1`, `"version":2`, "state of version 2"},
		{"no plan", `"plan":{`, `"plan":null,"x":{`, "damaged"},
		{"no setup", `"setup":{`, `"setup":null,"x":{`, "damaged"},
		{"no process", `"process":{"user"`, `"process":null,"x":{"user"`, "damaged"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root, put := newStateDir(t, "web")
			text := good
			if tc.old != "" {
				if !strings.Contains(good, tc.old) {
					t.Fatalf("%s is not in %s", tc.old, good)
				}
				text = strings.Replace(good, tc.old, tc.new, 1)
			}
			put([]byte(text))
			_, err := (&Runtime{Root: root}).Load("web")
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// FuzzRecord: a value of the record in the place of another, or any bytes. The
// record is refused, or the container can be asked for its state, what it
// executes and its processes. Nothing panics and nothing is signalled.
func FuzzRecord(f *testing.F) {
	good := savedRecord(f)
	f.Add(uint16(0), good)
	f.Add(uint16(7), []byte(`null`))
	f.Add(uint16(9), []byte(`"../../x"`))
	f.Add(uint16(20), []byte(`[{}]`))
	f.Add(uint16(0), good[:len(good)/2])
	root, put := newStateDir(f, "web")
	r := &Runtime{Root: root, Warn: func(string) {}}
	f.Fuzz(func(t *testing.T, place uint16, value []byte) {
		text := value
		var foreign, document any
		if place > 0 && json.Unmarshal(value, &foreign) == nil {
			if err := json.Unmarshal(good, &document); err != nil {
				t.Fatal(err)
			}
			left := int(place)
			var err error
			if text, err = json.Marshal(replace(document, foreign, &left)); err != nil {
				t.Fatal(err)
			}
		}
		put(text)
		c, err := r.Load("web")
		if err != nil {
			return
		}
		if c.record.Ready {
			_, _ = c.State()
		}
		_, _ = c.Processes()
		p, _, err := plan.Exec(c.record.Plan, c.record.Process, host.Facts{LastCap: 40}, plan.ExecOptions{})
		if err == nil && (len(p.Process.Args) == 0 || !filepath.IsAbs(p.Process.Cwd)) {
			t.Errorf("executes %+v", p.Process)
		}
	})
}

// replace changes the value that comes after left others, in a fixed order.
func replace(in, foreign any, left *int) any {
	*left--
	if *left == 0 {
		return foreign
	}
	switch in := in.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(in)) {
			in[key] = replace(in[key], foreign, left)
		}
	case []any:
		for i := range in {
			in[i] = replace(in[i], foreign, left)
		}
	}
	return in
}
