package seccomp

import (
	"slices"
	"testing"

	"github.com/hako-runtime/hako/libct/seccomp/bpf"
)

// constant does what the kernel does when a filter is installed: it follows the
// program for one call and gives up where more than the number and the
// architecture is asked for. A call that is allowed so never runs the filter.
// seccomp_is_const_allow in the kernel's kernel/seccomp.c, since Linux 5.11.
func constant(program []bpf.Instruction, audit, nr uint32) (verdict Action, ok bool) {
	a := uint32(0)
	for pc := 0; pc < len(program); pc++ {
		i := program[pc]
		met := false
		switch i.Op {
		case bpf.Load:
			switch i.K {
			case bpf.OffsetNumber:
				a = nr
			case bpf.OffsetArch:
				a = audit
			default:
				return 0, false
			}
			continue
		case bpf.Return:
			return Action(i.K), true
		case bpf.Jump:
			pc += int(i.K)
			continue
		case bpf.And:
			a &= i.K
			continue
		case bpf.JumpEqual:
			met = a == i.K
		case bpf.JumpAtLeast:
			met = a >= i.K
		case bpf.JumpGreater:
			met = a > i.K
		case bpf.JumpBits:
			met = a&i.K != 0
		default:
			return 0, false
		}
		if met {
			pc += int(i.JT)
		} else {
			pc += int(i.JF)
		}
	}
	return 0, false
}

// call is a call of one architecture.
type call struct {
	arch *arch
	name string
	nr   uint32
}

// all are the calls of a machine.
func (m *Machine) all() (list []call) {
	for i := range m.arches {
		a := &m.arches[i]
		for row := range m.calls.ends {
			if n, ok := m.calls.number(row, a.column); ok {
				list = append(list, call{a, m.calls.name(row), a.number(n)})
			}
		}
	}
	return list
}

func TestTheKernelSeesWhatIsAlwaysAllowed(t *testing.T) {
	for _, name := range knownProfiles {
		for _, m := range machines() {
			profile := on(load(t, name), m)
			list := program(t, profile, m)
			always, asked := 0, 0
			for _, call := range m.all() {
				about := aboutCall(profile, call.arch, call.name)
				if !slices.ContainsFunc(about.rules, func(r Rule) bool { return r.Action == Allow }) {
					continue
				}
				if verdict, free := about.always(); !free {
					asked++
				} else if got, ok := constant(list, call.arch.audit, call.nr); !ok || got != verdict {
					t.Errorf("%s on %s: %s of %s: %#x, %t; want %#x", name, m.arches[0].name, call.name, call.arch.name, got, ok, verdict)
				} else {
					always++
				}
			}
			if always < 200 || asked == 0 {
				t.Errorf("%s on %s: %d calls are always allowed, %d are asked about", name, m.arches[0].name, always, asked)
			}
		}
	}
}

// Only calls with conditions run the filter and succeed: they come first.
func TestCallsWithConditionsAreShort(t *testing.T) {
	for _, name := range knownProfiles {
		for _, m := range machines() {
			profile := on(load(t, name), m)
			list := program(t, profile, m)
			own := &m.arches[0]
			for _, call := range m.all() {
				about := aboutCall(profile, call.arch, call.name)
				_, free := about.always()
				if call.arch != own || free || len(about.rules) == 0 || call.name == "ipc" || call.name == "socketcall" {
					continue
				}
				most := 0
				for _, args := range boundaries(profile, m, call.nr) {
					_, steps, err := bpf.Run(list, &bpf.Data{Arch: own.audit, Number: call.nr, Args: args}, m.order)
					if err != nil {
						t.Fatal(err)
					}
					most = max(most, steps)
				}
				if most > 18 {
					t.Errorf("%s on %s: %s takes up to %d instructions", name, own.name, call.name, most)
				}
				t.Logf("%s on %s: %s takes up to %d instructions", name, own.name, call.name, most)
			}
		}
	}
}

// However many values of an argument a profile lists, the search is binary, and
// does what the list says.
func TestManyValuesOfAnArgument(t *testing.T) {
	for _, m := range machines() {
		own := &m.arches[0]
		p := &Profile{Default: Errno.With(1), Rules: []Rule{{Calls: []string{"ioctl"}, Action: Log, Conditions: []Condition{{1, Less, 3, 0}}}}}
		for i := range uint64(600) {
			value := i * i * 7 // neighbours, gaps
			if i%5 == 0 {
				value |= i % 3 << 40
			}
			p.Rules = append(p.Rules, Rule{Calls: []string{"ioctl"}, Action: []Action{Allow, Errno.With(7)}[i%2], Conditions: []Condition{{1, Equal, value, 0}}})
		}
		p.Rules = append(p.Rules, Rule{Calls: []string{"ioctl"}, Action: Trap, Conditions: []Condition{{1, Greater, 1 << 41, 0}}})
		list := program(t, p, m)
		if err := bpf.Check(list); err != nil {
			t.Fatal(err)
		}
		n, _ := m.calls.number((&finder{calls: m.calls}).find("ioctl"), own.column)
		nr := own.number(n)
		call, most := about(p, m, own.audit, nr), 0
		ask := func(value uint64) {
			args := [6]uint64{1: value}
			got, steps, err := bpf.Run(list, &bpf.Data{Arch: own.audit, Number: nr, Args: args}, m.order)
			if err != nil {
				t.Fatal(err)
			}
			if want := call.decide(p.Default, args); got != uint32(want) {
				t.Fatalf("%s: ioctl of %#x: %#x, want %#x", own.name, value, got, want)
			}
			most = max(most, steps)
		}
		for _, r := range p.Rules {
			v := r.Conditions[0].Value
			for _, value := range []uint64{v - 1, v, v + 1, v | 1<<40, v ^ 1<<41, v + 1<<42, v &^ (1 << 40)} {
				ask(value)
			}
		}
		if most > 24 {
			t.Errorf("%s: up to %d instructions among 600 values", own.name, most)
		}
		t.Logf("%s: %d instructions, up to %d of them", own.name, len(list), most)
	}
}
