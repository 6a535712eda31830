package registry

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hako-runtime/hako/bundle/store"
)

// testImage writes an image of two gzip layers, the same one twice.
func testImage(t *testing.T, w *store.Writer) v1.Descriptor {
	t.Helper()
	plainLayer := bytes.Repeat([]byte("content of a layer\n"), 1000)
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(plainLayer); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	blob := v1.Descriptor{MediaType: v1.MediaTypeImageLayerGzip, Digest: digest.FromBytes(packed.Bytes()), Size: int64(packed.Len())}
	if err := w.Ingest(blob, &packed); err != nil {
		t.Fatal(err)
	}
	diffID := digest.FromBytes(plainLayer)
	config, err := w.PutJSON(v1.MediaTypeImageConfig, v1.Image{
		Platform: v1.Platform{OS: "linux", Architecture: "amd64"},
		RootFS:   v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{diffID, diffID}},
	})
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := w.PutJSON(v1.MediaTypeImageManifest, v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest,
		Config: config, Layers: []v1.Descriptor{blob, blob},
	})
	if err != nil {
		t.Fatal(err)
	}
	return manifest
}

func TestArchivesRoundTrip(t *testing.T) {
	from := newLayout(t)
	manifest := testImage(t, from.writer)
	dir := t.TempDir()
	for _, test := range []struct{ name, to, from string }{
		{"oci-archive", "oci-archive:" + dir + "/a.tar:v1", "oci-archive:" + dir + "/a.tar"},
		{"oci-archive by tag", "oci-archive:" + dir + "/a.tar:v1", "oci-archive:" + dir + "/a.tar:v1"},
		{"docker-archive", "docker-archive:" + dir + "/d.tar:host/app", "docker-archive:" + dir + "/d.tar:host/app:latest"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := Push(t.Context(), from.writer.Layout, manifest, test.to, Options{}, Transfer{}); err != nil {
				t.Fatal(err)
			}
			to := newLayout(t)
			got, err := pull(t.Context(), test.from, to.writer, Options{}, Transfer{Jobs: 2})
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(test.name, "oci") && got.Digest != manifest.Digest {
				t.Errorf("manifest %s, want %s", got.Digest, manifest.Digest)
			}
			var before, after v1.Manifest
			if err := from.writer.ReadJSON(manifest, &before); err != nil {
				t.Fatal(err)
			}
			if err := to.writer.ReadJSON(got, &after); err != nil {
				t.Fatal(err)
			}
			if after.Config.Digest != before.Config.Digest || len(after.Layers) != 2 {
				t.Errorf("config %s, %d layers; want %s, 2", after.Config.Digest, len(after.Layers), before.Config.Digest)
			}
		})
	}
}

// TestArchivesAreReproducible: the same image gives the same bytes.
func TestArchivesAreReproducible(t *testing.T) {
	from := newLayout(t)
	manifest := testImage(t, from.writer)
	for _, kind := range []string{"oci-archive:", "docker-archive:"} {
		var first []byte
		for range 2 {
			file := filepath.Join(t.TempDir(), "x.tar")
			if err := Push(t.Context(), from.writer.Layout, manifest, kind+file, Options{}, Transfer{}); err != nil {
				t.Fatal(err)
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = data
			} else if !bytes.Equal(first, data) {
				t.Errorf("%s differs", kind)
			}
		}
	}
}

type entry struct {
	name, content, link string
	kind                byte
}

func writeTar(t *testing.T, entries ...entry) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hostile.tar")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Size: int64(len(e.content)), Mode: 0o644}
		if header.Typeflag == 0 {
			header.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestArchivesThatLie(t *testing.T) {
	const config = `{"rootfs":{"type":"layers","diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}`
	layout := entry{name: "oci-layout", content: `{"imageLayoutVersion":"1.0.0"}`}
	for _, test := range []struct {
		name, kind string
		entries    []entry
		want       string
	}{
		{"no layout", ociArchive, []entry{{name: "x", content: "y"}}, "oci-layout"},
		{"a newer layout", ociArchive, []entry{{name: "oci-layout", content: `{"imageLayoutVersion":"9.0.0"}`}}, "9.0.0"},
		{"an index that is a link to a file of the host", ociArchive, []entry{layout, {name: "index.json", kind: tar.TypeSymlink, link: "/etc/passwd"}}, "no such file"},
		{"links in a circle", ociArchive, []entry{layout, {name: "index.json", kind: tar.TypeSymlink, link: "a"}, {name: "a", kind: tar.TypeSymlink, link: "index.json"}}, "no such file"},
		{"no image", ociArchive, []entry{layout, {name: "index.json", content: `{"schemaVersion":2,"manifests":[]}`}}, "0 images"},
		{"a manifest that is not there", ociArchive, []entry{layout, {name: "index.json", content: `{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":2}]}`}}, "no such file"},
		{"two images, none named", dockerArchive, []entry{{name: "manifest.json", content: `[{"Config":"a"},{"Config":"b"}]`}}, "2 images"},
		{"more layers than diff_ids", dockerArchive, []entry{{name: "manifest.json", content: `[{"Config":"c","Layers":["l","l"]}]`}, {name: "c", content: config}}, "2 layers, but 1 diff_ids"},
		{"a layer that is another", dockerArchive, []entry{{name: "manifest.json", content: `[{"Config":"c","Layers":["l"]}]`}, {name: "c", content: config}, {name: "l", content: "other"}}, "digest mismatch"},
		{"a layer outside", dockerArchive, []entry{{name: "manifest.json", content: `[{"Config":"c","Layers":["../../etc/passwd"]}]`}, {name: "c", content: config}}, "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := pull(t.Context(), test.kind+writeTar(t, test.entries...), newLayout(t).writer, Options{}, Transfer{Jobs: 1})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("pull: %v, want an error with %q", err, test.want)
			}
		})
	}
}

// TestDamagedArchive: what follows damage is not silently left out.
func TestDamagedArchive(t *testing.T) {
	file := writeTar(t, entry{name: "oci-layout", content: `{"imageLayoutVersion":"1.0.0"}`}, entry{name: "index.json", content: "{}"})
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[1024+148] ^= 0x01 // the checksum of the second header
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSource(ociArchive+file, Options{}); err == nil || !strings.Contains(err.Error(), "invalid tar header") {
		t.Errorf("OpenSource: %v, want an invalid header", err)
	}
}

// FuzzArchive: whatever the bytes are, there is an image or an error.
func FuzzArchive(f *testing.F) {
	for _, seed := range [][]byte{nil, {0x1f, 0x8b}, {0x28, 0xb5, 0x2f, 0xfd}, make([]byte, 1024)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file := filepath.Join(t.TempDir(), "x.tar")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{ociArchive, dockerArchive} {
			if src, err := OpenSource(kind+file, Options{}); err == nil {
				_, _ = src.Resolve(t.Context())
				src.Close()
			}
		}
	})
}
