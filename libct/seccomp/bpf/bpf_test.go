package bpf

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestJumpsOfAnyDistance(t *testing.T) {
	// A comparison for each of n numbers, each with a verdict of its own, and
	// a common one for the rest at the far end.
	for _, n := range []int{1, 2, 100, 254, 255, 256, 257, 600, 1300} {
		other := Ret(0xffff)
		node := other
		for i := n - 1; i >= 0; i-- {
			node = If(JumpEqual, uint32(i), Ret(uint32(i)+1), node)
		}
		program, err := Assemble(LoadWord(OffsetNumber, node))
		if err != nil {
			t.Fatal(err)
		}
		if err := Check(program); err != nil {
			t.Fatal(err)
		}
		for i := range uint32(n + 2) {
			want := i + 1
			if int(i) >= n {
				want = 0xffff
			}
			if got, _, err := Run(program, &Data{Number: i}, binary.LittleEndian); err != nil || got != want {
				t.Fatalf("%d of %d: %#x, %v", i, n, got, err)
			}
		}
	}
}

// A random graph decides the same as the program that it is assembled to.
func TestProgramDoesWhatTheGraphSays(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		nodes := []*Node{Ret(1), Ret(2), Ret(3)}
		for range r.IntN(1500) {
			pick := func() *Node { return nodes[max(0, len(nodes)-1-r.IntN(1+r.IntN(len(nodes))))] }
			switch r.IntN(8) {
			case 0:
				nodes = append(nodes, LoadWord(uint32(4*r.IntN(16)), pick()))
			case 1:
				nodes = append(nodes, Mask(r.Uint32(), pick()))
			default:
				op := []Op{JumpEqual, JumpGreater, JumpAtLeast, JumpBits}[r.IntN(4)]
				nodes = append(nodes, If(op, uint32(r.IntN(8)), pick(), pick()))
			}
		}
		root := LoadWord(OffsetNumber, nodes[len(nodes)-1])
		data := &Data{Number: uint32(r.IntN(8)), Arch: uint32(r.IntN(8)), Args: [6]uint64{r.Uint64N(8), r.Uint64N(8) << 32}}
		want := walk(root, data)
		program, err := Assemble(root)
		if err != nil {
			continue
		}
		if err := Check(program); err != nil {
			t.Fatalf("%v\n%s", err, Disassemble(program))
		}
		if got, _, err := Run(program, data, binary.BigEndian); err != nil || got != want {
			t.Fatalf("%#x, %v; want %#x", got, err, want)
		}
	}
}

func walk(n *Node, data *Data) uint32 {
	words, a := data.bytes(binary.BigEndian), uint32(0)
	for n.op != Return {
		switch n.op {
		case Load:
			a, n = binary.BigEndian.Uint32(words[n.k:]), n.yes
		case And:
			a, n = a&n.k, n.yes
		default:
			n, _ = n.Decided(a)
		}
	}
	return n.k
}

func TestTooLongIsRefused(t *testing.T) {
	node := Ret(0)
	for i := range uint32(5000) {
		node = If(JumpEqual, i, Ret(i), node)
	}
	if _, err := Assemble(LoadWord(0, node)); err == nil || !strings.Contains(err.Error(), "4096") {
		t.Errorf("got %v", err)
	}
}

func TestCheckRefusesWhatTheKernelRefuses(t *testing.T) {
	ret := Instruction{Op: Return}
	for _, tt := range []struct {
		name    string
		program []Instruction
		ok      bool
	}{
		{"a return", []Instruction{ret}, true},
		{"nothing", nil, false},
		{"no return", []Instruction{{Op: Load}}, false},
		{"too long", make([]Instruction, MaxInstructions+1), false},
		{"a load behind the data", []Instruction{{Op: Load, K: 64}, ret}, false},
		{"a load across words", []Instruction{{Op: Load, K: 2}, ret}, false},
		{"a jump to the end", []Instruction{{Op: Jump, K: 1}, ret}, false},
		{"a far jump", []Instruction{{Op: Jump, K: 0xffffffff}, ret}, false},
		{"a branch to the end", []Instruction{{Op: JumpEqual, JF: 1}, ret}, false},
		{"an unknown code", []Instruction{{Op: 0x99}, ret}, false},
	} {
		if err := Check(tt.program); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestDisassembly(t *testing.T) {
	program, err := Assemble(LoadWord(OffsetArch, If(JumpEqual, 0xc000003e,
		LoadWord(OffsetArgs+12, Mask(0xf0, If(JumpBits, 0x10, Ret(0x7fff0000), Ret(0x50001)))), Ret(0))))
	if err != nil {
		t.Fatal(err)
	}
	const want = `   0  ld   arch
   1  jeq  0xc000003e 2 7
   2  ld   arg1+4
   3  and  0xf0
   4  jset 0x10 5 6
   5  ret  0x7fff0000
   6  ret  0x50001
   7  ret  0x0
`
	if got := Disassemble(program); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// FuzzRun: no program makes the interpreter panic or loop, and one that passes
// Check ends with a verdict.
func FuzzRun(f *testing.F) {
	f.Add(Encode([]Instruction{{Op: Load}, {Op: JumpEqual, JT: 1}, {Op: Jump, K: 0}, {Op: Return}}, binary.LittleEndian), uint32(1), uint64(2))
	f.Add([]byte{0x20, 0, 0, 0, 61, 0, 0, 0}, uint32(0), uint64(0))
	f.Fuzz(func(t *testing.T, raw []byte, number uint32, arg uint64) {
		program, err := Decode(raw, binary.LittleEndian)
		if err != nil {
			return
		}
		_ = Disassemble(program)
		_, steps, err := Run(program, &Data{Number: number, Args: [6]uint64{arg}}, binary.LittleEndian)
		if checked := Check(program); checked == nil && err != nil {
			t.Error(err)
		}
		if steps > len(program) {
			t.Error(errors.New("a loop"))
		}
	})
}
