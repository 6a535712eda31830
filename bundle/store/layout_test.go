package store

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// testLayout is a layout that a test writes to.
type testLayout struct {
	*testing.T
	path string
}

func newTestLayout(t *testing.T, manifests ...v1.Descriptor) testLayout {
	l := testLayout{t, t.TempDir()}
	l.write(v1.ImageLayoutFile, []byte(`{"imageLayoutVersion":"1.0.0"}`))
	l.setIndex(manifests...)
	if err := os.MkdirAll(filepath.Join(l.path, "blobs", "sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l testLayout) write(name string, data []byte) {
	l.Helper()
	if err := os.WriteFile(filepath.Join(l.path, name), data, 0o644); err != nil {
		l.Fatal(err)
	}
}

func (l testLayout) setIndex(manifests ...v1.Descriptor) {
	l.Helper()
	l.write(v1.ImageIndexFile, marshal(l.T, index(manifests...)))
}

func (l testLayout) put(mediaType string, data []byte) v1.Descriptor {
	l.Helper()
	id := digest.FromBytes(data)
	l.write(filepath.Join("blobs", "sha256", id.Encoded()), data)
	return v1.Descriptor{MediaType: mediaType, Digest: id, Size: int64(len(data))}
}

func (l testLayout) open() *Layout {
	l.Helper()
	layout, err := Open(l.path)
	if err != nil {
		l.Fatal(err)
	}
	return layout
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func index(manifests ...v1.Descriptor) v1.Index {
	return v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: manifests}
}

func tagged(d v1.Descriptor, tag string) v1.Descriptor {
	d.Annotations = map[string]string{v1.AnnotationRefName: tag}
	return d
}

func TestOpenRefuses(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(l testLayout)
		want   string
	}{
		{"another version", func(l testLayout) { l.write("oci-layout", []byte(`{"imageLayoutVersion":"2.0.0"}`)) }, "2.0.0"},
		{"no oci-layout", func(l testLayout) { os.Remove(filepath.Join(l.path, "oci-layout")) }, "oci-layout"},
		{"oci-layout that is no JSON", func(l testLayout) { l.write("oci-layout", []byte(`{`)) }, "oci-layout"},
		{"oci-layout that is a FIFO", func(l testLayout) {
			os.Remove(filepath.Join(l.path, "oci-layout"))
			if err := unix.Mkfifo(filepath.Join(l.path, "oci-layout"), 0o600); err != nil {
				l.Fatal(err)
			}
		}, "not a regular file"},
		{"no blobs", func(l testLayout) { os.RemoveAll(filepath.Join(l.path, "blobs")) }, "blobs"},
		{"no index", func(l testLayout) { os.Remove(filepath.Join(l.path, "index.json")) }, "index.json"},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newTestLayout(t)
			test.damage(l)
			if _, err := Open(l.path); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open: %v, want an error with %q", err, test.want)
			}
		})
	}
	for _, path := range []string{"", "with:colon", "/nonexistent/layout"} {
		if _, err := Open(path); err == nil {
			t.Errorf("Open(%q) succeeds", path)
		}
	}
}

func TestTagsKeepOrderAndDuplicates(t *testing.T) {
	l := newTestLayout(t)
	d := l.put(v1.MediaTypeImageManifest, []byte("{}"))
	l.setIndex(tagged(d, "b"), d, tagged(d, "a"), tagged(d, "b"))
	tags, err := l.open().Tags()
	if want := []string{"b", "a", "b"}; err != nil || !slices.Equal(tags, want) {
		t.Errorf("Tags = %q, %v; want %q", tags, err, want)
	}
}

func TestResolve(t *testing.T) {
	l := newTestLayout(t)
	one := l.put(v1.MediaTypeImageManifest, []byte(`{"n":1}`))
	two := l.put(v1.MediaTypeImageManifest, []byte(`{"n":2}`))
	inner := l.put(v1.MediaTypeImageIndex, marshal(t, index(one)))
	outer := l.put(v1.MediaTypeImageIndex, marshal(t, index(inner)))
	both := l.put(v1.MediaTypeImageIndex, marshal(t, index(one, two)))
	posing := l.put(v1.MediaTypeImageIndex, []byte(`{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json"}`))
	missing := one
	missing.MediaType, missing.Digest = v1.MediaTypeImageIndex, digest.FromString("missing")
	config := l.put(v1.MediaTypeImageConfig, []byte(`{}`))
	l.setIndex(tagged(one, "plain"), tagged(outer, "nested"), tagged(both, "platforms"),
		tagged(one, "twice"), tagged(two, "twice"), tagged(config, "config"),
		tagged(posing, "posing"), tagged(missing, "missing"), two)

	for _, test := range []struct {
		name, tag string
		want      []digest.Digest
		wantErr   string
	}{
		{name: "a manifest", tag: "plain", want: []digest.Digest{one.Digest}},
		{name: "through two indexes", tag: "nested", want: []digest.Digest{outer.Digest, inner.Digest, one.Digest}},
		{name: "a manifest for each of two platforms", tag: "platforms", wantErr: "tag is ambiguous: platforms"},
		{name: "the same tag twice", tag: "twice", wantErr: "tag is ambiguous: twice"},
		{name: "not a manifest", tag: "config", wantErr: "media type"},
		{name: "an index that says it is a manifest", tag: "posing", wantErr: "mediaType"},
		{name: "an index that is not there", tag: "missing", wantErr: "no such file"},
		{name: "no such tag", tag: "none", wantErr: "tag not found: none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			walk, err := l.open().Resolve(test.tag)
			var got []digest.Digest
			for _, d := range walk {
				got = append(got, d.Digest)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("Resolve = %v, want %v", got, test.want)
			}
			if (err == nil) != (test.wantErr == "") || (err != nil && !strings.Contains(err.Error(), test.wantErr)) {
				t.Errorf("Resolve: %v, want an error with %q", err, test.wantErr)
			}
		})
	}
}

// An index that lists another hundred times, five levels deep, is a billion
// of descriptors in a kilobyte.
func TestResolveIsBounded(t *testing.T) {
	l := newTestLayout(t)
	d := l.put(v1.MediaTypeImageManifest, []byte("{}"))
	for range 5 {
		d = l.put(v1.MediaTypeImageIndex, marshal(t, index(slices.Repeat([]v1.Descriptor{d}, 100)...)))
	}
	deep := l.put(v1.MediaTypeImageManifest, []byte("{}"))
	for range maxIndexDepth + 1 {
		deep = l.put(v1.MediaTypeImageIndex, marshal(t, index(deep)))
	}
	l.setIndex(tagged(d, "wide"), tagged(deep, "deep"))
	for tag, want := range map[string]string{"wide": "more than 10000 descriptors", "deep": "nested more than 32 deep"} {
		if _, err := l.open().Resolve(tag); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Resolve(%s): %v, want an error with %q", tag, err, want)
		}
	}
}

func TestBlobIsVerified(t *testing.T) {
	content := []byte("some content of a blob")
	for _, test := range []struct {
		name   string
		change func(l testLayout, d *v1.Descriptor, path string)
		want   error
	}{
		{"as described", func(testLayout, *v1.Descriptor, string) {}, nil},
		{"other bytes", func(l testLayout, d *v1.Descriptor, path string) { l.write(path, []byte("same size of a bl0b...")) }, ErrDigestMismatch},
		{"truncated", func(l testLayout, d *v1.Descriptor, path string) { l.write(path, content[:5]) }, ErrSizeMismatch},
		{"longer", func(l testLayout, d *v1.Descriptor, path string) { l.write(path, append(content, '!')) }, ErrSizeMismatch},
		{"another size in the descriptor", func(l testLayout, d *v1.Descriptor, path string) { d.Size = -1 }, ErrSizeMismatch},
		{"missing", func(l testLayout, d *v1.Descriptor, path string) { os.Remove(filepath.Join(l.path, path)) }, os.ErrNotExist},
		{"digest that is a path", func(l testLayout, d *v1.Descriptor, path string) { d.Digest = "sha256:../../oci-layout" }, digest.ErrDigestInvalidLength},
		{"unknown algorithm", func(l testLayout, d *v1.Descriptor, path string) { d.Digest = "md5:d41d8cd98f00b204e9800998ecf8427e" }, digest.ErrDigestUnsupported},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := newTestLayout(t)
			d := l.put(v1.MediaTypeImageLayer, content)
			test.change(l, &d, filepath.Join("blobs", "sha256", d.Digest.Encoded()))
			blob, err := l.open().Blob(d)
			if err == nil {
				_, err = io.ReadAll(blob)
				blob.Close()
			}
			if !errors.Is(err, test.want) {
				t.Errorf("reading the blob: %v, want %v", err, test.want)
			}
		})
	}
}

func TestBlobSHA512(t *testing.T) {
	l := newTestLayout(t)
	id := digest.SHA512.FromString("x")
	if err := os.Mkdir(filepath.Join(l.path, "blobs", "sha512"), 0o755); err != nil {
		t.Fatal(err)
	}
	l.write(filepath.Join("blobs", "sha512", id.Encoded()), []byte("x"))
	blob, err := l.open().Blob(v1.Descriptor{Digest: id, Size: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	if err := blob.Drain(); err != nil {
		t.Error(err)
	}
}
