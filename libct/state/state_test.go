package state

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hako-runtime/hako/libct/fastjson"
	"github.com/mailru/easyjson/jlexer"
	"golang.org/x/sys/unix"
)

// note is a record of one string.
type note string

func (n note) MarshalEasyJSON(w *fastjson.Writer) { w.String(string(n)) }
func (n *note) UnmarshalEasyJSON(l *jlexer.Lexer) { *n = note(l.String()) }

type broken struct{}

func (broken) MarshalEasyJSON(w *fastjson.Writer) { w.Error = errBroken }

const errBroken = brokenError("broken")

type brokenError string

func (e brokenError) Error() string { return string(e) }

func reserve(t *testing.T) *Dir {
	t.Helper()
	d, err := Reserve(t.TempDir(), "web")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Unlock)
	return d
}

func TestReserveMakesALockedFolderForRootOnly(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a/b")
	d, err := Reserve(root, "web")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Unlock()
	for _, path := range []string{root, d.path} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", path, st.Mode(), err)
		}
	}
	if err := At(root, "web").TryLock(); !errors.Is(err, ErrBusy) {
		t.Errorf("TryLock: %v, want ErrBusy", err)
	}
	if _, err := Reserve(root, "web"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Reserve again: %v, want ErrExist", err)
	}
	if _, err := Reserve(root, "db"); err != nil {
		t.Errorf("another id: %v", err)
	}
}

func TestReserveRefusesWhatIsThere(t *testing.T) {
	for _, what := range []string{"file", "symlink", "dangling", "folder"} {
		root := t.TempDir()
		path := filepath.Join(root, "web")
		var err error
		switch what {
		case "file":
			err = os.WriteFile(path, nil, 0o600)
		case "symlink":
			err = os.Symlink(t.TempDir(), path)
		case "dangling":
			err = os.Symlink("nowhere", path)
		case "folder":
			err = os.Mkdir(path, 0o700)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Reserve(root, "web"); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v, want ErrExist", what, err)
		}
		if exists := At(root, "web").Exists(); exists != (what == "folder") {
			t.Errorf("%s: Exists is %v", what, exists)
		}
	}
}

// TestOneReserverWinsWhileOthersRemove is what create, create and delete
// --force of one id do at once: never do two creates believe in the same folder.
func TestOneReserverWinsWhileOthersRemove(t *testing.T) {
	root := t.TempDir()
	var owners, won atomic.Int32
	var creates, deletes sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		deletes.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if d := At(root, "web"); d.TryLock() == nil {
					if err := d.Load(new(note)); errors.Is(err, fs.ErrNotExist) {
						_ = d.Remove() // as delete --force: nobody has written it yet
					}
					d.Unlock()
				}
			}
		})
	}
	for range 6 {
		creates.Go(func() {
			for range 200 {
				d, err := Reserve(root, "web")
				if err != nil {
					continue
				}
				if n := owners.Add(1); n != 1 {
					t.Errorf("%d owners at once", n)
				}
				won.Add(1)
				if err := d.Save(note("x")); err != nil {
					t.Error(err)
				}
				d.Unlock() // created: it exists until it is deleted
				if err := d.Lock(); err != nil {
					t.Error(err)
				}
				owners.Add(-1)
				if err := d.Remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	creates.Wait()
	close(stop)
	deletes.Wait()
	if won.Load() == 0 {
		t.Error("nobody ever won")
	}
}

func TestLockOfAFolderThatGoesWhileWaiting(t *testing.T) {
	for _, remade := range []bool{false, true} {
		d := reserve(t)
		got := make(chan error)
		other := &Dir{path: d.path}
		go func() { got <- other.Lock() }()
		time.Sleep(20 * time.Millisecond) // let it wait
		if err := os.RemoveAll(d.path); err != nil {
			t.Fatal(err)
		}
		if remade {
			if err := os.Mkdir(d.path, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		d.Unlock()
		if err := <-got; !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("remade %v: %v, want ErrNotExist", remade, err)
		}
	}
}

func TestLockRefusesASymlink(t *testing.T) {
	root := t.TempDir()
	if err := os.Symlink(t.TempDir(), filepath.Join(root, "web")); err != nil {
		t.Fatal(err)
	}
	if err := At(root, "web").Lock(); !errors.Is(err, unix.ELOOP) && !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("error %v", err)
	}
}

func TestBusyTellsAndDoesNotKeepTheLock(t *testing.T) {
	d := reserve(t)
	other := &Dir{path: d.path}
	if !d.Busy() || !other.Busy() || !d.Locked() || other.Locked() {
		t.Error("a locked folder is not busy")
	}
	d.Unlock()
	d.Unlock()
	if d.Busy() || other.Busy() || d.Locked() {
		t.Error("an unlocked folder is busy")
	}
	if err := other.TryLock(); err != nil {
		t.Errorf("after asking: %v", err)
	}
	other.Unlock()
	if At(t.TempDir(), "none").Busy() {
		t.Error("a missing folder is busy")
	}
}

func TestSaveAndLoad(t *testing.T) {
	d := reserve(t)
	var got note
	if err := d.Load(&got); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing saved: %v", err)
	}
	for _, want := range []note{"first, and the longer one", "second"} {
		if err := d.Save(want); err != nil {
			t.Fatal(err)
		}
		if err := d.Load(&got); err != nil || got != want {
			t.Errorf("loaded %q, %v", got, err)
		}
	}
	if err := d.Save(broken{}); !errors.Is(err, errBroken) {
		t.Errorf("a record that cannot be encoded: %v", err)
	}
	if err := d.Load(&got); err != nil || got != "second" {
		t.Errorf("after a save that failed: %q, %v", got, err)
	}
	if st, err := os.Stat(filepath.Join(d.path, recordFile)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

func TestAReaderSeesTheOldOrTheNewRecord(t *testing.T) {
	d := reserve(t)
	long, short := note(strings.Repeat("a", 100_000)), note("b")
	if err := d.Save(short); err != nil {
		t.Fatal(err)
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range 200 {
			if err := d.Save([]note{long, short}[i%2]); err != nil {
				t.Error(err)
			}
		}
	})
	other := &Dir{path: d.path}
	for range 500 {
		var got note
		if err := other.Load(&got); err != nil || got != long && got != short {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	writer.Wait()
}

func TestWhatIsNoRecordIsRefused(t *testing.T) {
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte(`"victim"`), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(path string) error{
		"symlink":   func(p string) error { return os.Symlink(victim, p) },
		"FIFO":      func(p string) error { return unix.Mkfifo(p, 0o600) },
		"folder":    func(p string) error { return os.Mkdir(p, 0o700) },
		"empty":     func(p string) error { return os.WriteFile(p, nil, 0o600) },
		"truncated": func(p string) error { return os.WriteFile(p, []byte(`"vic`), 0o600) },
		"trailing":  func(p string) error { return os.WriteFile(p, []byte(`"a" "b"`), 0o600) },
		"binary":    func(p string) error { return os.WriteFile(p, []byte{0, 0xff, 0xfe}, 0o600) },
		"oversized": func(p string) error {
			if err := os.WriteFile(p, []byte(`"a"`), 0o600); err != nil {
				return err
			}
			return os.Truncate(p, maxRecord+1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := reserve(t)
			if err := put(filepath.Join(d.path, recordFile)); err != nil {
				t.Fatal(err)
			}
			got := note("untouched")
			if err := d.Load(&got); err == nil {
				t.Errorf("loaded %q", got)
			}
			if err := d.Remove(); err != nil {
				t.Errorf("remove: %v", err)
			}
			if d.Exists() {
				t.Error("it is still there")
			}
		})
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != `"victim"` {
		t.Errorf("the victim: %q, %v", text, err)
	}
}

func TestFIFOsTellWhoWaits(t *testing.T) {
	d := reserve(t)
	if d.Waiting() {
		t.Error("somebody waits at a FIFO that does not exist")
	}
	start, result, err := d.MakeFIFOs()
	if err != nil {
		t.Fatal(err)
	}
	defer start.Close()
	for _, f := range []*os.File{start, result} {
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
			t.Errorf("%s: flags %#x, %v: init must block", f.Name(), flags, err)
		}
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s: not close-on-exec, %v", f.Name(), err)
		}
	}
	for range 2 { // asking must not change it
		if !d.Waiting() {
			t.Error("nobody waits")
		}
	}
	in, out, err := d.OpenStart()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	in.Close()
	var b [1]byte
	if n, err := start.Read(b[:]); n != 1 || b[0] != 1 || err != nil {
		t.Errorf("init read %d, %v", n, err)
	}
	if _, err := result.WriteString("told"); err != nil {
		t.Fatal(err)
	}
	result.Close()
	if err := unix.SetNonblock(int(out.Fd()), false); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(out); string(text) != "told" || err != nil {
		t.Errorf("start read %q, %v", text, err)
	}
	out.Close()
	start.Close()
	if d.Waiting() {
		t.Error("init is gone and waits")
	}
	if _, _, err := d.OpenStart(); !errors.Is(err, unix.ENXIO) {
		t.Errorf("OpenStart: %v, want ENXIO", err)
	}
	if _, _, err := d.MakeFIFOs(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("MakeFIFOs again: %v, want ErrExist", err)
	}
}

func TestNoFIFOIsOpenedThroughALink(t *testing.T) {
	d := reserve(t)
	elsewhere := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.WriteFile(elsewhere, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(d.path, startFIFO)); err != nil {
		t.Fatal(err)
	}
	if d.Waiting() {
		t.Error("a link waits")
	}
	if _, _, err := d.OpenStart(); !errors.Is(err, unix.ELOOP) {
		t.Errorf("OpenStart: %v, want ELOOP", err)
	}
}

func TestListIsTheFoldersOnly(t *testing.T) {
	root := t.TempDir()
	for _, id := range []string{"b", "a"} {
		if err := os.Mkdir(filepath.Join(root, id), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("a", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if ids, err := List(root); err != nil || strings.Join(ids, " ") != "a b" {
		t.Errorf("%q, %v", ids, err)
	}
	if _, err := List(filepath.Join(root, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing root: %v", err)
	}
}

// FuzzLoad: whatever the file holds, there is an error or a record, and a
// record that encoding/json would have read as well.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{``, `"a"`, `"`, `"\u12`, `null`, `{}`, `{"a":`, "\xff", `"a" x`, `[[[[`, `1e999`} {
		f.Add([]byte(seed))
	}
	d, err := Reserve(f.TempDir(), "web")
	if err != nil {
		f.Fatal(err)
	}
	defer d.Unlock()
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(d.path, recordFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
		var got note
		if d.Load(&got) != nil || !json.Valid(data) || !utf8.Valid(data) {
			return
		}
		var want string
		if json.Unmarshal(data, &want) == nil && want != string(got) {
			t.Errorf("%q: %q, want %q", data, got, want)
		}
	})
}

func TestTheAnchorIsKept(t *testing.T) {
	d, err := Reserve(t.TempDir(), "web")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Anchored(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before: %v", err)
	}
	if err := d.Anchor("hybrid", "/a b/web"); err != nil {
		t.Fatal(err)
	}
	if mode, path, err := d.Anchored(); mode != "hybrid" || path != "/a b/web" || err != nil {
		t.Errorf("got %q, %q, %v", mode, path, err)
	}
	if err := d.Anchor("v2", ""); err != nil {
		t.Fatal(err)
	}
	if mode, path, err := d.Anchored(); mode != "v2" || path != "" || err != nil {
		t.Errorf("without a cgroup: got %q, %q, %v", mode, path, err)
	}
	for _, damaged := range []string{"", "v2", "v2\n", "v2\n/x", "v2\n/x\nmore\n"} {
		if err := os.WriteFile(filepath.Join(d.path, anchorFile), []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if mode, path, err := d.Anchored(); err == nil {
			t.Errorf("%q: accepted as %q, %q", damaged, mode, path)
		}
	}
}
