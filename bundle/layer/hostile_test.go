package layer

import (
	"archive/tar"
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// TestHostileLayers: what a layer may try, and where it ends up. Either way
// nothing beside the root changes.
func TestHostileLayers(t *testing.T) {
	long := strings.Repeat("d/", maxPath/2+1) + "f"
	for _, test := range []struct {
		name    string
		layers  [][]entry
		want    []string
		wantErr string
	}{
		{name: "..", layers: [][]entry{{file("../outside/file", "x")}}, want: []string{"outside/", "outside/file=x"}},
		{name: ".. after a directory", layers: [][]entry{{file("a/../../../outside/file", "x")}}, want: []string{"outside/", "outside/file=x"}},
		{name: "absolute name", layers: [][]entry{{file("/outside/file", "x")}}, want: []string{"outside/", "outside/file=x"}},
		{name: "symlink out, written through by the same layer", layers: [][]entry{{symlink("l", "../outside"), file("l/file", "x")}}, want: []string{"l->../outside", "outside/", "outside/file=x"}},
		{name: "symlink out, written through by a later layer", layers: [][]entry{{symlink("l", "../../outside")}, {file("l/file", "x")}}, want: []string{"l->../../outside", "outside/", "outside/file=x"}},
		{name: "absolute symlink out", layers: [][]entry{{symlink("l", "/tmp/x"), file("l/f", "x")}}, want: []string{"l->/tmp/x", "tmp/", "tmp/x/", "tmp/x/f=x"}},
		{name: "symlinks that add up", layers: [][]entry{{folder("a/b"), symlink("a/b/up", "../.."), file("a/b/up/../../outside/file", "x"), file("a/b/up/../outside/file2", "x")}}},
		{name: "a file over a symlink replaces it", layers: [][]entry{{symlink("l", "../outside/file")}, {file("l", "x")}}, want: []string{"l=x"}},
		{name: "a directory over a symlink out replaces it", layers: [][]entry{{symlink("l", "../outside")}, {{name: "l", kind: tar.TypeDir, mode: 0o777, uid: 7}}}, want: []string{"l/"}},
		{name: "a device over a symlink replaces it", layers: [][]entry{{symlink("l", "../outside/file")}, {{name: "l", kind: tar.TypeChar, mode: 0o777, major: 1, minor: 3}}}, want: []string{"l:"}},
		{name: "hard link to outside", layers: [][]entry{{hardLink("h", "../outside/file")}}, wantErr: "link target"},
		{name: "hard link through a symlink out", layers: [][]entry{{symlink("l", "../outside"), hardLink("h", "l/file")}}, wantErr: "link target"},
		{name: "hard link to a symlink out, then written", layers: [][]entry{{symlink("l", "../outside/file"), hardLink("h", "l"), file("h", "x")}}, want: []string{"h=x", "l->../outside/file"}},
		{name: "hard link first", layers: [][]entry{{hardLink("h", "later"), file("later", "x")}}, wantErr: "no such file"},
		{name: "hard link to the root", layers: [][]entry{{hardLink("h", "/")}}, wantErr: "root"},
		{name: "hard link to a directory", layers: [][]entry{{folder("d"), hardLink("h", "d")}}, wantErr: "link target"},
		{name: "hard link over the directory of its target", layers: [][]entry{{file("d/f", "1"), hardLink("d", "d/f")}}, wantErr: "link target"},
		{name: "root as a symlink", layers: [][]entry{{symlink(".", "../outside"), file("file", "x")}}, wantErr: "root must be a directory"},
		{name: "root as a file", layers: [][]entry{{file("a/..", "x")}}, wantErr: "root must be a directory"},
		{name: "root as a hard link", layers: [][]entry{{file("f", "1"), hardLink("..", "f")}}, wantErr: "root must be a directory"},
		{name: "bare whiteout", layers: [][]entry{{whiteout(".wh.")}}, wantErr: "whiteout of"},
		{name: "whiteout of .", layers: [][]entry{{file("a/f", "1")}, {whiteout("a/.wh..")}}, wantErr: "whiteout of"},
		{name: "whiteout of ..", layers: [][]entry{{file("a/f", "1")}, {whiteout("a/.wh...")}}, wantErr: "whiteout of"},
		{name: "whiteout through a symlink out", layers: [][]entry{{symlink("l", "../outside")}, {whiteout("l/.wh.file")}}, want: []string{"l->../outside"}},
		{name: "opaque whiteout through a symlink out", layers: [][]entry{{symlink("l", "../outside")}, {whiteout("l/.wh..wh..opq")}}, want: []string{"l->../outside"}},
		{name: "whiteout of a directory with a symlink out", layers: [][]entry{{symlink("d/l", "../../outside")}, {whiteout(".wh.d")}}},
		{name: "a directory named like a whiteout", layers: [][]entry{{file(".wh.d/f", "x")}}, wantErr: "names cannot begin"},
		{name: "symlink loop as a parent", layers: [][]entry{{symlink("a", "b"), symlink("b", "a"), file("a/f", "x")}}, wantErr: "too many levels"},
		{name: "symlink to itself as a parent", layers: [][]entry{{symlink("a", "a/a/a"), file("a/f", "x")}}, wantErr: "too many levels"},
		{name: "symlink to the root", layers: [][]entry{{symlink("l", "/"), file("l/l/l/f", "x")}}, want: []string{"f=x", "l->/"}},
		{name: "name longer than a path can be", layers: [][]entry{{file(long, "x")}}, wantErr: "too long"},
		{name: "name component longer than a name can be", layers: [][]entry{{file(strings.Repeat("n", 256), "x")}}, wantErr: "too long"},
		{name: "link target longer than a path can be", layers: [][]entry{{hardLink("h", long)}}, wantErr: "too long"},
		{name: "symlink target longer than a path can be", layers: [][]entry{{symlink("l", long)}}, wantErr: "too long"},
		{name: "owner -1", layers: [][]entry{{{name: "f", uid: math.MaxUint32}}}, wantErr: "out of range"},
		{name: "owner beyond 32 bits", layers: [][]entry{{{name: "f", gid: 1 << 33}}}, wantErr: "out of range"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t, Options{})
			var err error
			for _, entries := range test.layers {
				if err = p.apply(entries...); err != nil {
					break
				}
			}
			if (err == nil) != (test.wantErr == "") || (err != nil && !strings.Contains(err.Error(), test.wantErr)) {
				t.Errorf("Apply: %v, want an error with %q", err, test.wantErr)
			}
			if got := p.list(); test.want != nil && !slices.Equal(got, test.want) {
				t.Errorf("tree is %q\nwant    %q", got, test.want)
			}
			p.checkOutside()
		})
	}
}

// Headers that archive/tar would not write.
func TestHostileHeaders(t *testing.T) {
	plain := func() []byte {
		var buf bytes.Buffer
		w := tar.NewWriter(&buf)
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeChar, Name: "f", Mode: 0o644, Format: tar.FormatGNU})
		w.Close()
		return buf.Bytes()
	}
	for _, test := range []struct {
		name, wantErr string
		data          []byte
	}{
		{"unknown type", "unknown type", field(plain(), 156, "Q")},
		{"device number beyond the kernel's", "out of range", field(plain(), 329, "7777777\x00")},
		{"negative device number", "out of range", field(plain(), 329, "\xff\xff\xff\xff\xff\xff\xff\xff")},
		{"size that runs past the end", "unexpected EOF", field(field(plain(), 156, "0"), 124, "77777777777\x00")},
		{"negative size", "invalid tar header", field(field(plain(), 156, "0"), 124, strings.Repeat("\xff", 12))},
		{"truncated header", "unexpected EOF", plain()[:300]},
		{"no tar at all", "invalid tar header", bytes.Repeat([]byte("junk"), 512)},
		{"PAX record out of bounds", "invalid tar header", paxOf("999999 path=x\n")},
		{"PAX record with NUL in the path", "invalid tar header", paxOf("11 path=a\x00b\n")},
		{"PAX record with a negative size", "invalid tar header", paxOf("11 size=-5\n")},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t, Options{})
			err := p.tree.Apply(bytes.NewReader(test.data))
			if err == nil || !strings.Contains(err.Error(), test.wantErr) {
				t.Errorf("Apply: %v, want an error with %q", err, test.wantErr)
			}
			p.checkOutside()
		})
	}
}

// paxOf is an extended header with these bytes, before a file.
func paxOf(records string) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "x", Size: int64(len(records)), Format: tar.FormatUSTAR})
	w.Write([]byte(records))
	w.Flush()
	data := field(buf.Bytes(), 156, "x")
	var rest bytes.Buffer
	w = tar.NewWriter(&rest)
	w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "f", Format: tar.FormatUSTAR})
	w.Close()
	return append(data, rest.Bytes()...)
}

// field overwrites bytes of the first header and repairs its checksum: for
// headers that no writer of tar would make. Offsets as in tar(5).
func field(data []byte, offset int, value string) []byte {
	copy(data[offset:], value)
	copy(data[148:156], "        ")
	sum := 0
	for _, b := range data[:512] {
		sum += int(b)
	}
	copy(data[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return data
}
