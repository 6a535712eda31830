package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/bundle/folder"
)

// tempPrefix begins the names of folders for blobs in the making. umoci's gc
// knows them too: it removes those that nobody holds a flock on.
const tempPrefix = ".umoci-"

// Create makes an empty layout at path, which must not exist, and its parents.
// A kill leaves either a whole layout or a folder that is not one.
func Create(path string) (err error) {
	if path == "" || strings.ContainsAny(path, ":\x00") {
		return fmt.Errorf("layout %q: a path is not empty and has no ':'", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		return fmt.Errorf("layout: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(path) // it was ours, and of no use
		}
	}()
	if err := os.MkdirAll(filepath.Join(path, v1.ImageBlobsDir, string(digest.SHA256)), 0o755); err != nil {
		return err
	}
	empty := v1.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: v1.MediaTypeImageIndex,
		Manifests: []v1.Descriptor{},
	}
	if err := writeNew(filepath.Join(path, v1.ImageIndexFile), empty); err != nil {
		return err
	}
	// Last: without it the folder is no layout.
	if err := writeNew(filepath.Join(path, v1.ImageLayoutFile), v1.ImageLayout{Version: v1.ImageLayoutVersion}); err != nil {
		return err
	}
	return folder.Sync(path)
}

func writeNew(path string, v any) error {
	data, err := encode(v)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// encode is the one form in which this package writes JSON: compact, and a
// newline. Whoever computes digests depends on it.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	err := json.NewEncoder(&buf).Encode(v)
	return buf.Bytes(), err
}

// Writer adds blobs to a layout and moves its tags. While it is open, no gc
// removes anything, so that a blob may be referred to after it was written.
//
// Blobs and index.json appear complete or not at all, on disk before they are
// visible. Many writers, of many processes, may work on one layout; blobs of
// one writer may be written by several goroutines.
type Writer struct {
	*Layout
	ctx   context.Context
	share *os.File     // the layout's directory, locked shared
	owner *unix.Stat_t // of the layout, when files have to be given to it

	mu   sync.Mutex      // blobs are written side by side
	temp *os.File        // the folder of unfinished blobs, locked; nil before the first
	part *os.File        // the folder of blobs to resume, locked; nil before the first
	dirs map[string]bool // folders with new blobs that are not synced yet
}

// Write opens a writer; it waits for a running gc until ctx ends.
func (l *Layout) Write(ctx context.Context) (*Writer, error) {
	share, err := folder.Lock(ctx, l.path, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	w := &Writer{Layout: l, ctx: ctx, share: share, dirs: map[string]bool{}}
	var st unix.Stat_t
	if err := unix.Fstat(int(share.Fd()), &st); err != nil {
		share.Close()
		return nil, os.NewSyscallError("fstat", err)
	}
	// A layout that belongs to a user stays theirs when root writes to it.
	if os.Geteuid() == 0 && (st.Uid != 0 || st.Gid != 0) {
		w.owner = &st
	}
	return w, nil
}

// Close ends the session and removes what was not committed.
func (w *Writer) Close() {
	if w.temp != nil {
		_ = os.RemoveAll(w.temp.Name()) // gc will, if this cannot
		w.temp.Close()
	}
	if w.part != nil {
		_ = os.Remove(w.part.Name()) // stays if there is something to resume
		w.part.Close()
	}
	w.share.Close()
}

// tempDir makes and locks the folder of unfinished files. A gc of umoci could
// remove it between the two; the first file in it then fails.
func (w *Writer) tempDir() (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.temp != nil {
		return w.temp.Name(), nil
	}
	path, err := os.MkdirTemp(w.path, tempPrefix)
	if err != nil {
		return "", err
	}
	f, err := folder.Lock(w.ctx, path, unix.LOCK_EX)
	if err != nil {
		_ = os.RemoveAll(path)
		return "", err
	}
	w.temp = f
	return path, nil
}

// newFile makes an unfinished file with the mode that the umask leaves.
func (w *Writer) newFile() (*os.File, error) {
	dir, err := w.tempDir()
	if err != nil {
		return nil, err
	}
	for n := 0; ; n++ {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%d", n)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := w.giveToOwner(f); err != nil {
			f.Close()
			return nil, err
		}
		return f, nil
	}
}

func (w *Writer) giveToOwner(f *os.File) error {
	if w.owner == nil {
		return nil
	}
	return f.Chown(int(w.owner.Uid), int(w.owner.Gid))
}

// finish puts a blob in its place.
func finish(f *os.File, to string) error {
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(f.Name(), to)
}

// BlobWriter is a blob in the making, hashed while it is written.
type BlobWriter struct {
	w    *Writer
	file *os.File
	hash hash.Hash
	algo digest.Algorithm
	size int64
}

// NewBlob starts a blob that will be named by its SHA-256. Commit or Abort it.
func (w *Writer) NewBlob() (*BlobWriter, error) { return w.newBlob(digest.SHA256) }

func (w *Writer) newBlob(algo digest.Algorithm) (*BlobWriter, error) {
	f, err := w.newFile()
	if err != nil {
		return nil, err
	}
	return &BlobWriter{w: w, file: f, hash: algo.Hash(), algo: algo}, nil
}

// Write implements [io.Writer].
func (b *BlobWriter) Write(p []byte) (int, error) {
	n, err := b.file.Write(p)
	b.hash.Write(p[:n])
	b.size += int64(n)
	return n, err
}

// Size is how many bytes were written.
func (b *BlobWriter) Size() int64 { return b.size }

// Commit makes the blob part of the layout and describes it. A blob of that
// name is replaced: it holds the same, or is damaged.
func (b *BlobWriter) Commit(mediaType string) (v1.Descriptor, error) {
	d := v1.Descriptor{MediaType: mediaType, Digest: digest.NewDigest(b.algo, b.hash), Size: b.size}
	defer b.Abort()
	return d, b.w.finishBlob(b.file, d.Digest)
}

// finishBlob puts a complete blob in its place.
func (w *Writer) finishBlob(f *os.File, id digest.Digest) error {
	dir := filepath.Join(w.path, v1.ImageBlobsDir, string(id.Algorithm()))
	if err := w.makeBlobDir(dir); err != nil {
		return err
	}
	if err := finish(f, filepath.Join(dir, id.Encoded())); err != nil {
		return err
	}
	w.unsynced(dir)
	return nil
}

func (w *Writer) unsynced(dir string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dirs[dir] = true
}

// Abort drops the blob; after Commit it does nothing.
func (b *BlobWriter) Abort() {
	if b.file == nil {
		return
	}
	_ = os.Remove(b.file.Name()) // gone after Commit, and removed with its folder otherwise
	b.file.Close()
	b.file = nil
}

func (w *Writer) makeBlobDir(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err == nil && w.owner != nil {
		err = os.Chown(dir, int(w.owner.Uid), int(w.owner.Gid))
	}
	if err == nil {
		w.unsynced(filepath.Dir(dir))
	}
	return err
}

// Ingest copies the blob that d describes from r, and keeps it only if size
// and digest are right; the error matches [ErrSizeMismatch] or
// [ErrDigestMismatch]. At most one byte more than d.Size is read.
func (w *Writer) Ingest(d v1.Descriptor, r io.Reader) error {
	if _, err := NewHash(d.Digest); err != nil {
		return err
	}
	b, err := w.newBlob(d.Digest.Algorithm())
	if err != nil {
		return err
	}
	defer b.Abort()
	if _, err := io.Copy(b, io.LimitReader(r, d.Size+1)); err != nil {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	if b.size != d.Size {
		return fmt.Errorf("blob %s: %w: read %d bytes, want %d", d.Digest, ErrSizeMismatch, b.size, d.Size)
	}
	if got := digest.NewDigest(b.algo, b.hash); got != d.Digest {
		return fmt.Errorf("blob %s: %w: content is %s", d.Digest, ErrDigestMismatch, got)
	}
	_, err = b.Commit(d.MediaType)
	return err
}

// Has says whether the layout holds a file of d's name and size. Its content
// is verified when it is read.
func (l *Layout) Has(d v1.Descriptor) bool {
	path, err := l.blobPath(d.Digest)
	if err != nil {
		return false
	}
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() == d.Size
}

// PutJSON stores v as a blob.
func (w *Writer) PutJSON(mediaType string, v any) (v1.Descriptor, error) {
	data, err := encode(v)
	if err != nil {
		return v1.Descriptor{}, err
	}
	b, err := w.NewBlob()
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer b.Abort()
	if _, err := b.Write(data); err != nil {
		return v1.Descriptor{}, err
	}
	return b.Commit(mediaType)
}

// syncBlobs makes the names of new blobs durable, before anything refers to
// them.
func (w *Writer) syncBlobs() error {
	for dir := range w.dirs {
		if err := folder.Sync(dir); err != nil {
			return err
		}
	}
	clear(w.dirs)
	return nil
}

// UpdateIndex lets change edit index.json, and replaces it. No other process
// can do so between reading and writing; if change fails nothing happens.
func (w *Writer) UpdateIndex(change func(*v1.Index) error) error {
	lock, err := w.lockIndex(w.ctx)
	if err != nil {
		return err
	}
	defer lock.Close()
	index, err := w.Index()
	if err != nil {
		return err
	}
	if err := change(&index); err != nil {
		return err
	}
	if index.MediaType == "" {
		index.MediaType = v1.MediaTypeImageIndex
	}
	if index.Manifests == nil {
		index.Manifests = []v1.Descriptor{}
	}
	data, err := encode(index)
	if err != nil {
		return err
	}
	if len(data) > maxJSONBytes {
		return fmt.Errorf("%s: JSON larger than %d bytes", v1.ImageIndexFile, maxJSONBytes)
	}
	if err := w.syncBlobs(); err != nil {
		return err
	}
	return w.replaceIndex(data)
}

// newIndexName is index.json in the making. Only who holds the lock of
// index.json writes it, so that what a killed process left is replaced by the
// next; unlike the name of a folder for blobs, umoci's gc leaves it alone.
const newIndexName = v1.ImageIndexFile + ".new"

func (w *Writer) replaceIndex(data []byte) error {
	path := filepath.Join(w.path, newIndexName)
	if err := w.writeIndex(path, data); err != nil {
		_ = os.Remove(path) // the one reported counts
		return err
	}
	if err := os.Rename(path, filepath.Join(w.path, v1.ImageIndexFile)); err != nil {
		_ = os.Remove(path)
		return err
	}
	return folder.Sync(w.path)
}

func (w *Writer) writeIndex(path string, data []byte) error {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := os.OpenFile(path, flags, 0o666)
	if errors.Is(err, os.ErrExist) {
		if err = os.Remove(path); err == nil {
			f, err = os.OpenFile(path, flags, 0o666)
		}
	}
	if err != nil {
		return err
	}
	err = w.giveToOwner(f)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
