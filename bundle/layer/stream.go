package layer

import (
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// ErrDiffID says that a layer, uncompressed, is not the one that the image's
// configuration lists.
var ErrDiffID = errors.New("diff_id mismatch")

// maxZstdWindow bounds a decoder's memory. It is what zstd(1) accepts without
// being told otherwise (--long=27).
const maxZstdWindow = 128 << 20

// The deprecated types that layer.md still asks to accept.
const (
	foreign     = "application/vnd.oci.image.layer.nondistributable.v1.tar"
	foreignGzip = foreign + "+gzip"
	foreignZstd = foreign + "+zstd"
)

// Docker's names of the same formats.
const (
	docker        = "application/vnd.docker.image.rootfs.diff.tar"
	dockerGzip    = docker + ".gzip"
	dockerZstd    = docker + ".zstd"
	dockerForeign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
)

// CheckMediaType reports whether layers of this media type can be applied.
func CheckMediaType(mediaType string) error {
	if CompressionOf(mediaType) == Unknown {
		return fmt.Errorf("unknown media type %q of a layer", mediaType)
	}
	return nil
}

// CompressionOf is the algorithm that a layer's media type stands for.
func CompressionOf(mediaType string) Compression {
	switch mediaType {
	case v1.MediaTypeImageLayer, foreign, docker:
		return None
	case v1.MediaTypeImageLayerGzip, foreignGzip, dockerGzip, dockerForeign:
		return Gzip
	case v1.MediaTypeImageLayerZstd, foreignZstd, dockerZstd:
		return Zstd
	}
	return Unknown
}

// ApplyBlob extracts a layer as it is stored: decompressed by its media type,
// and verified when the last byte was read. h computes diffID's algorithm.
//
// The error matches [ErrDiffID] if the content is another. Whether blob was
// the right one is for the caller to verify, who has to read it to its end.
func (t *Tree) ApplyBlob(blob io.Reader, mediaType string, diffID digest.Digest, h hash.Hash) error {
	plain, closePlain, err := decompress(blob, mediaType)
	if err != nil {
		return err
	}
	defer closePlain()
	stream := io.TeeReader(&boundedReader{plain, t}, h)
	if err := t.Apply(stream); err != nil {
		return err
	}
	// What follows the archive's end is part of the layer's digest.
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return err
	}
	if got := digest.NewDigest(diffID.Algorithm(), h); got != diffID {
		return fmt.Errorf("%w: the layer is %s uncompressed, its configuration says %s", ErrDiffID, got, diffID)
	}
	return nil
}

func decompress(blob io.Reader, mediaType string) (plain io.Reader, closePlain func(), err error) {
	if err := CheckMediaType(mediaType); err != nil {
		return nil, nil, err
	}
	switch CompressionOf(mediaType) {
	case Gzip:
		r, err := gzip.NewReader(blob)
		if err != nil {
			return nil, nil, fmt.Errorf("gzip: %w", err)
		}
		return named{"gzip", r}, func() { _ = r.Close() }, nil
	case Zstd:
		// Concurrency 1: no goroutine reads the blob behind our back.
		r, err := zstd.NewReader(blob, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, nil, fmt.Errorf("zstd: %w", err)
		}
		return named{"zstd", r}, r.Close, nil
	}
	return blob, func() {}, nil
}

// named says which decompressor an error comes from.
type named struct {
	name   string
	reader io.Reader
}

func (n named) Read(p []byte) (int, error) {
	count, err := n.reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s: %w", n.name, err)
	}
	return count, err
}

// boundedReader counts what comes out of a decompressor: headers and padding
// are not content and could still fill a day.
type boundedReader struct {
	reader io.Reader
	tree   *Tree
}

func (b *boundedReader) Read(p []byte) (int, error) {
	n, err := b.reader.Read(p)
	b.tree.streamed += int64(n)
	if limit := b.tree.options.MaxBytes; limit > 0 && b.tree.streamed > limit {
		return 0, fmt.Errorf("layers are more than %d bytes uncompressed", limit)
	}
	return n, err
}
