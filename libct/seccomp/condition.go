package seccomp

import (
	"cmp"
	"math"
	"slices"

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
	for len(list) > 0 {
		n := c.alike(list)
		last := len(list) - n
		if n > 1 {
			node = c.oneOf(list[last:], a.wide, node)
		} else {
			alt := &c.alts[list[last]]
			rule := &c.profile.Rules[alt.rule]
			node = c.conditions(rule, alt.mux, a.wide, c.verdict(rule.Action), node)
		}
		list = list[:last]
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

// equals is the value that an alternative asks for, if that is all it asks.
func (c *compiler) equals(at int32) (arg uint8, value uint64, ok bool) {
	alt := &c.alts[at]
	list := c.profile.Rules[alt.rule].Conditions
	if alt.mux != nil { // see conditions
		return 0, alt.mux.number, len(list) == 0 || len(list) == 1 && list[0].Arg == 0
	}
	if len(list) != 1 || list[0].Op != Equal {
		return 0, 0, false
	}
	return list[0].Arg, list[0].Value, true
}

// alike counts the alternatives at the end of a list, at least one, that only
// ask whether the same argument has some value.
func (c *compiler) alike(list []int32) (n int) {
	want, _, ok := c.equals(list[len(list)-1])
	for n = 1; ok && n < len(list); n++ {
		if arg, _, ok := c.equals(list[len(list)-n-1]); !ok || arg != want {
			break
		}
	}
	return n
}

// choice is where a value of an argument leads to.
type choice struct {
	value uint64
	node  *bpf.Node
}

// oneOf searches for the value of the one argument that all alternatives of a
// list ask for.
func (c *compiler) oneOf(list []int32, wide bool, no *bpf.Node) *bpf.Node {
	choices := make([]choice, len(list))
	arg := uint8(0)
	for i, at := range list {
		var value uint64
		if arg, value, _ = c.equals(at); !wide {
			value = uint64(uint32(value))
		}
		choices[i] = choice{value, c.verdict(c.profile.Rules[c.alts[at].rule].Action)}
	}
	byValue := func(a, b choice) int { return cmp.Compare(a.value, b.value) }
	slices.SortStableFunc(choices, byValue)
	choices = slices.CompactFunc(choices, func(a, b choice) bool { return a.value == b.value }) // the first one holds
	highAt, lowAt := c.halves(arg)
	if !wide {
		return bpf.LoadWord(lowAt, lowOf(choices, after(no, facts{in: lowAt})))
	}
	highs := overlay{base: []span{{node: after(no, facts{in: highAt})}}}
	for len(choices) > 0 {
		high := uint32(choices[0].value >> 32)
		n := 1
		for n < len(choices) && uint32(choices[n].value>>32) == high {
			n++
		}
		known := facts{in: lowAt, exact: true, at: highAt, value: high}
		highs.put(high, bpf.LoadWord(lowAt, lowOf(choices[:n], after(no, known))), valueWeight)
		choices = choices[n:]
	}
	return bpf.LoadWord(highAt, search(highs.end(), math.MaxUint32))
}

// lowOf searches for the low half of a value; the choices are in order.
func lowOf(choices []choice, no *bpf.Node) *bpf.Node {
	lows := overlay{base: []span{{node: no}}}
	for _, one := range choices {
		lows.put(uint32(one.value), one.node, valueWeight)
	}
	return search(lows.end(), math.MaxUint32)
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
