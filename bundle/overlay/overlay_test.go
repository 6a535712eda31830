package overlay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounting an overlay")
	}
}

func newStore(t *testing.T) *Store {
	t.Helper()
	s, err := OpenStore(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func chainOf(t *testing.T, names ...string) []digest.Digest {
	t.Helper()
	ids := make([]digest.Digest, len(names))
	for i, name := range names {
		ids[i] = digest.FromString(name)
	}
	chain, err := ChainIDs(ids)
	if err != nil {
		t.Fatal(err)
	}
	return chain
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestChainIDs: the example of image-spec config.md#layer-chainid.
func TestChainIDs(t *testing.T) {
	chain := chainOf(t, "a", "b", "c")
	a, b, c := digest.FromString("a"), digest.FromString("b"), digest.FromString("c")
	ab := digest.FromString(string(a) + " " + string(b))
	if chain[0] != a || chain[1] != ab || chain[2] != digest.FromString(string(ab)+" "+string(c)) {
		t.Errorf("chain %v", chain)
	}
	if _, err := ChainIDs([]digest.Digest{"sha256:../x"}); err == nil {
		t.Error("a digest that is a path is accepted")
	}
}

func TestLayersStack(t *testing.T) {
	needsRoot(t)
	s := newStore(t)
	chain := chainOf(t, "one", "two")
	if err := s.Add(chain, 0, func(root string) error {
		if err := os.Chmod(root, 0o751); err != nil {
			return err
		}
		write(t, root+"/kept", "kept")
		write(t, root+"/gone", "gone")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(chain, 1, func(root string) error {
		write(t, root+"/new", "new")
		return os.Remove(root + "/gone")
	}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	stack, err := NewUpper(dir, "upper", s.Lower(chain))
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, "root")
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := stack.Mount(at); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := Unmount(at); err != nil {
			t.Error(err)
		}
		if mounted, err := IsMounted(at); mounted || err != nil {
			t.Errorf("mounted after unmount: %v, %v", mounted, err)
		}
	}()
	if mounted, err := IsMounted(at); !mounted || err != nil {
		t.Errorf("IsMounted: %v, %v", mounted, err)
	}
	if info, err := os.Stat(at); err != nil || info.Mode().Perm() != 0o751 {
		t.Errorf("the root has mode %v, %v; want that of the first layer", info.Mode(), err)
	}
	if _, err := os.Stat(at + "/gone"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("gone: %v", err)
	}
	write(t, at+"/kept", "changed")
	if data, err := os.ReadFile(filepath.Join(s.Lower(chain)[1], "kept")); err != nil || string(data) != "kept" {
		t.Errorf("the layer holds %q, %v", data, err)
	}
}

// TestHostileLayer: a layer cannot pose as what overlayfs itself writes.
func TestHostileLayer(t *testing.T) {
	needsRoot(t)
	s := newStore(t)
	chain := chainOf(t, "one", "two")
	if err := s.Add(chain, 0, func(root string) error {
		if err := unix.Mknod(root+"/whiteout", unix.S_IFCHR|0o600, 0); err == nil {
			t.Error("a layer can hold a whiteout of overlayfs")
		}
		if err := os.Mkdir(root+"/dir", 0o755); err != nil {
			return err
		}
		write(t, root+"/dir/file", "x")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(chain, 1, func(root string) error {
		for _, name := range []string{"trusted.overlay.opaque", "trusted.overlay.redirect", "trusted.overlay.whiteouts"} {
			// Refused, or kept as data under another name.
			_ = unix.Setxattr(root+"/dir", name, []byte("y"), 0)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	f, err := Stack{Lower: s.Lower(chain)}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := os.Stat(fmt.Sprintf("/proc/self/fd/%d/dir/file", f.Fd())); err != nil {
		t.Errorf("the second layer hides a file of the first: %v", err)
	}
}

// TestAddFails: what could not be applied leaves nothing in the store.
func TestAddFails(t *testing.T) {
	needsRoot(t)
	s := newStore(t)
	chain := chainOf(t, "one")
	broken := errors.New("broken")
	if err := s.Add(chain, 0, func(root string) error {
		write(t, root+"/half", "x")
		return broken
	}); !errors.Is(err, broken) {
		t.Errorf("Add: %v", err)
	}
	entries, err := os.ReadDir(filepath.Join(s.Path(), layersDir))
	if err != nil || len(entries) > 0 || s.Has(chain[0]) {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestAddAtOnce(t *testing.T) {
	needsRoot(t)
	s := newStore(t)
	chain := chainOf(t, "one")
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := s.Add(chain, 0, func(root string) error {
				return os.WriteFile(root+"/file", []byte("x"), 0o644)
			}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	entries, err := os.ReadDir(filepath.Join(s.Path(), layersDir))
	if err != nil || len(entries) != 1 || !s.Has(chain[0]) {
		t.Errorf("in the store: %v, %v", entries, err)
	}
}

func TestPrune(t *testing.T) {
	needsRoot(t)
	s := newStore(t)
	used, unused := chainOf(t, "a", "b"), chainOf(t, "c")
	nothing := func(string) error { return nil }
	for _, chain := range [][]digest.Digest{used, unused} {
		for i := range chain {
			if err := s.Add(chain, i, nothing); err != nil {
				t.Fatal(err)
			}
		}
	}
	bundle, gone := t.TempDir(), filepath.Join(t.TempDir(), "gone")
	for _, path := range []string{bundle, gone, bundle} {
		if err := s.Use(path); err != nil {
			t.Fatal(err)
		}
	}
	needs := func(path string) ([]digest.Digest, error) {
		if path == bundle {
			return used, nil
		}
		return nil, os.ErrNotExist
	}
	if n, err := s.Prune(t.Context(), needs); n != 1 || err != nil {
		t.Errorf("Prune removed %d, %v; want 1", n, err)
	}
	if s.Has(unused[0]) || !s.Has(used[0]) || !s.Has(used[1]) {
		t.Error("Prune removed the wrong layers")
	}
	unreadable := errors.New("unreadable")
	if _, err := s.Prune(t.Context(), func(string) ([]digest.Digest, error) { return nil, unreadable }); !errors.Is(err, unreadable) || !s.Has(used[0]) {
		t.Errorf("Prune with an unreadable bundle: %v", err)
	}
}

func TestManyLayersAndLongPaths(t *testing.T) {
	needsRoot(t)
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 200), strings.Repeat("e", 200))
	s, err := OpenStore(long)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range 60 {
		names = append(names, fmt.Sprint(i))
	}
	chain := chainOf(t, names...)
	for i := range chain {
		if err := s.Add(chain, i, func(root string) error {
			return os.WriteFile(fmt.Sprintf("%s/%d", root, i), nil, 0o644)
		}); err != nil {
			t.Fatal(err)
		}
	}
	f, err := Stack{Lower: s.Lower(chain)}.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil || len(entries) != len(chain) {
		t.Errorf("%d entries, %v; want %d", len(entries), err, len(chain))
	}
}

func TestStoreRefusesPathsThatOverlayfsCannotName(t *testing.T) {
	for _, bad := range []string{"a:b", "a,b", `a\b`} {
		if _, err := OpenStore(filepath.Join(t.TempDir(), bad)); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
