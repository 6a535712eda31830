package seccomp

import (
	"flag"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/hako-runtime/hako/libct/seccomp/bpf"
)

var differentialProfiles = flag.Int("profiles", 15, "random profiles for each machine that are compared with libseccomp's")

// TestLibseccompDecidesTheSame compiles profiles with libseccomp, as runc does,
// and with us, and runs both programs for every number and for the arguments at
// which conditions change.
func TestLibseccompDecidesTheSame(t *testing.T) {
	p := startPeer(t)
	for _, m := range machines() {
		t.Run(string(m.arches[0].name), func(t *testing.T) {
			names := commonNames(p, m)
			random := rand.New(rand.NewPCG(1, uint64(m.arches[0].audit)))
			for i := range *differentialProfiles {
				profile := randomProfile(random, m, names)
				t.Run(fmt.Sprint(i), func(t *testing.T) { compareWithPeer(t, p, profile, m, optimization(m, i)) })
			}
		})
	}
}

// optimization is that of runc since 1.2 every other time. For machines of the
// other byte order libseccomp's binary tree returns verdicts in the wrong one.
func optimization(m *Machine, i int) int {
	if m.bigEndian() {
		return 0
	}
	return 2 * (i % 2)
}

// commonNames are the calls that both sides have for some architecture, and a
// few that nobody has.
func commonNames(p *peer, m *Machine) []string {
	set := map[string]bool{"nosuchcall": true}
	for _, a := range m.arches {
		for name := range p.table(shortName(a.name)) {
			set[name] = true
		}
	}
	for _, one := range muxedCalls {
		set[one.name] = true
	}
	for _, name := range append([]string{"switch_endian", "sys_debug_setcontext"}, sinceLibseccomp...) {
		delete(set, name)
	}
	return slices.Sorted(maps.Keys(set))
}

// probe is what both programs are asked.
type probe struct {
	nr   uint32
	args [6]uint64
}

func compareWithPeer(t *testing.T, p *peer, profile *Profile, m *Machine, optimize int) {
	if len(p.table(shortName(m.arches[0].name))) == 0 {
		// An architecture that is newer than this libseccomp: the rules alone
		// say what is right.
		compareWithRules(t, profile, m)
		return
	}
	theirs, newest, problem := p.compile(profile, m, optimize)
	if strings.HasSuffix(problem, conflicts) {
		return
	}
	if problem != "" {
		t.Fatalf("libseccomp: %s\n%+v", problem, profile)
	}
	filter, _, err := Compile(profile, m)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := bpf.Decode(filter.Program, m.order)
	if err != nil {
		t.Fatal(err)
	}
	if err := bpf.Check(ours); err != nil {
		t.Fatalf("%v\n%s", err, bpf.Disassemble(ours))
	}
	audits := []uint32{0, 0xdeadbeef}
	for _, a := range append(amd64().arches, arm64().arches...) {
		audits = append(audits, a.audit)
	}
	for _, a := range m.arches {
		audits = append(audits, a.audit)
	}
	bad := 0
	cmp := &comparison{profile: profile, machine: m, newest: newest, ours: ours, theirs: theirs, about: map[uint64]subject{}}
	for _, audit := range audits {
		if forgetsNumber(theirs, audit) {
			t.Logf("arch %#x: libseccomp compares without having loaded the number", audit)
		}
		for one := range probes(profile, m) {
			if !compareOne(t, cmp, audit, one) {
				if bad++; bad > 5 {
					t.FailNow()
				}
			}
		}
	}
}

func compareWithRules(t *testing.T, profile *Profile, m *Machine) {
	newest := map[string]uint32{}
	for _, a := range m.arches {
		for _, r := range profile.Rules {
			for _, n := range numbersOf(&r, m) {
				newest[shortName(a.name)] = max(newest[shortName(a.name)], n)
			}
		}
	}
	c := &comparison{profile: profile, machine: m, newest: newest, ours: program(t, profile, m), about: map[uint64]subject{}}
	for one := range probes(profile, m) {
		compareOne(t, c, m.arches[0].audit, one)
	}
}

type comparison struct {
	profile      *Profile
	machine      *Machine
	newest       map[string]uint32
	ours, theirs []bpf.Instruction
	about        map[uint64]subject // by audit and number
}

// rules are those about a call.
func (c *comparison) rules(audit, nr uint32) subject {
	key := uint64(audit)<<32 | uint64(nr)
	s, ok := c.about[key]
	if !ok {
		s = about(c.profile, c.machine, audit, nr)
		c.about[key] = s
	}
	return s
}

// compareOne asks both programs and the model about one call.
func compareOne(t *testing.T, c *comparison, audit uint32, one probe) bool {
	data := &bpf.Data{Number: one.nr, Arch: audit, Args: one.args}
	got, _, err := bpf.Run(c.ours, data, c.machine.order)
	if err != nil {
		t.Fatal(err)
	}
	call := c.rules(audit, one.nr)
	if c.theirs == nil {
		want := uint32(call.decide(c.profile.Default, one.args))
		if isNew(c.profile, c.machine, c.newest, audit, one.nr) {
			want = uint32(notImplementedOn(c.machine))
		}
		if got != want {
			t.Errorf("arch %#x nr %#x args %#x: %#x, by the rules %#x: %+v", audit, one.nr, one.args, got, want, call.rules)
		}
		return got == want
	}
	want, _, err := bpf.Run(c.theirs, data, c.machine.order)
	if err != nil {
		t.Fatal(err)
	}
	want = ordered(c.profile, c.machine, want)
	byRules := call.decide(c.profile.Default, one.args)
	if isNew(c.profile, c.machine, c.newest, audit, one.nr) {
		want = uint32(notImplementedOn(c.machine))
		byRules = Action(want)
	}
	if len(call.rules) > 0 && got != uint32(byRules) {
		t.Errorf("arch %#x nr %#x args %#x: %#x, by the rules %#x: %+v", audit, one.nr, one.args, got, byRules, call.rules)
		return false
	}
	if got != want && !forgetsNumber(c.theirs, audit) && !mergesWrongly(call.rules) {
		t.Errorf("arch %#x nr %#x args %#x: %#x, libseccomp %#x; rules %+v", audit, one.nr, one.args, got, want, call.rules)
		return false
	}
	return true
}

// The differences to libseccomp 2.5.4, by name. In all of them the program
// does what the rules say, which [compareOne] checks.

// forgetsNumber: sometimes libseccomp does not load the number after it has
// compared the architecture, and compares that with the calls' numbers.
func forgetsNumber(theirs []bpf.Instruction, audit uint32) bool {
	for at := 1; ; {
		switch i := theirs[at]; {
		case i.Op == bpf.Jump:
			at += 1 + int(i.K)
		case i.Op != bpf.JumpEqual:
			return false
		case i.K != audit:
			at += 1 + int(i.JF)
		default:
			for at += 1 + int(i.JT); theirs[at].Op == bpf.Jump; {
				at += 1 + int(theirs[at].K)
			}
			return theirs[at].Op != bpf.Return && theirs[at] != bpf.Instruction{Op: bpf.Load, K: bpf.OffsetNumber}
		}
	}
}

// mergesWrongly: libseccomp makes one tree of all rules for a call. Where two
// of them compare the same argument, and not only for being equal, it takes
// some values for met that no rule is met by, and others for not met.
func mergesWrongly(about []Rule) bool {
	used := [6]int{}
	equalOnly := true
	for _, r := range about {
		for _, c := range r.Conditions {
			used[c.Arg]++
			equalOnly = equalOnly && c.Op == Equal
		}
	}
	return !equalOnly && slices.ContainsFunc(used[:], func(n int) bool { return n > 1 })
}

// conflicts: of two rules with the same conditions and different actions the
// first holds; libseccomp refuses the profile.
const conflicts = "File exists"

// ordered repairs a verdict: when libseccomp writes a program for a machine of
// the other byte order, the returns that it repeats within reach of a jump are
// in its own.
func ordered(p *Profile, m *Machine, verdict uint32) uint32 {
	if !m.bigEndian() || verdict == uint32(p.Default) || slices.ContainsFunc(p.Rules, func(r Rule) bool { return uint32(r.Action) == verdict }) {
		return verdict
	}
	return bits.ReverseBytes32(verdict)
}

func notImplementedOn(m *Machine) Action {
	if m.calls == &mipsCalls {
		return Errno.With(89)
	}
	return Errno.With(38)
}

// isNew is runc's rule for ENOSYS, written down again: libseccomp has none.
func isNew(p *Profile, m *Machine, newest map[string]uint32, audit, nr uint32) bool {
	switch p.Default &^ 0xffff {
	case Allow, Log, Trace:
		return false
	}
	limits := map[bool]uint32{} // by x32 or not
	setup := false
	for _, a := range m.chosen(p.Arches) {
		if n := newest[shortName(a.name)]; a.audit == audit && n != 0 {
			limits[a.x32] = n
			setup = a.setup
		}
	}
	switch len(limits) {
	case 0:
		return false
	case 1:
		for _, n := range limits {
			return nr > n || setup && nr == 0
		}
	}
	return nr > limits[nr&x32Bit != 0]
}

// probes are all numbers with no arguments, and for calls with conditions the
// arguments around each value that is compared.
func probes(p *Profile, m *Machine) func(yield func(probe) bool) {
	return func(yield func(probe) bool) {
		numbers := []uint32{0x7fffffff, 0x80000000, 0x80000001, 0xbfffffff, 0xc0000000, 0xc0000001, math.MaxUint32 - 1, math.MaxUint32, x32Bit - 1}
		for _, base := range []uint32{0, x32Bit, 4000, 5000, 6000, armPrivate, 2 * x32Bit, 3 * x32Bit} {
			for n := range uint32(1100) {
				if n < 600 || base == 0 {
					numbers = append(numbers, base+n)
				}
			}
		}
		for _, n := range numbers {
			if !yield(probe{nr: n}) {
				return
			}
		}
		for _, r := range p.Rules {
			if len(r.Conditions) == 0 {
				continue
			}
			for _, n := range numbersOf(&r, m) {
				for _, args := range boundaries(p, m, n) {
					if !yield(probe{n, args}) {
						return
					}
				}
			}
		}
	}
}

// numbersOf are the numbers that a rule's calls have anywhere on the machine.
func numbersOf(r *Rule, m *Machine) (list []uint32) {
	look := finder{calls: m.calls}
	names := slices.Clone(r.Calls)
	for _, name := range r.Calls {
		if one := muxedCall(name); one != nil {
			names = append(names, one.through)
		}
	}
	for _, name := range names {
		for i := range m.arches {
			if row := look.find(name); row >= 0 {
				if n, ok := m.calls.number(row, m.arches[i].column); ok {
					list = append(list, m.arches[i].number(n))
				}
			}
		}
	}
	return list
}

// boundaries are combinations of the values around those that the conditions
// on a call compare with.
func boundaries(p *Profile, m *Machine, nr uint32) (list [][6]uint64) {
	var values [6][]uint64
	for _, r := range p.Rules {
		for i := range r.Conditions {
			if c := &r.Conditions[i]; slices.Contains(numbersOf(&r, m), nr) {
				high, low := c.Value&^math.MaxUint32, c.Value&math.MaxUint32
				values[c.Arg] = append(values[c.Arg], c.Value, c.Value-1, c.Value+1, c.ValueTwo, c.ValueTwo&c.Value, ^c.Value,
					high, low, high+1<<32, high-1<<32|low, high+1<<32|low)
			}
		}
	}
	for one := range uint64(21) {
		values[0] = append(values[0], one) // what is made through socketcall and ipc
	}
	random := rand.New(rand.NewPCG(2, uint64(nr)))
	for range 200 {
		var args [6]uint64
		for i := range args {
			if n := len(values[i]); n > 0 && random.IntN(8) > 0 {
				args[i] = values[i][random.IntN(n)]
			}
		}
		list = append(list, args)
	}
	return list
}

var actions = []Action{
	KillProcess, KillThread, Trap, Errno.With(1), Errno.With(13), Errno.With(0), Errno.With(4094), Trace.With(7), Log, Allow, Notify,
}

func randomProfile(r *rand.Rand, m *Machine, names []string) *Profile {
	p := &Profile{Default: append(actions[:len(actions)-1:len(actions)-1], notImplementedOn(m))[r.IntN(len(actions))]}
	for _, a := range m.arches {
		if r.IntN(3) > 0 {
			p.Arches = append(p.Arches, a.name)
		}
	}
	for range 1 + r.IntN(12) {
		rule := Rule{Action: actions[r.IntN(len(actions))]}
		for range 1 + r.IntN(1<<r.IntN(8)) {
			rule.Calls = append(rule.Calls, names[r.IntN(len(names))])
		}
		p.Rules = append(p.Rules, rule)
	}
	// Calls with conditions, of which some have several rules: with the same
	// action, as libseccomp has no order among others.
	conditional := map[string]bool{}
	for range r.IntN(12) {
		call, action := names[r.IntN(len(names))], actions[r.IntN(len(actions))]
		if r.IntN(3) == 0 {
			call = muxedCalls[r.IntN(len(muxedCalls))].name
		}
		if conditional[call] {
			continue
		}
		conditional[call] = true
		for range 1 + r.IntN(4) {
			p.Rules = append(p.Rules, Rule{Calls: []string{call}, Action: action, Conditions: randomConditions(r)})
		}
		if r.IntN(3) == 0 { // values of one argument
			arg := uint8(r.IntN(6))
			for range 1 + r.IntN(20) {
				p.Rules = append(p.Rules, Rule{Calls: []string{call}, Action: action, Conditions: []Condition{{arg, Equal, randomValue(r), 0}}})
			}
		}
	}
	r.Shuffle(len(p.Rules), func(i, j int) { p.Rules[i], p.Rules[j] = p.Rules[j], p.Rules[i] })
	return p
}

func randomConditions(r *rand.Rand) (list []Condition) {
	for arg := range uint8(6) {
		if r.IntN(4) == 0 {
			list = append(list, Condition{arg, Op(1 + r.IntN(7)), randomValue(r), randomValue(r)})
		}
	}
	if list == nil {
		list = []Condition{{uint8(r.IntN(6)), Op(1 + r.IntN(7)), randomValue(r), randomValue(r)}}
	}
	return list
}

func randomValue(r *rand.Rand) uint64 {
	switch r.IntN(6) {
	case 0:
		return r.Uint64()
	case 1:
		return uint64(r.Uint32())
	case 2:
		return uint64(r.Uint32()) << 32
	case 3:
		return []uint64{0, math.MaxUint32, 1 << 32, math.MaxUint64, 1 << 63, math.MaxUint32 << 32}[r.IntN(6)]
	}
	return uint64(r.IntN(20))
}
