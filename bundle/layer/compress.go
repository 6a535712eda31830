package layer

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Compression is how a layer is stored.
type Compression int

// The algorithms that image-spec has media types for.
const (
	Unknown Compression = iota
	None
	Gzip
	Zstd
)

// MediaType is that of a layer compressed so.
func (c Compression) MediaType() string {
	switch c {
	case Gzip:
		return v1.MediaTypeImageLayerGzip
	case Zstd:
		return v1.MediaTypeImageLayerZstd
	}
	return v1.MediaTypeImageLayer
}

// Compress returns a writer that compresses to w. The same bytes written, in
// whatever portions and on however many cores, give the same bytes in w.
func Compress(w io.Writer, algorithm Compression) (io.WriteCloser, error) {
	switch algorithm {
	case None:
		return nopCloser{w}, nil
	case Gzip:
		return newGzipWriter(w), nil
	case Zstd:
		z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
		if err != nil {
			return nil, fmt.Errorf("zstd: %w", err)
		}
		// The encoder cuts blocks where writes end: let them end always at
		// the same places.
		return &steady{bufio.NewWriterSize(z, steadyBytes), z}, nil
	}
	return nil, fmt.Errorf("compression %d: unknown", algorithm)
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

const steadyBytes = 256 << 10

type steady struct {
	*bufio.Writer
	encoder io.Closer
}

// Write passes on full buffers only; bufio would hand a large write through
// as it is.
func (s *steady) Write(p []byte) (int, error) {
	done := 0
	for len(p) > 0 {
		n := min(len(p), s.Available())
		if _, err := s.Writer.Write(p[:n]); err != nil {
			return done, err
		}
		done, p = done+n, p[n:]
		if s.Available() == 0 {
			if err := s.Flush(); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

func (s *steady) Close() error {
	err := s.Flush()
	if closeErr := s.encoder.Close(); err == nil {
		err = closeErr
	}
	return err
}

// gzipBlock is how much is compressed at once by one core, and gzipWindow how
// much of the block before it knows (RFC 1951: 32 KiB).
const (
	gzipBlock  = 1 << 20
	gzipWindow = 32 << 10
	gzipLevel  = 5
)

// gzipHeader: deflate, no name, no time, unknown system (RFC 1952).
const gzipHeader = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

// gzipWriter compresses blocks of one stream in parallel, as pigz does. What
// it writes depends on the input only.
type gzipWriter struct {
	out     io.Writer
	block   []byte // being filled
	tail    []byte // the end of the block before
	crc     uint32
	size    uint32
	jobs    chan *gzipJob // in the order of the stream
	written chan error
	idle    chan *flate.Writer
	spare   chan []byte
	closed  bool
	failed  chan struct{}
	err     error
}

type gzipJob struct {
	data, window []byte
	last         bool
	packed       chan packedBlock
}

type packedBlock struct {
	data []byte
	err  error
}

func newGzipWriter(out io.Writer) *gzipWriter {
	workers := max(2, runtime.GOMAXPROCS(0))
	g := &gzipWriter{
		out:     out,
		block:   make([]byte, 0, gzipBlock),
		jobs:    make(chan *gzipJob, workers),
		written: make(chan error, 1),
		idle:    make(chan *flate.Writer, workers),
		spare:   make(chan []byte, workers+2),
		failed:  make(chan struct{}),
	}
	for range workers {
		g.idle <- nil // made when it is needed
	}
	go g.collect()
	return g
}

// collect writes the blocks in their order.
func (g *gzipWriter) collect() {
	_, err := io.WriteString(g.out, gzipHeader)
	if err != nil {
		close(g.failed)
	}
	for job := range g.jobs {
		block := <-job.packed
		if err != nil {
			continue
		}
		if err = block.err; err == nil {
			_, err = g.out.Write(block.data)
		}
		if err != nil {
			close(g.failed)
		}
		g.recycle(job.data)
	}
	g.written <- err
}

func (g *gzipWriter) recycle(data []byte) {
	select {
	case g.spare <- data[:0]:
	default:
	}
}

// Write implements [io.Writer].
func (g *gzipWriter) Write(p []byte) (int, error) {
	done := 0
	for len(p) > 0 {
		n := min(len(p), gzipBlock-len(g.block))
		g.block = append(g.block, p[:n]...)
		done, p = done+n, p[n:]
		if len(g.block) == gzipBlock {
			if err := g.submit(false); err != nil {
				return done, err
			}
		}
	}
	return done, nil
}

// submit hands the block to a worker, when one is free.
func (g *gzipWriter) submit(last bool) error {
	g.crc = crc32.Update(g.crc, crc32.IEEETable, g.block)
	g.size += uint32(len(g.block)) // modulo 2^32, as RFC 1952 wants it
	job := &gzipJob{data: g.block, window: g.tail, last: last, packed: make(chan packedBlock, 1)}
	g.tail = append([]byte(nil), g.block[max(0, len(g.block)-gzipWindow):]...)
	select {
	case g.block = <-g.spare:
	default:
		g.block = make([]byte, 0, gzipBlock)
	}
	select {
	case encoder := <-g.idle:
		go g.deflate(encoder, job)
	case <-g.failed:
		return io.ErrClosedPipe // Close returns the cause
	}
	g.jobs <- job
	return nil
}

func (g *gzipWriter) deflate(encoder *flate.Writer, job *gzipJob) {
	out := &sliceWriter{data: make([]byte, 0, len(job.data)/2+1024)}
	encoder, err := resetFlate(encoder, out, job.window)
	if err == nil {
		_, err = encoder.Write(job.data)
	}
	if err == nil && job.last {
		err = encoder.Close()
	} else if err == nil {
		err = encoder.Flush() // ends at a byte: blocks can be joined
	}
	g.idle <- encoder
	job.packed <- packedBlock{out.data, err}
}

func resetFlate(encoder *flate.Writer, out io.Writer, window []byte) (*flate.Writer, error) {
	if encoder == nil {
		return flate.NewWriterDict(out, gzipLevel, window)
	}
	encoder.ResetDict(out, window)
	return encoder, nil
}

type sliceWriter struct{ data []byte }

func (s *sliceWriter) Write(p []byte) (int, error) {
	s.data = append(s.data, p...)
	return len(p), nil
}

// Close writes what is left and the trailer.
func (g *gzipWriter) Close() error {
	if g.closed {
		return g.err
	}
	g.closed = true
	_ = g.submit(true) // its error is that of collect
	close(g.jobs)
	if g.err = <-g.written; g.err != nil {
		return fmt.Errorf("gzip: %w", g.err)
	}
	trailer := binary.LittleEndian.AppendUint32(nil, g.crc)
	_, g.err = g.out.Write(binary.LittleEndian.AppendUint32(trailer, g.size))
	return g.err
}
