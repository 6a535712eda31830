package seccomp

import (
	"encoding/binary"
	"slices"
)

// Arch is an architecture by libseccomp's name, "SCMP_ARCH_X86_64".
type Arch string

// KnownArches are the architectures that a profile may name. Most of them
// cannot occur on a given machine, whose kernel then never reports them:
// their rules would be dead code and are left out.
func KnownArches() []Arch {
	names := []Arch{
		"AARCH64", "ARM", "LOONGARCH64", "M68K", "MIPS", "MIPS64", "MIPS64N32", "MIPSEL", "MIPSEL64", "MIPSEL64N32",
		"PARISC", "PARISC64", "PPC", "PPC64", "PPC64LE", "RISCV64", "S390", "S390X", "SH", "SHEB", "X32", "X86", "X86_64",
	}
	for i, name := range names {
		names[i] = "SCMP_ARCH_" + name
	}
	return names
}

// arch is one architecture that a machine can execute.
type arch struct {
	name   Arch
	audit  uint32 // AUDIT_ARCH_*, what the kernel reports; linux/audit.h
	column int    // of the table of calls
	wide   bool   // arguments have 64 bits
	x32    bool   // shares the audit number of x86_64; its calls have [x32Bit]
	mux    mux    // socketcall(2) and ipc(2)
	setup  bool   // call 0 stands for every number that the kernel does not know
}

// Machine is a processor with a kernel: the architectures it can execute, its
// own first.
type Machine struct {
	arches []arch
	calls  *calls
	order  interface {
		binary.ByteOrder
		binary.AppendByteOrder
	}
}

func (m *Machine) bigEndian() bool { return m.order.Uint16([]byte{0, 1}) == 1 }

// chosen are the machine's own architecture and those that the profile adds.
func (m *Machine) chosen(names []Arch) []arch {
	kept := m.arches[:1:1]
	for _, a := range m.arches[1:] {
		if slices.Contains(names, a.name) {
			kept = append(kept, a)
		}
	}
	return kept
}

// x32Bit marks the calls of x32. asm/unistd.h.
const x32Bit = 0x40000000

// Bits of AUDIT_ARCH_*; the rest is the machine's number in ELF.
const (
	audit64     = 0x80000000
	auditLE     = 0x40000000
	auditN32    = 0x20000000
	elfMIPS     = 8
	elfPPC      = 20
	elfPPC64    = 21
	elfS390     = 22
	elfARM      = 40
	elfX86      = 3
	elfX86_64   = 62
	elfAArch64  = 183
	elfRISCV    = 243
	elfLoongson = 258
)

func amd64() *Machine {
	return &Machine{calls: &x86Calls, order: binary.LittleEndian, arches: []arch{
		{name: "SCMP_ARCH_X86_64", audit: audit64 | auditLE | elfX86_64, wide: true},
		{name: "SCMP_ARCH_X86", audit: auditLE | elfX86, column: 1, mux: muxBoth},
		{name: "SCMP_ARCH_X32", audit: audit64 | auditLE | elfX86_64, column: 2, x32: true},
	}}
}

func arm64() *Machine {
	return &Machine{calls: &armCalls, order: binary.LittleEndian, arches: []arch{
		{name: "SCMP_ARCH_AARCH64", audit: audit64 | auditLE | elfAArch64, wide: true},
		{name: "SCMP_ARCH_ARM", audit: auditLE | elfARM, column: 1},
	}}
}

func riscv64() *Machine {
	return &Machine{calls: &riscvCalls, order: binary.LittleEndian, arches: []arch{
		{name: "SCMP_ARCH_RISCV64", audit: audit64 | auditLE | elfRISCV, wide: true},
	}}
}

func loong64() *Machine {
	return &Machine{calls: &loongarchCalls, order: binary.LittleEndian, arches: []arch{
		{name: "SCMP_ARCH_LOONGARCH64", audit: audit64 | auditLE | elfLoongson, wide: true},
	}}
}

func ppc64le() *Machine {
	return &Machine{calls: &powerpcCalls, order: binary.LittleEndian, arches: []arch{
		{name: "SCMP_ARCH_PPC64LE", audit: audit64 | auditLE | elfPPC64, wide: true, mux: muxBoth},
	}}
}

func ppc64() *Machine {
	return &Machine{calls: &powerpcCalls, order: binary.BigEndian, arches: []arch{
		{name: "SCMP_ARCH_PPC64", audit: audit64 | elfPPC64, wide: true, mux: muxBoth},
		{name: "SCMP_ARCH_PPC", audit: elfPPC, column: 1, mux: muxBoth},
	}}
}

func s390x() *Machine {
	return &Machine{calls: &s390Calls, order: binary.BigEndian, arches: []arch{
		{name: "SCMP_ARCH_S390X", audit: audit64 | elfS390, wide: true, mux: muxBoth, setup: true},
		{name: "SCMP_ARCH_S390", audit: elfS390, column: 1, mux: muxBoth, setup: true},
	}}
}

func mips64() *Machine {
	return &Machine{calls: &mipsCalls, order: binary.BigEndian, arches: []arch{
		{name: "SCMP_ARCH_MIPS64", audit: audit64 | elfMIPS, wide: true},
		{name: "SCMP_ARCH_MIPS64N32", audit: audit64 | auditN32 | elfMIPS, column: 1},
		{name: "SCMP_ARCH_MIPS", audit: elfMIPS, column: 2, mux: muxBoth},
	}}
}

func mips64le() *Machine {
	return &Machine{calls: &mipsCalls, order: binary.LittleEndian, arches: []arch{
		{name: "SCMP_ARCH_MIPSEL64", audit: audit64 | auditLE | elfMIPS, wide: true},
		{name: "SCMP_ARCH_MIPSEL64N32", audit: audit64 | auditN32 | auditLE | elfMIPS, column: 1},
		{name: "SCMP_ARCH_MIPSEL", audit: auditLE | elfMIPS, column: 2, mux: muxBoth},
	}}
}

// own makes another architecture the machine's own, for a runtime that is a
// program of 32 bits.
func (m *Machine) own(name Arch) *Machine {
	i := slices.IndexFunc(m.arches, func(a arch) bool { return a.name == name })
	m.arches[0], m.arches[i] = m.arches[i], m.arches[0]
	return m
}
