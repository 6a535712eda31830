package main

import (
	"io"
	"testing"
)

func TestOnlyCommandsThatMayBeMeantAreBuilt(t *testing.T) {
	all := len(commands())
	for _, tt := range []struct {
		name string
		args []string
		want int
	}{
		{"a name", []string{"list", "--layout", "x"}, 1},
		{"an alias", []string{"--log", "error", "ls"}, 1},
		{"two names", []string{"tag", "--image", "x", "list"}, 2},
		{"help", []string{"list", "--help"}, all},
		{"no name", []string{"--version"}, all},
		{"an unknown name", []string{"lost"}, all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := rootCommand(append([]string{"bundle"}, tt.args...), io.Discard, io.Discard)
			if got := len(root.Commands); got != tt.want {
				t.Errorf("%d commands, want %d", got, tt.want)
			}
		})
	}
}

func TestEveryCommandCanBeNamed(t *testing.T) {
	seen := map[string]bool{}
	for _, e := range commands() {
		c := e.command()
		for _, name := range c.Names() {
			if seen[name] {
				t.Errorf("%s names two commands", name)
			}
			seen[name] = true
			if root := rootCommand([]string{"bundle", name}, io.Discard, io.Discard); root.Command(name) == nil {
				t.Errorf("%s: not found", name)
			}
		}
	}
}
