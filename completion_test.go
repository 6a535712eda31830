package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// scripts are the files that packages install.
func scripts() map[string]string {
	return map[string]string{
		"bash": filepath.Join("docs", "completions", "hako.bash"),
		"zsh":  filepath.Join("docs", "completions", "_hako"),
		"fish": filepath.Join("docs", "completions", "hako.fish"),
	}
}

func TestCompletionsAreCurrent(t *testing.T) {
	for shell, file := range scripts() {
		want, stderr, code := hako("completion", shell)
		if code != 0 {
			t.Fatal(stderr)
		}
		if *update {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Error(err)
			}
			continue
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("%s differs from the command table (%v); go test -run Completions . -update", file, err)
		}
	}
}

func TestCompletionsHaveEveryOption(t *testing.T) {
	a := new(app)
	list := a.completions()
	for shell := range scripts() {
		script, _ := a.script(shell)
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

func TestShellsAcceptTheScripts(t *testing.T) {
	for shell, file := range scripts() {
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
	for _, tt := range tests {
		words := strings.Split(tt.words, " ")
		script := `compopt() { :; }; source "$0"; hako() { printf '%s\n' web db; }
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hako; echo "${COMPREPLY[@]}"`
		out, err := exec.Command("bash", append([]string{"-c", script, scripts()["bash"]}, words...)...).CombinedOutput()
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
