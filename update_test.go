package main

import "testing"

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"-1": -1, "0": 0, "1": 1, "1024": 1024, "50M": 50 << 20, "50m": 50 << 20, "50MB": 50 << 20, "50MiB": 50 << 20,
		"1.5g": 3 << 29, "64 k": 64 << 10, "7b": 7, "2t": 2 << 40, "1P": 1 << 50, "9007199254740993": 9007199254740993,
	} {
		if got, ok := parseSize(text); !ok || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{
		"", " ", "M", "-2", "-1M", "1.5", "x", "5Q", "1e3", "0x10", "5i", "5ii", "5bb", "5kk", "5km", "1.2.3k", "9999999p",
		"99999999999999999999", "+5", "5 M M", "NaN", "Infk",
	} {
		if got, ok := parseSize(text); ok {
			t.Errorf("%q: accepted as %d", text, got)
		}
	}
}
