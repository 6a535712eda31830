package snapshot

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Suffixes of the two files of a snapshot.
const (
	ManifestSuffix = ".mtree"
	RecordSuffix   = ".snapshot"
)

// maxSums bounds the memory of Sums, 64 bytes each. Files beyond it are read
// again.
const maxSums = 250_000

// Sums are the hashes of files by inode, taken while they were written.
type Sums struct {
	sums   map[uint64][sha256.Size]byte
	stamps map[uint64]stamp // of files that were there before; they may have changed since
	empty  [sha256.Size]byte
}

// NewSums returns an empty collection.
func NewSums() *Sums {
	return &Sums{sums: map[uint64][sha256.Size]byte{}, stamps: map[uint64]stamp{}, empty: sha256.Sum256(nil)}
}

// Add remembers the hash of the file with this inode.
func (s *Sums) Add(inode uint64, sum [sha256.Size]byte) {
	if sum == s.empty { // as of knows
		delete(s.sums, inode)
		return
	}
	if _, known := s.sums[inode]; known || len(s.sums) < maxSums {
		s.sums[inode] = sum
	}
}

// keep remembers the hash of a file that was compared.
func (s *Sums) keep(e *Entry, sum *[sha256.Size]byte) {
	if s == nil || sum == nil || len(s.sums) >= maxSums {
		return
	}
	s.sums[e.stat.inode], s.stamps[e.stat.inode] = *sum, e.stat
}

// of returns what is known about a file.
func (s *Sums) of(e *Entry) *[sha256.Size]byte {
	if s == nil {
		return nil
	}
	if sum, ok := s.sums[e.stat.inode]; ok {
		if was, dated := s.stamps[e.stat.inode]; !dated || was == e.stat {
			return &sum
		}
		return nil
	}
	if e.Size == 0 {
		return &s.empty
	}
	return nil
}

// Take walks the tree at root and writes base.mtree and base.snapshot. Files
// whose hash is not in sums, which may be nil, are read. Nobody may change
// the tree meanwhile.
func Take(root, base string, sums *Sums, options Options) (err error) {
	rootfd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(rootfd)
	record, err := createRecord(base + RecordSuffix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, record.file.Close()) }()
	file, err := os.OpenFile(base+ManifestSuffix, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	h := sha256.New()
	out := bufio.NewWriterSize(&teeWriter{file, h}, 64<<10)
	t := &taker{sums: sums, manifest: newManifestWriter(out), record: record}
	if err := walk(rootfd, options, t); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return err
	}
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return record.finish(sum)
}

// taker writes down what the walk visits.
type taker struct {
	sums     *Sums
	manifest *manifestWriter
	record   *recordWriter
}

func (t *taker) visit(c *cursor, e *Entry) error {
	if e.Type == "file" {
		if e.Sum = t.sums.of(e); e.Sum == nil {
			if err := c.sum(e); err != nil {
				return err
			}
		}
	}
	if err := c.readXattrs(e); err != nil {
		return err
	}
	if err := t.manifest.write(e); err != nil {
		return err
	}
	return t.record.add(e.stat)
}

func (t *taker) leave() error { return t.manifest.leave() }

type teeWriter struct {
	file *os.File
	hash interface{ Write([]byte) (int, error) }
}

func (t *teeWriter) Write(p []byte) (int, error) {
	n, err := t.file.Write(p)
	_, _ = t.hash.Write(p[:n]) // hash.Hash: never an error
	return n, err
}
