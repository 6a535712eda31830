// Command mkimage writes the demo's image: an OCI layout with two layers, the
// same bytes for the same input.
//
//	mkimage LAYOUT TAG HELLO
//
// HELLO is a static program; the image runs it as an ordinary user.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
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
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: mkimage LAYOUT TAG HELLO")
		os.Exit(2)
	}
	if err := makeImage(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

// entry is a tar header with its content.
type entry struct {
	tar.Header
	content []byte
}

func file(name string, mode int64, content []byte) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}, content}
}

func folder(name string, mode int64, uid int) entry {
	return entry{tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, Uid: uid, Gid: uid}, nil}
}

func symlink(name, target string) entry {
	return entry{tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, nil}
}

const passwd = "root:x:0:0:root:/root:/hello\ndemo:x:1000:1000:demo:/home/demo:/hello\n"
const group = "root:x:0:\ndemo:x:1000:\naudio:x:29:demo\n"

// base is the lower layer. Its draft is hidden by the upper one.
func base() []entry {
	return []entry{
		folder(".", 0o755, 0),
		folder("dev", 0o755, 0),
		folder("etc", 0o755, 0),
		file("etc/draft", 0o644, []byte("removed by the next layer\n")),
		file("etc/group", 0o644, []byte(group)),
		file("etc/passwd", 0o644, []byte(passwd)),
		folder("home", 0o755, 0),
		folder("home/demo", 0o750, 1000),
		folder("proc", 0o555, 0),
		folder("sys", 0o555, 0),
		folder("tmp", 0o1777, 0),
	}
}

func program(hello []byte) []entry {
	return []entry{
		file("etc/.wh.draft", 0, nil),
		folder("usr", 0o755, 0),
		folder("usr/bin", 0o755, 0),
		file("usr/bin/hello", 0o755, hello),
		symlink("hello", "usr/bin/hello"),
	}
}

func makeImage(layout, tag, helloPath string) error {
	hello, err := os.ReadFile(helloPath)
	if err != nil {
		return err
	}
	if _, err := os.Lstat(layout); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s exists already", layout)
	}
	if err := os.MkdirAll(filepath.Join(layout, "blobs", "sha256"), 0o755); err != nil {
		return err
	}
	manifest := v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageManifest,
	}
	config := imageConfig()
	for _, entries := range [][]entry{base(), program(hello)} {
		blob, diffID, err := makeLayer(entries)
		if err != nil {
			return err
		}
		descriptor, err := writeBlob(layout, v1.MediaTypeImageLayerGzip, blob)
		if err != nil {
			return err
		}
		manifest.Layers = append(manifest.Layers, descriptor)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, diffID)
	}
	if manifest.Config, err = writeJSONBlob(layout, v1.MediaTypeImageConfig, config); err != nil {
		return err
	}
	return finish(layout, tag, manifest)
}

func imageConfig() v1.Image {
	created := time.Unix(0, 0).UTC()
	return v1.Image{
		Created:  &created,
		Author:   "tests/demo/mkimage",
		Platform: v1.Platform{Architecture: runtime.GOARCH, OS: "linux"},
		Config: v1.ImageConfig{
			User:       "demo",
			Entrypoint: []string{"/hello"},
			Env:        []string{"PATH=/usr/bin", "GREETING=hello from inside"},
			WorkingDir: "/home/demo",
			Labels:     map[string]string{"org.opencontainers.image.title": "hello"},
		},
		RootFS: v1.RootFS{Type: "layers"},
	}
}

// makeLayer returns the gzip'ed tar and the digest of the tar.
func makeLayer(entries []entry) (blob []byte, diffID digest.Digest, err error) {
	var plain, packed bytes.Buffer
	archive := tar.NewWriter(&plain)
	for _, e := range entries {
		e.Format = tar.FormatUSTAR
		e.ModTime = time.Unix(0, 0)
		if err := archive.WriteHeader(&e.Header); err != nil {
			return nil, "", err
		}
		if _, err := archive.Write(e.content); err != nil {
			return nil, "", err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, "", err
	}
	compressor := gzip.NewWriter(&packed)
	if _, err := compressor.Write(plain.Bytes()); err != nil {
		return nil, "", err
	}
	if err := compressor.Close(); err != nil {
		return nil, "", err
	}
	return packed.Bytes(), digestOf(plain.Bytes()), nil
}

func finish(layout, tag string, manifest v1.Manifest) error {
	descriptor, err := writeJSONBlob(layout, v1.MediaTypeImageManifest, manifest)
	if err != nil {
		return err
	}
	descriptor.Annotations = map[string]string{v1.AnnotationRefName: tag}
	index := v1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageIndex,
		Manifests: []v1.Descriptor{descriptor},
	}
	if err := writeJSON(filepath.Join(layout, v1.ImageIndexFile), index); err != nil {
		return err
	}
	return writeJSON(filepath.Join(layout, v1.ImageLayoutFile), v1.ImageLayout{Version: v1.ImageLayoutVersion})
}

func writeJSONBlob(layout, mediaType string, v any) (v1.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return writeBlob(layout, mediaType, data)
}

func writeBlob(layout, mediaType string, data []byte) (v1.Descriptor, error) {
	id := digestOf(data)
	path := filepath.Join(layout, v1.ImageBlobsDir, string(id.Algorithm()), id.Encoded())
	return v1.Descriptor{MediaType: mediaType, Digest: id, Size: int64(len(data))}, os.WriteFile(path, data, 0o644)
}

func digestOf(data []byte) digest.Digest {
	sum := sha256.Sum256(data)
	return digest.NewDigestFromBytes(digest.SHA256, sum[:])
}

func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
