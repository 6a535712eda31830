package paged

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// MaxKey is the longest key in bytes. A page holds a good dozen of them.
const MaxKey = 300

// Map is sorted by key, as a B+ tree: values are in its leaves, which form a
// list. Keys that come in order fill their pages. Pages that deletion leaves
// empty stay until keys of their range come again. Close it.
type Map struct {
	pages *pages
	root  uint32
	depth int // levels above the leaves
	value int // bytes of each
}

// childSize is the size of a page's number in an inner page.
const childSize = 4

// NewMap is for values of so many bytes each, and keeps so many bytes in
// memory.
func NewMap(valueSize, memory int) *Map {
	m := &Map{pages: newPages(memory), value: valueSize}
	m.root, _ = m.add(valueSize)
	return m
}

// Err is the first error of the file.
func (m *Map) Err() error { return m.pages.err }

// Close gives up what is on disk.
func (m *Map) Close() { m.pages.close() }

func (m *Map) add(payload int) (uint32, node) {
	number, page := m.pages.add()
	n := node{page, payload}
	n.setLow(pageSize)
	return number, n
}

func (m *Map) leaf(number uint32, change bool) node {
	return node{m.pages.get(number, change), m.value}
}

func (m *Map) inner(number uint32, change bool) node {
	return node{m.pages.get(number, change), childSize}
}

// leafOf finds the leaf that a key belongs in.
func (m *Map) leafOf(key []byte) uint32 {
	number := m.root
	for range m.depth {
		number = m.inner(number, false).childFor(key)
	}
	return number
}

// Get copies the value of a key to value.
func (m *Map) Get(key, value []byte) bool {
	leaf := m.leaf(m.leafOf(key), false)
	i, found := leaf.search(key)
	if found {
		copy(value, leaf.payload(i))
	}
	return found
}

// Next appends the first key that is greater than key to next[:0], and copies
// its value to value. ok is false if there is none.
func (m *Map) Next(key, next, value []byte) (_ []byte, ok bool) {
	leaf := m.leaf(m.leafOf(key), false)
	i, found := leaf.search(key)
	if found {
		i++
	}
	for i == leaf.count() {
		number := leaf.link()
		if number == 0 { // the root's page, or after an error
			return next[:0], false
		}
		leaf, i = m.leaf(number, false), 0
	}
	copy(value, leaf.payload(i))
	return append(next[:0], leaf.key(i)...), true
}

// Delete removes a key if it is there.
func (m *Map) Delete(key []byte) {
	leaf := m.leaf(m.leafOf(key), true)
	if i, found := leaf.search(key); found {
		leaf.remove(i)
	}
}

// Set adds a key, or replaces its value.
func (m *Map) Set(key, value []byte) {
	if len(key) > MaxKey || len(value) != m.value {
		panic(fmt.Sprintf("paged: a key of %d bytes, a value of %d", len(key), len(value)))
	}
	first, right := m.set(m.root, m.depth, key, value)
	if first == nil {
		return
	}
	number, root := m.add(childSize)
	root.setLink(m.root)
	root.insert(0, first, binary.LittleEndian.AppendUint32(nil, right))
	m.root = number
	m.depth++
}

// set changes the tree under a page that is so many levels above the leaves.
// If it had to be split, right is the new page, and first parts the two.
func (m *Map) set(number uint32, level int, key, value []byte) (first []byte, right uint32) {
	if level == 0 {
		leaf := m.leaf(number, true)
		i, found := leaf.search(key)
		if found {
			copy(leaf.payload(i), value)
			return nil, 0
		}
		if leaf.insert(i, key, value) {
			return nil, 0
		}
		first, right = m.split(leaf, i, key, value)
		m.leaf(right, true).setLink(leaf.link())
		leaf.setLink(right)
		return first, right
	}
	first, child := m.set(m.inner(number, false).childFor(key), level-1, key, value)
	if first == nil || m.pages.err != nil {
		return nil, 0
	}
	page := m.inner(number, true)
	payload := binary.LittleEndian.AppendUint32(nil, child)
	i, _ := page.search(first)
	if page.insert(i, first, payload) {
		return nil, 0
	}
	first, right = m.split(page, i, first, payload)
	added := m.inner(right, true)
	added.setLink(binary.LittleEndian.Uint32(added.payload(0)))
	added.remove(0)
	return first, right
}

// split moves the upper half of a page, to which key would come at i, to a
// new one, and adds key. If that is the last in the page, it goes into the
// new one alone: so keys that come in order fill their pages. first is a copy
// of the new page's first key.
func (m *Map) split(left node, i int, key, payload []byte) (first []byte, right uint32) {
	right, added := m.add(left.payloadSize)
	at := left.half()
	if i == left.count() {
		at = i
	}
	left.moveTo(added, at)
	if i < at {
		left.insert(i, key, payload)
	} else {
		added.insert(i-at, key, payload)
	}
	return slices.Clone(added.key(0)), right
}
