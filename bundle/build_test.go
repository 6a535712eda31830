package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestPortRange(t *testing.T) {
	for _, test := range []struct {
		in, want string // want: joined; "" is an error
	}{
		{"80", "80/tcp"}, {"53/udp", "53/udp"}, {"90-92/sctp", "90/sctp 91/sctp 92/sctp"}, {"65535", "65535/tcp"},
		{"", ""}, {"0", ""}, {"65536", ""}, {"9-8", ""}, {"80/icmp", ""}, {"x", ""}, {"80-", ""}, {"1-2-3", ""},
	} {
		got, err := portRange(test.in)
		if joined := strings.Join(got, " "); joined != test.want || (err != nil) != (test.want == "") {
			t.Errorf("portRange(%q) = %q, %v; want %q", test.in, joined, err, test.want)
		}
	}
}

func newBuilding() *building {
	return &building{args: map[string]string{}, built: map[int]*buildStage{}}
}

func TestParseStages(t *testing.T) {
	const file = "ARG V=1\nARG W=$V.2\nFROM base:$W AS one\nRUN x\nFROM one\nFROM scratch AS three\n"
	b := newBuilding()
	b.args["V"] = "7"
	for target, want := range map[string]int{"": 2, "one": 0, "ONE": 0, "1": 1, "three": 2} {
		got, err := b.parseStages(strings.NewReader(file), target)
		if err != nil || got != want {
			t.Errorf("target %q: stage %d, %v; want %d", target, got, err, want)
		}
	}
	if name, err := b.expand(b.stages[0].BaseName, b.globals); err != nil || name != "base:7.2" {
		t.Errorf("FROM means %q, %v", name, err)
	}
	for _, target := range []string{"four", "3", "-1"} {
		if _, err := b.parseStages(strings.NewReader(file), target); err == nil {
			t.Errorf("target %q is found", target)
		}
	}
}

func TestEnvHidesArg(t *testing.T) {
	args := setEnv(setEnv(nil, "A", "1"), "B", "2")
	args = setEnv(args, "A", "3")
	if !slices.Equal(args, []string{"A=3", "B=2"}) {
		t.Errorf("args %q", args)
	}
	b := newBuilding()
	if _, err := b.parseStages(strings.NewReader("FROM scratch"), ""); err != nil {
		t.Fatal(err)
	}
	if got, err := b.expand("${A}${B:-x}${C:-y}", append(args, "A=env")); err != nil || got != "env2y" {
		t.Errorf("expanded to %q, %v", got, err)
	}
}

// FuzzDockerfile: whatever the bytes are, there are stages or an error.
func FuzzDockerfile(f *testing.F) {
	for _, seed := range []string{
		"FROM scratch", "FROM a\nRUN <<E\nx\nE\n", "# escape=`\nFROM a\nCOPY [\"a\", \"b\"]\n", "ARG A\nFROM ${A:-b} AS x\nFROM x\n",
		"FROM a\nHEALTHCHECK --interval=1s CMD x\nONBUILD RUN x\nADD --chown=1:2 *.go /x/\nEXPOSE 1-2/udp\n", "FROM", "\x00", "RUN x",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newBuilding()
		if _, err := b.parseStages(strings.NewReader(string(data)), ""); err != nil {
			return
		}
		for _, s := range b.stages {
			_, _ = b.expand(s.BaseName, b.globals)
			for _, command := range s.Commands {
				if strings.ContainsAny(titleOf(command), "\n\x1b") {
					t.Error("a title of several lines")
				}
			}
		}
	})
}

func FuzzIndented(f *testing.F) {
	f.Add([]byte("a\nb"), 1)
	f.Add(bytes.Repeat([]byte("\xfb"), 2*maxLine), 3)
	f.Add([]byte("\u009b31m\x1b[m\x7f"), 3)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		var out strings.Builder
		i := &indented{w: &out}
		cut = min(max(cut, 0), len(data))
		for _, part := range [][]byte{data[:cut], data[cut:]} {
			if n, err := i.Write(part); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		i.end()
		shown := 0
		for line := range strings.Lines(out.String()) {
			content, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "    | ")
			if !ok || utf8.RuneCountInString(content) > maxLine || strings.ContainsFunc(content, unicode.IsControl) {
				t.Errorf("line %q", line)
			}
			shown += utf8.RuneCountInString(content)
		}
		// A character that two lines share is two.
		if runes := utf8.RuneCount(bytes.ReplaceAll(data, []byte("\n"), nil)); shown < runes {
			t.Errorf("%d of %d characters are shown", shown, runes)
		}
	})
}
