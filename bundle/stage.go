package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// stageName is the folder inside the bundle in which it is prepared. On the
// same file system, and private until the bundle is complete.
const stageName = ".bundle-unpack"

// stage is a bundle in the making. Nothing of it is visible in the bundle
// before commit; what a kill leaves, the next unpack removes.
type stage struct {
	path      string // of the stage's folder
	bundle    string
	base      string   // of the snapshot's names
	lock      *os.File // the bundle's directory, locked with flock(2)
	mode      os.FileMode
	made      bool // the bundle's directory is ours to remove
	committed bool
}

// openStage starts a bundle at path, which may be missing, or a directory that
// holds neither a rootfs nor a config.json.
func openStage(path, base string) (*stage, error) {
	made := false
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	switch err := os.Mkdir(path, 0o700); {
	case err == nil:
		made = true
	case !errors.Is(err, os.ErrExist):
		return nil, err
	}
	s := &stage{path: filepath.Join(path, stageName), bundle: path, base: base, made: made}
	if err := s.open(); err != nil {
		s.abandon()
		return nil, fmt.Errorf("bundle %s: %w", path, err)
	}
	return s, nil
}

func (s *stage) open() (err error) {
	if s.lock, err = os.OpenFile(s.bundle, os.O_RDONLY|unix.O_DIRECTORY, 0); err != nil {
		return err
	}
	info, err := s.lock.Stat()
	if err != nil {
		return err
	}
	s.mode = info.Mode()
	if err := unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		s.lock.Close()
		s.lock = nil // what is there belongs to somebody else
		return fmt.Errorf("another unpack is running: %w", os.NewSyscallError("flock", err))
	}
	if err := s.undoKilledCommit(); err != nil {
		return err
	}
	for _, name := range []string{configName, rootfsName} {
		if err := s.refuse(name); err != nil {
			return err
		}
	}
	if err := removeTree(s.path); err != nil { // of one that was killed
		return err
	}
	return os.Mkdir(s.path, 0o700)
}

// undoKilledCommit takes a rootfs back that was moved by an unpack which was
// killed before its config.json followed. No other way leads to a stage with
// a config.json and without a rootfs.
func (s *stage) undoKilledCommit() error {
	if _, err := os.Lstat(filepath.Join(s.path, configName)); err != nil {
		return nil
	}
	to := filepath.Join(s.path, rootfsName)
	if _, err := os.Lstat(to); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	err := os.Rename(filepath.Join(s.bundle, rootfsName), to)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func (s *stage) refuse(name string) error {
	_, err := os.Lstat(filepath.Join(s.bundle, name))
	if err == nil {
		return fmt.Errorf("%s exists already: unpack into another directory, or remove it", name)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// commit makes the bundle visible, config.json last: a directory with a
// config.json is complete. Nobody but the owner may enter it, as its
// set-user-ID files belong to another world. What this tool wrote for a bundle
// that is gone is replaced.
func (s *stage) commit(names ...string) error {
	if err := os.Chmod(s.bundle, 0o700); err != nil {
		return err
	}
	var moved []string
	for _, name := range names {
		flags := uint(0)
		if name == rootfsName || name == overlayDir || name == configName {
			flags = unix.RENAME_NOREPLACE
		}
		from, to := filepath.Join(s.path, name), filepath.Join(s.bundle, name)
		if err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags); err != nil {
			s.moveBack(moved)
			return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
		}
		moved = append(moved, name)
	}
	s.committed = true
	return nil
}

// moveBack undoes a commit as far as it got. Best effort: there is already an
// error to report.
func (s *stage) moveBack(names []string) {
	for _, name := range names {
		_ = os.Rename(filepath.Join(s.bundle, name), filepath.Join(s.path, name))
	}
	_ = os.Chmod(s.bundle, s.mode.Perm())
}

// abandon removes what is not committed. Best effort, as the caller has an
// error to report, or nothing is left to do.
func (s *stage) abandon() {
	if s.lock != nil {
		_ = removeTree(s.path)
		defer s.lock.Close()
	}
	if s.made && !s.committed {
		_ = os.Remove(s.bundle) // fails if somebody else put something there
	}
}

// removeTree is os.RemoveAll for trees with directories that their owner may
// not change: rootless, an image may have such.
func removeTree(path string) error {
	err := os.RemoveAll(path)
	if !errors.Is(err, os.ErrPermission) || os.Geteuid() == 0 {
		return err
	}
	// WalkDir follows no symlink, and calls before it reads a directory.
	_ = filepath.WalkDir(path, func(path string, d os.DirEntry, _ error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(path)
}
