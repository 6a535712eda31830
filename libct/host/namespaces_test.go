package host

import (
	"os"
	"path/filepath"
	"testing"
)

func TestIsOwnNamespace(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink("/proc/self/ns/net", link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		want       bool
	}{
		{"mnt", "/proc/self/ns/mnt", true},
		{"net", link, true},
		{"net", "/proc/self/ns/mnt", false},
		{"net", "/missing", false},
		{"net", t.TempDir(), false},
	} {
		if got := IsOwnNamespace(c.name, c.path); got != c.want {
			t.Errorf("%s %s: got %v", c.name, c.path, got)
		}
	}
}
