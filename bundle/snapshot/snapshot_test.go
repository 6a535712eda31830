package snapshot

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// place is a tree with a snapshot beside it.
type place struct {
	testing.TB
	root, base string
}

func newPlace(t testing.TB) *place {
	t.Helper()
	dir := t.TempDir()
	p := &place{t, filepath.Join(dir, "rootfs"), filepath.Join(dir, "sha256_x")}
	p.check(os.Mkdir(p.root, 0o755))
	return p
}

func (p *place) check(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *place) path(name string) string { return filepath.Join(p.root, name) }

func (p *place) write(name, content string) {
	p.Helper()
	p.check(os.MkdirAll(filepath.Dir(p.path(name)), 0o755))
	p.check(os.WriteFile(p.path(name), []byte(content), 0o644))
}

func (p *place) take() {
	p.Helper()
	p.check(Take(p.root, p.base, nil, Options{}))
}

// deltas is the result of Compare, "K path" each. Directories whose time
// changed are left out: their children tell.
func (p *place) deltas(options CompareOptions) []string {
	p.Helper()
	found, err := Compare(p.root, p.base, options)
	p.check(err)
	defer found.Close()
	var all []string
	for d, err := range found.All() {
		p.check(err)
		if d.Kind == Modified && d.Was.Type == "dir" && d.Now.Type == "dir" && d.Was.Mode == d.Now.Mode {
			continue
		}
		all = append(all, fmt.Sprintf("%c %s", d.Kind, d.Path))
	}
	return all
}

func (p *place) want(options CompareOptions, want ...string) {
	p.Helper()
	if got := p.deltas(options); !slices.Equal(got, want) {
		p.Errorf("changes %q, want %q", got, want)
	}
}

// settle waits until what is there is older than the file system's clock can
// tell, so that a record trusts it.
func settle() { time.Sleep(20 * time.Millisecond) }

// manifest reads the manifest as Compare does first.
func (p *place) manifest() summary {
	p.Helper()
	f, err := os.Open(p.base + ManifestSuffix)
	p.check(err)
	defer f.Close()
	s, err := summarize(f)
	p.check(err)
	return s
}

// reverse writes the manifest's entries with whole paths, the last one first.
func (p *place) reverse() {
	p.Helper()
	if !p.manifest().inOrder {
		p.Fatal("Take did not write in the order of a walk")
	}
	f, err := os.Open(p.base + ManifestSuffix)
	p.check(err)
	defer f.Close()
	m, err := ParseManifest(f)
	p.check(err)
	var text strings.Builder
	for _, l := range slices.Backward(m.Entries) {
		text.Write(appendVis(nil, "./"+l.Path))
		for keyword, value := range l.Words() {
			text.WriteString(" " + keyword + "=" + value)
		}
		text.WriteString("\n")
	}
	p.check(os.WriteFile(p.base+ManifestSuffix, []byte(text.String()), 0o600))
	if p.manifest().inOrder {
		p.Fatal("the order is still that of a walk")
	}
}

func TestWalkOrder(t *testing.T) {
	type object struct {
		path string
		dir  bool
	}
	inOrder := []object{
		{"", true}, {"a.b", false}, {"b", false}, {"x", false}, {"a", true}, {"a/f", false}, {"a/a", true}, {"a/a/z", false},
		{"a/a/a", true}, {"a/b", true}, {"a-b", true}, {"a-b/f", false}, {"b", true}, {"b/f", false}, {"c", true},
	}
	// "a-b" is before "a/…" as bytes, but the walk comes to directory a first.
	for i, a := range inOrder {
		for j, b := range inOrder {
			if got, want := walkOrder(a.path, a.dir, b.path, b.dir), cmp.Compare(i, j); got != want {
				t.Errorf("%v, %v: %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestStampsAreReadByWindows(t *testing.T) {
	p := newPlace(t)
	w, err := createRecord(p.base + RecordSuffix)
	p.check(err)
	const n = 2*windowEntries + 3
	stampOf := func(i int) stamp { return stamp{inode: uint64(i) + 1} }
	for i := range n {
		p.check(w.add(stampOf(i)))
	}
	manifest := sha256.Sum256([]byte("manifest"))
	p.check(w.finish(manifest))
	p.check(w.file.Close())
	s, err := openStamps(p.base+RecordSuffix, manifest, n)
	p.check(err)
	if s == nil {
		t.Fatal("the record does not fit")
	}
	defer s.close()
	for _, i := range []int{0, 1, windowEntries - 1, windowEntries, n - 1, 5, n - 2} {
		if same, err := s.unchanged(i, stampOf(i)); !same || err != nil {
			t.Errorf("entry %d: %v, %v", i, same, err)
		}
		if same, err := s.unchanged(i, stampOf(i+1)); same || err != nil {
			t.Errorf("entry %d is another: %v, %v", i, same, err)
		}
	}
	for name, other := range map[string]struct {
		manifest [sha256.Size]byte
		n        int
	}{"another manifest": {sha256.Sum256(nil), n}, "another number": {manifest, n - 1}} {
		if s, err := openStamps(p.base+RecordSuffix, other.manifest, other.n); s != nil || err != nil {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

func TestCompare(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(p *place)
		want   []string
	}{
		{"nothing", func(*place) {}, nil},
		{"content of the same size", func(p *place) { p.write("d/f", "2") }, []string{"M d/f"}},
		{"content of the same size and time", func(p *place) {
			info, err := os.Stat(p.path("d/f"))
			p.check(err)
			p.write("d/f", "2")
			p.check(os.Chtimes(p.path("d/f"), info.ModTime(), info.ModTime()))
		}, []string{"M d/f"}},
		{"a file written again with the same content and time", func(p *place) {
			info, err := os.Stat(p.path("d/f"))
			p.check(err)
			p.write("d/f", "1")
			p.check(os.Chtimes(p.path("d/f"), info.ModTime(), info.ModTime()))
		}, nil},
		{"mode", func(p *place) { p.check(os.Chmod(p.path("d/f"), 0o600)) }, []string{"M d/f"}},
		{"mode of a directory", func(p *place) { p.check(os.Chmod(p.path("d"), 0o700)) }, []string{"M d"}},
		{"time", func(p *place) { p.check(os.Chtimes(p.path("d/f"), time.Unix(1, 0), time.Unix(1, 0))) }, []string{"M d/f"}},
		{"a new file", func(p *place) { p.write("d/new", "") }, []string{"A d/new"}},
		{"a new tree", func(p *place) { p.write("n/e/w", "") }, []string{"A n", "A n/e", "A n/e/w"}},
		{"a file removed", func(p *place) { p.check(os.Remove(p.path("d/f"))) }, []string{"D d/f"}},
		{"a tree removed is told once", func(p *place) { p.check(os.RemoveAll(p.path("d"))) }, []string{"D d"}},
		{"a directory became a symlink: nothing below it is told", func(p *place) {
			p.check(os.RemoveAll(p.path("d")))
			p.check(os.Symlink("e", p.path("d")))
		}, []string{"M d"}},
		{"a file became a directory", func(p *place) {
			p.check(os.Remove(p.path("d/f")))
			p.write("d/f/g", "")
		}, []string{"M d/f", "A d/f/g"}},
		{"symlink's target", func(p *place) {
			p.check(os.Remove(p.path("l")))
			p.check(os.Symlink("other", p.path("l")))
		}, []string{"M l"}},
		{"a name of a linked file removed", func(p *place) { p.check(os.Remove(p.path("h2"))) }, []string{"D h2"}},
		{"a linked file: all its names change", func(p *place) { p.write("h1", "changed") }, []string{"M h1", "M h2"}},
		{"a new name: the others have to come with it", func(p *place) { p.check(os.Link(p.path("d/f"), p.path("d/g"))) }, []string{"M d/f", "A d/g"}},
		{"special names", func(p *place) { p.write("d/ a\n[\\*é#", "") }, []string{"A d/ a\n[\\*é#"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			p.write("d/f", "1")
			p.write("d/sub/g", "1")
			p.write("e/\t x=\\040", "1")
			p.write("h1", "1")
			p.check(os.Link(p.path("h1"), p.path("h2")))
			p.check(os.Symlink("a b\\", p.path("l")))
			settle()
			p.take()
			settle()
			test.change(p)
			p.want(CompareOptions{}, test.want...)
			p.want(CompareOptions{Paranoid: true}, test.want...)
			// umoci's bundles have no record.
			p.check(os.Remove(p.base + RecordSuffix))
			p.want(CompareOptions{}, test.want...)
			// A manifest need not be in the order of a walk.
			p.reverse()
			p.want(CompareOptions{}, test.want...)
		})
	}
}

// What the record vouches for is not read: the test makes a change that no
// honest system could, and only --paranoid sees it.
func TestRecordSavesReading(t *testing.T) {
	p := newPlace(t)
	p.write("f", "1")
	settle()
	p.take()
	data, err := os.ReadFile(p.base + ManifestSuffix)
	p.check(err)
	one, two := fmt.Sprintf("%x", sha256.Sum256([]byte("1"))), fmt.Sprintf("%x", sha256.Sum256([]byte("2")))
	changed := bytes.Replace(data, []byte(one), []byte(two), 1)
	p.check(os.WriteFile(p.base+ManifestSuffix, changed, 0o644))
	p.want(CompareOptions{}, "M f") // the record is of another manifest
	p.check(os.WriteFile(p.base+ManifestSuffix, data, 0o644))
	p.want(CompareOptions{})

	// A record of a file that it says was older than it.
	record, err := os.ReadFile(p.base + RecordSuffix)
	p.check(err)
	for _, damaged := range [][]byte{nil, record[:len(record)-1], append(slices.Clone(record), 0), append([]byte("x"), record[1:]...)} {
		p.check(os.WriteFile(p.base+RecordSuffix, damaged, 0o600))
		p.write("f", "2")
		p.want(CompareOptions{}, "M f")
		p.write("f", "1")
	}
}

// A file that changes in the instant of the record, and keeps size and mtime,
// is still seen: what was that young is not trusted.
func TestRacyChange(t *testing.T) {
	for range 50 {
		p := newPlace(t)
		p.write("f", "1")
		p.take()
		f, err := os.OpenFile(p.path("f"), os.O_WRONLY, 0)
		p.check(err)
		_, err = f.WriteString("2")
		p.check(err)
		p.check(f.Close())
		var st unix.Stat_t
		p.check(unix.Stat(p.path("f"), &st))
		if got := p.deltas(CompareOptions{}); !slices.Equal(got, []string{"M f"}) {
			t.Fatalf("a change at once is not seen: %q", got)
		}
	}
}

// The rule itself: equal stamps count only if they are older than the record.
func TestStampsYoungerThanTheRecordDoNotCount(t *testing.T) {
	now := stamp{inode: 7, mtime: unix.Timespec{Sec: 5}, ctime: unix.Timespec{Sec: 9, Nsec: 100}}
	b := appendTime(appendTime([]byte{7, 0, 0, 0, 0, 0, 0, 0}, now.mtime, 4), now.ctime, 4)
	for _, test := range []struct {
		when unix.Timespec
		want bool
	}{
		{unix.Timespec{Sec: 9, Nsec: 101}, true},
		{unix.Timespec{Sec: 10}, true},
		{unix.Timespec{Sec: 9, Nsec: 100}, false},
		{unix.Timespec{Sec: 9, Nsec: 99}, false},
		{unix.Timespec{Sec: 8, Nsec: 999}, false},
	} {
		s := &stamps{when: test.when, window: b}
		if got, err := s.unchanged(0, now); got != test.want || err != nil {
			t.Errorf("recorded at %v: unchanged is %v, %v, want %v", test.when, got, err, test.want)
		}
		other := now
		other.inode++
		if got, err := s.unchanged(0, other); got || err != nil {
			t.Errorf("another inode is unchanged: %v, %v", got, err)
		}
	}
}

func TestMasked(t *testing.T) {
	p := newPlace(t)
	p.write("v/old", "1")
	p.write("w/old", "1")
	p.take()
	p.check(os.Remove(p.path("v/old")))
	p.check(os.RemoveAll(p.path("w")))
	p.write("v/new", "1")
	masked := func(path string) bool { return path == "v" || strings.HasPrefix(path, "v/") }
	p.want(CompareOptions{Masked: masked}, "D w")
}

// Hashes that were taken while files were written stand for their content.
func TestTakeUsesSums(t *testing.T) {
	p := newPlace(t)
	p.write("f", "content")
	var st unix.Stat_t
	p.check(unix.Stat(p.path("f"), &st))
	sums := NewSums()
	sums.Add(st.Ino, sha256.Sum256([]byte("told")))
	p.check(Take(p.root, p.base, sums, Options{}))
	data, err := os.ReadFile(p.base + ManifestSuffix)
	p.check(err)
	if want := fmt.Sprintf("sha256digest=%x", sha256.Sum256([]byte("told"))); !strings.Contains(string(data), want) {
		t.Errorf("no %s in\n%s", want, data)
	}
}

func TestManifestText(t *testing.T) {
	p := newPlace(t)
	at := time.Unix(1000, 0)
	p.write("d/sp ace[x]", "hi\n")
	p.check(os.Symlink("to there", p.path("l")))
	p.check(unix.Mkfifo(p.path("p"), 0o644))
	p.check(unix.Chmod(p.path("d"), 0o1777))
	for _, name := range []string{"d/sp ace[x]", "l", "p", "d", ""} {
		ts := unix.NsecToTimespec(at.UnixNano())
		p.check(unix.UtimesNanoAt(unix.AT_FDCWD, p.path(name), []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW))
	}
	p.take()
	data, err := os.ReadFile(p.base + ManifestSuffix)
	p.check(err)
	var st unix.Stat_t
	p.check(unix.Stat(p.root, &st))
	want := fmt.Sprintf(`#          tree: rootfs
#      keywords: size,type,uid,gid,mode,link,nlink,tar_time,sha256digest,xattr

# .
/set type=file nlink=1 mode=0664 uid=%d gid=%d
. size=%d type=dir mode=0755 nlink=%d tar_time=1000.000000000
    l size=8 type=link mode=0777 link=to\040there tar_time=1000.000000000
    p size=0 type=fifo mode=0644 tar_time=1000.000000000

# d
d size=%d type=dir mode=01777 nlink=2 tar_time=1000.000000000
    sp\040ace\133x] size=3 mode=0644 tar_time=1000.000000000 sha256digest=98ea6e4f216f2fb4b69fff9b3a44842c38686ca685f3f55dc48c5d3fb1107be4
..
..
`, st.Uid, st.Gid, st.Size, st.Nlink, sizeOf(t, p.path("d")))
	if st.Nlink < 3 { // btrfs and overlayfs do not count
		t.Skip("needs a file system that counts the links of directories")
	}
	if string(data) != want {
		t.Errorf("manifest is\n%s\nwant\n%s", data, want)
	}
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

func TestParseManifestRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"too many ..":        "..\n",
		"unknown command":    "/include x\n",
		"bad escape":         ". type=dir\n a\\q type=file\n",
		"octal out of range": ". type=dir\n a\\777\n",
		"NUL":                ". type=dir\n a\\000\n",
		"twice":              ". type=dir\n a type=file\n a type=file\n",
		"..  as a name":      ". type=dir\n \\056\\056 type=file\n",
	} {
		if _, err := ParseManifest(strings.NewReader(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestVisRoundTrip(t *testing.T) {
	var all []byte
	for c := 1; c < 256; c++ {
		all = append(all, byte(c))
	}
	encoded := string(appendVis(nil, string(all)))
	if strings.ContainsAny(encoded, " \t\n#") {
		t.Errorf("%q breaks a line", encoded)
	}
	if got, err := unvis(encoded); err != nil || got != string(all) {
		t.Errorf("unvis gives %q: %v", got, err)
	}
}

func TestValidateTellsDifferences(t *testing.T) {
	p := newPlace(t)
	p.write("f", "1")
	p.write("gone", "1")
	p.take()
	f, err := os.Open(p.base + ManifestSuffix)
	p.check(err)
	defer f.Close()
	manifest, err := ParseManifest(f)
	p.check(err)
	p.write("f", "22")
	p.write("new", "")
	p.check(os.Remove(p.path("gone")))
	var lines []string
	p.check(Validate(p.root, manifest, []string{"type", "size", "sha1digest"}, Options{}, func(line string) { lines = append(lines, line) }))
	all := strings.Join(lines, "\n")
	for _, want := range []string{`"f": keyword "size": expected 1; got 2`, `"f": keyword "sha1digest": expected ; got `, `"gone": missing`, `"new": unexpected path`} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s in\n%s", want, all)
		}
	}
}

// Objects that must not be opened are described nevertheless.
func TestWalkOpensNothingSpecial(t *testing.T) {
	p := newPlace(t)
	p.check(unix.Mkfifo(p.path("fifo"), 0o644))
	p.check(os.Symlink("/etc/shadow", p.path("link")))
	p.check(os.Symlink("/", p.path("dirlink")))
	p.take() // a FIFO that is opened would wait forever
	p.want(CompareOptions{Paranoid: true})
}

// FuzzManifest: foreign bytes never panic, and what is understood means the
// same when it is looked at twice.
func FuzzManifest(f *testing.F) {
	f.Add("# .\n/set type=file nlink=1 mode=0664 uid=0 gid=0\n. size=1 type=dir mode=0755\n    f size=3 sha256digest=00 xattr.user.x=eQ==\n..\n")
	f.Add("/unset all\n./a/b type=file time=1.5\n")
	f.Add(".\\\n type=dir\n\\040x \\\\\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseManifest(strings.NewReader(text))
		if err != nil {
			return
		}
		for i := range m.Entries {
			l := &m.Entries[i]
			if strings.HasPrefix(l.Path, "/") || slices.Contains(strings.Split(l.Path, "/"), "..") {
				t.Errorf("path %q", l.Path)
			}
			if got := l.Words()["type"] == "dir"; got != l.isDir() && !strings.ContainsAny(l.line, "\t\v\f\u0085\u00a0") && strings.Count(l.line, "type") < 2 {
				t.Errorf("%q: isDir is %v, its words say %v", l.line, l.isDir(), got)
			}
			_, _ = l.entry(&Entry{})
		}
	})
}
