package gunzip

import (
	"encoding/binary"
	"errors"
)

// maxHeader is what the header of a block can be long, in bytes: 17 bits, 19
// code lengths of 3, and 316 symbols of 7 bits with 7 more.
const maxHeader = (17 + 19*3 + (maxLits+maxDists)*14 + 7) / 8

// lengthOrder is the order of the code lengths of code lengths.
var lengthOrder = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// corrupt is the error of input that means nothing.
func (r *Reader) corrupt() error {
	if r.overrun() {
		return r.cut()
	}
	return errCorrupt
}

// refill makes 56 bits of input available, or more.
func (r *Reader) refill() {
	var n uint64
	r.pos, r.bits, n = refill(r.input, r.pos, r.bits, uint64(r.nbits))
	r.nbits = uint(n)
}

// take uses n bits.
func (r *Reader) take(n uint) int {
	v := r.bits & (1<<n - 1)
	r.bits >>= n
	r.nbits -= n
	return int(v)
}

// block reads the header of a block; RFC 1951, 3.2.3.
func (r *Reader) block() error {
	r.fill(maxHeader + 16) // what is ahead in bits included
	r.refill()
	r.last = r.take(1) == 1
	kind := r.take(2)
	switch kind {
	case 0:
		return r.storedBlock()
	case 1:
		r.fixedCodes()
	case 2:
		if !r.dynamicCodes() {
			return r.corrupt()
		}
	default:
		return r.corrupt()
	}
	if r.overrun() {
		return r.cut()
	}
	r.next = inCodes
	return nil
}

func (r *Reader) storedBlock() error {
	if err := r.align(); err != nil {
		return err
	}
	if r.fill(4); r.end-r.pos < 4 {
		return r.cut()
	}
	size := binary.LittleEndian.Uint16(r.input[r.pos:])
	if binary.LittleEndian.Uint16(r.input[r.pos+2:]) != ^size {
		return errCorrupt
	}
	r.pos += 4
	r.stored = int(size)
	r.next = inStored
	return nil
}

func (r *Reader) fixedCodes() {
	if r.fixed {
		return
	}
	var lengths [fixedLits]uint8
	for i := range lengths {
		switch {
		case i < 144, i >= 280:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		default:
			lengths[i] = 7
		}
	}
	build(r.lit[:], nil, lengths[:], litEntry)
	for i := range 32 {
		lengths[i] = 5
	}
	build(r.dist[:], nil, lengths[:32], distEntry)
	r.fixed = true
}

// dynamicCodes reads the tables; RFC 1951, 3.2.7.
func (r *Reader) dynamicCodes() bool {
	r.fixed = false
	lits, dists, n := r.take(5)+257, r.take(5)+1, r.take(4)+4
	if lits > maxLits || dists > maxDists {
		return false
	}
	var lengths [maxLits + maxDists]uint8
	for _, symbol := range lengthOrder[:n] {
		r.refill()
		lengths[symbol] = uint8(r.take(3))
	}
	var table [1 << lengthBits]uint32
	if !build(table[:], nil, lengths[:len(lengthOrder)], plainEntry) {
		return false
	}
	clear(lengths[:])
	for i := 0; i < lits+dists; {
		r.refill()
		entry := table[r.bits&(1<<lengthBits-1)]
		if entry&special != 0 {
			return false
		}
		r.take(uint(entry & bitsMask))
		symbol := uint8(entry >> valueShift)
		count, value := 1, symbol
		switch symbol {
		case 16:
			if i == 0 {
				return false
			}
			count, value = 3+r.take(2), lengths[i-1]
		case 17:
			count, value = 3+r.take(3), 0
		case 18:
			count, value = 11+r.take(7), 0
		}
		if i+count > lits+dists {
			return false
		}
		for range count {
			lengths[i] = value
			i++
		}
	}
	return build(r.lit[:], r.litMore[:], lengths[:lits], litEntry) &&
		build(r.dist[:], r.distMore[:], lengths[lits:][:dists], distEntry)
}

// decode decodes symbols until the block ends, or there is less than MinRoom.
// Matches reach back to out[start].
func (r *Reader) decode(out *Buffer, start, at int) (int, error) {
	for {
		r.fill(64)
		limit := r.end - 16 // what one round looks at
		if r.ended != nil {
			limit = r.end + 8 // there it is certain that the input is too short
		}
		var state outcome
		at, state = r.symbols(out, start, at, limit)
		switch {
		case r.overrun():
			return at, r.cut()
		case state == meaningless:
			return at, errCorrupt
		case state == blockEnded:
			r.endBlock()
			return at, r.err
		case BufferSize-at < MinRoom:
			return at, nil
		}
	}
}

// outcome is what stopped the inner loop.
type outcome int

const (
	outOfBytes outcome = iota // of input or of room
	blockEnded
	meaningless
)

// symbols is the inner loop. A round takes at most two times 7 bytes of input,
// and makes at most 3 literals and a match, of which 258 bytes are copied
// eight at a time. The masks change no index: with them the compiler knows
// that no bounds need to be checked.
func (r *Reader) symbols(out *Buffer, start, at, limit int) (int, outcome) {
	in, pos, bits, nbits := r.input, r.pos, r.bits, uint64(r.nbits)
	state := outOfBytes
	for pos < limit && at <= BufferSize-MinRoom {
		pos, bits, nbits = refill(in, pos, bits, nbits)
		entry := r.lit[bits%(1<<litBits)]
		for range 3 {
			if entry&literal == 0 {
				break
			}
			n := uint64(entry & bitsMask)
			bits >>= n
			nbits -= n
			out[at&bufferMask] = byte(entry >> valueShift)
			at++
			entry = r.lit[bits%(1<<litBits)]
		}
		if entry&literal != 0 {
			continue
		}
		pos, bits, nbits = refill(in, pos, bits, nbits)
		if entry&special != 0 {
			if entry&linked != 0 {
				entry = r.litMore[second(entry, bits>>litBits)%litMore]
				bits >>= litBits
				nbits -= litBits
			}
			n := uint64(entry & bitsMask)
			if entry&literal != 0 {
				bits >>= n
				nbits -= n
				out[at&bufferMask] = byte(entry >> valueShift)
				at++
				continue
			}
			if entry&endOfBlock != 0 {
				bits >>= n
				nbits -= n
				state = blockEnded
				break
			}
			if entry&special != 0 {
				state = meaningless
				break
			}
		}
		// A length takes at most 20 bits, a distance 28.
		n := uint64(entry & bitsMask)
		length := value(entry, bits)
		bits >>= n
		nbits -= n
		entry = r.dist[bits%(1<<distBits)]
		if entry&linked != 0 {
			entry = r.distMore[second(entry, bits>>distBits)%distMore]
			bits >>= distBits
			nbits -= distBits
		}
		distance := value(entry, bits)
		n = uint64(entry & bitsMask)
		bits >>= n
		nbits -= n
		from := at - distance
		if entry&special != 0 || from < start {
			state = meaningless
			break
		}
		until := at + length
		switch {
		case distance >= 8:
			copy8(out, at, from)
			at += 8
			from += 8
			for {
				copy8(out, at, from)
				at += 8
				from += 8
				if at >= until {
					break
				}
			}
		case distance == 1:
			same := uint64(out[from&bufferMask]) * 0x0101010101010101
			for ; at < until; at += 8 {
				binary.LittleEndian.PutUint64(out[at&bufferMask:at&bufferMask+8], same)
			}
		default:
			for ; at < until; at, from = at+1, from+1 {
				out[at&bufferMask] = out[from&bufferMask]
			}
		}
		at = until
	}
	r.pos, r.bits, r.nbits = pos, bits, uint(nbits)
	return at, state
}

// refill takes input, so that there are 56 bits or more.
func refill(in *input, pos int, bits, nbits uint64) (int, uint64, uint64) {
	bits |= binary.LittleEndian.Uint64(in[pos&inputMask:pos&inputMask+8]) << (nbits & 63)
	return pos + int((63-nbits)/8&7), bits, nbits | 56
}

// second is the index of the entry that a link leads to.
func second(link uint32, bits uint64) uint32 {
	width := link >> codeShift & 15
	return link>>valueShift + uint32(bits)&(1<<width-1)
}

// value is the length or distance of an entry, with its extra bits.
func value(entry uint32, bits uint64) int {
	n, code := entry&bitsMask, entry>>codeShift&bitsMask
	return int(entry>>valueShift) + int(bits&(1<<n-1)>>code)
}

func copy8(b *Buffer, to, from int) {
	le := binary.LittleEndian
	le.PutUint64(b[to&bufferMask:to&bufferMask+8], le.Uint64(b[from&bufferMask:from&bufferMask+8]))
}

// errCorrupt does not say where: the reader has read ahead.
var errCorrupt = errors.New("corrupt data")
