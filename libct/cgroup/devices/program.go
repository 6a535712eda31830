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

// The instructions used.
const (
	opLoadWord  = 0x61 // BPF_LDX | BPF_MEM | BPF_W
	opLoadImm   = 0x18 // BPF_LD | BPF_IMM | BPF_DW, of two slots
	opAnd       = 0x54 // BPF_ALU | BPF_AND | BPF_K
	opShiftR    = 0x74 // BPF_ALU | BPF_RSH | BPF_K
	opShiftL    = 0x67 // BPF_ALU64 | BPF_LSH | BPF_K
	opOr        = 0x4f // BPF_ALU64 | BPF_OR | BPF_X
	opXor       = 0xaf // BPF_ALU64 | BPF_XOR | BPF_X
	opMove      = 0xb4 // BPF_ALU | BPF_MOV | BPF_K
	opMoveReg   = 0xbf // BPF_ALU64 | BPF_MOV | BPF_X
	opJump      = 0x05 // BPF_JMP | BPF_JA
	opJumpEq    = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
	opJumpNe    = 0x55 // BPF_JMP | BPF_JNE | BPF_K
	opJumpIfAny = 0x45 // BPF_JMP | BPF_JSET | BPF_K
	opExit      = 0x95 // BPF_JMP | BPF_EXIT
)

// The registers used: r1 points to struct bpf_cgroup_dev_ctx, r0 is the answer.
// The keys make most rules one comparison; each branch costs the verifier, and
// thereby every start, some four microseconds.
const (
	rResult   = 0
	rCtx      = 1
	rType     = 2
	rAccess   = 3 // what no rule has decided yet
	rMajorKey = 4 // type << 12 | major
	rKey      = 5 // type << 32 | major << 20 | minor
	rMinor    = 6
	rScratch  = 7
)

// The kernel's device numbers: MKDEV in include/linux/kdev_t.h. A rule for a
// number beyond them matches no device.
const (
	minorBits = 20
	majorBits = 12
)

const allAccess = unix.BPF_DEVCG_ACC_READ | unix.BPF_DEVCG_ACC_WRITE | unix.BPF_DEVCG_ACC_MKNOD

// maxRules keeps the longest jump of a program within its 16 bits.
const maxRules = 2048

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
	p.begin()
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

// begin loads the registers from
// struct bpf_cgroup_dev_ctx { __u32 access_type /* access << 16 | type */, major, minor; }.
func (p *program) begin() {
	p.add(opLoadWord, rType, rCtx, 0, 0)
	p.add(opMoveReg, rAccess, rType, 0, 0)
	p.add(opShiftR, rAccess, 0, 0, 16)
	p.add(opAnd, rType, 0, 0, 0xffff)
	p.add(opLoadWord, rScratch, rCtx, 4, 0)
	p.add(opMoveReg, rMajorKey, rType, 0, 0)
	p.add(opShiftL, rMajorKey, 0, 0, majorBits)
	p.add(opOr, rMajorKey, rScratch, 0, 0)
	p.add(opLoadWord, rMinor, rCtx, 8, 0)
	p.add(opMoveReg, rKey, rMajorKey, 0, 0)
	p.add(opShiftL, rKey, 0, 0, minorBits)
	p.add(opOr, rKey, rMinor, 0, 0)
}

func (p *program) rule(r Rule) {
	switch {
	case r.access() == 0 || r.Major >= 1<<majorBits || r.Minor >= 1<<minorBits:
	case r.Type == 'a' && (r.Major >= 0 || r.Minor >= 0):
		r.Type = 'b'
		p.rule(r)
		r.Type = 'c'
		p.rule(r)
	default:
		skip := p.match(r)
		p.decide(r)
		p.land(skip)
	}
}

// match adds the comparisons and returns their jumps to the next rule.
func (p *program) match(r Rule) (skip []int) {
	kind := uint64(unix.BPF_DEVCG_DEV_BLOCK)
	if r.Type == 'c' {
		kind = unix.BPF_DEVCG_DEV_CHAR
	}
	switch {
	case r.Type == 'a':
	case r.Major >= 0 && r.Minor >= 0:
		skip = append(skip, p.unless(rKey, (kind<<majorBits|uint64(r.Major))<<minorBits|uint64(r.Minor)))
	case r.Major >= 0:
		skip = append(skip, p.unless(rMajorKey, kind<<majorBits|uint64(r.Major)))
	case r.Minor >= 0:
		skip = append(skip, p.unless(rType, kind), p.unless(rMinor, uint64(r.Minor)))
	default:
		skip = append(skip, p.unless(rType, kind))
	}
	return skip
}

// unless jumps if the register does not hold value. It compares a scratch
// register: what the verifier learns of a register that later rules read, it
// follows through all of them, and a long list would exceed its patience.
func (p *program) unless(reg uint8, value uint64) int {
	if value <= math.MaxInt32 {
		p.add(opMove, rScratch, 0, 0, int32(value))
	} else {
		p.add(opLoadImm, rScratch, 0, 0, int32(uint32(value)))
		p.add(0, 0, 0, 0, int32(value>>32))
	}
	p.add(opXor, rScratch, reg, 0, 0)
	return p.add(opJumpNe, rScratch, 0, 0, 0)
}

// decide adds what happens to a device that the rule matches.
func (p *program) decide(r Rule) {
	access := r.access()
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
