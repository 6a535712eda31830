package overlay

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// Use remembers that the bundle at path needs its layers, until the bundle is
// gone. The caller holds Share.
func (s *Store) Use(bundle string) error {
	bundle, err := filepath.Abs(bundle)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(bundle))
	name := filepath.Join(s.path, usersDir, hex.EncodeToString(sum[:]))
	err = os.Symlink(bundle, name) // a link holds any path, and appears at once
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// Prune removes the layers that no bundle needs. needed says which ones a
// bundle does; a bundle that does not exist, or has become another one, is
// forgotten. It returns how many layers went.
func (s *Store) Prune(ctx context.Context, needed func(bundle string) ([]digest.Digest, error)) (int, error) {
	lock, err := s.lock(ctx, unix.LOCK_EX)
	if err != nil {
		return 0, err
	}
	defer lock.Close()
	keep, err := s.needed(needed)
	if err != nil {
		return 0, err
	}
	entries, err := os.ReadDir(filepath.Join(s.path, layersDir))
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, e := range entries {
		path := filepath.Join(s.path, layersDir, e.Name())
		if keep[path] {
			continue
		}
		// Away under a name that is nobody's, so that a kill leaves no layer
		// that lacks something.
		gone := path
		if !strings.HasPrefix(e.Name(), tempName) {
			gone = filepath.Join(s.path, layersDir, tempName+e.Name())
			if err := os.Rename(path, gone); err != nil {
				return removed, err
			}
			removed++
		}
		if err := removeAll(gone); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

func (s *Store) needed(of func(bundle string) ([]digest.Digest, error)) (map[string]bool, error) {
	users := filepath.Join(s.path, usersDir)
	entries, err := os.ReadDir(users)
	if err != nil {
		return nil, err
	}
	keep := map[string]bool{}
	for _, e := range entries {
		name := filepath.Join(users, e.Name())
		bundle, err := os.Readlink(name)
		if err != nil {
			return nil, err
		}
		chain, err := of(bundle)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			if err := os.Remove(name); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err // better too much than a bundle without its files
		}
		for _, id := range chain {
			keep[s.layerDir(id)] = true
		}
	}
	return keep, nil
}
