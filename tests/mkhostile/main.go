// Command mkhostile writes images that attack whoever unpacks them, one OCI
// layout for each line of cases.go.
//
//	mkhostile DIR
//
// It prints a line for each: its name, and "inside" if an unpack may succeed,
// as long as it stays inside, or "refused" and a part of the message.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: mkhostile DIR")
		os.Exit(2)
	}
	for _, c := range cases() {
		if err := c.write(filepath.Join(os.Args[1], c.name)); err != nil {
			fmt.Fprintf(os.Stderr, "mkhostile: %s: %v\n", c.name, err)
			os.Exit(1)
		}
		what := "inside"
		if c.refused != "" {
			what = "refused\t" + c.refused
		}
		fmt.Printf("%s\t%s\n", c.name, what)
	}
}

// hostile is one image.
type hostile struct {
	name    string
	refused string // a part of the message; "" if it may be unpacked
	layers  [][]entry
	raw     []byte                // instead of layers: the bytes of a tar
	damage  func(l *layout)       // before the manifest is written
	index   func(l *layout)       // instead of one tagged manifest
	after   func(l *layout) error // when all is written
}

// entry is an entry of a layer.
type entry struct {
	tar.Header
	content string
}

func file(name, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}, content}
}

func object(kind byte, name, link string) entry {
	return entry{Header: tar.Header{Typeflag: kind, Name: name, Linkname: link, Mode: 0o755, Devmajor: 1, Devminor: 3}}
}

func folder(name string) entry      { return object(tar.TypeDir, name, "") }
func symlink(name, to string) entry { return object(tar.TypeSymlink, name, to) }
func link(name, to string) entry    { return object(tar.TypeLink, name, to) }

func archive(entries []entry) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range entries {
		h := e.Header
		h.ModTime = time.Unix(1_000_000_000, 0)
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return buf.Bytes(), err
}

// layout is an image layout in the making.
type layout struct {
	path     string
	manifest v1.Manifest
	config   v1.Image
	index    v1.Index
	err      error
}

func (l *layout) put(mediaType string, data []byte) v1.Descriptor {
	d := v1.Descriptor{MediaType: mediaType, Digest: idOf(data), Size: int64(len(data))}
	if err := os.WriteFile(l.blob(d), data, 0o644); l.err == nil {
		l.err = err
	}
	return d
}

func idOf(data []byte) digest.Digest {
	sum := sha256.Sum256(data)
	return digest.NewDigestFromBytes(digest.SHA256, sum[:])
}

func (l *layout) blob(d v1.Descriptor) string {
	return filepath.Join(l.path, "blobs", "sha256", d.Digest.Encoded())
}

func (l *layout) putJSON(mediaType string, v any) v1.Descriptor {
	data, err := json.Marshal(v)
	if l.err == nil {
		l.err = err
	}
	return l.put(mediaType, data)
}

// tag makes d the image latest.
func (l *layout) tag(d v1.Descriptor) {
	d.Annotations = map[string]string{v1.AnnotationRefName: "latest"}
	l.index.Manifests = append(l.index.Manifests, d)
}

func (l *layout) addLayer(plain []byte) error {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(plain); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	l.config.RootFS.DiffIDs = append(l.config.RootFS.DiffIDs, idOf(plain))
	l.manifest.Layers = append(l.manifest.Layers, l.put(v1.MediaTypeImageLayerGzip, packed.Bytes()))
	return nil
}

func newLayout(path string) (*layout, error) {
	versioned := specs.Versioned{SchemaVersion: 2}
	l := &layout{
		path:     path,
		manifest: v1.Manifest{Versioned: versioned, MediaType: v1.MediaTypeImageManifest},
		config:   v1.Image{Platform: v1.Platform{OS: "linux", Architecture: runtime.GOARCH}, RootFS: v1.RootFS{Type: "layers"}},
		index:    v1.Index{Versioned: versioned, MediaType: v1.MediaTypeImageIndex},
	}
	return l, os.MkdirAll(filepath.Join(path, "blobs", "sha256"), 0o755)
}

func (c hostile) write(path string) error {
	l, err := newLayout(path)
	if err != nil {
		return err
	}
	tars := [][]byte{c.raw}
	if c.raw == nil {
		tars = nil
	}
	for _, entries := range c.layers {
		plain, err := archive(entries)
		if err != nil {
			return err
		}
		tars = append(tars, plain)
	}
	for _, plain := range tars {
		if err := l.addLayer(plain); err != nil {
			return err
		}
	}
	if c.damage != nil {
		c.damage(l)
	}
	if l.manifest.Config.Digest == "" {
		l.manifest.Config = l.putJSON(v1.MediaTypeImageConfig, l.config)
	}
	if c.index != nil {
		c.index(l)
	} else {
		l.tag(l.putJSON(v1.MediaTypeImageManifest, l.manifest))
	}
	return l.finish(c.after)
}

func (l *layout) finish(after func(*layout) error) error {
	for name, v := range map[string]any{"index.json": l.index, "oci-layout": v1.ImageLayout{Version: v1.ImageLayoutVersion}} {
		data, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(l.path, name), data, 0o644); err != nil {
			return err
		}
	}
	if l.err != nil || after == nil {
		return l.err
	}
	return after(l)
}
