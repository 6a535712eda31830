package bpf

import (
	"fmt"
	"slices"
)

// Node is a place in a program under construction: an instruction and where
// control goes from there. Nodes form a graph without cycles, as classic BPF
// only jumps forward; what is reached twice is written once.
type Node struct {
	op      Op
	k       uint32
	yes, no *Node // Load and And continue at yes
	end     int   // where it, or the nearest jump to it, is, counted from the program's end; 0 if it is not written
}

// Ret ends the program with a verdict.
func Ret(verdict uint32) *Node { return &Node{op: Return, k: verdict} }

// LoadWord reads a word of struct seccomp_data and goes on.
func LoadWord(offset uint32, next *Node) *Node { return &Node{op: Load, k: offset, yes: next} }

// Mask keeps some bits of what was loaded and goes on.
func Mask(bits uint32, next *Node) *Node { return &Node{op: And, k: bits, yes: next} }

// If compares what was loaded with k.
func If(op Op, k uint32, yes, no *Node) *Node {
	if yes == no {
		return yes
	}
	return &Node{op: op, k: k, yes: yes, no: no}
}

// Loads reports which word a node begins with loading.
func (n *Node) Loads() (offset uint32, ok bool) { return n.k, n.op == Load }

// Returns reports whether a node is the return of a verdict.
func (n *Node) Returns(verdict uint32) bool { return n.op == Return && n.k == verdict }

// Ends reports whether a node is a return.
func (n *Node) Ends() bool { return n.op == Return }

// Next is where a node that loads or masks goes on.
func (n *Node) Next() *Node { return n.yes }

// Decided reports where a node goes if the value it compares is known to be v.
func (n *Node) Decided(v uint32) (next *Node, ok bool) {
	met := false
	switch n.op {
	case JumpEqual:
		met = v == n.k
	case JumpGreater:
		met = v > n.k
	case JumpAtLeast:
		met = v >= n.k
	case JumpBits:
		met = v&n.k != 0
	default:
		return nil, false
	}
	if met {
		return n.yes, true
	}
	return n.no, true
}

// assembler writes a program from its end to its beginning, so that the
// distance of every jump is known when it is written.
type assembler struct{ reversed []Instruction }

// Assemble returns the program that begins at root. A target that is out of
// reach of a conditional jump, 255 instructions, is reached by a long jump
// nearby, which the jumps before it share; a return is repeated instead.
//
// It fails if the program would be longer than the kernel takes. The graph
// cannot be used again.
func Assemble(root *Node) ([]Instruction, error) {
	a := &assembler{reversed: make([]Instruction, 0, 512)}
	if err := a.write(root); err != nil {
		return nil, err
	}
	if a.distance(root) != 0 {
		a.long(root)
	}
	if len(a.reversed) > MaxInstructions {
		return nil, tooLong()
	}
	slices.Reverse(a.reversed)
	return a.reversed, nil
}

func tooLong() error {
	return fmt.Errorf("the program is longer than the kernel's limit of %d instructions", MaxInstructions)
}

// write writes a node and all that comes after it, unless it is there already.
func (a *assembler) write(n *Node) error {
	if n.end != 0 {
		return nil
	}
	if len(a.reversed) > MaxInstructions {
		return tooLong()
	}
	switch {
	case n.op == Return:
		a.put(n, Instruction{Op: Return, K: n.k})
	case n.op.conditional():
		// The branch that is taken less seldom, yes, comes nearer.
		if err := a.write(n.no); err != nil {
			return err
		}
		if err := a.write(n.yes); err != nil {
			return err
		}
		a.branch(n)
	default:
		if err := a.write(n.yes); err != nil {
			return err
		}
		if a.distance(n.yes) != 0 {
			a.long(n.yes)
		}
		a.put(n, Instruction{Op: n.op, K: n.k})
	}
	return nil
}

func (a *assembler) put(n *Node, i Instruction) {
	a.reversed = append(a.reversed, i)
	n.end = len(a.reversed)
}

// distance is what an instruction written now has to skip to get to n.
func (a *assembler) distance(n *Node) int { return len(a.reversed) - n.end }

// long makes n reachable from what is written next.
func (a *assembler) long(n *Node) {
	i := Instruction{Op: Jump, K: uint32(a.distance(n))}
	if n.op == Return {
		i = Instruction{Op: Return, K: n.k}
	}
	a.put(n, i)
}

const reach = 255 // instructions that a conditional jump can skip

func (a *assembler) branch(n *Node) {
	if a.distance(n.no) > reach {
		a.long(n.no)
	}
	if a.distance(n.yes) > reach {
		a.long(n.yes)
	}
	// The second long jump may have pushed the first target out of reach.
	if a.distance(n.no) > reach {
		a.long(n.no)
	}
	a.put(n, Instruction{Op: n.op, JT: uint8(a.distance(n.yes)), JF: uint8(a.distance(n.no)), K: n.k})
}
