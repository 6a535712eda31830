package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/bundle/folder"
)

// maxMarked bounds how many blobs one gc can mark.
const maxMarked = 1 << 20

// GC removes the blobs that no entry of index.json leads to, tagged or not,
// and the folders of writers that were killed. It waits until nobody adds
// blobs. If anything on the way cannot be understood, nothing is removed.
func (l *Layout) GC(ctx context.Context) error {
	lock, err := folder.Lock(ctx, l.path, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer lock.Close()
	index, err := l.Index()
	if err != nil {
		return err
	}
	m := marker{layout: l, marked: map[digest.Digest]bool{}}
	if err := m.markAll(index.Manifests); err != nil {
		return fmt.Errorf("layout %s: gc: %w", l.path, err)
	}
	if err := l.sweepBlobs(m.marked); err != nil {
		return err
	}
	return l.sweepTemps()
}

// marker collects the blobs that can be reached.
type marker struct {
	layout *Layout
	marked map[digest.Digest]bool
	todo   []v1.Descriptor
}

func (m *marker) markAll(roots []v1.Descriptor) error {
	m.todo = append(m.todo, roots...)
	for len(m.todo) > 0 {
		d := m.todo[len(m.todo)-1]
		m.todo = m.todo[:len(m.todo)-1]
		if m.marked[d.Digest] {
			continue
		}
		if len(m.marked) >= maxMarked {
			return fmt.Errorf("more than %d blobs", maxMarked)
		}
		m.marked[d.Digest] = true
		if err := m.follow(d); err != nil {
			return err
		}
	}
	return nil
}

// references is what an index or a manifest refers to: descriptors.
type references struct {
	Manifests []v1.Descriptor `json:"manifests"`
	Config    *v1.Descriptor  `json:"config"`
	Layers    []v1.Descriptor `json:"layers"`
	Blobs     []v1.Descriptor `json:"blobs"` // of artifacts of image-spec 1.1's candidates
	Subject   *v1.Descriptor  `json:"subject"`
}

// follow reads d if its type has references. A blob that is not there refers
// to nothing: of a multi-platform image, often one platform was fetched.
func (m *marker) follow(d v1.Descriptor) error {
	if !isIndex(d.MediaType) && !IsManifest(d.MediaType) {
		return nil
	}
	var refs references
	err := m.layout.ReadJSON(d, &refs)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, one := range []*v1.Descriptor{refs.Config, refs.Subject} {
		if one != nil {
			m.todo = append(m.todo, *one)
		}
	}
	m.todo = append(m.todo, refs.Manifests...)
	m.todo = append(m.todo, refs.Layers...)
	m.todo = append(m.todo, refs.Blobs...)
	return nil
}

// sweepBlobs removes what is not marked from the folders of the algorithms
// that this package writes.
func (l *Layout) sweepBlobs(marked map[digest.Digest]bool) error {
	for _, algo := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		dir := filepath.Join(l.path, v1.ImageBlobsDir, string(algo))
		entries, err := os.ReadDir(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.IsDir() || marked[digest.NewDigestFromEncoded(algo, e.Name())] {
				continue
			}
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// sweepTemps removes what writers that were killed have left: folders that
// nobody holds the lock of (umoci locks its own in the same way), and an
// unfinished index.json.
func (l *Layout) sweepTemps() error {
	entries, err := os.ReadDir(l.path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == newIndexName && !e.IsDir() {
			// Nobody is writing one: whoever does holds the layout's lock.
			if err := os.Remove(filepath.Join(l.path, e.Name())); err != nil {
				return err
			}
		}
		if !e.IsDir() || !strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		if err := removeUnlocked(filepath.Join(l.path, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func removeUnlocked(path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "flock", Path: path, Err: err}
	}
	return os.RemoveAll(path)
}

// RawJSON is a blob of JSON as it is stored, verified.
func (l *Layout) RawJSON(d v1.Descriptor) (json.RawMessage, error) {
	var raw json.RawMessage
	err := l.ReadJSON(d, &raw)
	return raw, err
}
