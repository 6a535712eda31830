package store

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/bundle/folder"
)

// partialName is the folder of blobs whose transfer was interrupted. gc takes
// it for a folder of unfinished blobs, which it is.
const partialName = tempPrefix + "partial"

// Partial is a blob in the making whose first bytes outlive an interrupted
// transfer: the next one of the same blob goes on where this one ended.
type Partial struct {
	w    *Writer
	want v1.Descriptor
	file *os.File
	hash hash.Hash
	size int64
	keep bool // what is there when it is closed
}

// Resume opens the blob that d describes, with what an earlier transfer has
// left of it. While another process receives the same blob, this one begins
// anew and leaves nothing to resume.
//
// Commit and Close it.
func (w *Writer) Resume(d v1.Descriptor) (*Partial, error) {
	h, err := NewHash(d.Digest)
	if err != nil {
		return nil, err
	}
	if d.Size < 0 {
		return nil, fmt.Errorf("blob %s: %w: %d bytes", d.Digest, ErrSizeMismatch, d.Size)
	}
	p := &Partial{w: w, want: d, hash: h, keep: true}
	if p.file, err = w.openPartial(d.Digest); err != nil {
		return nil, err
	}
	if p.file == nil {
		p.keep = false
		if p.file, err = w.newFile(); err != nil {
			return nil, err
		}
	}
	if err := p.load(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// openPartial returns nil if somebody else is receiving the blob.
func (w *Writer) openPartial(id digest.Digest) (*os.File, error) {
	dir, err := w.partialDir()
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, string(id.Algorithm())+"-"+id.Encoded())
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o666)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil && !samePlace(f, path) {
		err = unix.EWOULDBLOCK // it was finished, and is a blob now
	}
	if err == nil {
		err = w.giveToOwner(f)
	}
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// samePlace says whether path still leads to f, and f is a file.
func samePlace(f *os.File, path string) bool {
	is, err := f.Stat()
	if err != nil || !is.Mode().IsRegular() {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(is, there)
}

// partialDir makes the folder and keeps gc, umoci's as well, from removing it.
func (w *Writer) partialDir() (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	path := filepath.Join(w.path, partialName)
	if w.part != nil {
		return path, nil
	}
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	f, err := folder.Lock(w.ctx, path, unix.LOCK_SH)
	if err != nil {
		return "", err
	}
	if w.owner != nil {
		if err := f.Chown(int(w.owner.Uid), int(w.owner.Gid)); err != nil {
			f.Close()
			return "", err
		}
	}
	w.part = f
	return path, nil
}

// load hashes what is there already.
func (p *Partial) load() error {
	info, err := p.file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > p.want.Size {
		return p.Reset()
	}
	if _, err = p.file.Seek(0, io.SeekStart); err == nil {
		p.size, err = io.Copy(p.hash, p.file)
	}
	return err
}

// Size is how many bytes are there: where to go on.
func (p *Partial) Size() int64 { return p.size }

// Reset drops what is there.
func (p *Partial) Reset() error {
	p.hash.Reset()
	p.size = 0
	if err := p.file.Truncate(0); err != nil {
		return err
	}
	_, err := p.file.Seek(0, io.SeekStart)
	return err
}

// Write implements [io.Writer]. More than the descriptor's size is refused;
// the error matches [ErrSizeMismatch].
func (p *Partial) Write(data []byte) (int, error) {
	if int64(len(data)) > p.want.Size-p.size {
		p.keep = false
		return 0, fmt.Errorf("blob %s: %w: more than %d bytes", p.want.Digest, ErrSizeMismatch, p.want.Size)
	}
	n, err := p.file.Write(data)
	p.hash.Write(data[:n])
	p.size += int64(n)
	return n, err
}

// Commit makes a complete blob part of the layout. If its content is not what
// the descriptor says, nothing is left to resume; the error matches
// [ErrDigestMismatch]. What is not complete stays; the error matches
// [io.ErrUnexpectedEOF].
func (p *Partial) Commit() error {
	if p.size != p.want.Size {
		return fmt.Errorf("blob %s: %d of %d bytes: %w", p.want.Digest, p.size, p.want.Size, io.ErrUnexpectedEOF)
	}
	if got := digest.NewDigest(p.want.Digest.Algorithm(), p.hash); got != p.want.Digest {
		p.keep = false
		return fmt.Errorf("blob %s: %w: content is %s", p.want.Digest, ErrDigestMismatch, got)
	}
	p.keep = true // under another name
	return p.w.finishBlob(p.file, p.want.Digest)
}

// Close ends the transfer. What was received is kept for the next one.
func (p *Partial) Close() {
	if !p.keep || p.size == 0 {
		_ = os.Remove(p.file.Name()) // gc will, if this cannot
	}
	p.file.Close()
}

// Resumable says whether an interrupted transfer has left something in the
// layout at path.
func Resumable(path string) bool {
	entries, err := os.ReadDir(filepath.Join(path, partialName))
	return err == nil && len(entries) > 0
}
