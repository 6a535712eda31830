package main

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseSignal(t *testing.T) {
	tests := []struct {
		name string
		want unix.Signal
	}{
		{"9", 9}, {"0", 0}, {"37", 37}, {"64", 64},
		{"KILL", unix.SIGKILL}, {"SIGKILL", unix.SIGKILL}, {"kill", unix.SIGKILL}, {"SigTerm", unix.SIGTERM},
		{"usr1", unix.SIGUSR1}, {"WINCH", unix.SIGWINCH},
		{"RTMIN", 34}, {"SIGRTMIN+3", 37}, {"rtmin+30", 64}, {"RTMAX", 64}, {"SIGRTMAX-14", 50},
	}
	for _, tt := range tests {
		if got, err := parseSignal(tt.name); err != nil || got != tt.want {
			t.Errorf("parseSignal(%q) = %d, %v; want %d", tt.name, got, err, tt.want)
		}
	}
	for _, bad := range []string{"", "SIG", "FOO", "-9", "65", "9x", "RTMIN-1", "RTMIN+31", "RTMIN+", "RTMIN++1", "RTMAX+1", "RTMAX-31", "SIGSIGKILL", " 9", "99999999999999999999"} {
		if got, err := parseSignal(bad); err == nil {
			t.Errorf("parseSignal(%q) = %d, want an error", bad, got)
		}
	}
}
