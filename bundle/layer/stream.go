package layer

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

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

// A stream is decompressed and hashed by goroutines of its own, at most
// streamAhead chunks before what is read from it.
const (
	streamChunk = 256 << 10
	streamAhead = 32
)

// Stream is the tar of a layer, decompressed and verified ahead of its reader.
type Stream struct {
	diffID digest.Digest
	hash   hash.Hash

	plain chan chunk    // decompressed
	ready chan chunk    // and hashed
	free  chan []byte   // buffers that nobody uses; nil ones are not made yet
	stop  chan struct{} // closed when nobody will read on
	ended sync.WaitGroup

	current []byte // what is left of buffer
	buffer  []byte
	err     error
}

type chunk struct {
	data []byte
	err  error // the stream ends behind data
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
		free:   make(chan []byte, streamAhead),
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

func (s *Stream) inflate(plain io.Reader) {
	for {
		var buf []byte
		select {
		case buf = <-s.free:
		case <-s.stop:
			return
		}
		if buf == nil {
			buf = make([]byte, streamChunk)
		}
		c := chunk{}
		n := 0
		for n < len(buf) && c.err == nil {
			var m int
			m, c.err = plain.Read(buf[n:])
			n += m
		}
		c.data = buf[:n]
		select {
		case s.plain <- c:
		case <-s.stop:
			return
		}
		if c.err != nil {
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
		s.current, s.buffer, s.err = c.data, c.data[:cap(c.data)], c.err
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
