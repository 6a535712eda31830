// Package state keeps one folder per container below the state root:
// the lock, the saved record and the two FIFOs of the start hand-over.
//
// Runs on the host. It does not know what a record means.
package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hako-runtime/hako/libct/fastjson"
	"golang.org/x/sys/unix"
)

// Names inside the folder.
const (
	recordFile = "state.json"
	anchorFile = "cgroup"
	startFIFO  = "start"
	resultFIFO = "result"
	maxRecord  = 64 << 20 // bytes
)

// ErrBusy means that another hako command holds the container's lock.
var ErrBusy = errors.New("another hako command is working on this container")

// Dir is the folder of one container.
// The lock is on the folder itself, so it goes when the folder goes.
type Dir struct {
	path string
	dir  *os.File // nil: not locked
}

// Reserve makes the folder of a new container and locks it. Of several callers
// at once exactly one succeeds, also while somebody removes the folder.
// The error matches fs.ErrExist if there is one already.
func Reserve(root, id string) (*Dir, error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	d := At(root, id)
	for range maxReserve {
		if err := os.Mkdir(d.path, 0o700); err != nil {
			return nil, err
		}
		err := d.Lock()
		if errors.Is(err, fs.ErrNotExist) {
			continue // delete --force was faster
		}
		if err != nil {
			_ = os.Remove(d.path) // best effort: the first error counts
			return nil, err
		}
		if err := d.checkEmpty(); err != nil {
			return nil, err
		}
		return d, nil
	}
	return nil, &os.PathError{Op: "lock", Path: d.path, Err: unix.EAGAIN}
}

// maxReserve bounds a loop that only a busy remover prolongs.
const maxReserve = 100

// checkEmpty tells a folder that is new from one that another caller has made
// and filled after ours was removed.
func (d *Dir) checkEmpty() error {
	entries, err := os.ReadDir(d.path)
	if err == nil && len(entries) > 0 {
		err = &os.PathError{Op: "mkdir", Path: d.path, Err: unix.EEXIST}
	}
	if err != nil {
		d.Unlock()
	}
	return err
}

// At is the folder of id, whether it exists or not, not locked.
func At(root, id string) *Dir { return &Dir{path: filepath.Join(root, id)} }

// ID is the container's id, the name of the folder.
func (d *Dir) ID() string { return filepath.Base(d.path) }

// Exists reports whether there is such a folder.
func (d *Dir) Exists() bool {
	st, err := os.Lstat(d.path)
	return err == nil && st.IsDir()
}

// OwnerUID is the user that the folder belongs to.
func (d *Dir) OwnerUID() (uint32, error) {
	var st unix.Stat_t
	if err := unix.Lstat(d.path, &st); err != nil {
		return 0, &os.PathError{Op: "lstat", Path: d.path, Err: err}
	}
	return st.Uid, nil
}

// Lock waits for the container's lock.
// The error matches fs.ErrNotExist if the folder is gone, also if it went
// while waiting.
func (d *Dir) Lock() error { return d.flock(unix.LOCK_EX) }

// TryLock is Lock without waiting: [ErrBusy].
func (d *Dir) TryLock() error { return d.flock(unix.LOCK_EX | unix.LOCK_NB) }

func (d *Dir) flock(how int) error {
	fd, err := unix.Open(d.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: d.path, Err: err}
	}
	f := os.NewFile(uintptr(fd), d.path)
	for {
		err = unix.Flock(fd, how)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		f.Close()
		return ErrBusy
	}
	if err != nil {
		f.Close()
		return &os.PathError{Op: "flock", Path: d.path, Err: err}
	}
	// It may have been removed, or made anew, while we waited.
	var locked, current unix.Stat_t
	if unix.Fstat(fd, &locked) != nil || unix.Lstat(d.path, &current) != nil || locked.Ino != current.Ino || locked.Dev != current.Dev {
		f.Close()
		return &os.PathError{Op: "lock", Path: d.path, Err: unix.ENOENT}
	}
	d.dir = f
	return nil
}

// Unlock gives the lock back. Unlocking twice is harmless.
func (d *Dir) Unlock() {
	if d.dir != nil {
		d.dir.Close()
		d.dir = nil
	}
}

// Locked reports whether we hold the lock.
func (d *Dir) Locked() bool { return d.dir != nil }

// Busy reports whether somebody holds the lock.
func (d *Dir) Busy() bool {
	if d.dir != nil {
		return true
	}
	probe := &Dir{path: d.path}
	if err := probe.flock(unix.LOCK_SH | unix.LOCK_NB); err != nil {
		return errors.Is(err, ErrBusy)
	}
	probe.Unlock()
	return false
}

// Anchor remembers where the container's processes are, before there are any.
// Its format never changes, so that a container can be removed whose record
// was never written, is damaged, or is from another version: one line for the
// cgroup mode and who manages it, and the path, which is empty if the container
// has none.
func (d *Dir) Anchor(mode, cgroup string) error {
	return write(filepath.Join(d.path, anchorFile), []byte(mode+"\n"+cgroup+"\n"))
}

// Anchored returns what [Dir.Anchor] was given.
// The error matches fs.ErrNotExist if there is no anchor.
func (d *Dir) Anchored() (mode, cgroup string, err error) {
	data, err := os.ReadFile(filepath.Join(d.path, anchorFile))
	if err != nil {
		return "", "", err
	}
	mode, rest, _ := strings.Cut(string(data), "\n")
	cgroup, end, ok := strings.Cut(rest, "\n")
	if !ok || end != "" {
		return "", "", fmt.Errorf("%s: damaged", filepath.Join(d.path, anchorFile))
	}
	return mode, cgroup, nil
}

// Save replaces the record, so that a reader sees the old or the new one.
func (d *Dir) Save(record fastjson.Marshaler) error {
	data, err := fastjson.Marshal(record)
	if err != nil {
		return err
	}
	tmp := filepath.Join(d.path, recordFile+".new")
	if err := write(tmp, data); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(d.path, recordFile))
}

// HasRecord reports whether there is a record, readable or not.
func (d *Dir) HasRecord() bool {
	_, err := os.Lstat(filepath.Join(d.path, recordFile))
	return err == nil
}

// Load reads the record.
// The error matches fs.ErrNotExist if there is none.
func (d *Dir) Load(record fastjson.Unmarshaler) error {
	path := filepath.Join(d.path, recordFile)
	f, st, err := open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > maxRecord {
		return fmt.Errorf("%s: not a record of hako's", path)
	}
	data := make([]byte, st.Size)
	if _, err := f.ReadAt(data, 0); err != nil {
		return err
	}
	if err := fastjson.Unmarshal(data, record); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Remove deletes the folder and all in it. It keeps the lock until then.
func (d *Dir) Remove() error {
	defer d.Unlock()
	return os.RemoveAll(d.path)
}

// MakeFIFOs makes the hand-over and returns the ends that init holds:
// the read end of start and the write end of result.
//
// Init's end of start is opened for reading and writing, so that it blocks
// instead of reading end of file while nobody has called start; fifo(7).
func (d *Dir) MakeFIFOs() (start, result *os.File, err error) {
	for _, name := range []string{startFIFO, resultFIFO} {
		if err := unix.Mkfifo(filepath.Join(d.path, name), 0o600); err != nil {
			return nil, nil, &os.PathError{Op: "mkfifo", Path: filepath.Join(d.path, name), Err: err}
		}
	}
	if start, err = d.openFIFO(startFIFO, unix.O_RDWR); err != nil {
		return nil, nil, err
	}
	if result, err = d.openFIFO(resultFIFO, unix.O_RDWR); err != nil {
		start.Close()
		return nil, nil, err
	}
	return start, result, nil
}

// Waiting reports whether somebody waits for start.
func (d *Dir) Waiting() bool {
	f, err := d.openFIFO(startFIFO, unix.O_WRONLY|unix.O_NONBLOCK)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// OpenStart opens the host's ends: for telling init to go on, and for reading
// what becomes of it. The error matches [unix.ENXIO] if nobody waits.
func (d *Dir) OpenStart() (start, result *os.File, err error) {
	if start, err = d.openFIFO(startFIFO, unix.O_WRONLY|unix.O_NONBLOCK); err != nil {
		return nil, nil, err
	}
	if result, err = d.openFIFO(resultFIFO, unix.O_RDONLY|unix.O_NONBLOCK); err != nil {
		start.Close()
		return nil, nil, err
	}
	return start, result, nil
}

func (d *Dir) openFIFO(name string, flags int) (*os.File, error) {
	path := filepath.Join(d.path, name)
	f, st, err := open(path, flags, 0)
	if err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		f.Close()
		return nil, fmt.Errorf("%s: damaged: not a FIFO", path)
	}
	return f, nil
}

// write makes the file, or replaces what is in it.
func write(path string, data []byte) error {
	f, _, err := open(path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// open follows no link at the end of path, and does without the runtime's
// poller, which costs a start a page and ten system calls. O_NONBLOCK is for
// opening only: reading and writing wait.
func open(path string, flags int, mode uint32) (*os.File, *unix.Stat_t, error) {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NOCTTY, mode)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	st := new(unix.Stat_t)
	if err = unix.Fstat(fd, st); err == nil && flags&unix.O_NONBLOCK != 0 {
		err = unix.SetNonblock(fd, false)
	}
	if err != nil {
		unix.Close(fd)
		return nil, nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), st, nil
}

// List returns the ids below root; a missing root is an error that matches
// fs.ErrNotExist.
func List(root string) ([]string, error) {
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if e.Type() == fs.ModeDir {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}
