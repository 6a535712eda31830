package snapshot

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// The names of a directory are the same, whether they are in memory or not.
func TestNamesOfADirectory(t *testing.T) {
	dir := t.TempDir()
	var want, wantMarked []string
	for i := range 700 {
		name := fmt.Sprintf("%d%s", i*7919%1000, string(rune('a'+i%26)))
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		want = append(want, name)
	}
	slices.Sort(want)
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, name := range want {
		if i%3 == 0 {
			wantMarked = append(wantMarked, name)
		}
	}
	for _, few := range []int{1, 10, fewNames} {
		l, err := listNames(int(f.Fd()), few)
		if err != nil {
			t.Fatal(err)
		}
		defer l.close()
		if (l.many == nil) != (few == fewNames) || len(l.few) > 0 && l.many != nil {
			t.Errorf("few %d: %d names in memory, others %v", few, len(l.few), l.many)
		}
		var got []string
		for name := range l.all() {
			if len(got)%3 == 0 {
				l.mark(name)
			}
			got = append(got, name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("few %d: got %q", few, got)
		}
		for range 2 {
			if got := slices.Collect(l.marked()); !slices.Equal(got, wantMarked) {
				t.Errorf("few %d: marked %q, want %q", few, got, wantMarked)
			}
		}
		for range l.marked() { // may end early
			break
		}
		if !l.has(want[5]) || l.has(want[5]+"-") || l.err() != nil {
			t.Errorf("few %d: has %v, error %v", few, l.has(want[5]), l.err())
		}
	}
}

func TestNoNamesInADirectory(t *testing.T) {
	f, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := listNames(int(f.Fd()), 0)
	if err != nil {
		t.Fatal(err)
	}
	if all := slices.Collect(l.all()); len(all) != 0 || l.has("a") {
		t.Errorf("%q", all)
	}
}
