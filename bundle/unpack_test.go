package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	imagespecs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/bundle/image"
	"github.com/hako-runtime/hako/bundle/layer"
	"github.com/hako-runtime/hako/bundle/store"
)

// builder makes a layout with one image, of one layer with one file. A test
// changes a part before finish, or a blob after it.
type builder struct {
	*testing.T
	path     string
	manifest v1.Manifest
	config   v1.Image
}

func newBuilder(t *testing.T) *builder {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: chown")
	}
	b := &builder{
		T:        t,
		path:     filepath.Join(t.TempDir(), "layout"),
		manifest: v1.Manifest{Versioned: imagespecs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest},
		config:   v1.Image{Platform: v1.Platform{OS: "linux"}, RootFS: v1.RootFS{Type: "layers"}},
	}
	b.check(os.MkdirAll(filepath.Join(b.path, "blobs", "sha256"), 0o755))
	b.addLayer(&tar.Header{Typeflag: tar.TypeReg, Name: "file", Mode: 0o644})
	return b
}

func (b *builder) check(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *builder) addLayer(headers ...*tar.Header) {
	b.Helper()
	var plain, packed bytes.Buffer
	w := tar.NewWriter(&plain)
	for _, h := range headers {
		b.check(w.WriteHeader(h))
	}
	b.check(w.Close())
	z := gzip.NewWriter(&packed)
	_, err := z.Write(plain.Bytes())
	b.check(err)
	b.check(z.Close())
	b.config.RootFS.DiffIDs = append(b.config.RootFS.DiffIDs, digest.FromBytes(plain.Bytes()))
	b.manifest.Layers = append(b.manifest.Layers, b.blob(v1.MediaTypeImageLayerGzip, packed.Bytes()))
}

func (b *builder) blob(mediaType string, data []byte) v1.Descriptor {
	b.Helper()
	d := v1.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	b.check(os.WriteFile(b.blobPath(d), data, 0o644))
	return d
}

func (b *builder) blobPath(d v1.Descriptor) string {
	return filepath.Join(b.path, "blobs", "sha256", d.Digest.Encoded())
}

func (b *builder) json(v any) []byte {
	b.Helper()
	data, err := json.Marshal(v)
	b.check(err)
	return data
}

// finish writes what is left and returns the reference.
func (b *builder) finish() store.Reference {
	b.Helper()
	if b.manifest.Config.Digest == "" {
		b.manifest.Config = b.blob(v1.MediaTypeImageConfig, b.json(b.config))
	}
	d := b.blob(v1.MediaTypeImageManifest, b.json(b.manifest))
	d.Annotations = map[string]string{v1.AnnotationRefName: "latest"}
	index := v1.Index{Versioned: imagespecs.Versioned{SchemaVersion: 2}, Manifests: []v1.Descriptor{d}}
	b.check(os.WriteFile(filepath.Join(b.path, "index.json"), b.json(index), 0o644))
	b.check(os.WriteFile(filepath.Join(b.path, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644))
	return store.Reference{Path: b.path, Tag: "latest"}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		name := e.Name()
		if before, rest, ok := strings.Cut(name, "sha256_"); ok {
			_, suffix, _ := strings.Cut(rest, ".")
			name = before + "sha256_." + suffix
		}
		all = append(all, name)
	}
	return strings.Join(all, " ")
}

// complete is what a bundle holds, the manifest's digest aside.
const complete = "config.json rootfs sha256_.mtree sha256_.snapshot umoci.json"

func TestUnpack(t *testing.T) {
	b := newBuilder(t)
	b.addLayer(&tar.Header{Typeflag: tar.TypeReg, Name: ".wh.file"}, &tar.Header{Typeflag: tar.TypeReg, Name: "second", Mode: 0o600})
	ref := b.finish()
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	b.check(unpack(context.Background(), ref, dir, unpackOptions{}))
	if got := names(t, dir); got != complete {
		t.Errorf("bundle holds %q, want %q", got, complete)
	}
	if got := names(t, filepath.Join(dir, "rootfs")); got != "second" {
		t.Errorf("rootfs holds %q, want second", got)
	}
	for name, want := range map[string]os.FileMode{"": 0o700, "rootfs": 0o755, "config.json": 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		b.check(err)
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o, want %o", name, info.Mode().Perm(), want)
		}
	}
}

// A layer, manifest or configuration that is not as promised leaves no trace
// of a bundle, whether its directory was there before or not.
func TestUnpackFailureLeavesNothing(t *testing.T) {
	overwrite := func(d func(b *builder) v1.Descriptor, change func(data []byte) []byte) func(b *builder) {
		return func(b *builder) {
			path := b.blobPath(d(b))
			data, err := os.ReadFile(path)
			b.check(err)
			b.check(os.WriteFile(path, change(data), 0o644))
		}
	}
	layerBlob := func(b *builder) v1.Descriptor { return b.manifest.Layers[0] }
	configBlob := func(b *builder) v1.Descriptor { return b.manifest.Config }
	flip := func(data []byte) []byte { data[len(data)/2] ^= 0x40; return data }
	cut := func(data []byte) []byte { return data[:len(data)/2] }
	for _, test := range []struct {
		name          string
		before, after func(b *builder)
		want          error
		wantText      string
	}{
		{name: "digest of a layer", after: overwrite(layerBlob, flip), want: store.ErrDigestMismatch},
		{name: "digest of the configuration", after: overwrite(configBlob, flip), want: store.ErrDigestMismatch},
		{name: "truncated blob", after: overwrite(layerBlob, cut), want: store.ErrSizeMismatch},
		{name: "missing blob", after: func(b *builder) { os.Remove(b.blobPath(layerBlob(b))) }, want: os.ErrNotExist},
		{name: "diff_id", before: func(b *builder) { b.config.RootFS.DiffIDs[0] = digest.FromString("") }, want: layer.ErrDiffID},
		{name: "gzip stream cut, and described so", before: func(b *builder) {
			data, err := os.ReadFile(b.blobPath(layerBlob(b)))
			b.check(err)
			b.manifest.Layers[0] = b.blob(v1.MediaTypeImageLayerGzip, cut(data))
		}, wantText: "unexpected EOF"},
		{name: "fewer diff_ids than layers", before: func(b *builder) { b.config.RootFS.DiffIDs = nil }, wantText: "0 diff_ids for 1 layers"},
		{name: "diff_id that is no digest", before: func(b *builder) { b.config.RootFS.DiffIDs[0] = "sha256:../x" }, wantText: "diff_ids[0]"},
		{name: "unknown layer type", before: func(b *builder) { b.manifest.Layers[0].MediaType = "text/plain" }, wantText: "unknown media type"},
		{name: "layer digest that is a path", before: func(b *builder) { b.manifest.Layers[0].Digest = "sha256:../../index.json" }, want: digest.ErrDigestInvalidLength},
		{name: "artifact instead of an image", before: func(b *builder) { b.manifest.Config = v1.DescriptorEmptyJSON }, wantText: "not an image"},
		{name: "another manifest type inside", before: func(b *builder) { b.manifest.MediaType = v1.MediaTypeImageIndex }, wantText: "mediaType"},
		{name: "another system", before: func(b *builder) { b.config.OS = "plan9" }, wantText: "want linux"},
		{name: "user that is not in the image", before: func(b *builder) { b.config.Config.User = "nobody" }, wantText: "no such user"},
		{name: "FIFO as /etc/passwd", before: func(b *builder) {
			b.config.Config.User = "app"
			b.addLayer(&tar.Header{Typeflag: tar.TypeFifo, Name: "etc/passwd"})
		}, wantText: "not a regular file"},
		{name: "symlink to the host's /etc/passwd", before: func(b *builder) {
			b.config.Config.User = "root"
			b.addLayer(&tar.Header{Typeflag: tar.TypeSymlink, Name: "etc/passwd", Linkname: "../../../../../../../../etc/passwd"})
		}, wantText: "too many levels"},
		{name: "hostile entry", before: func(b *builder) { b.addLayer(&tar.Header{Typeflag: tar.TypeSymlink, Name: ".", Linkname: "/"}) }, wantText: "root must be a directory"},
	} {
		for _, place := range []string{"missing", "empty"} {
			t.Run(test.name+", directory "+place, func(t *testing.T) {
				b := newBuilder(t)
				if test.before != nil {
					test.before(b)
				}
				ref := b.finish()
				if test.after != nil {
					test.after(b)
				}
				parent := t.TempDir()
				dir := filepath.Join(parent, "bundle")
				if place == "empty" {
					b.check(os.Mkdir(dir, 0o750))
				}
				err := unpack(context.Background(), ref, dir, unpackOptions{})
				if err == nil || (test.want != nil && !errors.Is(err, test.want)) || !strings.Contains(err.Error(), test.wantText) {
					t.Errorf("unpack: %v, want %v %q", err, test.want, test.wantText)
				}
				if want := map[string]string{"missing": "", "empty": "bundle"}[place]; names(t, parent) != want {
					t.Errorf("left %q, want %q", names(t, parent), want)
				}
				if got := names(t, dir); got != "" {
					t.Errorf("left %q in the bundle", got)
				}
				if info, err := os.Stat(dir); place == "empty" && (err != nil || info.Mode().Perm() != 0o750) {
					t.Errorf("the directory's mode changed: %v", err)
				}
			})
		}
	}
}

func TestUnpackRefusesABundle(t *testing.T) {
	ref := newBuilder(t).finish()
	for _, name := range []string{"rootfs", "config.json"} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if err := os.Symlink("nowhere", path); err != nil {
			t.Fatal(err)
		}
		err := unpack(context.Background(), ref, dir, unpackOptions{})
		if err == nil || !strings.Contains(err.Error(), name+" exists already") {
			t.Errorf("unpack over %s: %v", name, err)
		}
		if got := names(t, dir); got != name {
			t.Errorf("bundle holds %q, want %q", got, name)
		}
	}
}

func TestUnpackAfterAKill(t *testing.T) {
	ref := newBuilder(t).finish()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, stageName, "rootfs", "half"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unpack(context.Background(), ref, dir, unpackOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := names(t, dir); got != complete {
		t.Errorf("bundle holds %q, want %q", got, complete)
	}
}

func TestUnpackAfterAKillInTheCommit(t *testing.T) {
	b := newBuilder(t)
	ref := b.finish()
	dir := t.TempDir()
	b.check(os.MkdirAll(filepath.Join(dir, rootfsName, "old"), 0o755))
	b.check(os.WriteFile(filepath.Join(dir, metaName), nil, 0o644))
	b.check(os.Mkdir(filepath.Join(dir, stageName), 0o700))
	b.check(os.WriteFile(filepath.Join(dir, stageName, configName), nil, 0o644))
	b.check(unpack(context.Background(), ref, dir, unpackOptions{}))
	if got := names(t, dir); got != complete {
		t.Errorf("bundle holds %q, want %q", got, complete)
	}
	if got := names(t, filepath.Join(dir, rootfsName)); got != "file" {
		t.Errorf("rootfs holds %q, want file", got)
	}
}

func TestUnpackWhileAnotherRuns(t *testing.T) {
	ref := newBuilder(t).finish()
	dir := t.TempDir()
	s, err := openStage(dir, "none")
	if err != nil {
		t.Fatal(err)
	}
	if err := unpack(context.Background(), ref, dir, unpackOptions{}); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("unpack: %v, want EWOULDBLOCK", err)
	}
	if got := names(t, dir); got != stageName {
		t.Errorf("bundle holds %q, want the other's %q", got, stageName)
	}
	s.abandon()
	if err := unpack(context.Background(), ref, dir, unpackOptions{}); err != nil {
		t.Error(err)
	}
}

func TestUnpackInterrupted(t *testing.T) {
	ref := newBuilder(t).finish()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	dir := filepath.Join(t.TempDir(), "bundle")
	if err := unpack(ctx, ref, dir, unpackOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("unpack: %v, want %v", err, context.Canceled)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the bundle is there: %v", err)
	}
}

func TestReadPairsLayersWithDiffIDs(t *testing.T) {
	b := newBuilder(t)
	b.addLayer()
	ref := b.finish()
	layout, err := store.Open(ref.Path)
	b.check(err)
	walk, err := layout.Resolve(ref.Tag)
	b.check(err)
	img, err := image.Read(layout, walk.Target())
	b.check(err)
	for i, l := range img.Layers {
		if l.DiffID != b.config.RootFS.DiffIDs[i] || l.Descriptor.Digest != b.manifest.Layers[i].Digest {
			t.Errorf("layer %d is %+v", i, l)
		}
	}
}

// The two programs of the module are released together.
func TestVersionIsTheRuntimes(t *testing.T) {
	source, err := os.ReadFile("../version.go")
	if err != nil {
		t.Fatal(err)
	}
	if want := `const version = "` + version + `"`; !bytes.Contains(source, []byte(want)) {
		t.Errorf("../version.go does not say %s", want)
	}
}
