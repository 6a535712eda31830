package safepath

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// newRoot makes base/root from lines such as "dir/", "file=text",
// "link -> to", beside base/outside/secret.
func newRoot(t testing.TB, tree ...string) (r *Root, base string) {
	t.Helper()
	base = t.TempDir()
	plant(t, base, "outside/secret=host")
	plant(t, base, "root/")
	plant(t, base+"/root", tree...)
	r, err := OpenRoot(base + "/root")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, base
}

func plant(t testing.TB, dir string, tree ...string) {
	t.Helper()
	var err error
	for _, line := range tree {
		name, rest, isLink := strings.Cut(line, " -> ")
		name, text, isFile := strings.Cut(name, "=")
		path := dir + "/" + name
		err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755))
		switch {
		case isLink:
			err = errors.Join(err, os.Symlink(rest, path))
		case isFile:
			err = errors.Join(err, os.WriteFile(path, []byte(text), 0o644))
		default:
			err = errors.Join(err, os.MkdirAll(path, 0o755))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// where is the real path of a handle, below base.
func where(t testing.TB, f *os.File, base string) string {
	t.Helper()
	path, err := os.Readlink("/proc/self/fd/" + itoa(int(f.Fd())))
	if err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(base)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(path, real)
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

// listing is everything below dir with its type and contents.
func listing(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		b.WriteString(d.Type().String() + " " + path)
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b.WriteString("=" + string(data))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLookupsStayBeneathTheRoot(t *testing.T) {
	tree := []string{
		"a/b/", "a/file=x", "abs -> /a/b", "rel -> a/b", "up -> ../../../../outside",
		"a/b/up -> ../../../../a", "out -> /outside/secret", "loop -> loop", "top -> /",
	}
	for _, c := range []struct {
		name, path, want string
		err              error
	}{
		{"plain", "a/b", "/root/a/b", nil},
		{"absolute", "/a/b", "/root/a/b", nil},
		{"the root itself", "/", "/root", nil},
		{"a dot", ".", "/root", nil},
		{"dots above the root", "../../../a", "/root/a", nil},
		{"an absolute link", "abs", "/root/a/b", nil},
		{"a relative link", "rel/../file", "/root/a/file", nil},
		{"a climbing link to what is not inside", "up", "", unix.ENOENT},
		{"a climbing link", "a/b/up", "/root/a", nil},
		{"a link that names a host file", "out", "", unix.ENOENT},
		{"a loop", "loop", "", unix.ELOOP},
		{"a link to the root", "top/a", "/root/a", nil},
		{"a file as directory", "a/file/x", "", unix.ENOTDIR},
		{"an empty name", "", "", unix.EINVAL},
		{"a NUL", "a\x00b", "", unix.EINVAL},
		{"a name too long", strings.Repeat("x", 256), "", unix.ENAMETOOLONG},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, base := newRoot(t, tree...)
			f, err := r.Open(c.path, unix.O_PATH, 0)
			if !errors.Is(err, c.err) {
				t.Fatalf("got %v, want %v", err, c.err)
			}
			if err != nil {
				var pe *os.PathError
				if !errors.As(err, &pe) || pe.Path != c.path {
					t.Errorf("not a PathError with the path: %#v", err)
				}
				return
			}
			defer f.Close()
			if got := where(t, f, base); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestMagicLinksAreRefused(t *testing.T) {
	r, err := OpenRoot("/")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for _, path := range []string{"proc/self/root", "proc/self/exe", "proc/self/fd/0", "proc/self/cwd/x"} {
		if f, err := r.Open(path, unix.O_PATH, 0); !errors.Is(err, unix.ELOOP) {
			t.Errorf("%s: %v, %v", path, f, err)
		}
	}
}

func TestMkdirAllAndCreateFile(t *testing.T) {
	tree := []string{
		"a/", "file=keep", "dangling -> /x/y", "climb -> ../../outside/new", "chain -> dangling/z",
		"loop -> loop2", "loop2 -> loop", "tofile -> file", "dots -> a/../q/..",
	}
	for _, c := range []struct {
		name, path string
		file       bool
		want       string
		err        error
	}{
		{"what exists", "a", false, "/root/a", nil},
		{"the root", "/", false, "/root", nil},
		{"several levels", "a/b/c", false, "/root/a/b/c", nil},
		{"dots above the root", "../../n/m", false, "/root/n/m", nil},
		{"dots among what is made", "n/../m", false, "/root/m", nil},
		{"slashes and dots", "//a/.//b/", false, "/root/a/b", nil},
		{"a dangling link", "dangling", false, "/root/x/y", nil},
		{"below a dangling link", "dangling/z", false, "/root/x/y/z", nil},
		{"a link to a dangling link", "chain", false, "/root/x/y/z", nil},
		{"a climbing dangling link", "climb/d", false, "/root/outside/new/d", nil},
		{"a link that ends in dots", "dots/e", false, "/root/e", nil},
		{"a loop", "loop/x", false, "", unix.ELOOP},
		{"a file in the way", "file/x", false, "", unix.ENOTDIR},
		{"a file as directory", "file", false, "", unix.ENOTDIR},
		{"a link to a file", "tofile/x", false, "", unix.ENOTDIR},
		{"empty", "", false, "", unix.EINVAL},
		{"a NUL", "a\x00", false, "", unix.EINVAL},
		{"a new file", "a/f", true, "/root/a/f", nil},
		{"a file with parents", "n/m/f", true, "/root/n/m/f", nil},
		{"a file that exists", "file", true, "/root/file", nil},
		{"a link to a file that exists", "tofile", true, "/root/file", nil},
		{"a dangling link to a file", "dangling", true, "/root/x/y", nil},
		{"a climbing dangling link to a file", "climb", true, "/root/outside/new", nil},
		{"a directory that exists", "a", true, "/root/a", nil},
		{"dots are no file", "n/..", true, "", unix.EISDIR},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, base := newRoot(t, tree...)
			outside := listing(t, base+"/outside")
			make := r.MkdirAll
			if c.file {
				make = r.CreateFile
			}
			for range 2 { // the second time it exists
				f, err := make(c.path, 0o755)
				if !errors.Is(err, c.err) {
					t.Fatalf("got %v, want %v", err, c.err)
				}
				if err != nil {
					break
				}
				if got := where(t, f, base); got != c.want {
					t.Errorf("got %s, want %s", got, c.want)
				}
				f.Close()
			}
			if got := listing(t, base+"/outside"); got != outside {
				t.Errorf("outside changed:\n%s", got)
			}
			if data, _ := os.ReadFile(base + "/root/file"); string(data) != "keep" {
				t.Errorf("the file was touched: %q", data)
			}
		})
	}
}

func TestParent(t *testing.T) {
	for _, c := range []struct {
		name, path, dir, base string
		err                   error
	}{
		{"in the root", "a", "/root", "a", nil},
		{"absolute", "/a/new", "/root/a", "new", nil},
		{"the last component is not followed", "/a/link", "/root/a", "link", nil},
		{"but its parents are", "to/link", "/root/a", "link", nil},
		{"trailing slashes", "a/b//", "/root/a", "b", nil},
		{"dots above the root", "../../a", "/root", "a", nil},
		{"the root has no name", "/", "", "", unix.EINVAL},
		{"a dot has no name", "a/.", "", "", unix.EINVAL},
		{"two dots have no name", "a/..", "", "", unix.EINVAL},
		{"empty", "", "", "", unix.EINVAL},
		{"a missing parent", "x/y", "", "", unix.ENOENT},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, base := newRoot(t, "a/link -> /", "to -> a")
			dir, name, err := r.Parent(c.path)
			if !errors.Is(err, c.err) {
				t.Fatalf("got %v, want %v", err, c.err)
			}
			if err == nil && (where(t, dir, base) != c.dir || name != c.base) {
				t.Errorf("got %s, %q", where(t, dir, base), name)
			}
		})
	}
}

func TestLstatAndReadlink(t *testing.T) {
	long := strings.Repeat("d/", 400) + "end"
	r, _ := newRoot(t, "file=x", "link -> /nowhere", "long -> "+long)
	st, err := r.Lstat("link")
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		t.Errorf("lstat: %o, %v", st.Mode, err)
	}
	for path, want := range map[string]string{"link": "/nowhere", "long": long} {
		if got, err := r.Readlink(path); got != want || err != nil {
			t.Errorf("readlink %s: %q, %v", path, got, err)
		}
	}
	if _, err := r.Readlink("file"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("readlink of a file: %v", err)
	}
	if _, err := r.Readlink("none"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("readlink of nothing: %v", err)
	}
}

func TestOpenRootRefusesFiles(t *testing.T) {
	if _, err := OpenRoot("/etc/passwd"); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("got %v", err)
	}
}

// A directory and a link to the outside change places all the time.
func TestExchangedDirectory(t *testing.T) {
	r, base := newRoot(t, "v/a/", "v/b -> "+strings.Repeat("../", 30))
	outside := listing(t, base+"/outside")
	if err := os.Remove(base + "/root/v/b"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(base+"/outside", base+"/root/v/b"); err != nil {
		t.Fatal(err)
	}
	done, ended := make(chan bool), make(chan bool)
	defer func() { close(done); <-ended }()
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, base+"/root/v/a", unix.AT_FDCWD, base+"/root/v/b", unix.RENAME_EXCHANGE)
			}
		}
	}()
	for range 2000 {
		for _, f := range []func(string, uint32) (*os.File, error){r.MkdirAll, r.CreateFile} {
			if h, err := f("v/a/x/y", 0o755); err == nil {
				h.Close()
			}
		}
	}
	if got := listing(t, base+"/outside"); got != outside {
		t.Errorf("outside changed:\n%s", got)
	}
}

func FuzzNames(f *testing.F) {
	for _, seed := range []string{
		"a", "/", "", ".", "..", "../..", "a/../..", "up/x", "abs/new", "climb", "climb/x", "loop",
		"a\x00b", "//", "a//b/", "dangling/..", "dangling/../../x", "\xff", strings.Repeat("../", 50) + "outside/secret",
		strings.Repeat("x", 300), "file/..", "chain/chain", "a/b/../../../outside/x",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if strings.Count(path, "/") > 200 {
			t.Skip()
		}
		r, base := newRoot(t, "a/b/", "file=keep", "up -> ../../..", "abs -> /a", "climb -> ../../outside/evil",
			"dangling -> /x/y", "loop -> loop", "chain -> up/outside")
		outside := listing(t, base+"/outside")
		check := func(h *os.File, err error) {
			if err != nil {
				var pe *os.PathError
				if !errors.As(err, &pe) {
					t.Errorf("%q: not a PathError: %v", path, err)
				}
				return
			}
			if got := where(t, h, base); got != "/root" && !strings.HasPrefix(got, "/root/") {
				t.Errorf("%q led to %s", path, got)
			}
			h.Close()
		}
		check(r.Open(path, unix.O_PATH, 0))
		dir, name, err := r.Parent(path)
		check(dir, err)
		if err == nil && (name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00")) {
			t.Errorf("%q: base %q", path, name)
		}
		check(r.CreateFile(path, 0o644))
		check(r.MkdirAll(path, 0o755))
		dir, _, err = r.MkParent(path, 0o755)
		check(dir, err)
		if got := listing(t, base+"/outside"); got != outside {
			t.Errorf("%q changed the outside:\n%s", path, got)
		}
		entries, err := os.ReadDir(base)
		if err != nil || len(entries) != 2 {
			t.Errorf("%q: beside the root: %v, %v", path, entries, err)
		}
	})
}
