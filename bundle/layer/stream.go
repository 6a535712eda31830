package layer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hako-runtime/hako/bundle/layer/gunzip"
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

// A stream is decompressed and hashed by goroutines of its own, at most
// streamAhead buffers before what is read from it.
const streamAhead = 32

// Stream is the tar of a layer, decompressed and verified ahead of its reader.
type Stream struct {
	diffID digest.Digest
	hash   hash.Hash

	plain chan chunk    // decompressed
	ready chan chunk    // and hashed
	free  chan *buffer  // that nobody uses; nil ones are not made yet
	stop  chan struct{} // closed when nobody will read on
	ended sync.WaitGroup

	current []byte // what is left of buffer
	buffer  *buffer
	err     error
}

// buffer holds decompressed data behind a window, for a decompressor that
// needs what it made before.
type buffer = gunzip.Buffer

type chunk struct {
	*buffer
	data []byte // of buffer
	err  error  // the stream ends behind data
}

// decompressor decodes into a buffer behind its window and returns how much.
// The window is what it left there in the call before.
type decompressor interface {
	Next(b *buffer, at int) (int, error)
}

// OpenStream starts to decompress a layer by its media type; h computes
// diffID's algorithm. Nobody else may read blob before Close.
func OpenStream(blob io.Reader, mediaType string, diffID digest.Digest, h hash.Hash) (*Stream, error) {
	plain, closePlain, err := decompress(blob, mediaType)
	if err != nil {
		return nil, err
	}
	s := &Stream{
		diffID: diffID,
		hash:   h,
		plain:  make(chan chunk, streamAhead),
		ready:  make(chan chunk, streamAhead),
		free:   make(chan *buffer, streamAhead),
		stop:   make(chan struct{}),
	}
	for range streamAhead {
		s.free <- nil
	}
	s.ended.Go(func() {
		defer closePlain()
		s.inflate(plain)
	})
	s.ended.Go(s.verify)
	return s, nil
}

func (s *Stream) inflate(plain decompressor) {
	var window [gunzip.Window]byte
	for {
		var b *buffer
		select {
		case b = <-s.free:
		case <-s.stop:
			return
		}
		if b == nil {
			b = new(buffer)
		}
		copy(b[:], window[:])
		n, err := plain.Next(b, len(window))
		copy(window[:], b[n:])
		select {
		case s.plain <- chunk{b, b[len(window):][:n], err}:
		case <-s.stop:
			return
		}
		if err != nil {
			return
		}
	}
}

func (s *Stream) verify() {
	for {
		var c chunk
		select {
		case c = <-s.plain:
		case <-s.stop:
			return
		}
		s.hash.Write(c.data)
		if errors.Is(c.err, io.EOF) {
			if got := digest.NewDigest(s.diffID.Algorithm(), s.hash); got != s.diffID {
				c.err = fmt.Errorf("%w: the layer is %s uncompressed, its configuration says %s", ErrDiffID, got, s.diffID)
			}
		}
		select {
		case s.ready <- c:
		case <-s.stop:
			return
		}
		if c.err != nil {
			return
		}
	}
}

// Read implements [io.Reader]. It returns io.EOF only after the whole content
// was found to be that of the diff_id; the error matches [ErrDiffID] if not.
func (s *Stream) Read(p []byte) (int, error) {
	for len(s.current) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		if s.buffer != nil {
			s.free <- s.buffer // has room for every buffer there is
			s.buffer = nil
		}
		c := <-s.ready
		s.current, s.buffer, s.err = c.data, c.buffer, c.err
	}
	n := copy(p, s.current)
	s.current = s.current[n:]
	return n, nil
}

// Close ends the goroutines. It verifies nothing.
func (s *Stream) Close() {
	close(s.stop)
	s.ended.Wait()
}

// ApplyStream extracts a layer and reads its stream to the end.
//
// The error matches [ErrDiffID] if the content is not the one promised.
// Whether the blob was the right one is for the caller to verify.
func (t *Tree) ApplyStream(s *Stream) error {
	bounded := &boundedReader{s, t}
	if err := t.Apply(bounded); err != nil {
		return err
	}
	// What follows the archive's end is part of the layer's digest.
	_, err := io.Copy(io.Discard, bounded)
	return err
}

func decompress(blob io.Reader, mediaType string) (plain decompressor, closePlain func(), err error) {
	if err := CheckMediaType(mediaType); err != nil {
		return nil, nil, err
	}
	switch CompressionOf(mediaType) {
	case Gzip:
		return named{"gzip", gunzip.NewReader(blob)}, func() {}, nil
	case Zstd:
		r, err := newZstdReader(blob)
		if err != nil {
			return nil, nil, err
		}
		return named{"zstd", filler{r}}, r.Close, nil
	}
	return filler{blob}, func() {}, nil
}

// newZstdReader keeps to the goroutine that reads: none reads the blob behind
// our back.
func newZstdReader(blob io.Reader) (*zstd.Decoder, error) {
	r, err := zstd.NewReader(blob, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	return r, nil
}

// Uncompressed looks at the first bytes and undoes gzip or zstd; what else it
// is comes as it is. Closing plain leaves r alone.
func Uncompressed(r io.Reader) (plain io.ReadCloser, was Compression, err error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	magic, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, Unknown, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return io.NopCloser(gunzip.NewReader(buffered)), Gzip, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := newZstdReader(buffered)
		if err != nil {
			return nil, Unknown, err
		}
		return z.IOReadCloser(), Zstd, nil
	}
	return io.NopCloser(buffered), None, nil
}

// filler makes full buffers of what a reader gives.
type filler struct{ io.Reader }

func (f filler) Next(b *buffer, at int) (n int, err error) {
	to := b[at:]
	for n < len(to) && err == nil {
		var m int
		m, err = f.Read(to[n:])
		n += m
	}
	return n, err
}

// named says which decompressor an error comes from.
type named struct {
	name string
	decompressor
}

func (n named) Next(b *buffer, at int) (int, error) {
	count, err := n.decompressor.Next(b, at)
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
