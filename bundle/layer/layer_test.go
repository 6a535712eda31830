package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// entry is a tar entry of a test; the zero type is a regular file.
type entry struct {
	name     string
	kind     byte
	link     string
	content  string
	mode     int64
	uid, gid int
	pax      map[string]string
	mtime    time.Time
	major    int64
	minor    int64
}

var epoch = time.Unix(1000000000, 0)

func file(name, content string) entry { return entry{name: name, content: content} }
func folder(name string) entry        { return entry{name: name, kind: tar.TypeDir, mode: 0o755} }
func symlink(name, to string) entry   { return entry{name: name, kind: tar.TypeSymlink, link: to} }
func hardLink(name, to string) entry  { return entry{name: name, kind: tar.TypeLink, link: to} }
func whiteout(name string) entry      { return entry{name: name} }

func (e entry) header() *tar.Header {
	if e.kind == tar.TypeXGlobalHeader {
		return &tar.Header{Typeflag: e.kind, Name: e.name, PAXRecords: e.pax}
	}
	h := &tar.Header{
		Typeflag: e.kind, Name: e.name, Linkname: e.link, Mode: e.mode, Uid: e.uid, Gid: e.gid,
		Size: int64(len(e.content)), ModTime: e.mtime, PAXRecords: e.pax, Devmajor: e.major, Devminor: e.minor,
		Format: tar.FormatPAX,
	}
	if e.kind == 0 {
		h.Typeflag = tar.TypeReg
	}
	if h.Mode == 0 {
		h.Mode = 0o644
	}
	if h.ModTime.IsZero() {
		h.ModTime = epoch
	}
	return h
}

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		if err := w.WriteHeader(e.header()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// place is a root filesystem with something beside it that must not change.
type place struct {
	testing.TB
	dir, root string
	tree      *Tree
}

const secret = "outside"

func newPlace(t testing.TB, options Options) *place {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: chown and mknod")
	}
	dir := t.TempDir()
	p := &place{TB: t, dir: dir, root: filepath.Join(dir, "root")}
	for _, d := range []string{"root", "outside"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "outside", "file"), []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	tree, err := OpenTree(p.root, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	p.tree = tree
	return p
}

func (p *place) apply(entries ...entry) error {
	p.Helper()
	return p.tree.Apply(bytes.NewReader(archive(p.TB, entries...)))
}

func (p *place) mustApply(entries ...entry) {
	p.Helper()
	if err := p.apply(entries...); err != nil {
		p.Fatal(err)
	}
}

// list is every object of the tree: "name", "name/", "name=content",
// "name->target", "name|" for a FIFO and "name:" for a device.
func (p *place) list() []string {
	p.Helper()
	var all []string
	err := filepath.WalkDir(p.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == p.root {
			return err
		}
		name, _ := filepath.Rel(p.root, path)
		switch d.Type() {
		case 0:
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name += "=" + string(content)
		case fs.ModeDir:
			name += "/"
		case fs.ModeSymlink:
			target, _ := os.Readlink(path)
			name += "->" + target
		case fs.ModeNamedPipe:
			name += "|"
		default:
			name += ":"
		}
		all = append(all, name)
		return nil
	})
	if err != nil {
		p.Fatal(err)
	}
	return all
}

// checkOutside fails if anything beside the root was touched.
func (p *place) checkOutside() {
	p.Helper()
	for dir, want := range map[string]string{p.dir: "outside root", filepath.Join(p.dir, "outside"): "file"} {
		entries, err := os.ReadDir(dir)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			p.Errorf("%s holds %q, want %q: %v", dir, got, want, err)
		}
	}
	path := filepath.Join(p.dir, "outside", "file")
	content, err := os.ReadFile(path)
	if err != nil || string(content) != secret {
		p.Errorf("the file outside is %q: %v", content, err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil || st.Nlink != 1 || st.Mode&0o7777 != 0o600 || st.Uid != 0 {
		p.Errorf("the file outside has %d links, mode %o, owner %d: %v", st.Nlink, st.Mode, st.Uid, err)
	}
}

func TestLayers(t *testing.T) {
	for _, test := range []struct {
		name   string
		layers [][]entry
		want   []string
	}{
		{"plain tree", [][]entry{{folder("a"), file("a/f", "1"), symlink("a/l", "f"), hardLink("a/h", "a/f"), {name: "p", kind: tar.TypeFifo}, {name: "n", kind: tar.TypeChar, major: 1, minor: 3}}},
			[]string{"a/", "a/f=1", "a/h=1", "a/l->f", "n:", "p|"}},
		{"parents that no entry describes", [][]entry{{file("a/b/c", "1")}}, []string{"a/", "a/b/", "a/b/c=1"}},
		{"file over file", [][]entry{{file("f", "1")}, {file("f", "2")}}, []string{"f=2"}},
		{"directory over directory keeps the children", [][]entry{{file("d/f", "1")}, {folder("d")}}, []string{"d/", "d/f=1"}},
		{"file over directory", [][]entry{{file("d/f", "1")}, {file("d", "2")}}, []string{"d=2"}},
		{"directory over file", [][]entry{{file("d", "1")}, {folder("d")}}, []string{"d/"}},
		{"directory over symlink", [][]entry{{folder("real"), symlink("d", "real")}, {folder("d"), file("d/f", "1")}}, []string{"d/", "d/f=1", "real/"}},
		{"file as a parent", [][]entry{{file("d", "1")}, {file("d/f", "2")}}, []string{"d/", "d/f=2"}},
		{"through a symlink inside", [][]entry{{folder("usr/lib"), symlink("lib", "usr/lib")}, {file("lib/f", "1")}},
			[]string{"lib->usr/lib", "usr/", "usr/lib/", "usr/lib/f=1"}},
		{"a symlink that is replaced mid-layer leads elsewhere", [][]entry{{folder("one"), folder("two"), symlink("l", "one"), file("l/a", "1"), symlink("l", "two"), file("l/b", "2")}},
			[]string{"l->two", "one/", "one/a=1", "two/", "two/b=2"}},
		{"a hard link's content is not written through", [][]entry{{file("f", "1"), hardLink("h", "f")}, {file("h", "2")}}, []string{"f=1", "h=2"}},
		{"hard link to a symlink is a symlink", [][]entry{{symlink("l", "/nowhere"), hardLink("h", "l")}}, []string{"h->/nowhere", "l->/nowhere"}},
		{"hard link to a lower layer, hidden later", [][]entry{{file("f", "1")}, {hardLink("h", "f"), whiteout(".wh.f")}}, []string{"h=1"}},
		{"hard link to itself", [][]entry{{file("f", "1")}, {hardLink("f", "./f")}}, []string{"f=1"}},
		{"whiteout of a file", [][]entry{{file("f", "1"), file("g", "1")}, {whiteout(".wh.f")}}, []string{"g=1"}},
		{"whiteout of a directory", [][]entry{{file("d/e/f", "1")}, {whiteout(".wh.d")}}, nil},
		{"whiteout of a symlink leaves its target", [][]entry{{folder("d"), symlink("l", "d")}, {whiteout(".wh.l")}}, []string{"d/"}},
		{"whiteout of nothing", [][]entry{{whiteout("no/such/.wh.f"), whiteout(".wh.g")}}, nil},
		{"whiteout below a file", [][]entry{{file("f", "1")}, {whiteout("f/.wh.g")}}, []string{"f=1"}},
		{"whiteout before its own layer's file", [][]entry{{file("f", "1")}, {whiteout(".wh.f"), file("f", "2")}}, []string{"f=2"}},
		{"whiteout after its own layer's file", [][]entry{{file("f", "1")}, {file("f", "2"), whiteout(".wh.f")}}, []string{"f=2"}},
		{"whiteout of a directory that the layer adds to, before", [][]entry{{file("d/a", "1")}, {whiteout(".wh.d"), file("d/b", "2")}}, []string{"d/", "d/b=2"}},
		{"whiteout of a directory that the layer adds to, after", [][]entry{{file("d/a", "1")}, {file("d/b", "2"), whiteout(".wh.d")}}, []string{"d/", "d/b=2"}},
		{"whiteout by way of a symlink, after", [][]entry{{folder("d"), symlink("l", "d"), file("d/a", "1")}, {file("d/a", "2"), whiteout("l/.wh.a")}}, []string{"d/", "d/a=2", "l->d"}},
		{"opaque before", [][]entry{{file("a/b/c/bar", "1")}, {folder("a"), whiteout("a/.wh..wh..opq"), file("a/b/c/foo", "2")}}, []string{"a/", "a/b/", "a/b/c/", "a/b/c/foo=2"}},
		{"opaque after", [][]entry{{file("a/b/c/bar", "1"), file("a/x", "1")}, {folder("a"), file("a/b/c/foo", "2"), whiteout("a/.wh..wh..opq")}}, []string{"a/", "a/b/", "a/b/c/", "a/b/c/foo=2"}},
		{"opaque root", [][]entry{{file("a/f", "1"), file("g", "1")}, {file("h", "2"), whiteout(".wh..wh..opq")}}, []string{"h=2"}},
		{"opaque in a directory that is not there", [][]entry{{whiteout("a/.wh..wh..opq")}}, nil},
		{"bookkeeping of AUFS", [][]entry{{folder(".wh..wh.plnk"), file(".wh..wh.plnk/1.2", "x"), file(".wh..wh.aufs", "x")}}, nil},
		{"global PAX header", [][]entry{{{name: "g", kind: tar.TypeXGlobalHeader, pax: map[string]string{"comment": "x"}}, file("f", "1")}}, []string{"f=1"}},
		{"unknown PAX records", [][]entry{{{name: "f", content: "1", pax: map[string]string{"NOBODY.knows": "x"}}}}, []string{"f=1"}},
		{"nothing at all", [][]entry{{}}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t, Options{})
			for _, entries := range test.layers {
				p.mustApply(entries...)
			}
			if got := p.list(); !slices.Equal(got, test.want) {
				t.Errorf("tree is %q\nwant    %q", got, test.want)
			}
			p.checkOutside()
		})
	}
}

func TestMetadata(t *testing.T) {
	p := newPlace(t, Options{})
	p.mustApply(
		entry{name: ".", kind: tar.TypeDir, mode: 0o751, uid: 3, gid: 4},
		entry{name: "suid", content: "x", mode: 0o6755, uid: 1, gid: 2},
		entry{name: "sticky", kind: tar.TypeDir, mode: 0o1777, uid: 5, gid: 6},
		entry{name: "setgid", kind: tar.TypeDir, mode: 0o2755, gid: 50},
		entry{name: "setgid/implicit/f", content: "x", mode: 0o600},
		entry{name: "l", kind: tar.TypeSymlink, link: "nowhere", uid: 7, gid: 8},
		entry{name: "fifo", kind: tar.TypeFifo, mode: 0o622, uid: 9},
		entry{name: "null", kind: tar.TypeChar, mode: 0o666, gid: 10, major: 1, minor: 3},
		entry{name: "disk", kind: tar.TypeBlock, mode: 0o660, major: 259, minor: 70000},
	)
	for _, want := range []struct {
		name     string
		mode     uint32
		uid, gid uint32
	}{
		{".", unix.S_IFDIR | 0o751, 3, 4},
		{"suid", unix.S_IFREG | 0o6755, 1, 2},
		{"sticky", unix.S_IFDIR | 0o1777, 5, 6},
		{"setgid", unix.S_IFDIR | 0o2755, 0, 50},
		{"setgid/implicit", unix.S_IFDIR | 0o755, 0, 0},
		{"setgid/implicit/f", unix.S_IFREG | 0o600, 0, 0},
		{"l", unix.S_IFLNK | 0o777, 7, 8},
		{"fifo", unix.S_IFIFO | 0o622, 9, 0},
		{"null", unix.S_IFCHR | 0o666, 0, 10},
		{"disk", unix.S_IFBLK | 0o660, 0, 0},
	} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(p.root, want.name), &st); err != nil {
			t.Error(err)
			continue
		}
		if st.Mode != want.mode || st.Uid != want.uid || st.Gid != want.gid {
			t.Errorf("%s: mode %o, owner %d:%d; want %o, %d:%d", want.name, st.Mode, st.Uid, st.Gid, want.mode, want.uid, want.gid)
		}
		if want.name == "disk" && st.Rdev != unix.Mkdev(259, 70000) {
			t.Errorf("disk: device %#x", st.Rdev)
		}
		if want.name != "setgid/implicit" && st.Mtim.Sec != epoch.Unix() {
			t.Errorf("%s: mtime %d, want %d", want.name, st.Mtim.Sec, epoch.Unix())
		}
	}
}

// A directory's time is its own entry's, or the lower layer's: neither what
// is put into it nor what is taken out of it shows.
func TestDirectoryTimes(t *testing.T) {
	p := newPlace(t, Options{})
	p.mustApply(folder("d"), file("d/a", "1"), folder("e"), file("e/a", "1"), folder("gone"), symlink("l", "d"))
	later := epoch.Add(time.Hour)
	p.mustApply(
		file("d/b", "2"), whiteout("d/.wh.a"), file("l/c", "3"),
		file("e/b", "2"), entry{name: "e", kind: tar.TypeDir, mode: 0o755, mtime: later}, file("e/c", "3"),
		whiteout(".wh.gone"),
	)
	for name, want := range map[string]time.Time{"d": epoch, "e": later} {
		info, err := os.Stat(filepath.Join(p.root, name))
		if err != nil || !info.ModTime().Equal(want) {
			t.Errorf("%s: mtime %v, want %v: %v", name, info.ModTime(), want, err)
		}
	}
}

func TestTimesBeforeAndFarAfterTheEpoch(t *testing.T) {
	p := newPlace(t, Options{})
	old := time.Unix(-1000, 500)
	p.mustApply(
		entry{name: "old", mtime: old},
		entry{name: "far", mtime: time.Unix(1<<40, 0)},
		entry{name: "fine", mtime: time.Unix(5, 123456789)},
	)
	for name, want := range map[string]time.Time{"old": old, "fine": time.Unix(5, 123456789)} {
		info, err := os.Stat(filepath.Join(p.root, name))
		if err != nil || !info.ModTime().Equal(want) {
			t.Errorf("%s: mtime %v, want %v: %v", name, info.ModTime(), want, err)
		}
	}
}

func TestXattrs(t *testing.T) {
	p := newPlace(t, Options{})
	if err := unix.Setxattr(p.root, "user.probe", []byte("x"), 0); errors.Is(err, unix.ENOTSUP) {
		t.Skip("needs a file system with user extended attributes")
	}
	xattrs := func(pairs ...string) map[string]string {
		records := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			records[xattrPrefix+pairs[i]] = pairs[i+1]
		}
		return records
	}
	caps := string([]byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	p.mustApply(
		entry{name: "d", kind: tar.TypeDir, mode: 0o755, pax: xattrs("user.a", "1", "user.b", "2")},
		entry{name: "f", mode: 0o755, uid: 5, pax: xattrs("security.capability", caps, "security.selinux", "nobody_u")},
		entry{name: "l", kind: tar.TypeSymlink, link: "f", pax: xattrs("trusted.l", "3", "user.dropped", "x")},
		entry{name: "p", kind: tar.TypeFifo, pax: xattrs("trusted.p", "4")},
	)
	p.mustApply(entry{name: "d", kind: tar.TypeDir, mode: 0o755, pax: xattrs("user.b", "3")})
	for name, want := range map[string]map[string]string{
		"d": {"user.b": "3"},
		"f": {"security.capability": caps},
		"l": {"trusted.l": "3"},
		"p": {"trusted.p": "4"},
	} {
		fd, err := unix.Open(filepath.Join(p.root, name), unix.O_PATH|unix.O_NOFOLLOW, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		names, err := listXattrs(fd)
		if err != nil || len(names) != len(want) {
			t.Errorf("%s has %q, want %d: %v", name, names, len(want), err)
		}
		for xattr, value := range want {
			buf := make([]byte, 100)
			n, err := unix.Lgetxattr(filepath.Join(p.root, name), xattr, buf)
			if err != nil || string(buf[:max(n, 0)]) != value {
				t.Errorf("%s: %s is %q, want %q: %v", name, xattr, buf[:max(n, 0)], value, err)
			}
		}
	}
}

func TestBounds(t *testing.T) {
	three := []entry{file("a", "12345"), file("b", "12345"), file("c", "12345")}
	for _, test := range []struct {
		name    string
		options Options
		wantErr string
	}{
		{"at the bound", Options{MaxEntries: 3, MaxBytes: 15}, ""},
		{"entries", Options{MaxEntries: 2}, "more than 2 entries"},
		{"bytes", Options{MaxBytes: 14}, "more than 14 bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := newPlace(t, test.options).apply(three...)
			if (err == nil) != (test.wantErr == "") || (err != nil && !strings.Contains(err.Error(), test.wantErr)) {
				t.Errorf("Apply: %v, want an error with %q", err, test.wantErr)
			}
		})
	}
}

// A hundred megabytes of zeros take no blocks, and stay a hundred megabytes.
func TestZerosBecomeHoles(t *testing.T) {
	p := newPlace(t, Options{})
	for name, content := range map[string]string{
		"end":    "x" + strings.Repeat("\x00", 100*contentChunk-1),
		"middle": strings.Repeat("\x00", 10*contentChunk) + "x",
		"exact":  strings.Repeat("\x00", contentChunk),
		"short":  strings.Repeat("\x00", 100),
	} {
		p.mustApply(file(name, content))
		got, err := os.ReadFile(filepath.Join(p.root, name))
		if err != nil || string(got) != content {
			t.Errorf("%s: other content: %v", name, err)
		}
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(p.root, name), &st); err != nil || st.Blocks*512 > 2*contentChunk {
			t.Errorf("%s: %d blocks: %v", name, st.Blocks, err)
		}
	}
}

func TestDescriptorsAreClosed(t *testing.T) {
	p := newPlace(t, Options{})
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := count()
	for i := range 3 * maxOpenDirs {
		p.mustApply(file(fmt.Sprintf("d%d/l/f", i), "x"), symlink(fmt.Sprintf("s%d", i), fmt.Sprintf("../d%d/./l", i)), file(fmt.Sprintf("s%d/g", i), "x"), whiteout(fmt.Sprintf(".wh.d%d", i)))
		_ = p.apply(symlink("loop", "loop"), file("loop/f", "x"))
		_ = p.apply(hardLink("h", "no/such"))
	}
	if after := count(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestReadFile(t *testing.T) {
	p := newPlace(t, Options{})
	p.mustApply(
		file("usr/passwd", "inside"), symlink("link", "/usr/passwd"), symlink("out", "../../outside/file"),
		symlink("abs", filepath.Join(p.dir, "outside", "file")),
		entry{name: "fifo", kind: tar.TypeFifo}, entry{name: "zero", kind: tar.TypeChar, major: 1, minor: 5},
		folder("dir"), file("large", strings.Repeat("x", 101)),
	)
	for _, test := range []struct{ name, want, wantErr string }{
		{"usr/passwd", "inside", ""},
		{"/link", "inside", ""},
		{"../../usr/passwd", "inside", ""},
		{"out", "", "no such file"},
		{"abs", "", "no such file"},
		{"fifo", "", "not a regular file"},
		{"zero", "", "not a regular file"},
		{"dir", "", "not a regular file"},
		{"large", "", "101 bytes"},
	} {
		got, err := p.tree.ReadFile(test.name, 100)
		if string(got) != test.want || (err == nil) != (test.wantErr == "") || (err != nil && !strings.Contains(err.Error(), test.wantErr)) {
			t.Errorf("ReadFile(%s) = %q, %v; want %q, %q", test.name, got, err, test.want, test.wantErr)
		}
	}
	if _, err := p.tree.ReadFile("none", 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadFile(none): %v", err)
	}
}

// What a layer put there is known however much it is.
func TestUpperSet(t *testing.T) {
	for _, most := range []int{1, 10, maxUpper} {
		s := newUpperSet(most)
		defer s.close()
		for i := range 3000 {
			if err := s.add(fmt.Sprint("in/", i%2000)); err != nil {
				t.Fatal(err)
			}
		}
		if (s.others == nil) != (most == maxUpper) || len(s.latest) >= most {
			t.Errorf("most %d: %d in memory", most, len(s.latest))
		}
		for i := range 2000 {
			in, err1 := s.has(fmt.Sprint("in/", i))
			out, err2 := s.has(fmt.Sprint("out/", i))
			if !in || out || err1 != nil || err2 != nil {
				t.Fatalf("most %d, %d: %v, %v, %v, %v", most, i, in, out, err1, err2)
			}
		}
	}
}

// Directories are read in parts while they are emptied.
func TestLargeDirectoriesGo(t *testing.T) {
	for _, test := range []struct {
		name  string
		entry entry
		want  []string
	}{
		{"whiteout", whiteout(".wh.d"), []string{"d/", "d/new=x"}},
		{"opaque", whiteout("d/.wh..wh..opq"), []string{"d/", "d/new=x"}},
		{"replaced", file("d", "y"), []string{"d=y"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var below []entry
			for i := range 2500 {
				below = append(below, file(fmt.Sprint("d/", i), ""), file(fmt.Sprint("d/sub/", i), ""))
			}
			p := newPlace(t, Options{})
			for _, entries := range [][]entry{below, {file("d/new", "x"), test.entry}} {
				if err := p.tree.Apply(bytes.NewReader(archive(t, entries...))); err != nil {
					t.Fatal(err)
				}
			}
			if got := p.list(); !slices.Equal(got, test.want) {
				t.Errorf("%d objects, %q", len(got), got[:min(len(got), 9)])
			}
		})
	}
}
