package layer

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func zstded(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(data, nil)
}

// applyBlob extracts a layer as it is stored.
func applyBlob(tree *Tree, blob io.Reader, mediaType string, diffID digest.Digest, h hash.Hash) error {
	s, err := OpenStream(blob, mediaType, diffID, h)
	if err != nil {
		return err
	}
	defer s.Close()
	return tree.ApplyStream(s)
}

func TestApplyBlob(t *testing.T) {
	plain := archive(t, file("f", strings.Repeat("content ", 100)))
	junk := slices.Concat(plain, []byte("junk after the archive's end"))
	twoMembers := slices.Concat(gzipped(t, plain[:1000]), gzipped(t, plain[1000:]))
	packed := gzipped(t, plain)
	for _, test := range []struct {
		name, mediaType string
		blob, content   []byte // content is what the diff_id is of
		wantErr         string
	}{
		{"plain", v1.MediaTypeImageLayer, plain, plain, ""},
		{"gzip", v1.MediaTypeImageLayerGzip, packed, plain, ""},
		{"gzip of two members", v1.MediaTypeImageLayerGzip, twoMembers, plain, ""},
		{"zstd", v1.MediaTypeImageLayerZstd, zstded(t, plain), plain, ""},
		{"zstd of two frames", v1.MediaTypeImageLayerZstd, slices.Concat(zstded(t, plain[:700]), zstded(t, plain[700:])), plain, ""},
		{"not to be distributed", foreignGzip, packed, plain, ""},
		{"junk after the archive counts", v1.MediaTypeImageLayerGzip, gzipped(t, junk), junk, ""},
		{"junk after the archive is not forgotten", v1.MediaTypeImageLayerGzip, gzipped(t, junk), plain, "diff_id mismatch"},
		{"another diff_id", v1.MediaTypeImageLayer, plain, []byte("other"), "diff_id mismatch"},
		{"gzip cut in the data", v1.MediaTypeImageLayerGzip, packed[:len(packed)/2], plain, "unexpected EOF"},
		{"gzip cut in the checksum", v1.MediaTypeImageLayerGzip, packed[:len(packed)-3], plain, "unexpected EOF"},
		{"zstd cut", v1.MediaTypeImageLayerZstd, zstded(t, plain)[:40], plain, "unexpected EOF"},
		{"garbage after gzip", v1.MediaTypeImageLayerGzip, slices.Concat(packed, []byte("garbage, longer than a header")), plain, "gzip"},
		{"gzip that says it is plain", v1.MediaTypeImageLayer, packed, plain, "diff_id mismatch"},
		{"plain that says it is gzip", v1.MediaTypeImageLayerGzip, plain, plain, "gzip"},
		{"empty gzip", v1.MediaTypeImageLayerGzip, nil, plain, "gzip"},
		{"Docker's type", "application/vnd.docker.image.rootfs.diff.tar.gzip", packed, plain, ""},
		{"unknown type", "application/vnd.oci.image.layer.v1.tar+lz4", packed, plain, "unknown media type"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t, Options{})
			err := applyBlob(p.tree, bytes.NewReader(test.blob), test.mediaType, digest.FromBytes(test.content), sha256.New())
			if (err == nil) != (test.wantErr == "") || (err != nil && !strings.Contains(err.Error(), test.wantErr)) {
				t.Errorf("ApplyBlob: %v, want an error with %q", err, test.wantErr)
			}
			if mismatch := strings.Contains(test.wantErr, "diff_id"); errors.Is(err, ErrDiffID) != mismatch {
				t.Errorf("ApplyBlob: %v; matches ErrDiffID: %v", err, !mismatch)
			}
		})
	}
}

// endless is a gzip bomb that needs no space.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestApplyBlobIsBounded(t *testing.T) {
	p := newPlace(t, Options{MaxBytes: 10 << 20})
	blob := io.MultiReader(bytes.NewReader(archive(t, file("f", "x"))), endless{})
	err := applyBlob(p.tree, blob, v1.MediaTypeImageLayer, digest.FromString(""), sha256.New())
	if err == nil || !strings.Contains(err.Error(), "more than 10485760 bytes") {
		t.Errorf("ApplyBlob: %v", err)
	}
}
