package devices

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// rule makes a Rule of v1's notation: "c 1:3", "rw".
func rule(allow bool, kind byte, major, minor int64, access string) Rule {
	has := func(b string) bool { return bytes.Contains([]byte(access), []byte(b)) }
	return Rule{Allow: allow, Type: kind, Major: major, Minor: minor, Read: has("r"), Write: has("w"), Mknod: has("m")}
}

// containerRules are what a container usually gets.
var containerRules = []Rule{
	rule(false, 'a', -1, -1, "rwm"),
	rule(true, 'c', -1, -1, "m"),
	rule(true, 'b', -1, -1, "m"),
	rule(true, 'c', 1, 3, "rwm"),
	rule(true, 'c', 1, 5, "rwm"),
	rule(true, 'c', 1, 7, "rwm"),
	rule(true, 'c', 1, 8, "rwm"),
	rule(true, 'c', 1, 9, "rwm"),
	rule(true, 'c', 5, 0, "rwm"),
	rule(true, 'c', 5, 2, "rwm"),
	rule(true, 'c', 136, -1, "rwm"),
}

var goldenCases = []struct {
	name  string
	rules []Rule
}{
	{"container", containerRules},
	{"privileged", []Rule{rule(false, 'a', -1, -1, "rwm"), rule(true, 'a', -1, -1, "rwm")}},
	{"deny-all", []Rule{rule(false, 'a', -1, -1, "rwm")}},
	{"all-but-one", []Rule{rule(true, 'a', -1, -1, "rwm"), rule(false, 'b', 8, 0, "w")}},
	{"any-type", []Rule{rule(true, 'a', 10, 200, "rw"), rule(true, 'a', -1, -1, "r")}},
	{"largest-number", []Rule{rule(true, 'c', 1<<12-1, 1<<20-1, "rwm"), rule(true, 'b', -1, 1<<20-1, "w")}},
	{"number-of-no-device", []Rule{rule(true, 'c', 1<<12, 0, "rwm"), rule(true, 'c', 1<<32-1, 1<<32-1, "rwm")}},
}

// TestGolden compares what cilium/ebpf, an independent reader of the
// instruction set, sees in the programs.
func TestGolden(t *testing.T) {
	for _, c := range goldenCases {
		t.Run(c.name, func(t *testing.T) {
			insns, err := compile(c.rules)
			if err != nil {
				t.Fatal(err)
			}
			raw := unsafe.Slice((*byte)(unsafe.Pointer(&insns[0])), len(insns)*int(unsafe.Sizeof(insn{})))
			var order binary.ByteOrder = binary.LittleEndian // AppendInstructions does not take NativeEndian for what it is
			if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
				order = binary.BigEndian
			}
			decoded, err := asm.AppendInstructions(nil, bytes.NewReader(raw), order, "linux")
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for i, in := range decoded {
				got += fmt.Sprintf("%3d: %v\n", i, in)
			}
			file := filepath.Join("testdata", c.name+".bpf")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

// device is one question to a filter.
type device struct {
	kind         byte
	major, minor uint32
	access       int32
}

// decide is the meaning of a list, as the package comment states it.
func decide(rules []Rule, d device) bool {
	for _, bit := range []int32{unix.BPF_DEVCG_ACC_READ, unix.BPF_DEVCG_ACC_WRITE, unix.BPF_DEVCG_ACC_MKNOD} {
		if d.access&bit == 0 {
			continue
		}
		allowed := false
		for _, r := range rules {
			if (r.Type == 'a' || r.Type == d.kind) && (r.Major < 0 || r.Major == int64(d.major)) &&
				(r.Minor < 0 || r.Minor == int64(d.minor)) && r.access()&bit != 0 {
				allowed = r.Allow
			}
		}
		if !allowed {
			return false
		}
	}
	return true
}

// execute interprets a program: the few instructions that compile uses.
func execute(t *testing.T, insns []insn, d device) bool {
	t.Helper()
	kind := uint32(unix.BPF_DEVCG_DEV_BLOCK)
	if d.kind == 'c' {
		kind = unix.BPF_DEVCG_DEV_CHAR
	}
	ctx := [3]uint32{uint32(d.access)<<16 | kind, d.major, d.minor}
	var reg [16]uint64
	for pc := 0; ; pc++ {
		in := insns[pc]
		dst, src := in.regs&15, in.regs>>4
		if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
			dst, src = src, dst
		}
		imm := uint64(in.imm) // sign-extended
		jump := false
		switch in.op {
		case opLoadWord:
			reg[dst] = uint64(ctx[in.off/4])
		case opLoadImm:
			pc++
			reg[dst] = uint64(uint32(insns[pc].imm))<<32 | uint64(uint32(in.imm))
		case opMoveReg:
			reg[dst] = reg[src]
		case opMove:
			reg[dst] = uint64(uint32(imm))
		case opAnd:
			reg[dst] = uint64(uint32(reg[dst] & imm))
		case opShiftR:
			reg[dst] = uint64(uint32(reg[dst]) >> imm)
		case opShiftL:
			reg[dst] <<= imm
		case opOr:
			reg[dst] |= reg[src]
		case opXor:
			reg[dst] ^= reg[src]
		case opJump:
			jump = true
		case opJumpEq:
			jump = reg[dst] == imm
		case opJumpNe:
			jump = reg[dst] != imm
		case opJumpIfAny:
			jump = reg[dst]&imm != 0
		case opExit:
			return reg[rResult] == 1
		default:
			t.Fatalf("instruction %#x", in.op)
		}
		if jump {
			pc += int(in.off)
		}
	}
}

// kernelV1 answers as security/device_cgroup.c does after the commands.
func kernelV1(t *testing.T, commands []Command, d device) bool {
	t.Helper()
	byDefault := commands[0].File == "devices.allow"
	if commands[0].Line != "a" {
		t.Fatal("does not begin with a reset: ", commands)
	}
	for _, c := range commands[1:] {
		if (c.File == "devices.allow") == byDefault {
			t.Fatal("an exception from an exception: ", commands)
		}
		var kind byte
		var major, minor, access string
		if _, err := fmt.Sscanf(c.Line, "%c %s %s", &kind, &major, &access); err != nil {
			t.Fatal(c.Line, err)
		}
		ma, mi, _ := bytes.Cut([]byte(major), []byte(":"))
		major, minor = string(ma), string(mi)
		if kind != d.kind || major != "*" && major != fmt.Sprint(d.major) || minor != "*" && minor != fmt.Sprint(d.minor) {
			continue
		}
		bits := rule(true, kind, 0, 0, access).access()
		if byDefault && bits&d.access != 0 || !byDefault && d.access&^bits == 0 {
			return !byDefault
		}
	}
	return byDefault
}

func randomRules(rng *rand.Rand) []Rule {
	rules := make([]Rule, 1+rng.IntN(7))
	for i := range rules {
		bits := 1 + rng.IntN(7)
		if rng.IntN(3) == 0 {
			bits = 7
		}
		rules[i] = Rule{
			Allow: rng.IntN(2) == 0, Type: "abcc"[rng.IntN(4)],
			Major: int64(rng.IntN(3)) - 1, Minor: int64(rng.IntN(3)) - 1,
			Read: bits&1 != 0, Write: bits&2 != 0, Mknod: bits&4 != 0,
		}
	}
	return rules
}

// questions asks every access of every device that random rules can name.
func questions(ask func(d device)) {
	for _, kind := range []byte{'b', 'c'} {
		for major := range uint32(3) {
			for minor := range uint32(3) {
				for access := int32(1); access <= allAccess; access++ {
					ask(device{kind, major, minor, access})
				}
			}
		}
	}
}

func TestProgramMeansTheList(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		rules := randomRules(rng)
		insns, err := compile(rules)
		if err != nil {
			t.Fatal(err)
		}
		questions(func(d device) {
			if got, want := execute(t, insns, d), decide(rules, d); got != want {
				t.Fatalf("%+v asked for %+v: %v, want %v", rules, d, got, want)
			}
		})
	}
}

// TestV1MeansTheList also holds that v1 is never weaker than the list; it may
// be stricter where one open needs two rules that cross ("c 1:* r", "c *:3 w").
func TestV1MeansTheList(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	translated, exact := 0, 0
	for range 5000 {
		rules := randomRules(rng)
		commands, err := V1(rules)
		if err != nil {
			continue
		}
		translated++
		same := true
		questions(func(d device) {
			got, want := kernelV1(t, commands, d), decide(rules, d)
			if got && !want {
				t.Fatalf("%+v became %v, which allows %+v", rules, commands, d)
			}
			single := d.access&(d.access-1) == 0
			if got != want && single {
				t.Fatalf("%+v became %v, which denies %+v", rules, commands, d)
			}
			same = same && got == want
		})
		if same {
			exact++
		}
	}
	if translated < 1250 || exact < translated*9/10 {
		t.Errorf("of 5000 lists %d were translated, %d exactly", translated, exact)
	}
}

// TestAllowedIsNeverStricter: a list enforced beside the rules denies nothing
// that they allow, and mostly allows no more.
func TestAllowedIsNeverStricter(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	exact := 0
	for range 5000 {
		rules := randomRules(rng)
		allowed, everything := Allowed(rules)
		allows := func(d device) bool {
			for _, r := range allowed {
				if r.Type == d.kind && (r.Major < 0 || r.Major == int64(d.major)) && (r.Minor < 0 || r.Minor == int64(d.minor)) &&
					d.access&^r.access() == 0 {
					return true
				}
			}
			return everything
		}
		same := true
		questions(func(d device) {
			got, want := allows(d), decide(rules, d)
			if want && !got {
				t.Fatalf("%+v became %+v, which denies %+v", rules, allowed, d)
			}
			same = same && got == want
		})
		if same {
			exact++
		}
	}
	if exact < 1250 {
		t.Errorf("only %d of 5000 lists are exact", exact)
	}
	if _, everything := Allowed(nil); !everything {
		t.Error("no rules deny something")
	}
}

func TestV1(t *testing.T) {
	for _, c := range []struct {
		name  string
		rules []Rule
		want  []Command
		fails bool
	}{
		{name: "none"},
		{name: "denied by default", rules: []Rule{rule(true, 'c', 1, 3, "rw")},
			want: []Command{{"devices.deny", "a"}, {"devices.allow", "c 1:3 rw"}}},
		{name: "a with numbers is not everything", rules: []Rule{rule(true, 'a', 10, 200, "rwm")},
			want: []Command{{"devices.deny", "a"}, {"devices.allow", "b 10:200 rwm"}, {"devices.allow", "c 10:200 rwm"}}},
		{name: "a with less access is not everything", rules: []Rule{rule(true, 'a', -1, -1, "rwm"), rule(false, 'a', -1, -1, "m")},
			want: []Command{{"devices.allow", "a"}, {"devices.deny", "b *:* m"}, {"devices.deny", "c *:* m"}}},
		{name: "a wider deny takes back", rules: []Rule{rule(true, 'c', 1, 3, "rwm"), rule(false, 'c', 1, -1, "rw")},
			want: []Command{{"devices.deny", "a"}, {"devices.allow", "c 1:3 m"}}},
		{name: "a hole in an allowed range", rules: []Rule{rule(true, 'c', 1, -1, "rwm"), rule(false, 'c', 1, 3, "w")}, fails: true},
		{name: "a hole in a denied range", rules: []Rule{rule(true, 'a', -1, -1, "rwm"), rule(false, 'c', 1, -1, "rwm"), rule(true, 'c', 1, 3, "w")}, fails: true},
		{name: "unknown type", rules: []Rule{rule(true, 'p', 1, 3, "rw")}, fails: true},
		{name: "negative number", rules: []Rule{rule(true, 'c', -2, 3, "rw")}, fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := V1(c.rules)
			if (err != nil) != c.fails || fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%v %v", got, err)
			}
		})
	}
}
