package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCompletionsHaveEveryOption(t *testing.T) {
	a := new(app)
	list := a.completions()
	for shell := range strings.FieldsSeq(shells) {
		script, ok := a.script(shell)
		if !ok {
			t.Errorf("%s: no script", shell)
		}
		for _, c := range list {
			if !strings.Contains(script, c.name) {
				t.Errorf("%s: %s is missing", shell, c.name)
			}
			for _, f := range c.flags {
				for _, name := range f.names {
					want := name
					if shell == "fish" {
						want = " -" + string("sl"[min(len(name)-2, 1)]) + " " + strings.TrimLeft(name, "-")
					}
					if !strings.Contains(script, want) {
						t.Errorf("%s: %s %s is missing", shell, c.name, name)
					}
				}
			}
		}
	}
	if _, stderr, code := hako("completion", "tcsh"); code != 1 || !strings.Contains(stderr, `unknown shell "tcsh"`) {
		t.Errorf("%d %q", code, stderr)
	}
}

// scriptFile writes the script of a shell to a file.
func scriptFile(t *testing.T, shell string) string {
	t.Helper()
	script, stderr, code := hako("completion", shell)
	if code != 0 {
		t.Fatal(stderr)
	}
	file := filepath.Join(t.TempDir(), shell)
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestShellsAcceptTheScripts(t *testing.T) {
	for shell := range strings.FieldsSeq(shells) {
		file := scriptFile(t, shell)
		t.Run(shell, func(t *testing.T) {
			if _, err := exec.LookPath(shell); err != nil {
				t.Skip(shell, "is not installed")
			}
			if out, err := exec.Command(shell, "-n", file).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

func TestBashCompletes(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("bash is not installed")
	}
	tests := []struct {
		words string // the last one is completed; = is a word of its own for bash
		want  string
	}{
		{"hako sta", "start state"},
		{"hako --log x --root = /r st", "start state"},
		{"hako --roo", "--root --rootless"},
		{"hako --log-format = ", "text json"},
		{"hako --debug list --fo", "--format"},
		{"hako list --format j", "json"},
		{"hako exec -", "-e"},
		{"hako start w", "web"},
		{"hako create w", ""},
		{"hako exec --user w", ""},
		{"hako completion z", "zsh"},
	}
	file := scriptFile(t, "bash")
	for _, tt := range tests {
		words := strings.Split(tt.words, " ")
		script := `compopt() { :; }; source "$0"; hako() { printf '%s\n' web db; }
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hako; echo "${COMPREPLY[@]}"`
		out, err := exec.Command("bash", append([]string{"-c", script, file}, words...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		got := strings.Fields(string(out))
		if tt.words == "hako exec -" {
			if !slices.Contains(got, "--ignore-paused") || !slices.Contains(got, "-t") {
				t.Errorf("%s: %q", tt.words, got)
			}
		} else if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %q, want %q", tt.words, got, tt.want)
		}
	}
}
