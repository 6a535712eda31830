package devices

import (
	"encoding/binary"
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// insn is struct bpf_insn; Documentation/bpf/standardization/instruction-set.rst.
type insn struct {
	op   uint8
	regs uint8
	off  int16
	imm  int32
}

// The instructions used. All comparisons are of 32 bits (BPF_JMP32): a major
// number above 2³¹ would be sign-extended otherwise.
const (
	opLoadWord  = 0x61 // BPF_LDX | BPF_MEM | BPF_W
	opAnd       = 0x54 // BPF_ALU | BPF_AND | BPF_K
	opShift     = 0x74 // BPF_ALU | BPF_RSH | BPF_K
	opMove      = 0xb4 // BPF_ALU | BPF_MOV | BPF_K
	opMoveReg   = 0xbc // BPF_ALU | BPF_MOV | BPF_X
	opJump      = 0x05 // BPF_JMP | BPF_JA
	opJumpEq    = 0x16 // BPF_JMP32 | BPF_JEQ | BPF_K
	opJumpNe    = 0x56 // BPF_JMP32 | BPF_JNE | BPF_K
	opJumpIfAny = 0x46 // BPF_JMP32 | BPF_JSET | BPF_K
	opExit      = 0x95 // BPF_JMP | BPF_EXIT
)

// The registers used: r1 points to struct bpf_cgroup_dev_ctx, r0 is the answer.
const (
	rResult = 0
	rCtx    = 1
	rType   = 2
	rAccess = 3 // what no rule has decided yet
	rMajor  = 4
	rMinor  = 5
)

const allAccess = unix.BPF_DEVCG_ACC_READ | unix.BPF_DEVCG_ACC_WRITE | unix.BPF_DEVCG_ACC_MKNOD

// maxRules keeps the longest jump of a program within its 16 bits.
const maxRules = 4096

// program builds the filter: the rules from the last to the first, each
// deciding the access bits it names; what remains undecided is denied.
type program struct {
	insns []insn
	allow []int // jumps to the common "return 1"
	deny  []int
}

// compile turns rules into a program of type BPF_PROG_TYPE_CGROUP_DEVICE.
func compile(rules []Rule) ([]insn, error) {
	if len(rules) > maxRules {
		return nil, fmt.Errorf("%d device rules: at most %d are possible: %w", len(rules), maxRules, unix.E2BIG)
	}
	p := &program{}
	// struct bpf_cgroup_dev_ctx { __u32 access_type /* access << 16 | type */, major, minor; }
	p.add(opLoadWord, rType, rCtx, 0, 0)
	p.add(opMoveReg, rAccess, rType, 0, 0)
	p.add(opShift, rAccess, 0, 0, 16)
	p.add(opAnd, rType, 0, 0, 0xffff)
	p.add(opLoadWord, rMajor, rCtx, 4, 0)
	p.add(opLoadWord, rMinor, rCtx, 8, 0)
	for i := len(rules) - 1; i >= 0; i-- {
		if err := rules[i].check(); err != nil {
			return nil, fmt.Errorf("device rule %d: %w", i, err)
		}
		if rules[i].final() {
			return p.finish(rules[i].Allow), nil
		}
		p.rule(rules[i])
	}
	return p.finish(false), nil
}

// final tells whether the rules before r do not matter.
func (r Rule) final() bool {
	return r.Type == 'a' && r.Major < 0 && r.Minor < 0 && r.access() == allAccess
}

func (p *program) rule(r Rule) {
	access := r.access()
	if access == 0 {
		return
	}
	var skip []int // jumps to the next rule
	if r.Type != 'a' {
		kind := int32(unix.BPF_DEVCG_DEV_BLOCK)
		if r.Type == 'c' {
			kind = unix.BPF_DEVCG_DEV_CHAR
		}
		skip = append(skip, p.add(opJumpNe, rType, 0, 0, kind))
	}
	if r.Major >= 0 {
		skip = append(skip, p.add(opJumpNe, rMajor, 0, 0, int32(uint32(r.Major))))
	}
	if r.Minor >= 0 {
		skip = append(skip, p.add(opJumpNe, rMinor, 0, 0, int32(uint32(r.Minor))))
	}
	switch {
	case access == allAccess && r.Allow:
		p.allow = append(p.allow, p.add(opJump, 0, 0, 0, 0))
	case access == allAccess:
		p.deny = append(p.deny, p.add(opJump, 0, 0, 0, 0))
	case r.Allow:
		p.add(opAnd, rAccess, 0, 0, allAccess&^access)
		p.allow = append(p.allow, p.add(opJumpEq, rAccess, 0, 0, 0))
	default:
		p.deny = append(p.deny, p.add(opJumpIfAny, rAccess, 0, 0, access))
	}
	p.land(skip)
}

// finish adds the two answers, first the one for what no rule has decided.
func (p *program) finish(allow bool) []insn {
	first, second := p.deny, p.allow
	if allow {
		first, second = second, first
	}
	p.answer(allow, first)
	if len(second) > 0 { // the verifier refuses code that cannot be reached
		p.answer(!allow, second)
	}
	return p.insns
}

func (p *program) answer(allow bool, jumps []int) {
	p.land(jumps)
	value := int32(0)
	if allow {
		value = 1
	}
	p.add(opMove, rResult, 0, 0, value)
	p.add(opExit, 0, 0, 0, 0)
}

// add appends an instruction and returns its index.
func (p *program) add(op uint8, dst, src uint8, off int16, imm int32) int {
	regs := src<<4 | dst
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 { // bit fields swap on big-endian machines
		regs = dst<<4 | src
	}
	p.insns = append(p.insns, insn{op: op, regs: regs, off: off, imm: imm})
	return len(p.insns) - 1
}

// land makes the jumps lead to the next instruction added.
func (p *program) land(jumps []int) {
	for _, at := range jumps {
		p.insns[at].off = int16(len(p.insns) - at - 1)
	}
}

func (r Rule) access() int32 {
	var access int32
	if r.Read {
		access |= unix.BPF_DEVCG_ACC_READ
	}
	if r.Write {
		access |= unix.BPF_DEVCG_ACC_WRITE
	}
	if r.Mknod {
		access |= unix.BPF_DEVCG_ACC_MKNOD
	}
	return access
}

// check refuses what neither version of the kernel's interface can hold.
func (r Rule) check() error {
	if r.Type != 'a' && r.Type != 'b' && r.Type != 'c' {
		return fmt.Errorf("type %q: only a, b and c exist: %w", r.Type, unix.EINVAL)
	}
	if r.Major < -1 || r.Major > math.MaxUint32 || r.Minor < -1 || r.Minor > math.MaxUint32 {
		return fmt.Errorf("number %d:%d is out of range: %w", r.Major, r.Minor, unix.EINVAL)
	}
	return nil
}
