package store

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Errors of a blob that is not what its descriptor says. The texts are the
// ones that scripts written for other image tools look for.
var (
	ErrDigestMismatch = errors.New("verified reader digest mismatch")
	ErrSizeMismatch   = errors.New("verified reader size mismatch")
)

// Blob is a blob that is verified while it is read: Read returns io.EOF only
// after size and digest were found to be those of the descriptor.
type Blob struct {
	file *os.File
	want v1.Descriptor
	hash hash.Hash
	read int64
	err  error // what Read ended with, nil while it has not
}

// Blob opens the content that d describes.
//
// The error matches [ErrSizeMismatch] if the file has another size, and
// [os.ErrNotExist] if the layout does not hold it.
func (l *Layout) Blob(d v1.Descriptor) (*Blob, error) {
	h, err := NewHash(d.Digest)
	if err != nil {
		return nil, err
	}
	path, err := l.blobPath(d.Digest)
	if err != nil {
		return nil, err
	}
	f, err := OpenRegular(path)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() != d.Size {
		err = fmt.Errorf("%w: %d bytes, want %d", ErrSizeMismatch, info.Size(), d.Size)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	return &Blob{file: f, want: d, hash: h}, nil
}

func (l *Layout) blobPath(id digest.Digest) (string, error) {
	if err := id.Validate(); err != nil {
		return "", fmt.Errorf("digest %q: %w", string(id), err)
	}
	return filepath.Join(l.path, v1.ImageBlobsDir, string(id.Algorithm()), id.Encoded()), nil
}

// NewHash returns the hash that d was computed with. Its error says that d is
// malformed or of an algorithm other than the two that image-spec registers
// (descriptor.md).
func NewHash(d digest.Digest) (hash.Hash, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("digest %q: %w", string(d), err)
	}
	switch d.Algorithm() {
	case digest.SHA256:
		return sha256.New(), nil
	case digest.SHA512:
		return sha512.New(), nil
	}
	return nil, fmt.Errorf("digest %q: %w", string(d), digest.ErrDigestUnsupported)
}

// Read implements [io.Reader].
func (b *Blob) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.file.Read(p)
	b.read += int64(n)
	b.hash.Write(p[:n])
	switch {
	case b.read > b.want.Size, err == io.EOF:
		b.err = b.verify()
	case err != nil:
		b.err = err
	}
	return n, b.err
}

func (b *Blob) verify() error {
	if b.read != b.want.Size {
		return fmt.Errorf("blob %s: %w: read %d bytes, want %d", b.want.Digest, ErrSizeMismatch, b.read, b.want.Size)
	}
	if got := digest.NewDigest(b.want.Digest.Algorithm(), b.hash); got != b.want.Digest {
		return fmt.Errorf("blob %s: %w: content is %s", b.want.Digest, ErrDigestMismatch, got)
	}
	return io.EOF
}

// Drain reads what is left and returns nil if the whole blob was as
// described. A reader that stops early, because it is done or because the
// content made no sense, calls it to know whether the blob is to blame.
func (b *Blob) Drain() error {
	_, err := io.Copy(io.Discard, b)
	return err
}

// Close closes the file. It verifies nothing.
func (b *Blob) Close() error { return b.file.Close() }

// ReadJSON decodes the blob that d describes into v, after it was verified.
func (l *Layout) ReadJSON(d v1.Descriptor, v any) error {
	data, err := l.ReadBytes(d)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	return nil
}

// ReadBytes reads a blob of JSON, byte for byte, verified.
func (l *Layout) ReadBytes(d v1.Descriptor) ([]byte, error) {
	if d.Size > maxJSONBytes {
		return nil, fmt.Errorf("blob %s: %d bytes of JSON, at most %d are read", d.Digest, d.Size, maxJSONBytes)
	}
	blob, err := l.Blob(d)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	return readAll(blob)
}
