package seccomp

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/hako-runtime/hako/libct/seccomp/bpf"
	"github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// load reads a profile of testdata, as the engine of that name wrote it into
// config.json on amd64: Docker 20.10 for a default container, Podman 4.3 with
// the default capabilities. What it means for a whole config is plan's.
func load(t testing.TB, name string) *Profile {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var spec specs.LinuxSeccomp
	if err := json.Unmarshal(data, &spec); err != nil {
		t.Fatal(err)
	}
	actions := map[specs.LinuxSeccompAction]Action{specs.ActAllow: Allow, specs.ActErrno: Errno}
	operators := map[specs.LinuxSeccompOperator]Op{specs.OpEqualTo: Equal, specs.OpNotEqual: NotEqual, specs.OpMaskedEqual: MaskedEqual}
	verdict := func(action specs.LinuxSeccompAction, errno *uint) Action {
		if action == specs.ActErrno && errno == nil {
			errno = new(uint(1))
		}
		if errno == nil {
			return actions[action]
		}
		return actions[action].With(uint16(*errno))
	}
	p := &Profile{Default: verdict(spec.DefaultAction, spec.DefaultErrnoRet)}
	for _, a := range spec.Architectures {
		p.Arches = append(p.Arches, Arch(a))
	}
	for _, s := range spec.Syscalls {
		r := Rule{Calls: s.Names, Action: verdict(s.Action, s.ErrnoRet)}
		for _, a := range s.Args {
			r.Conditions = append(r.Conditions, Condition{uint8(a.Index), operators[a.Op], a.Value, a.ValueTwo})
		}
		p.Rules = append(p.Rules, r)
	}
	return p
}

var knownProfiles = []string{"docker", "podman"}

// on is the profile for another machine, with all of its architectures, as the
// engines' maps of architectures have it.
func on(p *Profile, m *Machine) *Profile {
	changed := *p
	changed.Arches = nil
	for _, a := range m.arches {
		changed.Arches = append(changed.Arches, a.name)
	}
	return &changed
}

func program(t testing.TB, p *Profile, m *Machine) []bpf.Instruction {
	t.Helper()
	f, _, err := Compile(p, m)
	if err != nil {
		t.Fatal(err)
	}
	list, err := bpf.Decode(f.Program, m.order)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestKnownProfilesAreDecidedAsByLibseccomp(t *testing.T) {
	p := startPeer(t)
	for _, name := range knownProfiles {
		profile := load(t, name)
		for _, m := range machines() {
			t.Run(name+"/"+shortName(m.arches[0].name), func(t *testing.T) {
				compareWithPeer(t, p, on(profile, m), m, optimization(m, 1))
			})
		}
	}
}

// The kernel takes 4,096 instructions; a call should not take more than a few.
func TestKnownProfilesAreSmallAndFast(t *testing.T) {
	for _, name := range knownProfiles {
		profile := load(t, name)
		for _, m := range machines() {
			list := program(t, on(profile, m), m)
			if len(list) > 512 {
				t.Errorf("%s on %s: %d instructions", name, m.arches[0].name, len(list))
			}
			most, sum, calls := 0, 0, 0
			for _, a := range m.arches {
				for row := range m.calls.ends {
					n, ok := m.calls.number(row, a.column)
					if !ok {
						continue
					}
					_, steps, err := bpf.Run(list, &bpf.Data{Arch: a.audit, Number: a.number(n)}, m.order)
					if err != nil {
						t.Fatal(err)
					}
					most, sum, calls = max(most, steps), sum+steps, calls+1
				}
			}
			if most > 40 || sum > 14*calls {
				t.Errorf("%s on %s: up to %d instructions a call, %d on average", name, m.arches[0].name, most, sum/calls)
			}
			t.Logf("%s on %s: %d instructions; up to %d a call, on average %.1f", name, m.arches[0].name, len(list), most, float64(sum)/float64(calls))
		}
	}
}

func TestProgramOfDockersProfile(t *testing.T) {
	text := bpf.Disassemble(program(t, load(t, "docker"), amd64()))
	const golden = "testdata/docker.bpf"
	if *update {
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("the program has changed; look at it with -update and git diff")
	}
}

func TestUnknownNamesAreReported(t *testing.T) {
	p := &Profile{Default: Allow, Rules: []Rule{{Calls: []string{"read", "nosuchcall", "arm_fadvise64_64"}, Action: Log}}}
	_, unknown, err := Compile(p, amd64())
	if err != nil || fmt.Sprint(unknown) != "[nosuchcall arm_fadvise64_64]" {
		t.Errorf("%v, %v", unknown, err)
	}
}

func TestListenerAndFlags(t *testing.T) {
	notify := Rule{Calls: []string{"mkdir"}, Action: Notify}
	for _, tt := range []struct {
		name     string
		profile  Profile
		flags    Flag
		listener bool
	}{
		{"none", Profile{Default: Allow}, 0, false},
		{"TSYNC is execve's", Profile{Default: Allow, Flags: FlagTsync | FlagLog | FlagSpecAllow}, FlagLog | FlagSpecAllow, false},
		{"nothing to wait for", Profile{Default: Allow, Flags: FlagWaitKillableRecv}, 0, false},
		{"a listener", Profile{Default: Allow, Rules: []Rule{notify}}, flagNewListener, true},
		{"a killable one", Profile{Default: Allow, Flags: FlagWaitKillableRecv, Rules: []Rule{notify}}, flagNewListener | FlagWaitKillableRecv, true},
		{"of an unknown call", Profile{Default: Allow, Rules: []Rule{{Calls: []string{"nosuchcall"}, Action: Notify}}}, 0, false},
	} {
		f, _, err := Compile(&tt.profile, amd64())
		if err != nil || f.Flags != tt.flags || f.Listener != tt.listener {
			t.Errorf("%s: %+v, %v", tt.name, f, err)
		}
	}
}

func TestWhatCannotBeCompiledIsRefused(t *testing.T) {
	for name, r := range map[string]Rule{
		"seventh argument": {Calls: []string{"read"}, Conditions: []Condition{{6, Equal, 0, 0}}},
		"one twice":        {Calls: []string{"read"}, Conditions: []Condition{{1, Equal, 0, 0}, {1, Less, 0, 0}}},
		"no operator":      {Calls: []string{"read"}, Conditions: []Condition{{1, 0, 0, 0}}},
	} {
		if _, _, err := Compile(&Profile{Default: Allow, Rules: []Rule{r}}, amd64()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// FuzzCompile: any profile compiles to a program that the kernel takes and
// that decides as the rules say, on any machine.
func FuzzCompile(f *testing.F) {
	f.Add([]byte("\x05\x00\x01\x03\x10\x01\x00\x04\x08"), uint16(135), uint64(8))
	f.Add([]byte{}, uint16(0), uint64(0))
	f.Add([]byte("\x05\x01\x01\x01\x09\x01\x08\x01\xc6\x08\x00\x01\x09\x21\x02\x08\x00\x03\x01\x20\x04"), uint16(16), uint64(8))
	f.Fuzz(func(t *testing.T, recipe []byte, number uint16, arg uint64) {
		for _, m := range []*Machine{amd64(), s390x(), mips64le()} {
			p := cook(recipe, m)
			filter, _, err := Compile(p, m)
			if err != nil {
				continue
			}
			list, err := bpf.Decode(filter.Program, m.order)
			if err != nil {
				t.Fatal(err)
			}
			if err := bpf.Check(list); err != nil {
				t.Fatal(err)
			}
			a := m.arches[0]
			args := [6]uint64{arg, arg >> 1, ^arg, arg, 1, 0}
			call := about(p, m, a.audit, uint32(number))
			if verdict, free := call.always(); free && verdict == Allow {
				if got, ok := constant(list, a.audit, uint32(number)); !ok || got != Allow && got != notImplementedOn(m) {
					t.Fatalf("%s %d: the kernel sees %#x, %t: %+v", a.name, number, got, ok, call.rules)
				}
			}
			got, _, err := bpf.Run(list, &bpf.Data{Arch: a.audit, Number: uint32(number), Args: args}, m.order)
			if err != nil {
				t.Fatal(err)
			}
			if want := call.decide(p.Default, args); len(call.rules) > 0 && got != uint32(want) && got != uint32(notImplementedOn(m)) {
				t.Fatalf("%s %d: %#x, want %#x: %+v", a.name, number, got, want, call.rules)
			}
		}
	})
}

// cook makes a profile of bytes: rows of calls from the table, conditions.
func cook(recipe []byte, m *Machine) *Profile {
	next := func() (b byte) {
		if len(recipe) > 0 {
			b, recipe = recipe[0], recipe[1:]
		}
		return b
	}
	p := &Profile{Default: actions[int(next())%(len(actions)-1)]}
	for _, a := range m.arches {
		if next()&1 != 0 {
			p.Arches = append(p.Arches, a.name)
		}
	}
	for len(recipe) > 0 && len(p.Rules) < 200 {
		r := Rule{Action: actions[int(next())%len(actions)]}
		for range next() % 8 {
			r.Calls = append(r.Calls, m.calls.name((int(next())<<1|int(next()&1))%len(m.calls.ends)))
		}
		if kind := next(); kind >= 0xc0 { // values of one argument
			for range kind % 32 {
				one := Condition{kind % 6, Equal, uint64(next()) << (next() % 40), 0}
				p.Rules = append(p.Rules, Rule{Calls: r.Calls, Action: actions[int(next())%len(actions)], Conditions: []Condition{one}})
			}
			continue
		}
		for arg := range next() % 7 {
			value := uint64(math.MaxUint32-1) << (next() % 40) & (uint64(next()) * 0x0101010101010101)
			r.Conditions = append(r.Conditions, Condition{arg, Op(next() % 8), value, uint64(next())})
		}
		p.Rules = append(p.Rules, r)
	}
	return p
}

func BenchmarkCompile(b *testing.B) {
	for _, name := range knownProfiles {
		p := load(b, name)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				if _, _, err := Compile(p, amd64()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
