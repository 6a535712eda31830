package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Data is struct seccomp_data: what a filter sees of one system call.
type Data struct {
	Number             uint32
	Arch               uint32 // AUDIT_ARCH_*
	InstructionPointer uint64
	Args               [6]uint64
}

// Offsets in struct seccomp_data.
const (
	OffsetNumber = 0
	OffsetArch   = 4
	OffsetArgs   = 16 // 8 bytes each, in the machine's byte order
)

func (d *Data) bytes(order binary.ByteOrder) (b [dataLen]byte) {
	order.PutUint32(b[OffsetNumber:], d.Number)
	order.PutUint32(b[OffsetArch:], d.Arch)
	order.PutUint64(b[8:], d.InstructionPointer)
	for i, arg := range d.Args {
		order.PutUint64(b[OffsetArgs+8*i:], arg)
	}
	return b
}

// Run executes a program as the kernel would on a machine of that byte order,
// and returns the verdict and how many instructions it took. It checks jumps
// and loads as it meets them, so that a program need not be checked before.
func Run(program []Instruction, data *Data, order binary.ByteOrder) (verdict uint32, steps int, err error) {
	words := data.bytes(order)
	a := uint32(0)
	for pc := 0; pc < len(program); pc++ {
		i := program[pc]
		steps++
		met := false
		switch i.Op {
		case Load:
			if i.K > dataLen-4 || i.K%4 != 0 {
				return 0, steps, fmt.Errorf("instruction %d: load from byte %d", pc, i.K)
			}
			a = order.Uint32(words[i.K:])
			continue
		case And:
			a &= i.K
			continue
		case Return:
			return i.K, steps, nil
		case Jump:
			if i.K >= uint32(len(program)) {
				return 0, steps, fmt.Errorf("instruction %d: jump out of the program", pc)
			}
			pc += int(i.K)
			continue
		case JumpEqual:
			met = a == i.K
		case JumpGreater:
			met = a > i.K
		case JumpAtLeast:
			met = a >= i.K
		case JumpBits:
			met = a&i.K != 0
		default:
			return 0, steps, fmt.Errorf("instruction %d: unknown code %#x", pc, uint16(i.Op))
		}
		if met {
			pc += int(i.JT)
		} else {
			pc += int(i.JF)
		}
	}
	return 0, steps, errors.New("the program ends without a return")
}
