// Package gunzip decompresses gzip (RFC 1952) into the buffers of its caller,
// where what was decoded before is the window of what follows: nothing is
// copied. It takes and refuses what the standard library's compress/gzip does,
// at a multiple of the speed.
//
// The input is hostile. Memory is bounded by the buffers, time by the length
// of input and output.
package gunzip

import (
	"compress/gzip"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// Window is how far back a match may reach; RFC 1951.
const Window = 32 << 10

// BufferSize is that of a [Buffer], and MinRoom what [Reader.Next] may leave
// free at its end.
const (
	BufferSize = 256 << 10
	MinRoom    = 320

	bufferMask = BufferSize - 1
)

// Buffer is what is decoded into: BufferSize bytes, and some that are never
// used. With them no access of eight bytes needs its bounds checked.
type Buffer [BufferSize + 8]byte

// input is what was read, and zeros behind the end of the stream: more than
// what is looked at before the end is noticed.
type input [inputMask + 1 + 8]byte

const (
	inputMask = 128<<10 - 1
	padding   = 1 << 10
	inputSize = 128<<10 - padding
)

// Reader decompresses one stream, of one member or several.
type Reader struct {
	source   io.Reader
	input    *input
	pos, end int    // input[pos:end] was read, and not taken
	ended    error  // what source ended with; nil while it may have more
	bits     uint64 // what was taken and not used, the first bit lowest
	nbits    uint   // how much; above are the bits that input[pos:] begins with

	next     stage
	last     bool // block of the member
	fixed    bool // the tables are those of the fixed codes
	stored   int  // bytes that are left of a stored block
	produced int  // by the member; at most Window is counted
	crc      uint32
	size     uint32
	begun    bool // a member is complete
	err      error

	lit      [1 << litBits]uint32
	litMore  [litMore]uint32
	dist     [1 << distBits]uint32
	distMore [distMore]uint32

	own     *Buffer // buffer of Read, behind a window
	pending []byte  // of own: decoded, not read
}

// stage is what the input goes on with.
type stage int

const (
	atHeader stage = iota
	atBlock
	inStored
	inCodes
	atTrailer
)

// NewReader returns a reader of the gzip stream that source holds, to its end:
// what follows the stream is an error.
func NewReader(source io.Reader) *Reader {
	return &Reader{source: source, input: new(input)}
}

// Next decodes into buf from at on and returns how many bytes; it leaves less
// than MinRoom free, unless there is an error. Before at there must be the last
// Window bytes that were decoded, or all if there are fewer.
//
// The error is io.EOF at the end of the stream. Until then nothing is certain.
func (r *Reader) Next(buf *Buffer, at int) (n int, err error) {
	if at < r.produced || BufferSize-at < MinRoom {
		return 0, errors.New("gunzip: buffer too small")
	}
	start := at - r.produced // of the member, or of the window
	summed, pos := at, at
	for r.err == nil && BufferSize-pos >= MinRoom {
		switch r.next {
		case atHeader:
			start = pos
			r.err = r.header()
		case atBlock:
			r.err = r.block()
		case inStored:
			pos += r.copyStored(buf[pos:BufferSize])
		case inCodes:
			pos, r.err = r.decode(buf, start, pos)
		case atTrailer:
			r.sum(buf[summed:pos])
			summed = pos
			r.err = r.trailer()
		}
	}
	r.sum(buf[summed:pos])
	r.produced = min(pos-start, Window)
	return pos - at, r.err
}

func (r *Reader) sum(p []byte) {
	r.crc = crc32.Update(r.crc, crc32.IEEETable, p)
	r.size += uint32(len(p)) // modulo 2^32, as RFC 1952 has it
}

// Read implements [io.Reader].
func (r *Reader) Read(p []byte) (int, error) {
	if r.own == nil {
		r.own = new(Buffer)
		r.pending = r.own[Window:Window]
	}
	for len(r.pending) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		// The window: what comes before the end of what was read.
		used := cap(r.own) - cap(r.pending)
		copy(r.own[:], r.own[used-Window:used])
		n, _ := r.Next(r.own, Window) // r.err keeps the error
		r.pending = r.own[Window : Window+n]
	}
	n := copy(p, r.pending)
	r.pending = r.pending[n:]
	return n, nil
}

// fill reads until there are so many bytes of input, or all that there will
// ever be. At most inputSize less 8 can be asked for.
func (r *Reader) fill(want int) {
	if r.end-r.pos >= want || r.ended != nil {
		return
	}
	// What is in bits may be given back.
	keep := max(0, r.pos-8)
	r.end = copy(r.input[:], r.input[keep:r.end])
	r.pos -= keep
	for empty := 0; r.end-r.pos < want && r.ended == nil; empty++ {
		n, err := r.source.Read(r.input[r.end:inputSize])
		r.end += n
		r.ended = err
		if n > 0 {
			empty = 0
		} else if err == nil && empty == 100 {
			r.ended = io.ErrNoProgress
		}
	}
	if r.ended != nil {
		clear(r.input[r.end:][:padding])
	}
}

// overrun says whether bits were used that the input does not have.
func (r *Reader) overrun() bool { return r.pos*8-int(r.nbits) > r.end*8 }

// cut is the error of input that ends too early.
func (r *Reader) cut() error {
	if errors.Is(r.ended, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return r.ended
}

// align goes on at the next full byte of the input.
func (r *Reader) align() error {
	if r.overrun() {
		return r.cut()
	}
	r.pos -= int(r.nbits / 8)
	r.bits, r.nbits = 0, 0
	return nil
}

// Flags of a header; RFC 1952, 2.3.1.
const (
	flagHeaderCRC = 1 << 1
	flagExtra     = 1 << 2
	flagName      = 1 << 3
	flagComment   = 1 << 4
	flagsReserved = 0xe0
)

// maxString bounds name and comment, as the standard library does.
const maxString = 512

// header reads a member's, if there is another one.
func (r *Reader) header() error {
	if r.fill(1); r.pos == r.end && r.begun {
		return r.ended
	}
	r.crc, r.size, r.fixed = 0, 0, false
	head, err := r.bytes(10)
	if err != nil {
		return err
	}
	flags := head[3]
	if head[0] != 0x1f || head[1] != 0x8b || head[2] != 8 || flags&flagsReserved != 0 {
		return gzip.ErrHeader
	}
	if flags&flagExtra != 0 {
		size, err := r.bytes(2)
		if err == nil {
			_, err = r.bytes(int(binary.LittleEndian.Uint16(size)))
		}
		if err != nil {
			return err
		}
	}
	for _, flag := range []byte{flagName, flagComment} {
		if flags&flag != 0 {
			if err := r.skipString(); err != nil {
				return err
			}
		}
	}
	if flags&flagHeaderCRC != 0 {
		sum := uint16(r.crc)
		if want, err := r.bytes(2); err != nil {
			return err
		} else if binary.LittleEndian.Uint16(want) != sum {
			return gzip.ErrHeader
		}
	}
	r.crc = 0
	r.next = atBlock
	return nil
}

// bytes takes n bytes of a header; they are valid until more is read.
func (r *Reader) bytes(n int) ([]byte, error) {
	if r.fill(n); r.end-r.pos < n {
		return nil, r.cut()
	}
	p := r.input[r.pos:][:n]
	r.crc = crc32.Update(r.crc, crc32.IEEETable, p)
	r.pos += n
	return p, nil
}

func (r *Reader) skipString() error {
	for range maxString {
		c, err := r.bytes(1)
		if err != nil {
			return err
		}
		if c[0] == 0 {
			return nil
		}
	}
	return gzip.ErrHeader
}

// trailer checks a member's checksum and length.
func (r *Reader) trailer() error {
	crc, size := r.crc, r.size
	p, err := r.bytes(8)
	if err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(p) != crc || binary.LittleEndian.Uint32(p[4:]) != size {
		return gzip.ErrChecksum
	}
	r.begun = true
	r.next = atHeader
	return nil
}

// copyStored copies what there is of a stored block.
func (r *Reader) copyStored(to []byte) int {
	r.fill(r.stored)
	n := copy(to, r.input[r.pos:][:min(r.stored, r.end-r.pos)])
	r.pos += n
	if r.stored -= n; r.stored == 0 {
		r.endBlock()
	} else if n == 0 {
		r.err = r.cut()
	}
	return n
}

// endBlock goes on behind a block. Of bytes nothing is lost: those of a
// trailer begin at a full one.
func (r *Reader) endBlock() {
	r.next = atBlock
	if r.last {
		r.next = atTrailer
		r.err = r.align()
	}
}
