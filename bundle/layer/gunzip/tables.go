package gunzip

import "math/bits"

// An entry of a table says what the next bits of the stream are:
//
//	bits  0-5   how many of them it takes, extra bits included
//	bits  8-13  how many of them are the code; the rest are the extra bits
//	bit   15    special: a link to the second table, the end of the block, or no code
//	bits 16-30  a literal byte; the smallest length or distance; of a link, where
//	bit   31    literal
//
// In the second table the bits that led there do not count any more.
const (
	literal    = 1 << 31
	special    = 1 << 15
	linked     = 1 << 14
	endOfBlock = 1 << 7
	valueShift = 16
	codeShift  = 8
	bitsMask   = 63
	byteMask   = 0xff
)

// The first table is indexed by so many bits of the stream, the second by
// what is left of longer codes.
//
// A link leads to 1<<(15-bits) entries, and there are two symbols or more
// behind it: with 286 and 30 symbols, 143 << 4 and 15 << 6 entries suffice.
const (
	maxBits    = 15 // of a code
	litBits    = 11
	distBits   = 9
	lengthBits = 7 // of the code of code lengths: all there are

	litMore  = 4096
	distMore = 1024
)

// Symbols of the two alphabets; RFC 1951, 3.2.5.
const (
	maxLits     = 286
	fixedLits   = 288 // with two that are not valid
	maxDists    = 30
	endSymbol   = 256
	firstLength = 257
)

// lengthOf and distanceOf are the entries of lengths and distances, without
// the bits of their codes. What is 0 is not valid.
var lengthOf = [...]uint32{
	3 << valueShift, 4 << valueShift, 5 << valueShift, 6 << valueShift,
	7 << valueShift, 8 << valueShift, 9 << valueShift, 10 << valueShift,
	11<<valueShift | 1, 13<<valueShift | 1, 15<<valueShift | 1, 17<<valueShift | 1,
	19<<valueShift | 2, 23<<valueShift | 2, 27<<valueShift | 2, 31<<valueShift | 2,
	35<<valueShift | 3, 43<<valueShift | 3, 51<<valueShift | 3, 59<<valueShift | 3,
	67<<valueShift | 4, 83<<valueShift | 4, 99<<valueShift | 4, 115<<valueShift | 4,
	131<<valueShift | 5, 163<<valueShift | 5, 195<<valueShift | 5, 227<<valueShift | 5,
	258 << valueShift, 0, 0,
}

var distanceOf = [...]uint32{
	1 << valueShift, 2 << valueShift, 3 << valueShift, 4 << valueShift,
	5<<valueShift | 1, 7<<valueShift | 1, 9<<valueShift | 2, 13<<valueShift | 2,
	17<<valueShift | 3, 25<<valueShift | 3, 33<<valueShift | 4, 49<<valueShift | 4,
	65<<valueShift | 5, 97<<valueShift | 5, 129<<valueShift | 6, 193<<valueShift | 6,
	257<<valueShift | 7, 385<<valueShift | 7, 513<<valueShift | 8, 769<<valueShift | 8,
	1025<<valueShift | 9, 1537<<valueShift | 9, 2049<<valueShift | 10, 3073<<valueShift | 10,
	4097<<valueShift | 11, 6145<<valueShift | 11, 8193<<valueShift | 12, 12289<<valueShift | 12,
	16385<<valueShift | 13, 24577<<valueShift | 13, 0, 0,
}

// litEntry is the entry of a symbol of the first alphabet.
func litEntry(symbol int) uint32 {
	switch {
	case symbol < endSymbol:
		return literal | uint32(symbol)<<valueShift
	case symbol == endSymbol:
		return special | endOfBlock
	}
	return orInvalid(lengthOf[symbol-firstLength])
}

func distEntry(symbol int) uint32 { return orInvalid(distanceOf[symbol]) }

// plainEntry is that of a code length.
func plainEntry(symbol int) uint32 { return uint32(symbol) << valueShift }

func orInvalid(entry uint32) uint32 {
	if entry == 0 {
		return special
	}
	return entry
}

// build fills the tables of a canonical code; lengths has the bits of each
// symbol's code, 0 for none. It refuses what is not a complete code, but for
// none at all and a single code of one bit, which zlib also takes.
func build(first, second []uint32, lengths []uint8, entryOf func(symbol int) uint32) bool {
	var count [maxBits + 1]int
	for _, n := range lengths {
		count[n]++
	}
	longest := maxBits
	for longest > 0 && count[longest] == 0 {
		longest--
	}
	count[0] = 0
	var next [maxBits + 2]int  // code of each length
	var start [maxBits + 2]int // in order
	for n := 1; n <= maxBits; n++ {
		next[n+1] = (next[n] + count[n]) << 1
		start[n+1] = start[n] + count[n]
	}
	total := next[longest] + count[longest] // of 1<<longest codes
	if complete := longest > 0 && total == 1<<longest; !complete {
		if longest > 1 || total > 1 {
			return false
		}
		first[0] = special // for the bits of no code
	}
	var order [fixedLits]uint16 // symbols by the length of their codes
	for symbol, n := range lengths {
		if n != 0 {
			order[start[n]] = uint16(symbol)
			start[n]++
		}
	}
	symbols := order[:start[maxBits]]
	firstBits := bits.Len(uint(len(first))) - 1
	for n := 1; n <= firstBits; n++ {
		half := 1 << (n - 1)
		copy(first[half:], first[:half]) // one bit more says nothing of shorter codes
		for _, symbol := range symbols[:count[n]] {
			first[reverse(next[n], n)] = entryOf(int(symbol)) + uint32(n)*(1<<codeShift|1)
			next[n]++
		}
		symbols = symbols[count[n]:]
	}
	if longest <= firstBits {
		return true
	}
	link(first, next[firstBits], longest-firstBits)
	for _, symbol := range symbols {
		n := int(lengths[symbol])
		code := reverse(next[n], n)
		next[n]++
		rest := n - firstBits
		entry := entryOf(int(symbol)) + uint32(rest)*(1<<codeShift|1)
		table := second[first[code&(len(first)-1)]>>valueShift:][:1<<(longest-firstBits)]
		for at := code >> firstBits; at < len(table); at += 1 << rest {
			table[at] = entry
		}
	}
	return true
}

// link makes the entries from prefix on lead to tables of 1<<width entries.
func link(first []uint32, prefix, width int) {
	firstBits := bits.Len(uint(len(first))) - 1
	at := 0
	for ; prefix < len(first); prefix++ {
		first[reverse(prefix, firstBits)] = special | linked | uint32(at)<<valueShift | uint32(width)<<codeShift
		at += 1 << width
	}
}

// reverse turns a code around: its first bit comes first in the stream.
func reverse(code, n int) int { return int(bits.Reverse16(uint16(code)) >> (16 - n)) }
