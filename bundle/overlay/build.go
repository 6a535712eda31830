package overlay

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The folders of a store that builds need.
const (
	buildsDir = "builds" // one for each build that is running
	stepsDir  = "steps"  // what steps of builds made, by their id
)

// TempDir makes a folder for a build, and removes those of builds that were
// killed, with what is mounted there, after end has ended what still runs.
// release removes the folder.
func (s *Store) TempDir(end func(dir string)) (dir string, release func() error, err error) {
	builds := filepath.Join(s.path, buildsDir)
	if err := os.Mkdir(builds, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", nil, err
	}
	entries, err := os.ReadDir(builds)
	if err != nil {
		return "", nil, err
	}
	for _, e := range entries {
		dir := filepath.Join(builds, e.Name())
		if held, err := lockDir(dir); err == nil {
			end(dir)
			_ = removeBuild(dir) // the next one tries again
			held.Close()
		}
	}
	if dir, err = os.MkdirTemp(builds, ""); err != nil {
		return "", nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return "", nil, err
	}
	return dir, func() error {
		defer lock.Close()
		return removeBuild(dir)
	}, nil
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, &os.PathError{Op: "flock", Path: dir, Err: err}
	}
	return f, nil
}

// RootName is where the root filesystem of a build's step is mounted.
const RootName = "rootfs"

func removeBuild(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return os.Remove(dir)
}

// RemoveAll removes the folder of an overlay, its mount at [RootName] included.
func RemoveAll(dir string) error {
	root := filepath.Join(dir, RootName)
	if mounted, err := IsMounted(root); err == nil && mounted {
		if err := unix.Unmount(root, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return &os.PathError{Op: "umount", Path: root, Err: err}
		}
	}
	return removeAll(dir)
}

// Remember keeps v as what the step id made.
func (s *Store) Remember(id string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	steps := filepath.Join(s.path, stepsDir)
	if err := os.Mkdir(steps, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	temp, err := os.CreateTemp(steps, tempName)
	if err != nil {
		return err
	}
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), filepath.Join(steps, id))
	}
	if err != nil {
		_ = os.Remove(temp.Name())
	}
	return err
}

// Recall reads what was remembered; the error matches [fs.ErrNotExist] if it
// is nothing.
func (s *Store) Recall(id string) ([]byte, error) {
	return os.ReadFile(filepath.Join(s.path, stepsDir, id))
}
