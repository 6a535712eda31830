package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// bundleRun executes a command line that has to succeed.
func bundleRun(t testing.TB, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if status := run(context.Background(), append([]string{"bundle"}, args...), &stdout, &stderr); status != 0 {
		t.Fatalf("bundle %s: exit status %d: %s", strings.Join(args, " "), status, stderr.String())
	}
	return stdout.String()
}

// forest grows and changes trees by chance.
type forest struct {
	testing.TB
	*rand.Rand
	root string
}

func (f *forest) check(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// paths are the objects of the tree, all or the directories.
func (f *forest) paths(dirs bool) []string {
	f.Helper()
	var all []string
	f.check(filepath.WalkDir(f.root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && (d.IsDir() || !dirs) {
			all = append(all, path)
		}
		return err
	}))
	return all
}

func pick[T any](f *forest, all []T) T { return all[f.IntN(len(all))] }

func (f *forest) newPath() string {
	names := []string{"a", "b", "c", "a.txt", "sp ace", "[x]*?#", "é", "\n", "-dash", "..." + strings.Repeat("n", 120), "x=y", "\\040"}
	for {
		path := filepath.Join(pick(f, f.paths(true)), pick(f, names))
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			return path
		}
		names = append(names, fmt.Sprint("n", f.IntN(1000)))
	}
}

// add makes an object of some type.
func (f *forest) add() {
	f.Helper()
	path := f.newPath()
	switch f.IntN(9) {
	case 0, 1, 2:
		f.check(os.WriteFile(path, f.content(), 0o644))
	case 3, 4:
		f.check(os.Mkdir(path, 0o755))
	case 5:
		f.check(os.Symlink(pick(f, []string{"a", "../b", "/etc/passwd", "sp ace", "."}), path))
		f.describe(path, false)
		return
	case 6:
		if from := pick(f, f.paths(false)); !isDirectory(from) {
			f.check(os.Link(from, path))
		}
		return
	case 7:
		f.check(unix.Mkfifo(path, 0o600))
	case 8:
		f.check(unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, uint32(f.IntN(10))))))
	}
	f.describe(path, true)
}

func isDirectory(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

func (f *forest) content() []byte {
	data := make([]byte, pick(f, []int{0, 1, 100, 513, 200000}))
	for i := range data {
		data[i] = byte(f.IntN(4))
	}
	return data
}

// describe gives an object attributes.
func (f *forest) describe(path string, hasMode bool) {
	f.Helper()
	f.check(os.Lchown(path, f.IntN(3)*1000, f.IntN(3)*100000))
	if hasMode {
		f.check(unix.Chmod(path, pick(f, []uint32{0o644, 0o755, 0o4755, 0o2711, 0o1777, 0o600, 0})))
	}
	if f.IntN(3) == 0 {
		err := unix.Lsetxattr(path, "trusted.t", []byte{0, '=', '\n', byte(f.IntN(255))}, 0)
		if err != nil && !errors.Is(err, unix.ENOTSUP) {
			f.Fatal(err)
		}
	}
	at := unix.NsecToTimespec(pick(f, []int64{0, -5e9, 1e18, 1500000000123456789}))
	f.check(unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW))
}

// edit changes something that is there.
func (f *forest) edit() {
	f.Helper()
	all := f.paths(false)[1:] // not the root
	if len(all) == 0 {
		f.add()
		return
	}
	path := pick(f, all)
	info, err := os.Lstat(path)
	f.check(err)
	switch f.IntN(8) {
	case 0:
		f.check(os.RemoveAll(path))
	case 1:
		f.check(os.RemoveAll(path))
		f.check(os.Symlink("a", path))
	case 2:
		f.check(os.RemoveAll(path))
		f.check(os.Mkdir(path, 0o700))
	case 3:
		f.describe(path, info.Mode()&fs.ModeSymlink == 0)
	case 4, 5:
		if info.Mode().IsRegular() {
			f.check(os.WriteFile(path, f.content(), 0o644))
		}
	case 6:
		to := f.newPath()
		if !strings.HasPrefix(to, path+"/") {
			f.check(os.Rename(path, to))
		}
	case 7:
		_ = unix.Lremovexattr(path, "trusted.t")
	}
}

// portrait is all of a tree that an image keeps, a line for each path.
func portrait(t testing.TB, root string) map[string]string {
	t.Helper()
	lines := map[string]string{}
	first := map[uint64]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		line := fmt.Sprintf("%o %d:%d %d dev=%x", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Rdev)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %x", sha256.Sum256(data))
		case unix.S_IFLNK:
			target, _ := os.Readlink(path)
			line += " -> " + target
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			if _, ok := first[st.Ino]; !ok {
				first[st.Ino] = name
			}
			line += fmt.Sprintf(" links=%d with %q", st.Nlink, first[st.Ino])
		}
		value := make([]byte, 100)
		if n, err := unix.Lgetxattr(path, "trusted.t", value); err == nil {
			line += fmt.Sprintf(" %q", value[:n])
		}
		lines[name] = line
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func samePortrait(t testing.TB, what string, got, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Errorf("%s: %q is\n%s, want\n%s", what, name, got[name], want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %q should not be there", what, name)
		}
	}
}

// Random trees become layers and trees again, and after random edits and a
// commit the image holds what the bundle does: every attribute, hard link and
// removal. Another commit finds nothing to do.
func TestRoundTrip(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: chown and mknod")
	}
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 7))
			dir := t.TempDir()
			tree := filepath.Join(dir, "tree")
			f := &forest{t, random, tree}
			f.check(os.Mkdir(tree, 0o755))
			for range 40 {
				f.add()
			}
			img := filepath.Join(dir, "img") + ":v"
			bundleRun(t, "init", "--layout", filepath.Join(dir, "img"))
			bundleRun(t, "new", "--image", img)
			bundleRun(t, "insert", "--compress", pick(f, []string{"gzip", "zstd", "none"}), "--image", img, tree, "/")
			work := filepath.Join(dir, "work")
			bundleRun(t, "unpack", "--image", img, work)
			samePortrait(t, "unpack", portrait(t, work+"/rootfs"), portrait(t, tree))

			f.root = filepath.Join(work, "rootfs")
			for round := range 3 {
				for range 1 + f.IntN(15) {
					f.edit()
					f.add()
				}
				if round == 1 {
					time.Sleep(20 * time.Millisecond) // let the record trust files
				}
				edited := portrait(t, f.root)
				bundleRun(t, "commit", "-m", fmt.Sprint("round ", round), work)
				again := filepath.Join(dir, fmt.Sprint("again", round))
				bundleRun(t, "unpack", "--image", img, again)
				samePortrait(t, fmt.Sprint("commit ", round), portrait(t, again+"/rootfs"), edited)
				if out := bundleRun(t, "diff", work); out != "" {
					t.Errorf("after the commit there are changes:\n%s", out)
				}
				if out := bundleRun(t, "diff", "--paranoid", work); out != "" {
					t.Errorf("after the commit a closer look finds changes:\n%s", out)
				}
			}
			bundleRun(t, "rollback", img, "3")
			back := filepath.Join(dir, "back")
			bundleRun(t, "unpack", "--image", img, back)
			samePortrait(t, "rollback", portrait(t, back+"/rootfs"), portrait(t, tree))
		})
	}
}

// The same changes give the same layer, whoever makes them and whenever.
func TestLayersAreReproducible(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: chown and mknod")
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1600000000")
	var want string
	for range 2 {
		dir := t.TempDir()
		f := &forest{t, rand.New(rand.NewPCG(3, 3)), filepath.Join(dir, "tree")}
		f.check(os.Mkdir(f.root, 0o755))
		for range 30 {
			f.add()
		}
		img := filepath.Join(dir, "img")
		bundleRun(t, "init", "--layout", img)
		bundleRun(t, "new", "--image", img)
		bundleRun(t, "insert", "--image", img, f.root, "/")
		index, err := os.ReadFile(filepath.Join(img, "index.json"))
		f.check(err)
		if want == "" {
			want = string(index)
		}
		if string(index) != want {
			t.Errorf("index.json is\n%s, want\n%s", index, want)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// diff of two images, which unpacks nothing, agrees with what unpacking shows.
func TestDiffOfImagesAgreesWithUnpack(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: chown and mknod")
	}
	for seed := range uint64(4) {
		dir := t.TempDir()
		f := &forest{t, rand.New(rand.NewPCG(seed, 99)), filepath.Join(dir, "tree")}
		f.check(os.Mkdir(f.root, 0o755))
		for range 30 {
			f.add()
		}
		img := filepath.Join(dir, "img")
		bundleRun(t, "init", "--layout", img)
		bundleRun(t, "new", "--image", img+":one")
		bundleRun(t, "insert", "--image", img+":one", f.root, "/")
		work := filepath.Join(dir, "work")
		bundleRun(t, "unpack", "--image", img+":one", work)
		before := portrait(t, work+"/rootfs")
		f.root = filepath.Join(work, "rootfs")
		for range 10 {
			f.edit()
		}
		bundleRun(t, "repack", "--image", img+":two", work)
		after := portrait(t, work+"/rootfs")
		changes := 0
		for name := range after {
			if name != "." && withoutLinks(before[name]) != withoutLinks(after[name]) {
				changes++
			}
		}
		for name := range before {
			parent := filepath.Dir(name)
			_, here := after[name]
			parentIsDir := strings.HasPrefix(after[parent], "4") // S_IFDIR in octal
			if !here && parentIsDir {
				changes++
			}
		}
		out := bundleRun(t, "diff", img+":one", img+":two")
		if got := strings.Count(out, "\n"); got != changes {
			t.Errorf("seed %d: diff tells %d changes, unpacking shows %d:\n%s", seed, got, changes, out)
		}
	}
}

// withoutLinks drops what diff does not tell: which names share a file.
func withoutLinks(line string) string {
	before, rest, _ := strings.Cut(line, " links=")
	if i := strings.LastIndex(rest, `" "`); i >= 0 {
		before += rest[i:]
	}
	return before
}
