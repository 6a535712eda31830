package snapshot

import (
	"bufio"
	"cmp"
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
)

// runLength is how many deltas are held in memory. More are written, sorted,
// to a file without a name in the directory for temporary ones.
const runLength = 8192

// readersMemory is that of all buffers the runs are read through, in bytes.
const readersMemory = 4 << 20

// Deltas are changes, sorted by path. Close them.
type Deltas struct {
	last   []Delta // not on disk
	runs   []int64 // where each ends in file
	file   *os.File
	inodes map[uint64]bool  // of changed files with several names
	drop   func(Delta) bool // may be nil
	limit  int
}

// linked is the kind of an unchanged file with several names: a layer that
// holds one of them must hold all, or they part.
const linked Kind = 'L'

func newDeltas() *Deltas { return &Deltas{inodes: map[uint64]bool{}, limit: runLength} }

// NewDeltas are the changes between two trees that are told by [Deltas.Was] and
// [Deltas.Now], each path of a tree once, in any order.
func NewDeltas() *Deltas {
	d := newDeltas()
	var gone subtrees
	d.drop = func(delta Delta) bool {
		wasDir := delta.Was != nil && delta.Was.Type == "dir"
		switch {
		case gone.hold(delta.Path) && delta.Kind == Deleted:
			return true // its directory tells it
		case wasDir && (delta.Now == nil || delta.Now.Type != "dir"):
			gone.add(delta.Path)
		}
		return delta.Kind == Modified && Same(delta.Was, delta.Now)
	}
	return d
}

// Was adds an object of the tree before the changes.
func (d *Deltas) Was(e *Entry) error { return d.add(Delta{Path: e.Path, Kind: Deleted, Was: e}) }

// Now adds an object of the tree after them.
func (d *Deltas) Now(e *Entry) error { return d.add(Delta{Path: e.Path, Kind: Added, Now: e}) }

// subtrees are directories, none in another, that are asked about by paths in
// order: of those that no later path can be in, it keeps one at most.
type subtrees struct {
	open []string // each ends after the next
	last string
}

// add adds the path that hold was asked for, which is in none of them.
func (s *subtrees) add(path string) { s.open = append(s.open, path) }

// hold says whether path is in one of the directories, at any depth.
func (s *subtrees) hold(path string) bool {
	if path <= s.last { // from the beginning again
		s.open = nil
	}
	s.last = path
	for i := len(s.open) - 1; i >= 0; i-- {
		// After all that begins with "a/" comes "a0".
		top := s.open[i]
		if rest, ok := strings.CutPrefix(path, top); ok && rest[0] <= '/' {
			return rest[0] == '/'
		}
		s.open = s.open[:i]
	}
	return false
}

// Drop leaves out changes; not for those of NewDeltas, which have a rule.
func (d *Deltas) Drop(drop func(Delta) bool) { d.drop = drop }

// Close gives up what is on disk.
func (d *Deltas) Close() {
	if d.file != nil {
		d.file.Close()
	}
}

// Empty says whether there are no changes.
func (d *Deltas) Empty() (bool, error) {
	for _, err := range d.All() {
		return false, err
	}
	return true, nil
}

// add takes a delta, or an unchanged file of kind linked.
func (d *Deltas) add(delta Delta) error {
	if now := delta.Now; delta.Kind != linked && now != nil && now.Type != "dir" && now.Nlink > 1 {
		d.inodes[now.stat.inode] = true
	}
	d.last = append(d.last, delta)
	if len(d.last) < d.limit {
		return nil
	}
	return d.spill()
}

func (d *Deltas) spill() (err error) {
	if d.file == nil {
		if d.file, err = os.CreateTemp("", "bundle-"); err != nil {
			return err
		}
		if err := os.Remove(d.file.Name()); err != nil {
			return err
		}
	}
	slices.SortFunc(d.last, compareDeltas)
	out := bufio.NewWriterSize(d.file, 64<<10)
	var b []byte
	for _, delta := range d.last {
		b = appendDelta(b[:0], delta)
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	end, err := d.file.Seek(0, io.SeekCurrent)
	d.runs = append(d.runs, end)
	clear(d.last)
	d.last = d.last[:0]
	return err
}

// compareDeltas puts what is there before what is gone.
func compareDeltas(a, b Delta) int {
	return cmp.Or(strings.Compare(a.Path, b.Path), cmp.Compare(a.Kind, b.Kind))
}

// All are the changes in order. A path that is gone as what it was and there
// as something else has changed.
func (d *Deltas) All() iter.Seq2[Delta, error] {
	return func(yield func(Delta, error) bool) {
		var held *Delta
		for next, err := range d.merged() {
			if err != nil {
				yield(Delta{}, err)
				return
			}
			switch {
			case next.Kind == linked && !d.inodes[next.Now.stat.inode]:
				continue
			case next.Kind == linked:
				next.Kind, next.Was = Modified, next.Now
			case next.Kind == Deleted && held != nil && held.Path == next.Path:
				held.Kind, held.Was = Modified, next.Was
				continue
			}
			if held != nil && !d.dropped(*held) && !yield(*held, nil) {
				return
			}
			held = &next
		}
		if held != nil && !d.dropped(*held) {
			yield(*held, nil)
		}
	}
}

func (d *Deltas) dropped(delta Delta) bool { return d.drop != nil && d.drop(delta) }

// merged is what was added, sorted.
func (d *Deltas) merged() iter.Seq2[Delta, error] {
	return func(yield func(Delta, error) bool) {
		slices.SortFunc(d.last, compareDeltas)
		rest := d.last
		var m merge
		begin := int64(0)
		for _, end := range d.runs {
			section := io.NewSectionReader(d.file, begin, end-begin)
			m = append(m, &run{in: bufio.NewReaderSize(section, min(8<<10, readersMemory/len(d.runs)))})
			begin = end
		}
		m = append(m, &run{rest: rest})
		for i := len(m) - 1; i >= 0; i-- {
			if more, err := m[i].advance(); err != nil {
				yield(Delta{}, err)
				return
			} else if !more {
				m = slices.Delete(m, i, i+1)
			}
		}
		heap.Init(&m)
		for len(m) > 0 {
			if !yield(m[0].head, nil) {
				return
			}
			more, err := m[0].advance()
			switch {
			case err != nil:
				yield(Delta{}, err)
				return
			case more:
				heap.Fix(&m, 0)
			default:
				heap.Pop(&m)
			}
		}
	}
}

// run is a sorted part: on disk, or in memory.
type run struct {
	in   *bufio.Reader
	rest []Delta
	head Delta
}

func (r *run) advance() (more bool, err error) {
	if r.in == nil {
		if len(r.rest) == 0 {
			return false, nil
		}
		r.head, r.rest = r.rest[0], r.rest[1:]
		return true, nil
	}
	if _, err := r.in.Peek(1); errors.Is(err, io.EOF) {
		return false, nil
	}
	r.head, err = readDelta(r.in)
	return err == nil, err
}

// merge is a heap of runs.
type merge []*run

func (m merge) Len() int           { return len(m) }
func (m merge) Less(i, j int) bool { return compareDeltas(m[i].head, m[j].head) < 0 }
func (m merge) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(x any)        { *m = append(*m, x.(*run)) }
func (m *merge) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}

// appendDelta encodes a delta, all of it that is looked at later.
func appendDelta(b []byte, d Delta) []byte {
	b = append(appendString(b, d.Path), byte(d.Kind))
	return appendEntry(appendEntry(b, d.Was), d.Now)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendEntry(b []byte, e *Entry) []byte {
	if e == nil {
		return append(b, 0)
	}
	b = appendString(appendString(append(b, 1), e.Type), e.Link)
	for _, n := range []int64{e.Size, int64(e.UID), int64(e.GID), int64(e.Mode), int64(e.Nlink), e.MTime, int64(e.stat.inode)} {
		b = binary.AppendVarint(b, n)
	}
	b = binary.AppendUvarint(b, uint64(len(e.Xattrs)))
	for _, name := range slices.Sorted(maps.Keys(e.Xattrs)) {
		b = appendString(appendString(b, name), e.Xattrs[name])
	}
	if e.Sum == nil {
		return append(b, 0)
	}
	return append(append(b, 1), e.Sum[:]...)
}

// decoder reads what appendDelta wrote; its first error stays.
type decoder struct {
	in  *bufio.Reader
	err error
}

func readDelta(in *bufio.Reader) (Delta, error) {
	r := &decoder{in: in}
	d := Delta{Path: r.string(), Kind: Kind(r.byte())}
	d.Was, d.Now = r.entry(d.Path), r.entry(d.Path)
	if errors.Is(r.err, io.EOF) {
		r.err = io.ErrUnexpectedEOF
	}
	return d, r.err
}

func (r *decoder) byte() byte {
	if r.err != nil {
		return 0
	}
	var b byte
	b, r.err = r.in.ReadByte()
	return b
}

func (r *decoder) full(b []byte) {
	if r.err == nil {
		_, r.err = io.ReadFull(r.in, b)
	}
}

func (r *decoder) count() uint64 {
	if r.err != nil {
		return 0
	}
	var n uint64
	n, r.err = binary.ReadUvarint(r.in)
	return n
}

func (r *decoder) number() int64 {
	if r.err != nil {
		return 0
	}
	var n int64
	n, r.err = binary.ReadVarint(r.in)
	return n
}

func (r *decoder) string() string {
	b := make([]byte, r.count()) // our own file: nobody else can open it
	r.full(b)
	return string(b)
}

func (r *decoder) entry(path string) *Entry {
	if r.byte() == 0 {
		return nil
	}
	e := &Entry{Path: path, Type: r.string(), Link: r.string()}
	e.Size, e.UID, e.GID, e.Mode = r.number(), uint32(r.number()), uint32(r.number()), uint32(r.number())
	e.Nlink, e.MTime, e.stat.inode = uint64(r.number()), r.number(), uint64(r.number())
	for range r.count() {
		if e.Xattrs == nil {
			e.Xattrs = map[string]string{}
		}
		name := r.string()
		e.Xattrs[name] = r.string()
	}
	if r.byte() != 0 {
		e.Sum = new([sha256.Size]byte)
		r.full(e.Sum[:])
	}
	return e
}
