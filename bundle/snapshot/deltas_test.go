package snapshot

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func collect(t *testing.T, d *Deltas) (all []Delta) {
	t.Helper()
	for delta, err := range d.All() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, delta)
	}
	return all
}

// What lies on disk comes back as what stayed in memory does, however often.
func TestDeltasOnDisk(t *testing.T) {
	var list []Delta
	for i := range 500 {
		path := fmt.Sprintf("d/%03d", i)
		e := &Entry{Path: path, Type: "file", Nlink: 1}
		switch i % 5 {
		case 0: // a directory became a file
			list = append(list, Delta{path, Deleted, &Entry{Path: path, Type: "dir"}, nil}, Delta{path, Added, nil, e})
			continue
		case 1: // one of two names of a file is new
			e.Nlink, e.stat.inode = 2, uint64(i)
			other := *e
			other.Path += "-other"
			list = append(list, Delta{other.Path, linked, nil, &other})
		case 2:
			e.Nlink, e.stat.inode = 2, uint64(i)
			list = append(list, Delta{path, linked, nil, e})
			continue
		}
		list = append(list, Delta{path, Added, nil, e})
	}
	memory, disk := newDeltas(), newDeltas()
	disk.limit = 7
	defer disk.Close()
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for _, d := range list {
		for _, into := range []*Deltas{memory, disk} {
			if err := into.add(d); err != nil {
				t.Fatal(err)
			}
		}
	}
	if memory.file != nil || len(disk.runs) < 50 {
		t.Fatalf("%d runs on disk, %v", len(disk.runs), memory.file)
	}
	want := collect(t, memory)
	// Of 500: the 100 that are only linked are left out, 100 have another name.
	if len(want) != 500 || want[0].Kind != Modified || want[0].Was.Type != "dir" || want[0].Now.Type != "file" {
		t.Fatalf("%d changes, first %+v", len(want), want[0])
	}
	for range 2 {
		if got := collect(t, disk); !reflect.DeepEqual(got, want) {
			t.Error("the order or content differs")
		}
	}
	for _, d := range []*Deltas{memory, disk} {
		d.Drop(func(d Delta) bool { return d.Kind == Modified })
		if got := collect(t, d); len(got) != 300 || slices.ContainsFunc(got, func(d Delta) bool { return d.Kind == Modified }) {
			t.Errorf("%d are left", len(got))
		}
		d.Drop(func(Delta) bool { return true })
		if empty, err := d.Empty(); !empty || err != nil {
			t.Errorf("empty: %v, %v", empty, err)
		}
	}
}

func TestDeltaIsReadAsItWasWritten(t *testing.T) {
	sum := sha256.Sum256([]byte("x"))
	full := &Entry{
		Path: "a\x00b", Type: "file", Size: -1, UID: 1 << 31, GID: 3, Mode: 0o7777, Nlink: 5, Link: "to", MTime: -7,
		Xattrs: map[string]string{"user.a": "\x00\xff", "b": ""}, Sum: &sum, stat: stamp{inode: 1 << 63},
	}
	for _, d := range []Delta{
		{"a\x00b", Modified, full, full},
		{"a\x00b", Added, nil, full},
		{"a\x00b", Deleted, full, nil},
		{"", Modified, &Entry{Type: "dir"}, &Entry{Type: "dir"}},
	} {
		b := appendDelta(nil, d)
		got, err := readDelta(bufio.NewReader(bytes.NewReader(b)))
		if err != nil || !reflect.DeepEqual(got, d) {
			t.Errorf("got %+v, %v, want %+v", got, err, d)
		}
		for n := 1; n < len(b); n++ {
			if _, err := readDelta(bufio.NewReader(bytes.NewReader(b[:n]))); err == nil {
				t.Errorf("the first %d of %d bytes are understood", n, len(b))
			}
		}
	}
}

// Names are chosen so that what sorts between a directory and its content, and
// what begins like its name, is there.
func TestTwoTreesAreComparedWithoutOneInMemory(t *testing.T) {
	entry := func(path, kind string, size int64) *Entry { return &Entry{Path: path, Type: kind, Size: size} }
	was := []*Entry{
		entry("dir", "dir", 0), entry("dir-x", "file", 1), entry("dir/file", "file", 1), entry("dir/sub", "dir", 0), entry("dir/sub/deep", "file", 1),
		entry("kept", "dir", 0), entry("kept/gone", "file", 1), entry("kept/same", "file", 1), entry("kept/grown", "file", 1),
		entry("turned", "dir", 0), entry("turned/in", "file", 1), entry("turned.d", "dir", 0), entry("turned.d/in", "file", 1),
		entry("opened", "file", 1),
	}
	now := []*Entry{
		entry("kept", "dir", 0), entry("kept/same", "file", 1), entry("kept/grown", "file", 2), entry("kept/new", "file", 1),
		entry("turned", "file", 1), entry("turned.d", "dir", 0),
		entry("opened", "dir", 0), entry("opened/in", "file", 1),
	}
	want := []string{
		"D dir", "D dir-x", "D kept/gone", "M kept/grown", "A kept/new", "M opened", "A opened/in", "M turned", "D turned.d/in",
	}
	for _, limit := range []int{1, 3, runLength} {
		d := NewDeltas()
		defer d.Close()
		d.limit = limit
		for _, e := range was {
			if err := d.Was(e); err != nil {
				t.Fatal(err)
			}
		}
		for _, e := range now {
			if err := d.Now(e); err != nil {
				t.Fatal(err)
			}
		}
		if empty, err := d.Empty(); empty || err != nil {
			t.Errorf("empty: %v, %v", empty, err)
		}
		for range 2 {
			var got []string
			for _, delta := range collect(t, d) {
				got = append(got, string(delta.Kind)+" "+delta.Path)
			}
			if !slices.Equal(got, want) {
				t.Errorf("runs of %d:\ngot  %q\nwant %q", limit, got, want)
			}
		}
	}
}

// Whatever sorts between a directory and what is in it.
func TestSubtreesHoldWhatIsInThem(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		paths := map[string]bool{}
		for range 60 {
			b := make([]byte, 1+random.IntN(6))
			for i := range b {
				b[i] = "ab-.0\x00/\xff"[random.IntN(8)]
			}
			if !bytes.HasPrefix(b, []byte("/")) && !bytes.HasSuffix(b, []byte("/")) && !bytes.Contains(b, []byte("//")) {
				paths[string(b)] = true
			}
		}
		var subtrees subtrees
		for range 2 {
			var gone []string
			for _, path := range slices.Sorted(maps.Keys(paths)) {
				want := slices.ContainsFunc(gone, func(dir string) bool { return strings.HasPrefix(path, dir+"/") })
				if got := subtrees.hold(path); got != want {
					t.Fatalf("%q in %q: %v", path, gone, got)
				}
				if !want && random.IntN(3) == 0 {
					gone = append(gone, path)
					subtrees.add(path)
				}
			}
		}
	}
	var many subtrees
	for i := range 1000 {
		path := fmt.Sprintf("d%04d", i)
		many.hold(path)
		many.add(path)
	}
	if len(many.open) != 1 {
		t.Errorf("%d of which no path can be in are kept", len(many.open))
	}
}
