package layer

import (
	"archive/tar"
	"bytes"
	"slices"
	"strings"
	"testing"
)

// FuzzTar applies foreign bytes.
func FuzzTar(f *testing.F) {
	f.Add(archive(f, symlink("l", "../outside"), file("l/file", "x")))
	f.Add(archive(f, entry{name: "x", pax: map[string]string{xattrPrefix + "user.a": "b"}}, hardLink("y", "x")))
	f.Add(paxOf("11 path=abc\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p := newPlace(t, Options{MaxEntries: 1000, MaxBytes: 1 << 20})
		_ = p.tree.Apply(bytes.NewReader(data))
		p.checkOutside()
	})
}

// FuzzLayers applies layers that are written as text, a line for an entry:
// what a layer can mean, reached faster than through the bytes of a tar. A
// line "-" begins the next layer; otherwise it is a letter for the type, the
// name, and the target of a link.
func FuzzLayers(f *testing.F) {
	for _, seed := range []string{
		"l a ../outside\n-\nf a/file",
		"l a /outside\nl b a/..\nf b/outside/file",
		"f d/f\nh h d/f\n-\nf .wh.d\nf d/g\nf d/.wh..wh..opq",
		"d a\nl a/b /a\np a/p\n-\nf a/b/../../c\nd a/b\nd .",
		"d a/b\nl x a\nf x/b/f\nl x .\nf x/b/g\nf .wh.x",
		"h a b\nl . x\nf .wh.\nf .wh...",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, script string) {
		p := newPlace(t, Options{MaxEntries: 200, MaxBytes: 1 << 20})
		v := NewVirtual(Options{})
		for layer := range strings.SplitSeq(script, "\n-\n") {
			data, ok := archiveOf(layer)
			if !ok || p.tree.Apply(bytes.NewReader(data)) != nil {
				break
			}
			if err := v.Apply(bytes.NewReader(data)); err != nil {
				t.Errorf("in memory: %v", err)
			} else if got, want := virtualList(v), namesOnly(p.list()); !slices.Equal(got, want) && !strings.ContainsAny(script, "|:=>") {
				t.Errorf("in memory %q, on disk %q", got, want)
			}
			for _, object := range p.list() {
				if strings.HasPrefix(object, whiteoutPrefix) || strings.Contains(object, "/"+whiteoutPrefix) {
					t.Errorf("%q is in the tree", object)
				}
			}
		}
		p.checkOutside()
	})
}

// archiveOf is false for what cannot be written to an archive.
func archiveOf(layer string) ([]byte, bool) {
	types := map[string]byte{
		"f": tar.TypeReg, "d": tar.TypeDir, "l": tar.TypeSymlink,
		"h": tar.TypeLink, "p": tar.TypeFifo, "c": tar.TypeChar,
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for line := range strings.SplitSeq(layer, "\n") {
		word := strings.Split(line, " ")
		if len(word) < 2 || types[word[0]] == 0 {
			return nil, false
		}
		e := entry{kind: types[word[0]], name: word[1], mode: 0o755}
		if e.kind == tar.TypeSymlink || e.kind == tar.TypeLink {
			if len(word) < 3 {
				return nil, false
			}
			e.link = word[2]
		}
		if w.WriteHeader(e.header()) != nil {
			return nil, false
		}
	}
	return buf.Bytes(), w.Close() == nil
}
