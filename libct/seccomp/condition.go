package seccomp

import (
	"math"

	"github.com/hako-runtime/hako/libct/seccomp/bpf"
)

// chain is the code for a list of alternatives, which calls with the same
// rules share.
type chain struct {
	first int32
	wide  bool
	node  *bpf.Node
}

// node is where a call goes that rules decide about.
func (c *compiler) node(d *decision, a *arch) *bpf.Node {
	if d.first == 0 {
		return c.verdict(d.always)
	}
	for _, have := range c.chains {
		if have.wide == a.wide && c.sameAlternatives(have.first, d.first) {
			return have.node
		}
	}
	var list []int32
	for at := d.first; at != 0; at = c.alts[at].next {
		list = append(list, at)
	}
	node := c.verdict(c.profile.Default)
	for i := len(list) - 1; i >= 0; i-- {
		alt := &c.alts[list[i]]
		rule := &c.profile.Rules[alt.rule]
		node = c.conditions(rule, alt.mux, a.wide, c.verdict(rule.Action), node)
	}
	c.chains = append(c.chains, chain{d.first, a.wide, node})
	return node
}

func (c *compiler) sameAlternatives(a, b int32) bool {
	for a != 0 && b != 0 {
		x, y := &c.alts[a], &c.alts[b]
		if x.rule != y.rule || x.mux != y.mux {
			return false
		}
		a, b = x.next, y.next
	}
	return a == b
}

// conditions goes to yes if all conditions of a rule are met. Made through
// another call, the first argument is the call's number now: what was asked
// of it is dropped. The others are then asked of what is something else, as
// libseccomp does.
func (c *compiler) conditions(r *Rule, through *muxed, wide bool, yes, no *bpf.Node) *bpf.Node {
	node := yes
	for i := len(r.Conditions) - 1; i >= 0; i-- {
		if one := &r.Conditions[i]; through == nil || one.Arg != 0 {
			node = c.condition(one, wide, node, no)
		}
	}
	if through != nil {
		node = c.condition(&Condition{Op: Equal, Value: through.number}, wide, node, no)
	}
	return node
}

// halves of an argument: where they are, and what a value has there.
func (c *compiler) halves(arg uint8) (high, low uint32) {
	at := bpf.OffsetArgs + 8*uint32(arg)
	if c.machine.bigEndian() {
		return at, at + 4
	}
	return at + 4, at
}

// condition goes to yes if the condition is met, else to no.
func (c *compiler) condition(one *Condition, wide bool, yes, no *bpf.Node) *bpf.Node {
	switch one.Op {
	case NotEqual:
		return c.compare(bpf.JumpEqual, one, wide, no, yes)
	case Less:
		return c.compare(bpf.JumpAtLeast, one, wide, no, yes)
	case AtMost:
		return c.compare(bpf.JumpGreater, one, wide, no, yes)
	case AtLeast:
		return c.compare(bpf.JumpAtLeast, one, wide, yes, no)
	case Greater:
		return c.compare(bpf.JumpGreater, one, wide, yes, no)
	case MaskedEqual:
		high, low := c.halves(one.Arg)
		node := masked(low, uint32(one.Value), uint32(one.ValueTwo), yes, no)
		if wide {
			node = masked(high, uint32(one.Value>>32), uint32(one.ValueTwo>>32), node, no)
		}
		return node
	}
	return c.compare(bpf.JumpEqual, one, wide, yes, no)
}

// compare compares an argument with op, first its high half.
func (c *compiler) compare(op bpf.Op, one *Condition, wide bool, yes, no *bpf.Node) *bpf.Node {
	highAt, lowAt := c.halves(one.Arg)
	high, low := uint32(one.Value>>32), uint32(one.Value)
	if !wide {
		return bpf.LoadWord(lowAt, word(op, low, facts{in: lowAt}, yes, no))
	}
	same := facts{in: highAt, exact: true, at: highAt, value: high}
	node := after(bpf.LoadWord(lowAt, word(op, low, facts{in: lowAt, exact: true, at: highAt, value: high}, yes, no)), same)
	node = bpf.If(bpf.JumpEqual, high, node, after(no, facts{in: highAt}))
	if op != bpf.JumpEqual && high != math.MaxUint32 {
		node = bpf.If(bpf.JumpGreater, high, after(yes, facts{in: highAt}), node)
	}
	return bpf.LoadWord(highAt, node)
}

func word(op bpf.Op, k uint32, known facts, yes, no *bpf.Node) *bpf.Node {
	return bpf.If(op, k, after(yes, known), after(no, known))
}

// masked compares some bits of a word.
func masked(at, mask, value uint32, yes, no *bpf.Node) *bpf.Node {
	switch mask {
	case 0:
		return yes
	case math.MaxUint32:
		return bpf.LoadWord(at, word(bpf.JumpEqual, value, facts{in: at}, yes, no))
	}
	// What was loaded is changed: nothing is known after it.
	return bpf.LoadWord(at, bpf.Mask(mask, bpf.If(bpf.JumpEqual, value&mask, yes, no)))
}

// facts are what is known at a place in the program.
type facts struct {
	in        uint32 // the word that is loaded
	exact     bool   // the word at has value
	at, value uint32
}

// after is where to go instead of n when that much is known: what is loaded
// need not be loaded again, what is compared need not be compared again. So
// the alternatives of a call become one list of comparisons.
func after(n *bpf.Node, known facts) *bpf.Node {
	for {
		word, ok := n.Loads()
		if !ok {
			return n
		}
		if known.exact && word == known.at {
			if next := decided(n.Next(), known.value); next != nil {
				n = next
				continue
			}
		}
		if word == known.in {
			return n.Next()
		}
		return n
	}
}

// decided follows comparisons of a word with a known value to the end of them;
// nil if there is more to them than comparing.
func decided(n *bpf.Node, value uint32) *bpf.Node {
	for {
		next, ok := n.Decided(value)
		if !ok {
			break
		}
		n = next
	}
	if _, loads := n.Loads(); loads || n.Ends() {
		return n
	}
	return nil
}
