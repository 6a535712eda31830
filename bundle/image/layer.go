package image

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/hako-runtime/hako/bundle/layer"
	"github.com/hako-runtime/hako/bundle/store"
)

// annotationUncompressed is umoci's: how large a layer is uncompressed.
const annotationUncompressed = "ci.umo.uncompressed_blob_size"

// WriteLayer stores the tar stream that write produces as a layer, compressed
// by algorithm. If write fails the layout holds nothing of it.
func WriteLayer(w *store.Writer, algorithm layer.Compression, write func(io.Writer) error) (Layer, error) {
	blob, err := w.NewBlob()
	if err != nil {
		return Layer{}, err
	}
	defer blob.Abort()
	packed, err := layer.Compress(blob, algorithm)
	if err != nil {
		return Layer{}, err
	}
	plain := &hashing{writer: packed, digester: digest.SHA256.Digester()}
	// Closed even after an error: its goroutines end.
	if err := errors.Join(write(plain), packed.Close()); err != nil {
		return Layer{}, err
	}
	d, err := blob.Commit(algorithm.MediaType())
	if err != nil {
		return Layer{}, fmt.Errorf("layer: %w", err)
	}
	if plain.size != d.Size {
		d.Annotations = map[string]string{annotationUncompressed: strconv.FormatInt(plain.size, 10)}
	}
	return Layer{Descriptor: d, DiffID: plain.digester.Digest()}, nil
}

// hashing computes the digest of what it passes on.
type hashing struct {
	writer   io.Writer
	digester digest.Digester
	size     int64
}

func (h *hashing) Write(p []byte) (int, error) {
	n, err := h.writer.Write(p)
	_, _ = h.digester.Hash().Write(p[:n]) // hash.Hash: never an error
	h.size += int64(n)
	return n, err
}

// Compression is what layers of the image are compressed with: the newest
// layer's algorithm that is known and not none, or gzip.
func (e *Edit) Compression() layer.Compression {
	for i := len(e.Manifest.Layers) - 1; i >= 0; i-- {
		if c := layer.CompressionOf(e.Manifest.Layers[i].MediaType); c == layer.Gzip || c == layer.Zstd {
			return c
		}
	}
	return layer.Gzip
}
