// Command mkimage generates the image of the benchmark of unpacking: an OCI
// layout with the tags gzip and zstd, the same bytes for the same arguments.
//
//	mkimage LAYOUT PATHS MEGABYTES
//
// Six layers with about PATHS objects and MEGABYTES of content: many small
// files and few large ones, some of them changed, linked and removed by later
// layers, with symlinks, owners and extended attributes as in a distribution.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: mkimage LAYOUT PATHS MEGABYTES")
		os.Exit(2)
	}
	paths, err1 := strconv.Atoi(os.Args[2])
	megabytes, err2 := strconv.Atoi(os.Args[3])
	if err1 != nil || err2 != nil || paths < 100 || megabytes < 1 {
		fmt.Fprintln(os.Stderr, "mkimage: at least 100 paths and 1 megabyte")
		os.Exit(2)
	}
	if err := generate(os.Args[1], paths, megabytes); err != nil {
		fmt.Fprintln(os.Stderr, "mkimage:", err)
		os.Exit(1)
	}
}

// layers is how many there are; each later one is half the size of the first.
const layers = 6

func generate(layout string, paths, megabytes int) error {
	blobs := filepath.Join(layout, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	g := &generator{
		random: rand.New(rand.NewPCG(1, 2)),
		files:  paths * 17 / 20,
		text:   words(1 << 20),
	}
	// Of the content, a third is in one file of a thousand.
	g.small = int64(megabytes) << 20 * 2 / 3 / int64(g.files)
	g.large = int64(megabytes) << 20 / 3 / int64(g.files/1000+1)
	images := []*image{newImage("gzip", v1.MediaTypeImageLayerGzip), newImage("zstd", v1.MediaTypeImageLayerZstd)}
	for n := range layers {
		plain := filepath.Join(layout, "layer.tar")
		id, err := g.writeLayer(plain, n)
		if err != nil {
			return err
		}
		for _, img := range images {
			if err := img.add(blobs, plain, id); err != nil {
				return err
			}
		}
		if err := os.Remove(plain); err != nil {
			return err
		}
	}
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex}
	for _, img := range images {
		d, err := img.finish(blobs)
		if err != nil {
			return err
		}
		index.Manifests = append(index.Manifests, d)
	}
	if err := writeJSON(filepath.Join(layout, "index.json"), index); err != nil {
		return err
	}
	return writeJSON(filepath.Join(layout, "oci-layout"), v1.ImageLayout{Version: v1.ImageLayoutVersion})
}

// generator makes up the content of layers.
type generator struct {
	random       *rand.Rand
	files        int
	small, large int64 // mean sizes
	text         []byte
	made         []string // paths of regular files
	out          *tar.Writer
}

// words is text that compresses as programs and their documentation do.
func words(size int) []byte {
	random := rand.New(rand.NewPCG(3, 4))
	var vocabulary [][]byte
	for range 4000 {
		word := make([]byte, 2+random.IntN(10))
		for i := range word {
			word[i] = byte('a' + random.IntN(26))
		}
		vocabulary = append(vocabulary, word)
	}
	var out bytes.Buffer
	for out.Len() < size {
		out.Write(vocabulary[random.IntN(len(vocabulary))])
		out.WriteByte(" \n;("[random.IntN(4)])
		if random.IntN(8) == 0 {
			fmt.Fprintf(&out, "%x", random.Uint64())
		}
	}
	return out.Bytes()[:size]
}

func (g *generator) writeLayer(path string, n int) (digest.Digest, error) {
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	g.out = tar.NewWriter(io.MultiWriter(f, h))
	lower := len(g.made)
	files := g.files * 2 / (layers + 1)
	if n > 0 {
		files /= 2
	}
	for i := range files {
		if err := g.directoryOf(n, i); err != nil {
			return "", err
		}
		if err := g.file(n, i); err != nil {
			return "", err
		}
	}
	if n > 0 {
		if err := g.changes(files/20, lower); err != nil {
			return "", err
		}
	}
	if err := g.out.Close(); err != nil {
		return "", err
	}
	return digest.NewDigest(digest.SHA256, h), f.Close()
}

func dirName(n, i int) string {
	return fmt.Sprintf("usr/share/package-%d-%03d/d%02d", n, i/200, i/10%20)
}

var built = time.Unix(1_700_000_000, 0)

func (g *generator) directoryOf(n, i int) error {
	if i%10 != 0 {
		return nil
	}
	return g.out.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dirName(n, i) + "/", Mode: 0o755, ModTime: built})
}

// file writes a file, and now and then a link to it.
func (g *generator) file(n, i int) error {
	name := fmt.Sprintf("%s/file-%05d.txt", dirName(n, i), i)
	size := g.random.Int64N(2 * g.small)
	if i%1000 == 999 {
		size = g.large
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: built.Add(time.Duration(i) * time.Second), Uid: i % 3, Gid: i % 5}
	if i%100 == 50 {
		header.PAXRecords = map[string]string{"SCHILY.xattr.user.origin": "package", "SCHILY.xattr.user.n": strconv.Itoa(i)}
	}
	if err := g.out.WriteHeader(header); err != nil {
		return err
	}
	if err := g.content(size); err != nil {
		return err
	}
	g.made = append(g.made, name)
	switch i % 20 {
	case 3:
		return g.out.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name + ".link", Linkname: filepath.Base(name), Mode: 0o777, ModTime: built})
	case 7:
		return g.out.WriteHeader(&tar.Header{Typeflag: tar.TypeLink, Name: name + ".hard", Linkname: name, Mode: 0o644, ModTime: built})
	}
	return nil
}

// content writes pieces of text and, one part in four, noise.
func (g *generator) content(size int64) error {
	noise := make([]byte, 4096)
	for size > 0 {
		piece := noise[:min(size, int64(len(noise)))]
		if g.random.IntN(4) == 0 {
			for i := range piece {
				piece[i] = byte(g.random.Uint32())
			}
		} else {
			at := g.random.IntN(len(g.text) - len(piece))
			piece = g.text[at : at+len(piece)]
		}
		if _, err := g.out.Write(piece); err != nil {
			return err
		}
		size -= int64(len(piece))
	}
	return nil
}

// changes replaces some of the files of lower layers, the first ones that were
// made, and removes others. Each is touched once: overlayfs has one node for it.
func (g *generator) changes(count, lower int) error {
	touched := map[string]bool{}
	for i := range count {
		at := g.random.IntN(lower - i)
		if touched[g.made[at]] {
			continue
		}
		touched[g.made[at]] = true
		name := g.made[at]
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: 100, ModTime: built}
		if i%2 == 0 {
			g.made = append(g.made[:at], g.made[at+1:]...)
			header = &tar.Header{Typeflag: tar.TypeReg, Name: filepath.Dir(name) + "/.wh." + filepath.Base(name)}
		}
		if err := g.out.WriteHeader(header); err != nil {
			return err
		}
		if err := g.content(header.Size); err != nil {
			return err
		}
	}
	return nil
}

// image is one of the tags.
type image struct {
	tag, mediaType string
	manifest       v1.Manifest
	config         v1.Image
}

func newImage(tag, mediaType string) *image {
	return &image{
		tag: tag, mediaType: mediaType,
		manifest: v1.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest},
		config: v1.Image{
			Created:  &built,
			Platform: v1.Platform{OS: "linux", Architecture: runtime.GOARCH},
			Config:   v1.ImageConfig{Cmd: []string{"/bin/sh"}},
			RootFS:   v1.RootFS{Type: "layers"},
		},
	}
}

func (img *image) add(blobs, plain string, id digest.Digest) error {
	in, err := os.Open(plain)
	if err != nil {
		return err
	}
	defer in.Close()
	f, err := os.CreateTemp(blobs, "blob-")
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if err := img.pack(io.MultiWriter(f, h), in); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	d := v1.Descriptor{MediaType: img.mediaType, Digest: digest.NewDigest(digest.SHA256, h), Size: info.Size()}
	img.manifest.Layers = append(img.manifest.Layers, d)
	img.config.RootFS.DiffIDs = append(img.config.RootFS.DiffIDs, id)
	img.config.History = append(img.config.History, v1.History{Created: &built, CreatedBy: "mkimage"})
	return os.Rename(f.Name(), filepath.Join(blobs, d.Digest.Encoded()))
}

func (img *image) pack(out io.Writer, in io.Reader) error {
	if img.mediaType == v1.MediaTypeImageLayerZstd {
		cmd := exec.Command("zstd", "-q", "-3", "-c")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, os.Stderr
		return cmd.Run()
	}
	z := gzip.NewWriter(out)
	if _, err := io.Copy(z, in); err != nil {
		return err
	}
	return z.Close()
}

func (img *image) finish(blobs string) (v1.Descriptor, error) {
	var err error
	if img.manifest.Config, err = writeBlob(blobs, v1.MediaTypeImageConfig, img.config); err != nil {
		return v1.Descriptor{}, err
	}
	d, err := writeBlob(blobs, v1.MediaTypeImageManifest, img.manifest)
	d.Annotations = map[string]string{v1.AnnotationRefName: img.tag}
	return d, err
}

func writeBlob(blobs, mediaType string, v any) (v1.Descriptor, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return v1.Descriptor{}, err
	}
	d := v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	return d, os.WriteFile(filepath.Join(blobs, d.Digest.Encoded()), data, 0o644)
}

func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
