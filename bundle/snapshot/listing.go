package snapshot

import (
	"crypto/sha256"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
)

// listing is the manifest that a tree is compared with.
type listing interface {
	// find returns what is listed at the object's path, nil if nothing is, and
	// its place in the manifest. It is asked in the order of a walk.
	find(now *Entry) (l *Listed, at int, err error)

	// finish returns after everything that was not found has been told.
	finish() error

	close()
}

// summary is what one reading of a manifest tells about it.
type summary struct {
	entries int
	inOrder bool // of a walk, as Take, umoci and gomtree write it
	sum     [sha256.Size]byte
}

// summarize reads a manifest and keeps nothing of it.
func summarize(r io.Reader) (summary, error) {
	s := summary{inOrder: true}
	h := sha256.New()
	var last Listed
	err := parseManifest(io.TeeReader(r, h), func(l Listed) error {
		s.inOrder = s.inOrder && (s.entries == 0 || walkOrder(last.Path, last.isDir(), l.Path, l.isDir()) < 0)
		s.entries++
		last = l
		return nil
	})
	h.Sum(s.sum[:0])
	return s, err
}

// walkOrder compares two objects by when a walk visits them: in each
// directory what is none comes first, by name.
func walkOrder(a string, aIsDir bool, b string, bIsDir bool) int {
	if a == "" || b == "" { // the root
		return strings.Compare(a, b)
	}
	for {
		aName, aRest, aGoesOn := strings.Cut(a, "/")
		bName, bRest, bGoesOn := strings.Cut(b, "/")
		switch aDir, bDir := aGoesOn || aIsDir, bGoesOn || bIsDir; {
		case aDir && !bDir:
			return 1
		case bDir && !aDir:
			return -1
		case aName != bName:
			return strings.Compare(aName, bName)
		case !aGoesOn && !bGoesOn:
			return 0
		case !aGoesOn:
			return -1
		case !bGoesOn:
			return 1
		}
		a, b = aRest, bRest
	}
}

// stream is a manifest in the order of a walk: it is read beside the walk, so
// that no more than an entry of it is in memory.
type stream struct {
	file *os.File
	next func() (Listed, error, bool)
	stop func()
	gone func(*Listed) error

	head    *Listed // nil at the end
	at      int     // of head
	goneDir string  // what is below it is gone with it; "" if none is
}

func newStream(file *os.File, gone func(*Listed) error) (*stream, error) {
	s := &stream{file: file, gone: gone, at: -1}
	s.next, s.stop = iter.Pull2(func(yield func(Listed, error) bool) {
		err := parseManifest(file, func(l Listed) error {
			if !yield(l, nil) {
				return errStopped
			}
			return nil
		})
		if err != nil && err != errStopped { //nolint:errorlint // our own, as it is
			yield(Listed{}, err)
		}
	})
	return s, s.advance()
}

func (s *stream) advance() error {
	s.head = nil
	s.at++
	l, err, ok := s.next()
	if ok && err == nil {
		s.head = &l
	}
	return err
}

func (s *stream) find(now *Entry) (*Listed, int, error) {
	for s.head != nil {
		l, at := s.head, s.at
		order := walkOrder(l.Path, l.isDir(), now.Path, now.Type == "dir")
		if order > 0 {
			break
		}
		if err := s.advance(); err != nil {
			return nil, 0, err
		}
		if order == 0 {
			return l, at, nil
		}
		if err := s.tellGone(l); err != nil {
			return nil, 0, err
		}
	}
	return nil, 0, nil
}

func (s *stream) tellGone(l *Listed) error {
	if l.Path == "" || s.goneDir != "" && strings.HasPrefix(l.Path, s.goneDir+"/") {
		return nil
	}
	if l.isDir() {
		s.goneDir = l.Path
	}
	return s.gone(l)
}

func (s *stream) finish() error {
	for s.head != nil {
		l := s.head
		if err := s.advance(); err != nil {
			return err
		}
		if err := s.tellGone(l); err != nil {
			return err
		}
	}
	return nil
}

func (s *stream) close() {
	s.stop()
	s.file.Close()
}

// indexed is a manifest in another order, all of it in memory.
type indexed struct {
	manifest *Manifest
	seen     []bool
	gone     func(*Listed) error
	turned   map[string]bool // directories that became something else
}

func newIndexed(file *os.File, gone func(*Listed) error) (*indexed, error) {
	defer file.Close()
	manifest, err := ParseManifest(file)
	if err != nil {
		return nil, err
	}
	return &indexed{manifest, make([]bool, len(manifest.Entries)), gone, map[string]bool{}}, nil
}

func (x *indexed) find(now *Entry) (*Listed, int, error) {
	i, ok := x.manifest.byPath[now.Path]
	if !ok {
		return nil, 0, nil
	}
	x.seen[i] = true
	l := &x.manifest.Entries[i]
	if l.isDir() && now.Type != "dir" {
		x.turned[l.Path] = true
	}
	return l, i, nil
}

// finish tells of a directory that is gone only itself, and nothing of what
// was below one that became something else.
func (x *indexed) finish() error {
	gone := x.turned
	for i, seen := range x.seen {
		if path := x.manifest.Entries[i].Path; !seen && path != "" {
			gone[path] = true
		}
	}
	for i, seen := range x.seen {
		l := &x.manifest.Entries[i]
		if seen || !gone[l.Path] || gone[parentOf(l.Path)] {
			continue
		}
		if err := x.gone(l); err != nil {
			return err
		}
	}
	return nil
}

func (x *indexed) close() {}

// openListing opens the manifest at path.
func openListing(path string, gone func(*Listed) error) (listing, summary, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, summary{}, err
	}
	s, err := summarize(file)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return nil, s, fmt.Errorf("%s: %w", path, err)
	}
	if !s.inOrder {
		l, err := newIndexed(file, gone)
		return l, s, err
	}
	l, err := newStream(file, gone)
	if err != nil {
		l.close()
	}
	return l, s, err
}
