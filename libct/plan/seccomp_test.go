package plan

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hako-runtime/hako/libct/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func withProfile(t testing.TB, json string, o Options) (*Plan, error) {
	t.Helper()
	spec := load(t, "default")
	with, err := Decode([]byte(`{"linux": {"seccomp": ` + json + `}}`))
	if err != nil {
		return nil, err
	}
	spec.Linux.Seccomp = with.Linux.Seccomp
	p, _, err := New(spec, rootFacts, o)
	return p, err
}

func TestProfileOfEngines(t *testing.T) {
	for _, name := range []string{"docker", "podman"} {
		data, err := os.ReadFile("../seccomp/testdata/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		p, err := withProfile(t, string(data), testOptions())
		if err != nil {
			t.Fatal(err)
		}
		f := p.Process.Seccomp
		if f == nil || len(f.Program) < 8*50 || f.Flags != seccomp.FlagSpecAllow || f.Listener || p.SeccompAgent != nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// Absent flags are runc's default, an empty list is none.
func TestSeccompFlags(t *testing.T) {
	for json, want := range map[string]seccomp.Flag{
		`{"defaultAction": "SCMP_ACT_ALLOW"}`:                                         seccomp.FlagSpecAllow,
		`{"defaultAction": "SCMP_ACT_ALLOW", "flags": []}`:                            0,
		`{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"]}`:   seccomp.FlagLog,
		`{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_TSYNC"]}`: 0,
	} {
		if p, err := withProfile(t, json, testOptions()); err != nil || p.Process.Seccomp.Flags != want {
			t.Errorf("%s: %v", json, err)
		}
	}
}

func TestNoProfile(t *testing.T) {
	p, err := withProfile(t, `{"architectures": ["SCMP_ARCH_X86"]}`, testOptions())
	if err != nil || p.Process.Seccomp != nil {
		t.Errorf("%v", err)
	}
}

func TestSeccompAgent(t *testing.T) {
	p, err := withProfile(t, `{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "sock", "listenerMetadata": "m",
		"syscalls": [{"names": ["mkdirat"], "action": "SCMP_ACT_NOTIFY"}]}`, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	if want := (SeccompAgent{"/bundles/web/sock", "m"}); !reflect.DeepEqual(p.SeccompAgent, &want) || !p.Process.Seccomp.Listener {
		t.Errorf("%+v", p.SeccompAgent)
	}
	x, _, err := Exec(p, &specs.Process{Args: []string{"x"}, Cwd: "/"}, rootFacts, ExecOptions{})
	if err != nil || x.Process.Seccomp != p.Process.Seccomp || x.SeccompAgent != p.SeccompAgent {
		t.Errorf("exec does not have the container's: %+v, %v", x, err)
	}
}

func TestUnknownCallsAreADebugMessage(t *testing.T) {
	var got []string
	o := testOptions()
	o.Debug = func(msg string) { got = append(got, msg) }
	_, err := withProfile(t, `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read", "nosuch", "what"], "action": "SCMP_ACT_LOG"}]}`, o)
	if err != nil || len(got) != 1 || !strings.HasSuffix(got[0], ": nosuch what") {
		t.Errorf("%q, %v", got, err)
	}
}

// Two conditions on one argument are alternatives, on several they are not.
func TestConditionsOnOneArgument(t *testing.T) {
	c := &composer{}
	one, two := specs.LinuxSeccompArg{Index: 1, Op: specs.OpEqualTo, Value: 1}, specs.LinuxSeccompArg{Index: 2, Op: specs.OpNotEqual, Value: 2}
	call := specs.LinuxSyscall{Names: []string{"read"}, Action: specs.ActAllow}
	call.Args = []specs.LinuxSeccompArg{one, two}
	if rules := c.seccompRules(&call, ""); len(rules) != 1 || len(rules[0].Conditions) != 2 {
		t.Errorf("%+v", rules)
	}
	call.Args = []specs.LinuxSeccompArg{one, two, one}
	rules := c.seccompRules(&call, "")
	if len(rules) != 3 || slices.ContainsFunc(rules, func(r seccomp.Rule) bool { return len(r.Conditions) != 1 }) {
		t.Errorf("%+v", rules)
	}
}

// FuzzSeccompProfile: any JSON as a profile is a plan with a program that the
// kernel would take, or a clear refusal.
func FuzzSeccompProfile(f *testing.F) {
	for _, name := range []string{"docker", "podman"} {
		data, err := os.ReadFile("../seccomp/testdata/" + name + ".json")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Add(`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 3, "args": [{"index": 5, "value": 18446744073709551615, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}]}]}`)
	f.Fuzz(func(t *testing.T, json string) {
		p, err := withProfile(t, json, testOptions())
		if err != nil {
			if len(err.Error()) > 64<<10 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if f := p.Process.Seccomp; f != nil && (len(f.Program) == 0 || len(f.Program) > 8*4096 || len(f.Program)%8 != 0) {
			t.Errorf("a program of %d bytes", len(f.Program))
		}
	})
}
