// Package paged holds more than there is memory for: a sorted map and a log,
// in pages of which the last used are in memory and the others in a file
// without a name.
//
// The first error of the file stays: reading then gives nothing, changes are
// lost, and Err tells it. So what is built on the package asks once for each
// step of its own.
//
// The file is nobody else's, so what is read from it is trusted.
package paged

import (
	"io"
	"os"
)

// pageSize is that of the file systems that temporary files are kept on.
const pageSize = 4096

// minimum is how many pages are in memory at least: those that one operation
// has in hand at once.
const minimum = 16

// pages are numbered from 0. What get returned is valid for the next few gets.
type pages struct {
	file   *os.File // nil as long as memory was enough
	limit  int      // of frames
	count  uint32   // pages there are
	where  map[uint32]*frame
	newest *frame // of a ring; before it the oldest
	err    error
}

type frame struct {
	number     uint32
	dirty      bool
	next, last *frame // older, newer; a ring
	data       [pageSize]byte
}

// newPages keeps so many bytes in memory.
func newPages(memory int) *pages {
	return &pages{limit: max(memory/pageSize, minimum), where: map[uint32]*frame{}}
}

// add makes a page of zeros.
func (p *pages) add() (uint32, []byte) {
	f := p.frame(p.count)
	clear(f.data[:])
	f.dirty = true
	p.count++
	return f.number, f.data[:]
}

// get returns a page to be read, or with change to be written.
func (p *pages) get(number uint32, change bool) []byte {
	f := p.where[number]
	if f == nil {
		f = p.frame(number)
		p.read(f)
	} else if f != p.newest {
		f.leave()
		p.enter(f)
	}
	f.dirty = f.dirty || change
	return f.data[:]
}

// frame returns one for a page that is not in memory.
func (p *pages) frame(number uint32) *frame {
	var f *frame
	if len(p.where) < p.limit {
		f = &frame{}
	} else {
		f = p.newest.last
		p.write(f)
		delete(p.where, f.number)
		f.leave()
	}
	f.number, f.dirty = number, false
	p.where[number] = f
	p.enter(f)
	return f
}

func (f *frame) leave() { f.last.next, f.next.last = f.next, f.last }

// enter makes a frame the newest of the ring.
func (p *pages) enter(f *frame) {
	if p.newest == nil {
		f.next, f.last = f, f
	} else {
		f.next, f.last = p.newest, p.newest.last
		f.last.next, f.next.last = f, f
	}
	p.newest = f
}

func (p *pages) read(f *frame) {
	if p.err == nil {
		_, err := p.file.ReadAt(f.data[:], int64(f.number)*pageSize)
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		p.fail(err)
	}
	if p.err != nil {
		clear(f.data[:])
	}
}

func (p *pages) write(f *frame) {
	if !f.dirty || p.err != nil {
		return
	}
	if p.file == nil {
		p.fail(p.create())
	}
	if p.err == nil {
		_, err := p.file.WriteAt(f.data[:], int64(f.number)*pageSize)
		p.fail(err)
	}
}

func (p *pages) create() error {
	file, err := os.CreateTemp("", "bundle-")
	if err != nil {
		return err
	}
	p.file = file
	return os.Remove(file.Name())
}

func (p *pages) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

// close gives up the file.
func (p *pages) close() {
	if p.file != nil {
		p.file.Close()
	}
}
