package seccomp

import (
	"errors"
	"math"
	"slices"

	"github.com/hako-runtime/hako/libct/seccomp/bpf"
)

// errnoNotImplemented is the same on all of the machines but MIPS and its
// relatives, where the headers say 89.
const (
	errnoNotImplemented     = 38
	errnoNotImplementedMIPS = 89
)

// alternative is one rule for one call.
type alternative struct {
	rule int32
	mux  *muxed // the call is made through another
	next int32  // index, 0 for the last
}

// decision is what the rules say about one call of one architecture.
type decision struct {
	always      Action // if first is 0 and set
	set         bool
	first, last int32 // of the alternatives
}

// compiler holds one compilation.
type compiler struct {
	profile *Profile
	machine *Machine
	arches  []arch
	rows    [][]decision // for each architecture, for each row of the table
	newest  []uint32     // for each architecture: the highest number that a rule names, 0 if there is none
	through [len(through)]int
	alts    []alternative // the one at 0 is not used

	verdicts []*bpf.Node // returns, one a verdict
	chains   []chain
	unknown  []string
	listener bool
}

// Compile turns a profile into a program for a machine. unknown are the names
// of calls that no kernel header of the machine's architectures has; they are
// left out, as libseccomp does, because profiles name the calls of all kernels.
//
// A call with a higher number than all that the profile knows of its
// architecture fails with ENOSYS, unless the default is permissive: programs
// fall back then, where EPERM would end them. So does runc.
//
// A call of an architecture that the profile does not have kills the thread.
func Compile(p *Profile, m *Machine) (f *Filter, unknown []string, err error) {
	c := &compiler{profile: p, machine: m, arches: m.chosen(p.Arches), alts: make([]alternative, 1, 64)}
	c.rows = make([][]decision, len(c.arches))
	all := make([]decision, len(c.arches)*len(m.calls.ends))
	for i := range c.rows {
		c.rows[i], all = all[:len(m.calls.ends)], all[len(m.calls.ends):]
	}
	c.newest = make([]uint32, len(c.arches))
	look := finder{calls: m.calls}
	for i, name := range through {
		c.through[i] = look.find(name)
	}
	if err := c.addRules(); err != nil {
		return nil, nil, err
	}
	program, err := bpf.Assemble(c.dispatch())
	if err != nil {
		return nil, nil, err
	}
	f = &Filter{Program: bpf.Encode(program, m.order), Flags: c.flags(), Listener: c.listener}
	return f, c.unknown, nil
}

// flags are those that seccomp(2) takes for this program. Thread
// synchronisation is left to execve(2), which leaves one thread.
func (c *compiler) flags() Flag {
	flags := c.profile.Flags &^ (FlagTsync | FlagWaitKillableRecv)
	if c.listener {
		flags |= flagNewListener | c.profile.Flags&FlagWaitKillableRecv
	}
	return flags
}

func (c *compiler) addRules() error {
	look := finder{calls: c.machine.calls}
	for i := range c.profile.Rules {
		r := &c.profile.Rules[i]
		if err := r.check(); err != nil {
			return err
		}
		for _, name := range r.Calls {
			if row := look.find(name); row >= 0 {
				c.addRule(int32(i), r, name, row)
			} else if m := muxedCall(name); m != nil && c.through[m.index()] >= 0 {
				c.addRule(int32(i), r, name, -1)
			} else {
				c.unknown = append(c.unknown, name)
			}
		}
	}
	return nil
}

// check refuses what the generated code could not express.
func (r *Rule) check() error {
	var seen [6]bool
	for _, one := range r.Conditions {
		switch {
		case int(one.Arg) >= len(seen):
			return errors.New("a system call has six arguments")
		case seen[one.Arg]:
			return errors.New("two conditions on one argument")
		case one.Op < NotEqual || one.Op > MaskedEqual:
			return errors.New("unknown operator")
		}
		seen[one.Arg] = true
	}
	return nil
}

// addRule adds a rule for the call in a row, -1 if it can only be made through
// another, to all architectures.
func (c *compiler) addRule(i int32, r *Rule, name string, row int) {
	redundant := r.Action == c.profile.Default
	m := (*muxed)(nil)
	for a := range c.arches {
		arch := &c.arches[a]
		if arch.mux == muxBoth && m == nil {
			m = muxedCall(name)
		}
		if m != nil && arch.mux == muxBoth && !redundant {
			c.add(a, c.through[m.index()], alternative{rule: i, mux: m})
		}
		if row < 0 {
			continue
		}
		n, ok := c.machine.calls.number(row, arch.column)
		if !ok {
			continue
		}
		if m == nil || arch.mux != muxBoth {
			c.newest[a] = max(c.newest[a], arch.number(n))
		}
		if !redundant {
			c.add(a, row, alternative{rule: i})
		}
	}
}

func (a *arch) number(n uint32) uint32 {
	if a.x32 {
		return n | x32Bit
	}
	return n
}

// add adds an alternative for a call, as [Rule] says.
func (c *compiler) add(arch, row int, alt alternative) {
	d := &c.rows[arch][row]
	r := &c.profile.Rules[alt.rule]
	if r.Action&^0xffff == Notify {
		c.listener = true
	}
	switch {
	case d.set && d.first == 0: // decided by an earlier rule
	case alt.mux == nil && r.always(c.arches[arch].wide):
		*d = decision{set: true, always: r.Action}
	default:
		c.alts = append(c.alts, alt)
		at := int32(len(c.alts) - 1)
		if d.first == 0 {
			d.first = at
		} else {
			c.alts[d.last].next = at
		}
		d.last, d.set = at, true
	}
}

// always reports whether no condition asks for anything: where a mask has no
// bit in the arguments of an architecture, there is nothing to compare.
func (r *Rule) always(wide bool) bool {
	for i := range r.Conditions {
		one := &r.Conditions[i]
		if one.Op != MaskedEqual || wide && one.Value != 0 || uint32(one.Value) != 0 {
			return false
		}
	}
	return true
}

// dispatch is the root of the program: first the architecture, then the call.
func (c *compiler) dispatch() *bpf.Node {
	node := c.verdict(KillThread)
	for i := len(c.arches) - 1; i >= 0; i-- {
		if c.arches[i].x32 && c.has(audit64|auditLE|elfX86_64, false) {
			continue // in the tree of x86_64
		}
		tree := bpf.LoadWord(bpf.OffsetNumber, tree(c.spans(i), c.hot(i)))
		node = bpf.If(bpf.JumpEqual, c.arches[i].audit, tree, node)
	}
	return bpf.LoadWord(bpf.OffsetArch, node)
}

// has reports whether the profile has an architecture with that audit number.
func (c *compiler) has(audit uint32, x32 bool) bool {
	return slices.ContainsFunc(c.arches, func(a arch) bool { return a.audit == audit && a.x32 == x32 })
}

// verdict is the return of an action; there is one node for each.
func (c *compiler) verdict(a Action) *bpf.Node {
	for _, v := range c.verdicts {
		if v.Returns(uint32(a)) {
			return v
		}
	}
	v := bpf.Ret(uint32(a))
	c.verdicts = append(c.verdicts, v)
	return v
}

// refusesNew tells the profiles under which new calls fail with ENOSYS.
func (c *compiler) refusesNew() bool {
	switch c.profile.Default &^ 0xffff {
	case Allow, Log, Trace:
		return false
	}
	return true
}

func (c *compiler) notImplemented() Action {
	if c.machine.calls == &mipsCalls {
		return Errno.With(errnoNotImplementedMIPS)
	}
	return Errno.With(errnoNotImplemented)
}

// base lists what happens to the numbers that no rule names, for all that the
// kernel may report with the audit number of an architecture: in order, each up
// to the next.
func (c *compiler) base(i int) []span {
	other := c.verdict(c.profile.Default)
	after := func(newest uint32) span {
		return span{low: newest + 1, node: c.verdict(c.notImplemented()), gone: true}
	}
	newest := c.newest[i]
	x32 := -1
	if c.arches[i].sharesAudit() {
		x32 = slices.IndexFunc(c.arches, func(a arch) bool { return a.x32 })
	}
	if c.arches[i].x32 { // without x86_64
		list := []span{{low: 0, node: c.verdict(KillThread)}, {low: x32Bit, node: other}}
		if c.refusesNew() && newest != 0 {
			list = append(list, after(newest))
		}
		return list
	}
	switch {
	case !c.refusesNew() || newest == 0 && (x32 < 0 || c.newest[x32] == 0):
		if x32 < 0 && c.arches[i].sharesAudit() {
			// x32 is an architecture that the profile does not have. -1 is
			// what a tracer makes of a call that is to be skipped.
			return []span{{low: 0, node: other}, {low: x32Bit, node: c.verdict(KillThread)}, {low: math.MaxUint32, node: other}}
		}
		return []span{{low: 0, node: other}}
	case c.arches[i].setup:
		return []span{after(math.MaxUint32), {low: 1, node: other}, after(newest)}
	case x32 < 0 || c.newest[x32] == 0:
		return []span{{low: 0, node: other}, after(newest)}
	case newest == 0:
		return []span{{low: 0, node: other}, after(c.newest[x32])}
	}
	return []span{{low: 0, node: other}, after(newest), {low: x32Bit, node: other}, after(c.newest[x32])}
}

func (a *arch) sharesAudit() bool { return a.audit == audit64|auditLE|elfX86_64 }

// spans is [compiler.base] with the calls that rules decide about in it.
func (c *compiler) spans(i int) []span {
	list := overlay{base: c.base(i), list: make([]span, 0, 128)}
	c.decided(i, &list, true)
	if c.arches[i].sharesAudit() {
		for j := range c.arches {
			if j != i && c.arches[j].x32 {
				c.decided(j, &list, false)
			}
		}
	}
	return list.end()
}

// decided adds the calls of one architecture that rules decide about. weigh
// tells that they are made: hardly any are of x32.
func (c *compiler) decided(i int, list *overlay, weigh bool) {
	a := &c.arches[i]
	for _, row := range c.machine.calls.byNumber[a.column] {
		if d := &c.rows[i][row]; d.set {
			n, _ := c.machine.calls.number(int(row), a.column)
			node, weight := c.node(d, a), int32(0)
			if !node.Ends() && weigh {
				weight = conditionalWeight
			}
			list.put(a.number(n), node, weight)
		}
	}
}
