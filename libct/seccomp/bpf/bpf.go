// Package bpf is classic BPF as seccomp(2) takes it: an assembler that knows
// no jump distance, a disassembler, and an interpreter that does what the
// kernel does.
//
// A leaf: it runs on either side and knows neither profiles nor names of
// system calls.
package bpf

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// Op is the code of an instruction.
type Op uint16

// The instructions that seccomp needs; the kernel allows a few more.
// linux/bpf_common.h.
const (
	Load        Op = 0x20 // A = word at byte K of struct seccomp_data
	And         Op = 0x54 // A &= K
	Jump        Op = 0x05 // skip K instructions
	JumpEqual   Op = 0x15 // A == K
	JumpGreater Op = 0x25 // A > K, unsigned
	JumpAtLeast Op = 0x35 // A >= K, unsigned
	JumpBits    Op = 0x45 // A & K != 0
	Return      Op = 0x06 // the verdict is K
)

func (o Op) conditional() bool {
	return o == JumpEqual || o == JumpGreater || o == JumpAtLeast || o == JumpBits
}

// Instruction is struct sock_filter.
type Instruction struct {
	Op     Op
	JT, JF uint8 // of conditional jumps: instructions to skip if true, if false
	K      uint32
}

// MaxInstructions is the kernel's BPF_MAXINSNS.
const MaxInstructions = 4096

const instructionLen = 8 // bytes

// Encode returns the program as an array of struct sock_filter in the given
// byte order, which for seccomp(2) is the machine's.
func Encode(program []Instruction, order binary.AppendByteOrder) []byte {
	raw := make([]byte, 0, len(program)*instructionLen)
	for _, i := range program {
		raw = order.AppendUint16(raw, uint16(i.Op))
		raw = append(raw, i.JT, i.JF)
		raw = order.AppendUint32(raw, i.K)
	}
	return raw
}

// Decode is the inverse of [Encode]. It does not check the program; [Check] does.
func Decode(raw []byte, order binary.ByteOrder) ([]Instruction, error) {
	if len(raw)%instructionLen != 0 {
		return nil, fmt.Errorf("%d bytes are no whole number of instructions", len(raw))
	}
	program := make([]Instruction, 0, len(raw)/instructionLen)
	for ; len(raw) > 0; raw = raw[instructionLen:] {
		program = append(program, Instruction{Op(order.Uint16(raw)), raw[2], raw[3], order.Uint32(raw[4:])})
	}
	return program, nil
}

// dataLen is the size of struct seccomp_data; linux/seccomp.h.
const dataLen = 64

// Check refuses what the kernel would refuse: an empty or too long program, an
// unknown instruction, a jump out of the program, a load from outside of the
// data, an end that is not a return. bpf_check_classic and
// seccomp_check_filter in the kernel.
func Check(program []Instruction) error {
	n := len(program)
	if n == 0 || n > MaxInstructions {
		return fmt.Errorf("%d instructions; the kernel takes 1 to %d", n, MaxInstructions)
	}
	for at, i := range program {
		left := uint32(n - at - 1)
		switch {
		case i.Op == Load && (i.K >= dataLen || i.K%4 != 0):
			return fmt.Errorf("instruction %d: load from byte %d", at, i.K)
		case i.Op == Jump && i.K >= left,
			i.Op.conditional() && (uint32(i.JT) >= left || uint32(i.JF) >= left):
			return fmt.Errorf("instruction %d: jump out of the program", at)
		case i.Op != Load && i.Op != Jump && i.Op != And && i.Op != Return && !i.Op.conditional():
			return fmt.Errorf("instruction %d: unknown code %#x", at, uint16(i.Op))
		}
	}
	if program[n-1].Op != Return {
		return fmt.Errorf("the last instruction is not a return")
	}
	return nil
}

// Disassemble returns the program as text, one instruction a line. Jumps name
// the line they go to.
func Disassemble(program []Instruction) string {
	var b strings.Builder
	for at, i := range program {
		fmt.Fprintf(&b, "%4d  ", at)
		next := uint32(at) + 1
		switch i.Op {
		case Load:
			fmt.Fprintf(&b, "ld   %s\n", field(i.K))
		case And:
			fmt.Fprintf(&b, "and  %#x\n", i.K)
		case Jump:
			fmt.Fprintf(&b, "ja   %d\n", next+i.K)
		case Return:
			fmt.Fprintf(&b, "ret  %#x\n", i.K)
		case JumpEqual, JumpGreater, JumpAtLeast, JumpBits:
			name := map[Op]string{JumpEqual: "jeq ", JumpGreater: "jgt ", JumpAtLeast: "jge ", JumpBits: "jset"}[i.Op]
			fmt.Fprintf(&b, "%s %#x %d %d\n", name, i.K, next+uint32(i.JT), next+uint32(i.JF))
		default:
			fmt.Fprintf(&b, "?%#x %d %d %#x\n", uint16(i.Op), i.JT, i.JF, i.K)
		}
	}
	return b.String()
}

// field names a word of struct seccomp_data. Which half of an argument is the
// high one depends on the machine.
func field(offset uint32) string {
	switch {
	case offset == OffsetNumber:
		return "nr"
	case offset == OffsetArch:
		return "arch"
	case offset >= OffsetArgs && offset < dataLen:
		return fmt.Sprintf("arg%d+%d", (offset-OffsetArgs)/8, (offset-OffsetArgs)%8)
	}
	return fmt.Sprintf("[%d]", offset)
}
