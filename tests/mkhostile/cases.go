package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// cases are the attacks. What lies outside is ../../victim, seen from the
// root filesystem of a bundle, and /tmp/hako-hostile-victim.
func cases() []hostile {
	all := append(names(), links()...)
	all = append(all, whiteouts()...)
	all = append(all, sizes()...)
	return append(append(all, blobs()...), indexes()...)
}

const (
	relative = "../../victim"
	absolute = "/tmp/hako-hostile-victim"
)

func names() []hostile {
	return []hostile{
		{name: "dotdot", layers: [][]entry{{file("../../victim/file", "hacked")}}},
		{name: "dotdot-inside", layers: [][]entry{{file("a/../../../victim/file", "hacked")}}},
		{name: "absolute", layers: [][]entry{{file(absolute+"/file", "hacked")}}},
		{name: "empty-name", raw: field(mustArchive(file("x", "")), 0, strings.Repeat("\x00", 100)), refused: "root must be a directory"},
		{name: "nul-in-name", raw: pax("12 path=a\x00b\n"), refused: "invalid tar header"},
		{name: "root-is-a-symlink", layers: [][]entry{{symlink(".", relative), file("file", "hacked")}}, refused: "root must be a directory"},
		{name: "root-is-a-file", layers: [][]entry{{file(".", "x")}}, refused: "root must be a directory"},
		{name: "root-is-a-symlink-later", layers: [][]entry{{file("a", "x")}, {symlink("/", relative), file("file", "hacked")}}, refused: "root must be a directory"},
		{name: "long-name", layers: [][]entry{{file(strings.Repeat("d/", 2100)+"f", "x")}}, refused: "too long"},
		{name: "long-component", layers: [][]entry{{file(strings.Repeat("n", 300), "x")}}, refused: "too long"},
		{name: "long-link-target", layers: [][]entry{{symlink("l", strings.Repeat("d/", 2100))}}, refused: "too long"},
	}
}

func links() []hostile {
	return []hostile{
		{name: "symlink-same-layer", layers: [][]entry{{symlink("l", relative), file("l/file", "hacked")}}},
		{name: "symlink-later-layer", layers: [][]entry{{symlink("l", absolute)}, {file("l/file", "hacked")}}},
		{name: "symlink-file-written", layers: [][]entry{{symlink("f", relative+"/file")}, {file("f", "hacked")}}},
		{name: "symlink-chain", layers: [][]entry{{folder("a/b"), symlink("a/b/up", "../../.."), symlink("out", "a/b/up/../victim"), file("out/file", "hacked")}}},
		{name: "symlink-directory-chmod", layers: [][]entry{{symlink("l", absolute)}, {folder("l")}}},
		{name: "symlink-loop", layers: [][]entry{{symlink("a", "b"), symlink("b", "a"), file("a/f", "x")}}, refused: "too many levels"},
		{name: "symlink-proc", layers: [][]entry{{symlink("p", "/proc/self/root"), file("p/tmp/hako-hostile-victim/file", "hacked")}}},
		{name: "passwd-symlink", layers: [][]entry{{symlink("etc/passwd", "/etc/passwd")}}},
		{name: "hardlink-outside", layers: [][]entry{{link("h", relative+"/file")}}, refused: "link target"},
		{name: "hardlink-absolute", layers: [][]entry{{link("h", absolute+"/file")}}, refused: "link target"},
		{name: "hardlink-through-symlink", layers: [][]entry{{symlink("l", relative), link("h", "l/file")}}, refused: "link target"},
		{name: "hardlink-to-symlink-written", layers: [][]entry{{symlink("l", relative+"/file"), link("h", "l"), file("h", "hacked")}}},
		{name: "hardlink-first", layers: [][]entry{{link("h", "f"), file("f", "x")}}, refused: "link target"},
		{name: "hardlink-to-removed", layers: [][]entry{{file("f", "x")}, {file(".wh.f", "")}, {link("h", "f")}}, refused: "link target"},
		{name: "hardlink-to-root", layers: [][]entry{{link("h", "/")}}, refused: "hard link to the root"},
		{name: "hardlink-to-directory", layers: [][]entry{{folder("d"), link("h", "d")}}, refused: "link target"},
	}
}

func whiteouts() []hostile {
	return []hostile{
		{name: "whiteout-bare", layers: [][]entry{{file(".wh.", "")}}, refused: "whiteout of"},
		{name: "whiteout-dot", layers: [][]entry{{file("d/.wh..", "")}}, refused: "whiteout of"},
		{name: "whiteout-dotdot", layers: [][]entry{{file("d/.wh...", "")}}, refused: "whiteout of"},
		{name: "whiteout-through-symlink", layers: [][]entry{{symlink("l", relative)}, {file("l/.wh.file", "")}}},
		{name: "whiteout-absolute", layers: [][]entry{{symlink("l", absolute)}, {file("l/.wh.file", "")}}},
		{name: "whiteout-opaque-through-symlink", layers: [][]entry{{symlink("l", relative)}, {file("l/.wh..wh..opq", "")}}},
		{name: "whiteout-opaque-root", layers: [][]entry{{file("a", "x")}, {file(".wh..wh..opq", ""), file("b", "x")}}},
		{name: "whiteout-opaque-directory", layers: [][]entry{{folder(".wh..wh..opq")}}},
		{name: "whiteout-of-parent", layers: [][]entry{{file("../.wh.victim", ""), file("../../.wh.victim", "")}}},
		{name: "whiteout-of-same-layer", layers: [][]entry{{file("f", "x"), file(".wh.f", "")}}},
		{name: "whiteout-as-directory", layers: [][]entry{{file(".wh.d/f", "x")}}, refused: "names cannot begin with"},
	}
}

func sizes() []hostile {
	return []hostile{
		{name: "declared-size-beyond-data", raw: field(mustArchive(file("f", "x"))[:1024], 124, "00000100000\x00"), refused: "ends after"},
		{name: "declared-size-max", raw: field(mustArchive(file("f", "")), 124, "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"), refused: "bytes of content"},
		{name: "negative-size", raw: field(mustArchive(file("f", "")), 124, strings.Repeat("\xff", 12)), refused: "invalid tar header"},
		{name: "pax-out-of-bounds", raw: pax("99999999 path=x\n"), refused: "invalid tar header"},
		{name: "pax-negative-size", raw: pax("11 size=-5\n"), refused: "invalid tar header"},
		{name: "pax-sparse", raw: pax("22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n31 GNU.sparse.realsize=99999999\n"), refused: "tar"},
		{name: "bomb", raw: bomb(300 << 20), refused: "bytes"},
		{name: "many-entries", layers: [][]entry{many(20000)}, refused: "more than 10000 entries"},
		{name: "owner-minus-one", layers: [][]entry{{owned(1<<32-1, 0)}}, refused: "out of range"},
		{name: "owner-beyond", layers: [][]entry{{owned(0, 1<<40)}}, refused: "out of range"},
		{name: "not-a-tar", raw: bytes.Repeat([]byte("junk"), 512), refused: "invalid tar header"},
		{name: "unknown-type", raw: field(mustArchive(file("f", "")), 156, "Q"), refused: "unknown type"},
	}
}

func owned(uid, gid int) entry {
	e := file("f", "x")
	e.Uid, e.Gid = uid, gid
	return e
}

func many(n int) []entry {
	var all []entry
	for i := range n {
		all = append(all, file(fmt.Sprint("f", i), ""))
	}
	return all
}

// bomb is a file of zeros, which compress to nothing.
func bomb(size int) []byte {
	plain := mustArchive(entry{tar.Header{Typeflag: tar.TypeReg, Name: "zeros", Size: int64(size)}, strings.Repeat("\x00", size)})
	return plain
}

func blobs() []hostile {
	flip := func(l *layout) error {
		path := l.blob(l.manifest.Layers[0])
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		data[len(data)/2] ^= 1
		return os.WriteFile(path, data, 0o644)
	}
	resize := func(by int64) func(l *layout) error {
		return func(l *layout) error {
			d := l.manifest.Layers[0]
			return os.Truncate(l.blob(d), d.Size+by)
		}
	}
	plain := [][]entry{{file("f", strings.Repeat("content", 100))}}
	withLayer := func(change func(l *layout, d *v1.Descriptor)) func(l *layout) {
		return func(l *layout) { change(l, &l.manifest.Layers[0]) }
	}
	return []hostile{
		{name: "digest-mismatch", layers: plain, after: flip, refused: "verified reader digest mismatch"},
		{name: "truncated-blob", layers: plain, after: resize(-10), refused: "verified reader size mismatch"},
		{name: "blob-with-more", layers: plain, after: resize(10), refused: "verified reader size mismatch"},
		{name: "truncated-stream", layers: plain, refused: "unexpected EOF", damage: withLayer(func(l *layout, d *v1.Descriptor) {
			data, err := os.ReadFile(l.blob(*d))
			l.err = err
			*d = l.put(d.MediaType, data[:len(data)/2])
		})},
		{name: "garbage-behind", layers: plain, refused: "gzip", damage: withLayer(func(l *layout, d *v1.Descriptor) {
			data, err := os.ReadFile(l.blob(*d))
			l.err = err
			*d = l.put(d.MediaType, append(data, "garbage behind the stream"...))
		})},
		{name: "diff-id-mismatch", layers: plain, refused: "diff_id mismatch", damage: func(l *layout) { l.config.RootFS.DiffIDs[0] = idOf([]byte("x")) }},
		{name: "fewer-diff-ids", layers: plain, refused: "0 diff_ids for 1 layers", damage: func(l *layout) { l.config.RootFS.DiffIDs = nil }},
		{name: "unknown-media-type", layers: plain, refused: "unknown media type", damage: withLayer(func(_ *layout, d *v1.Descriptor) { d.MediaType = "text/html" })},
		{name: "digest-is-a-path", layers: plain, refused: "digest", damage: withLayer(func(_ *layout, d *v1.Descriptor) { d.Digest = "sha256:../../../victim/file" })},
		{name: "missing-blob", layers: plain, refused: "no such file", after: func(l *layout) error { return os.Remove(l.blob(l.manifest.Layers[0])) }},
		{name: "blob-is-a-fifo", layers: plain, refused: "not a regular file", after: func(l *layout) error {
			path := l.blob(l.manifest.Layers[0])
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Symlink("/dev/zero", path)
		}},
		{name: "negative-descriptor-size", layers: plain, refused: "size mismatch", damage: withLayer(func(_ *layout, d *v1.Descriptor) { d.Size = -1 })},
		{name: "huge-config", layers: plain, refused: "bytes of JSON", damage: func(l *layout) {
			l.manifest.Config = l.put(v1.MediaTypeImageConfig, append([]byte(`{"author":"`), bytes.Repeat([]byte("a"), 40<<20)...))
		}},
		{name: "config-is-an-artifact", layers: plain, refused: "not an image", damage: func(l *layout) { l.manifest.Config = l.put("text/plain", []byte("{}")) }},
		{name: "user-out-of-range", layers: plain, refused: "out of range", damage: func(l *layout) { l.config.Config.User = "4294967296" }},
		{name: "volume-over-root", layers: plain, refused: "hide the whole root", damage: func(l *layout) { l.config.Config.Volumes = map[string]struct{}{"/..": {}} }},
		{name: "another-system", layers: plain, refused: "want linux", damage: func(l *layout) { l.config.OS = "windows" }},
	}
}

func indexes() []hostile {
	nest := func(l *layout, d v1.Descriptor, times int) v1.Descriptor {
		for range times {
			d = l.putJSON(v1.MediaTypeImageIndex, v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []v1.Descriptor{d}})
		}
		return d
	}
	return []hostile{
		{name: "nested-deep", refused: "nested more than", index: func(l *layout) {
			l.tag(nest(l, l.putJSON(v1.MediaTypeImageManifest, l.manifest), 40))
		}},
		{name: "nested-wide", refused: "more than 10000 descriptors", index: func(l *layout) {
			d := l.putJSON(v1.MediaTypeImageManifest, l.manifest)
			for range 5 {
				index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}}
				for range 100 {
					index.Manifests = append(index.Manifests, d)
				}
				d = l.putJSON(v1.MediaTypeImageIndex, index)
			}
			l.tag(d)
		}},
		{name: "index-in-a-cycle", refused: "verified reader", index: func(l *layout) {
			d := l.put(v1.MediaTypeImageIndex, []byte("{}"))
			l.tag(d)
			data := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`, d.MediaType, d.Digest, d.Size)
			l.err = os.WriteFile(l.blob(d), []byte(data), 0o644)
		}},
		{name: "ambiguous-tag", refused: "tag is ambiguous", index: func(l *layout) {
			d := l.putJSON(v1.MediaTypeImageManifest, l.manifest)
			l.tag(d)
			l.tag(d)
		}},
		{name: "manifest-as-index", refused: "mediaType", index: func(l *layout) {
			d := l.putJSON(v1.MediaTypeImageManifest, l.manifest)
			d.MediaType = v1.MediaTypeImageIndex
			l.tag(d)
		}},
		{name: "index-is-a-fifo", refused: "not a regular file", after: func(l *layout) error {
			path := filepath.Join(l.path, "index.json")
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Symlink("/dev/zero", path)
		}},
		{name: "newer-layout", refused: "2.0.0", after: func(l *layout) error {
			return os.WriteFile(filepath.Join(l.path, "oci-layout"), []byte(`{"imageLayoutVersion":"2.0.0"}`), 0o644)
		}},
		{name: "terminal-escapes-in-tag", refused: "tag not found", index: func(l *layout) {
			d := l.putJSON(v1.MediaTypeImageManifest, l.manifest)
			d.Annotations = map[string]string{v1.AnnotationRefName: "\x1b[2J\nlatest\r"}
			l.index.Manifests = append(l.index.Manifests, d)
		}},
	}
}

func mustArchive(entries ...entry) []byte {
	data, err := archive(entries)
	if err != nil {
		panic(err) // the entries are ours
	}
	return data
}

// pax is a file behind an extended header with these bytes.
func pax(records string) []byte {
	h := file("x", records)
	h.Format = tar.FormatUSTAR
	head := mustArchive(h)
	return append(field(head[:len(head)-1024], 156, "x"), mustArchive(file("f", ""))...)
}

// field overwrites bytes of the first header and repairs its checksum, for
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
