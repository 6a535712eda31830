package layer

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/idmap"
)

func TestOwnerCode(t *testing.T) {
	for _, test := range []struct {
		uid, gid int
		want     string
	}{
		{0, 0, ""},
		{992, 123, "08e007107b"},
		{0, 456, "08ffffffff0f10c803"},
		{5, 0, "080510ffffffff0f"},
	} {
		value := encodeOwner(test.uid, test.gid)
		if got := hex.EncodeToString(value); got != test.want {
			t.Errorf("encodeOwner(%d, %d) = %s, want %s", test.uid, test.gid, got, test.want)
		}
		uid, gid, err := decodeOwner(value)
		if err != nil || uid != test.uid || gid != test.gid {
			t.Errorf("decodeOwner(%s) = %d, %d, %v", test.want, uid, gid, err)
		}
	}
	for _, bad := range []string{"08", "0a", "08ffffffffffffffffffff", "ff", "0880808080808080808001", strings.Repeat("0801", 40)} {
		value, err := hex.DecodeString(bad)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := decodeOwner(value); err == nil {
			t.Errorf("decodeOwner(%s) succeeds", bad)
		}
	}
}

// FuzzOwner: no value of the attribute panics, and what is understood can be
// written again.
func FuzzOwner(f *testing.F) {
	f.Add([]byte{8, 1, 16, 2})
	f.Fuzz(func(t *testing.T, value []byte) {
		uid, gid, err := decodeOwner(value)
		if err != nil {
			return
		}
		u, g, err := decodeOwner(encodeOwner(uid, gid))
		if err != nil || u != uid || g != gid {
			t.Errorf("%x: %d:%d became %d:%d: %v", value, uid, gid, u, g, err)
		}
	})
}

func TestIDMaps(t *testing.T) {
	maps := []idmap.Map{{ContainerID: 0, HostID: 100000, Size: 10}}
	p := newPlace(t, Options{UIDs: maps, GIDs: maps})
	p.mustApply(entry{name: "a/f", uid: 3, gid: 4}, symlink("l", "f"))
	for name, want := range map[string][2]uint32{"a": {100000, 100000}, "a/f": {100003, 100004}, "l": {100000, 100000}} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(p.root, name), &st); err != nil || [2]uint32{st.Uid, st.Gid} != want {
			t.Errorf("%s belongs to %d:%d, want %v: %v", name, st.Uid, st.Gid, want, err)
		}
	}
	if err := p.apply(entry{name: "g", uid: 10}); err == nil || !strings.Contains(err.Error(), "user id 10 is not mapped") {
		t.Errorf("an id that is not mapped: %v", err)
	}
	var back bytes.Buffer
	packer := NewPacker(&back, PackOptions{UIDs: maps, GIDs: maps})
	if err := packer.AddTree(filepath.Join(p.root, "a"), "a"); err != nil {
		t.Fatal(err)
	}
	packed := headers(t, &back, packer)
	if got := packed[1]; got.Uid != 3 || got.Gid != 4 {
		t.Errorf("packed with owner %d:%d", got.Uid, got.Gid)
	}
	if err := os.Lchown(filepath.Join(p.root, "l"), 5, 5); err != nil {
		t.Fatal(err)
	}
	err := NewPacker(io.Discard, PackOptions{UIDs: maps, GIDs: maps}).AddTree(filepath.Join(p.root, "l"), "l")
	if err == nil || !strings.Contains(err.Error(), "not mapped") {
		t.Errorf("packing an id of the host that is not mapped: %v", err)
	}
}

func headers(t *testing.T, r io.Reader, p *Packer) []*tar.Header {
	t.Helper()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	var all []*tar.Header
	archive := tar.NewReader(r)
	for {
		h, err := archive.Next()
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, h)
	}
}

func TestKeepDirlinks(t *testing.T) {
	lower := []entry{folder("real"), symlink("l", "real"), symlink("loop", "loop"), symlink("dangling", "none"), symlink("tofile", "f"), file("f", "1"), symlink("out", "../outside")}
	upper := []entry{
		{name: "l", kind: tar.TypeDir, mode: 0o700}, file("l/x", "2"),
		folder("loop"), folder("dangling"), folder("tofile"), folder("out"), file("out/file", "inside"),
	}
	for _, test := range []struct {
		keep bool
		want []string
	}{
		{true, []string{"dangling/", "f=1", "l->real", "loop/", "out/", "out/file=inside", "real/", "real/x=2", "tofile/"}},
		{false, []string{"dangling/", "f=1", "l/", "l/x=2", "loop/", "out/", "out/file=inside", "real/", "tofile/"}},
	} {
		p := newPlace(t, Options{KeepDirlinks: test.keep})
		p.mustApply(lower...)
		p.mustApply(upper...)
		if got := p.list(); !slices.Equal(got, test.want) {
			t.Errorf("keep %v: tree is %q\nwant %q", test.keep, got, test.want)
		}
		p.checkOutside()
	}
}

func TestSkipDevices(t *testing.T) {
	p := newPlace(t, Options{SkipDevices: true})
	p.mustApply(entry{name: "n", kind: tar.TypeChar, major: 1, minor: 3}, entry{name: "p", kind: tar.TypeFifo}, entry{name: "b", kind: tar.TypeBlock})
	if got := p.list(); !slices.Equal(got, []string{"p|"}) {
		t.Errorf("tree is %q", got)
	}
}

// Hashes are told as files are written, and stand for what is in them.
func TestHashed(t *testing.T) {
	sums := map[uint64][sha256.Size]byte{}
	p := newPlace(t, Options{Hashed: func(inode uint64, sum [sha256.Size]byte) { sums[inode] = sum }})
	zeros := strings.Repeat("\x00", 3*contentChunk)
	p.mustApply(file("a", "content"), file("zero", zeros+"x"+zeros), file("empty", ""))
	p.mustApply(file("a", "other"), hardLink("h", "a"))
	for name, content := range map[string]string{"a": "other", "h": "other", "zero": zeros + "x" + zeros, "empty": ""} {
		var st unix.Stat_t
		if err := unix.Stat(filepath.Join(p.root, name), &st); err != nil {
			t.Fatal(err)
		}
		if sums[st.Ino] != sha256.Sum256([]byte(content)) {
			t.Errorf("the hash of %s is of something else", name)
		}
	}
}

// As an ordinary user in a child process: owners in the attribute, devices as
// files, directories that nobody may enter.
func TestRootless(t *testing.T) {
	const flag = "HAKO_LAYER_ROOTLESS"
	if root := os.Getenv(flag); root != "" {
		applyRootless(t, root)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: to become somebody else")
	}
	dir, err := os.MkdirTemp("/tmp", "rootless")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	root := filepath.Join(dir, "root")
	for _, path := range []string{dir, root} {
		if path == root {
			err = os.Mkdir(root, 0o755)
		}
		if err = errors.Join(err, os.Chown(path, 12345, 12345)); err != nil {
			t.Fatal(err)
		}
	}
	test := filepath.Join(dir, "test")
	binary, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(test, binary, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	process, err := os.StartProcess(test, []string{test, "-test.run=^TestRootless$", "-test.v"}, &os.ProcAttr{
		Dir: dir, Env: []string{flag + "=" + root, "TMPDIR=" + dir}, Files: []*os.File{nil, os.Stdout, os.Stderr},
		Sys: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}},
	})
	if err != nil {
		t.Fatal(err)
	}
	state, err := process.Wait()
	if err != nil || !state.Success() {
		t.Errorf("as an ordinary user: %v %v", state, err)
	}
	_ = unix.Chmod(filepath.Join(root, "closed"), 0o700)
}

func applyRootless(t *testing.T, root string) {
	var warnings []string
	tree, err := OpenTree(root, Options{Rootless: true, Warn: func(w string) { warnings = append(warnings, w) }})
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	layers := [][]entry{
		{
			{name: "closed", kind: tar.TypeDir, mode: 0o020, uid: 7, gid: 8, mtime: epoch}, {name: "closed/f", content: "1", mode: 0o400, uid: 992, gid: 123},
			{name: "null", kind: tar.TypeChar, mode: 0o666, major: 1, minor: 3},
			{name: "cap", mode: 0o755, content: "x", pax: map[string]string{xattrPrefix + "security.capability": "\x01\x00\x00\x02" + strings.Repeat("\x00", 16), xattrPrefix + "user.kept": "yes"}},
		},
		{{name: "closed/g", content: "2", mode: 0o644}, {name: "closed/.wh.f"}, {name: "p", kind: tar.TypeFifo}},
	}
	for _, entries := range layers {
		if err := tree.Apply(bytes.NewReader(archive(t, entries...))); err != nil {
			t.Fatal(err)
		}
	}
	if err := tree.Finish(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		mode  uint32
		owner string
	}{
		"closed": {unix.S_IFDIR | 0o020, "08071008"}, "null": {unix.S_IFREG, ""}, "p": {unix.S_IFIFO | 0o644, ""}, "cap": {unix.S_IFREG | 0o755, ""},
	} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(root, name), &st); err != nil || st.Mode != want.mode || st.Uid != 12345 {
			t.Errorf("%s has mode %o, owner %d; want %o: %v", name, st.Mode, st.Uid, want.mode, err)
		}
		value := make([]byte, 64)
		n, _ := unix.Getxattr(filepath.Join(root, name), rootlessXattr, value)
		if got := hex.EncodeToString(value[:max(n, 0)]); got != want.owner && name != "closed" {
			t.Errorf("%s: owner %s, want %s", name, got, want.owner)
		}
	}
	if len(warnings) != 2 {
		t.Errorf("warnings %q, want one of a device and one of an attribute", warnings)
	}
	packRootless(t, root)
}

// packRootless reads what its owner may not, and leaves it as it was.
func packRootless(t *testing.T, root string) {
	var out bytes.Buffer
	p := NewPacker(&out, PackOptions{Rootless: true})
	if err := p.AddTree(root, ""); err != nil {
		t.Fatal(err)
	}
	found := map[string]*tar.Header{}
	for _, h := range headers(t, &out, p) {
		found[h.Name] = h
	}
	closed, g := found["closed/"], found["closed/g"]
	if closed == nil || g == nil || closed.Uid != 7 || closed.Gid != 8 || closed.Mode != 0o020 || closed.PAXRecords[xattrPrefix+rootlessXattr] != "" {
		t.Errorf("packed %v and %v", closed, g)
	}
	var st unix.Stat_t
	if err := unix.Lstat(filepath.Join(root, "closed"), &st); err != nil || st.Mode&0o777 != 0o020 {
		t.Errorf("packing changed a mode to %o: %v", st.Mode, err)
	}
}

func TestPackRefuses(t *testing.T) {
	p := newPlace(t, Options{})
	p.mustApply(folder("d"))
	if err := os.WriteFile(filepath.Join(p.root, "d", ".wh.x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, pack := range map[string]func(*Packer) error{
		"a file named like a whiteout": func(pk *Packer) error { return pk.AddTree(filepath.Join(p.root, "d"), "d") },
		"a name like a whiteout":       func(pk *Packer) error { return pk.AddTree(p.root, ".wh.d") },
		"a change of such a file":      func(pk *Packer) error { return addChanges(pk, p.tree, []Change{{Path: "d/.wh.x"}}) },
		"a whiteout of a whiteout":     func(pk *Packer) error { return pk.Whiteout("d/.wh.x") },
		"a whiteout of nothing":        func(pk *Packer) error { return pk.Whiteout("d/") },
		"a whiteout of ..":             func(pk *Packer) error { return pk.Whiteout("d/..") },
		"what is not there":            func(pk *Packer) error { return addChanges(pk, p.tree, []Change{{Path: "none"}}) },
	} {
		if err := pack(NewPacker(io.Discard, PackOptions{})); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// What a layer looks like: sorted, whiteouts between, first name of a hard
// link is the file, times in seconds and not after the epoch that is asked for.
func TestPackedHeaders(t *testing.T) {
	p := newPlace(t, Options{})
	p.mustApply(folder("d"), file("d/b", "1"), hardLink("d/a", "d/b"), file("e", "2"), file("z", "3"))
	at := unix.NsecToTimespec(time.Unix(2e9, 5e8).UnixNano())
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(p.root, "e"), []unix.Timespec{at, at}, 0); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	packer := NewPacker(&out, PackOptions{NotAfter: time.Unix(1_900_000_000, 0)})
	err := addChanges(packer, p.tree, []Change{{Path: "z"}, {Path: "gone", Removed: true}, {Path: "d/b"}, {Path: "d/a"}, {Path: "e"}, {Path: ""}, {Path: "d"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range headers(t, &out, packer) {
		got = append(got, fmt.Sprintf("%s %c %o %d %d %s", h.Name, h.Typeflag, h.Mode, h.Size, h.ModTime.Unix(), h.Linkname))
	}
	want := []string{
		"./ 5 755 0 " + fmt.Sprint(mtimeOf(t, p.root)) + " ", "d/ 5 755 0 1000000000 ", "d/a 0 644 1 1000000000 ", "d/b 1 644 0 1000000000 d/a",
		"e 0 644 1 1900000000 ", ".wh.gone 0 0 0 0 ", "z 0 644 1 1000000000 ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("packed\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func mtimeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return min(info.ModTime().Unix(), 1_900_000_000)
}

// Both ways to apply a layer come to the same tree, or both refuse it.
func TestVirtualAgreesWithTree(t *testing.T) {
	for _, layers := range [][][]entry{
		{{folder("a"), file("a/f", "1"), symlink("l", "a"), hardLink("a/h", "a/f")}, {file("l/g", "2"), whiteout("a/.wh.f")}},
		{{file("d/a", "1"), file("d/s/b", "1")}, {whiteout(".wh.d"), file("d/c", "2")}},
		{{file("d/a", "1"), file("d/s/b", "1")}, {file("d/c", "2"), whiteout("d/.wh..wh..opq")}},
		{{file("f", "1")}, {file("f/g", "2")}},
		{{folder("real"), symlink("x", "../../real"), file("x/y", "1")}},
		{{symlink("l", "l"), file("l/f", "x")}},
		{{hardLink("h", "none")}},
		{{folder("d"), hardLink("h", "d")}},
		{{symlink(".", "x")}},
		{{whiteout(".wh.")}},
		{{file("d/f", "1")}, {file("d", "2")}, {folder("d")}},
		{{file("l/f", "1"), hardLink("l", "l/f"), file("l/g", "2")}},
		{{folder("d"), file("d/f", "1"), symlink("l", "d"), hardLink("l", "l/f")}},
		{{file("f", "1"), hardLink("f", "f")}},
		{{file(strings.Repeat("n", 256), "x")}},
		{{file("d/"+strings.Repeat("n", 256)+"/f", "x")}},
		{{hardLink("h", strings.Repeat("n", 256))}},
		{{whiteout(".wh." + strings.Repeat("n", 252))}},
		{{file(strings.Repeat("n", 255)+"/"+strings.Repeat("m", 255), "x")}, {whiteout(strings.Repeat("n", 255) + "/.wh." + strings.Repeat("m", 251))}},
	} {
		p := newPlace(t, Options{})
		v := NewVirtual(Options{})
		var onDisk, inMemory error
		for _, entries := range layers {
			data := archive(t, entries...)
			if onDisk == nil {
				onDisk = p.tree.Apply(bytes.NewReader(data))
			}
			if inMemory == nil {
				inMemory = v.Apply(bytes.NewReader(data))
			}
		}
		if (onDisk == nil) != (inMemory == nil) {
			t.Errorf("%v: on disk %v, in memory %v", layers, onDisk, inMemory)
			continue
		}
		if onDisk == nil {
			if got, want := virtualList(v), namesOnly(p.list()); !slices.Equal(got, want) {
				t.Errorf("in memory %q, on disk %q", got, want)
			}
		}
	}
}

func virtualList(v *Virtual) []string {
	var all []string
	err := v.Walk(func(path string, o *Object) error {
		switch {
		case path == "":
			return nil
		case o.Type == tar.TypeDir:
			path += "/"
		case o.Type == tar.TypeSymlink:
			path += "->" + o.Link
		}
		all = append(all, path)
		return nil
	})
	if err != nil {
		panic(err)
	}
	slices.Sort(all)
	return all
}

func namesOnly(list []string) []string {
	var all []string
	for _, name := range list {
		name, _, _ = strings.Cut(name, "=")
		all = append(all, strings.TrimRight(name, "|:"))
	}
	slices.Sort(all)
	return all
}

// addChanges sorts them first.
func addChanges(p *Packer, t *Tree, changes []Change) error {
	slices.SortFunc(changes, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return p.AddSorted(t, func(yield func(Change, error) bool) {
		for _, c := range changes {
			if !yield(c, nil) {
				return
			}
		}
	})
}
