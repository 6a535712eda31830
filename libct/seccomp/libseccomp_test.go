package seccomp

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/hako-runtime/hako/libct/seccomp/bpf"
)

// peer is libseccomp in a helper program.
type peer struct {
	t   testing.TB
	in  io.WriteCloser
	out *bufio.Scanner
}

func startPeer(t testing.TB) *peer {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	if err := exec.Command(python, "-c", `import ctypes; ctypes.CDLL("libseccomp.so.2")`).Run(); err != nil {
		t.Skip("libseccomp2 is not installed")
	}
	cmd := exec.Command(python, "testdata/libseccomp.py")
	var complaint strings.Builder
	cmd.Stderr = &complaint
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %s", err, complaint.String())
		}
	})
	p := &peer{t: t, in: in, out: bufio.NewScanner(out)}
	p.out.Buffer(nil, 16<<20)
	return p
}

func (p *peer) ask(question, answer any) {
	p.t.Helper()
	line, err := json.Marshal(question)
	if err != nil {
		p.t.Fatal(err)
	}
	if _, err := p.in.Write(append(line, '\n')); err != nil {
		p.t.Fatal(err)
	}
	if !p.out.Scan() {
		p.t.Fatalf("libseccomp.py has ended: %v", p.out.Err())
	}
	if err := json.Unmarshal(p.out.Bytes(), answer); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) version() (v [3]int) {
	p.ask(map[string]bool{"version": true}, &v)
	return v
}

// table is the numbers of one architecture, by libseccomp's short name.
func (p *peer) table(arch string) (calls map[string]uint32) {
	p.ask(map[string]string{"table": arch}, &calls)
	return calls
}

// rulePeer and profilePeer are a profile in libseccomp's numbers, which are ours.
type rulePeer struct {
	Call   string      `json:"call"`
	Action Action      `json:"action"`
	Args   [][4]uint64 `json:"args"`
}

type profilePeer struct {
	Arches   []string   `json:"arches"`
	Default  Action     `json:"default"`
	Optimize int        `json:"optimize"`
	Rules    []rulePeer `json:"rules"`
}

// shortName is "x86_64" for "SCMP_ARCH_X86_64".
func shortName(a Arch) string { return strings.ToLower(strings.TrimPrefix(string(a), "SCMP_ARCH_")) }

// compile is a profile as libseccomp compiles it, and runc's idea of what the
// newest calls are.
func (p *peer) compile(profile *Profile, m *Machine, optimize int) (program []bpf.Instruction, newest map[string]uint32, problem string) {
	job := profilePeer{Default: profile.Default, Optimize: optimize, Rules: []rulePeer{}}
	for _, a := range m.chosen(profile.Arches) {
		job.Arches = append(job.Arches, shortName(a.name))
	}
	for _, r := range profile.Rules {
		args := [][4]uint64{}
		for _, c := range r.Conditions {
			args = append(args, [4]uint64{uint64(c.Arg), uint64(c.Op), c.Value, c.ValueTwo})
		}
		for _, call := range r.Calls {
			job.Rules = append(job.Rules, rulePeer{call, r.Action, args})
		}
	}
	var answer struct {
		BPF, Error string
		Newest     map[string]uint32
	}
	p.ask(job, &answer)
	if answer.Error != "" {
		return nil, nil, answer.Error
	}
	raw, err := hex.DecodeString(answer.BPF)
	if err != nil {
		p.t.Fatal(err)
	}
	if program, err = bpf.Decode(raw, m.order); err != nil {
		p.t.Fatal(err)
	}
	return program, answer.Newest, ""
}

// machines are all that there are, whatever this one is.
func machines() []*Machine {
	return []*Machine{
		amd64(), arm64(), riscv64(), loong64(), ppc64le(), ppc64(), s390x(), mips64(), mips64le(),
		amd64().own("SCMP_ARCH_X86"), arm64().own("SCMP_ARCH_ARM"), mips64().own("SCMP_ARCH_MIPS"), mips64le().own("SCMP_ARCH_MIPSEL"),
	}
}
