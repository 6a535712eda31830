package paged

import (
	"bytes"
	"encoding/binary"
	"sort"
)

// node is a page of cells that are sorted by key. Numbers are little endian:
//
//	0  2  how many cells
//	2  2  the offset of the lowest of them
//	4  4  leaf: the next leaf, or 0; inner: the child with the smallest keys
//	8     the cells' offsets, 2 bytes each, in order of their keys
//	…     the cells, from the page's end down: the key's length (2 bytes),
//	      the key, the payload
type node struct {
	page        []byte
	payloadSize int
}

const (
	slots    = 8
	slotSize = 2
	lenSize  = 2
)

func (n node) count() int          { return int(binary.LittleEndian.Uint16(n.page)) }
func (n node) setCount(count int)  { binary.LittleEndian.PutUint16(n.page, uint16(count)) }
func (n node) low() int            { return int(binary.LittleEndian.Uint16(n.page[2:])) }
func (n node) setLow(low int)      { binary.LittleEndian.PutUint16(n.page[2:], uint16(low)) }
func (n node) link() uint32        { return binary.LittleEndian.Uint32(n.page[4:]) }
func (n node) setLink(link uint32) { binary.LittleEndian.PutUint32(n.page[4:], link) }

func (n node) cell(i int) []byte {
	at := int(binary.LittleEndian.Uint16(n.page[slots+i*slotSize:]))
	end := at + lenSize + int(binary.LittleEndian.Uint16(n.page[at:])) + n.payloadSize
	return n.page[at:end]
}

func (n node) key(i int) []byte {
	cell := n.cell(i)
	return cell[lenSize : len(cell)-n.payloadSize]
}

func (n node) payload(i int) []byte {
	cell := n.cell(i)
	return cell[len(cell)-n.payloadSize:]
}

// search finds where a key is, or would be.
func (n node) search(key []byte) (i int, found bool) {
	return sort.Find(n.count(), func(i int) int { return bytes.Compare(key, n.key(i)) })
}

// childFor is the child of an inner page in which a key is, if at all.
func (n node) childFor(key []byte) uint32 {
	i, found := n.search(key)
	if found {
		i++
	}
	if i == 0 {
		return n.link()
	}
	return binary.LittleEndian.Uint32(n.payload(i - 1))
}

// insert adds a cell, unless the page is full.
func (n node) insert(i int, key, payload []byte) bool {
	count, size := n.count(), lenSize+len(key)+len(payload)
	slotsEnd := slots + count*slotSize
	if slotsEnd+slotSize > n.low()-size {
		n.compact()
		if slotsEnd+slotSize > n.low()-size {
			return false
		}
	}
	low := n.low() - size
	binary.LittleEndian.PutUint16(n.page[low:], uint16(len(key)))
	copy(n.page[low+lenSize:], key)
	copy(n.page[low+lenSize+len(key):], payload)
	slot := slots + i*slotSize
	copy(n.page[slot+slotSize:], n.page[slot:slotsEnd])
	binary.LittleEndian.PutUint16(n.page[slot:], uint16(low))
	n.setLow(low)
	n.setCount(count + 1)
	return true
}

// remove removes a cell; its bytes are lost until compact.
func (n node) remove(i int) {
	count, slot := n.count(), slots+i*slotSize
	copy(n.page[slot:], n.page[slot+slotSize:slots+count*slotSize])
	n.setCount(count - 1)
}

// compact closes the gaps between cells.
func (n node) compact() {
	var old [pageSize]byte
	copy(old[:], n.page)
	from := node{old[:], n.payloadSize}
	n.setCount(0)
	n.setLow(pageSize)
	n.appendFrom(from, 0, from.count())
}

// appendFrom adds cells of another page. There must be room, without gaps.
func (n node) appendFrom(from node, begin, end int) {
	low, slot := n.low(), slots+n.count()*slotSize
	for i := begin; i < end; i++ {
		cell := from.cell(i)
		low -= len(cell)
		copy(n.page[low:], cell)
		binary.LittleEndian.PutUint16(n.page[slot:], uint16(low))
		slot += slotSize
	}
	n.setLow(low)
	n.setCount(n.count() + end - begin)
}

// moveTo moves the cells from begin on to an empty page.
func (n node) moveTo(other node, begin int) {
	other.appendFrom(n, begin, n.count())
	n.setCount(begin)
	n.compact()
}

// half is the first cell of the upper half, by bytes.
func (n node) half() int {
	total := 0
	for i := range n.count() {
		total += len(n.cell(i))
	}
	sum := 0
	for i := range n.count() {
		if sum += len(n.cell(i)); sum >= total/2 {
			return i + 1
		}
	}
	return n.count()
}
