package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestLogFileGetsTheMessageOfStderr(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, []byte("earlier\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, _ := hako("--log", file, "--log-format", "json", "kill", "web", "NOSIG")
	data, _ := os.ReadFile(file)
	earlier, line, _ := strings.Cut(string(data), "\n")
	if earlier != "earlier" {
		t.Errorf("the file was not appended to: %q", data)
	}
	var r map[string]string
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if r["level"] != "error" || r["msg"] != `hako kill web: unknown signal "NOSIG"` || len(r) != 3 {
		t.Errorf("%v", r)
	}
	if _, err := time.Parse(time.RFC3339Nano, r["time"]); err != nil {
		t.Error(err)
	}
	if stderr != r["msg"]+"\n" {
		t.Errorf("stderr %q", stderr)
	}
}

func TestUsageErrorsReachTheLogFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	hako("--log", file, "--log-format=json", "create", "--bad")
	data, _ := os.ReadFile(file)
	if !bytes.Contains(data, []byte(`"msg":"hako create: flag provided but not defined: -bad; see hako create --help"`)) {
		t.Errorf("%q", data)
	}
}

func TestTextLogFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	hako("--log", file, "--debug", "kill", "web", "NOSIG")
	data, _ := os.ReadFile(file)
	want := regexp.MustCompile(`^time="[-0-9T:.Z+]+" level=debug msg="hako kill: [0-9.]+(µs|ns|ms|s)"
time="[-0-9T:.Z+]+" level=error msg="hako kill web: unknown signal \\"NOSIG\\""
$`)
	if !want.Match(data) {
		t.Errorf("%s", data)
	}
}

func TestJSONWithoutFileTakesThePlaceOfTheLine(t *testing.T) {
	_, stderr, _ := hako("--log-format", "json", "kill", "web", "NOSIG")
	if !strings.HasPrefix(stderr, `{"level":"error","msg":"hako kill web: unknown signal \"NOSIG\"","time":"`) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("%q", stderr)
	}
}

func TestUnusableLogFile(t *testing.T) {
	_, stderr, code := hako("--log", "/nonexistent/log", "list")
	if code != 1 || stderr != "hako list: --log: open /nonexistent/log: no such file or directory\n" {
		t.Errorf("%d %q", code, stderr)
	}
}

func TestWarningsKeepTheirLevel(t *testing.T) {
	var b bytes.Buffer
	l := logger{stderr: &b}
	l.warn("unknown capability CAP_X")
	if !strings.HasSuffix(b.String(), ` level=warning msg="unknown capability CAP_X"`+"\n") {
		t.Errorf("%q", b.String())
	}
}

func TestErrorsGiveATerminalNoOrders(t *testing.T) {
	for in, want := range map[string]string{
		"exec /bin/sh: no such file":   "exec /bin/sh: no such file",
		"two\nlines\tand ünïcödé 箱":    "two\nlines\tand ünïcödé 箱",
		"\x1b]0;title\a\x1b[2Jcleared": `\x1b]0;title\a\x1b[2Jcleared`,
		"over\rwritten\b":              `over\rwritten\b`,
		"\u202egnp.exe \u009b31m":      `\u202egnp.exe \u009b31m`,
		"\xff\xfe":                     `\xff\xfe`,
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
	_, stderr, _ := hako("kill", "web", "\x1b[2J")
	if strings.Contains(stderr, "\x1b") {
		t.Errorf("%q", stderr)
	}
}

func TestQuoteLogfmt(t *testing.T) {
	for in, want := range map[string]string{
		"plain-word_1.2/@^+": "plain-word_1.2/@^+",
		"":                   `""`,
		"two words":          `"two words"`,
		"a=b":                `"a=b"`,
		"line\nbreak":        `"line\nbreak"`,
	} {
		if got := quoteLogfmt(in); got != want {
			t.Errorf("quoteLogfmt(%q) = %s, want %s", in, got, want)
		}
	}
}
