package main

import (
	"strings"
	"testing"
)

const psOutput = `UID          PID    PPID  C STIME TTY          TIME CMD
root           1       0  0 08:00 ?        00:00:01 /sbin/init
root          42       1  0 08:01 ?        00:00:00 sleep 42
nobody       421      42  0 08:01 ?        00:00:00 sleep 1
`

func TestFilterPS(t *testing.T) {
	lines := strings.SplitAfter(psOutput, "\n")
	tests := []struct {
		name string
		pids []int
		want string
	}{
		{"two of three", []int{421, 42}, lines[0] + lines[2] + lines[3]},
		{"a stopped container has only the header", nil, lines[0]},
	}
	for _, tt := range tests {
		var b strings.Builder
		if err := filterPS(&b, psOutput, tt.pids); err != nil || b.String() != tt.want {
			t.Errorf("%s: %v\n%s", tt.name, err, b.String())
		}
	}
}

func TestFilterPSWithoutPIDs(t *testing.T) {
	for _, output := range []string{"", "CMD\nsh\n", "CMD PID\nsh -l 12\n"} {
		if err := filterPS(new(strings.Builder), output, []int{1}); err == nil {
			t.Errorf("%q: no error", output)
		}
	}
}
