package seccomp

import "slices"

// subject is a call of an architecture, and what a profile says about it.
type subject struct {
	rules []Rule
	wide  bool
}

// about finds a profile's rules about a call without compiling anything: what
// [Rule] and [Compile] promise, word by word.
func about(p *Profile, m *Machine, audit, nr uint32) (s subject) {
	for _, a := range m.chosen(p.Arches) {
		if a.audit != audit {
			continue
		}
		for row := range m.calls.ends {
			if n, ok := m.calls.number(row, a.column); ok && a.number(n) == nr {
				return aboutCall(p, &a, m.calls.name(row))
			}
		}
	}
	return s
}

func aboutCall(p *Profile, a *arch, name string) (s subject) {
	s.wide = a.wide
	for _, r := range p.Rules {
		if r.Action == p.Default {
			continue
		}
		for _, call := range r.Calls {
			if m := muxedCall(call); a.mux == muxBoth && m != nil && m.through == name {
				through := Rule{Calls: []string{call}, Action: r.Action, Conditions: []Condition{{0, Equal, m.number, 0}}}
				for _, c := range r.Conditions {
					if c.Arg != 0 {
						through.Conditions = append(through.Conditions, c)
					}
				}
				s.rules = append(s.rules, through)
			}
			if call == name {
				s.rules = append(s.rules, r)
			}
		}
	}
	return s
}

// always is the verdict that does not depend on arguments.
func (s subject) always() (action Action, ok bool) {
	for _, r := range s.rules {
		if !slices.ContainsFunc(r.Conditions, func(c Condition) bool {
			return c.Op != MaskedEqual || uint32(c.Value) != 0 || s.wide && c.Value != 0
		}) {
			return r.Action, true
		}
	}
	return 0, false
}

// decide is the verdict on a call with these arguments.
func (s subject) decide(other Action, args [6]uint64) Action {
	if action, ok := s.always(); ok {
		return action
	}
	for _, r := range s.rules {
		if met(r.Conditions, s.wide, args) {
			return r.Action
		}
	}
	return other
}

func met(list []Condition, wide bool, args [6]uint64) bool {
	for _, c := range list {
		arg, value, two := args[c.Arg], c.Value, c.ValueTwo
		if !wide {
			arg, value, two = uint64(uint32(arg)), uint64(uint32(value)), uint64(uint32(two))
		}
		ok := [...]bool{
			NotEqual: arg != value, Less: arg < value, AtMost: arg <= value, Equal: arg == value,
			AtLeast: arg >= value, Greater: arg > value, MaskedEqual: arg&value == two&value,
		}[c.Op]
		if !ok {
			return false
		}
	}
	return true
}
