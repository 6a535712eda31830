package layer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/maphash"
	"maps"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/bundle/paged"
)

// Bounds of one path: what the kernel takes at once, and how many symlinks it
// follows (path_resolution(7)).
const (
	maxPath  = unix.PathMax - 1
	maxLinks = 40
)

// maxOpenDirs is how many directories of one layer are kept open. Archives
// are written directory by directory, so few are enough.
const maxOpenDirs = 64

// maxTimes bounds the memory for the times of one layer's directories.
const maxTimes = 1 << 15

// implicitMode is the mode of a directory that an entry needs and no layer
// describes. Not subject to the umask: the same image, the same tree.
const implicitMode = 0o755

// dir is an open directory of the tree.
type dir struct {
	fd      int    // O_PATH
	path    string // canonical: beneath the root, without symlinks; "" is the root
	touched bool   // its times are already in run.times
}

func (d *dir) join(name string) string { return joinPath(d.path, name) }

func joinPath(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// run is the extraction of one layer.
type run struct {
	tree  *Tree
	dirs  map[string]*dir             // open directories by the path they were asked for
	stale bool                        // a directory or symlink went: dirs may be wrong
	upper upperSet                    // what this layer put there
	times map[string][2]unix.Timespec // of directories, set when the layer is done
	buf   []byte
	hash  hash.Hash // of the content that is being written
}

func newRun(t *Tree) *run {
	return &run{
		tree:  t,
		dirs:  map[string]*dir{},
		upper: newUpperSet(maxUpper),
		times: map[string][2]unix.Timespec{},
	}
}

func (r *run) close() {
	r.dropDirs()
	r.upper.close()
}

func (r *run) dropDirs() {
	for _, d := range r.dirs {
		unix.Close(d.fd)
	}
	clear(r.dirs)
	r.stale = false
}

// prepare is called between entries, when no *dir is in use.
func (r *run) prepare() error {
	if r.stale || len(r.dirs) >= maxOpenDirs {
		r.dropDirs()
	}
	if len(r.times) < maxTimes {
		return nil
	}
	// What changes again is touched again, and has the right times by then.
	r.dropDirs()
	err := r.restoreTimes()
	clear(r.times)
	return err
}

// upperSet are canonical paths, by their hashes. Of a large layer's most are
// not in memory.
type upperSet struct {
	seed   maphash.Seed // a layer cannot know which collide
	latest map[uint64]struct{}
	most   int        // of the latest
	others *paged.Map // nil if there are none
}

// maxUpper bounds the latest, some 20 bytes each; upperMemory, in bytes, what
// is in memory of the others.
const (
	maxUpper    = 1 << 18
	upperMemory = 4 << 20
)

func newUpperSet(most int) upperSet {
	return upperSet{seed: maphash.MakeSeed(), latest: map[uint64]struct{}{}, most: most}
}

func (s *upperSet) add(canonical string) error {
	s.latest[maphash.String(s.seed, canonical)] = struct{}{}
	if len(s.latest) < s.most {
		return nil
	}
	if s.others == nil {
		s.others = paged.NewMap(0, upperMemory)
	}
	var key [8]byte
	for _, h := range slices.Sorted(maps.Keys(s.latest)) { // so each page is changed once
		binary.BigEndian.PutUint64(key[:], h)
		s.others.Set(key[:], nil)
	}
	clear(s.latest)
	return s.others.Err()
}

func (s *upperSet) has(canonical string) (bool, error) {
	h := maphash.String(s.seed, canonical)
	if _, ok := s.latest[h]; ok || s.others == nil {
		return ok, nil
	}
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], h)
	return s.others.Get(key[:], nil), s.others.Err()
}

func (s *upperSet) close() {
	if s.others != nil {
		s.others.Close()
	}
}

// cleanName makes a name of the archive relative to the root: "..", "." and a
// leading "/" go nowhere else. "" is the root.
func cleanName(unsafeName string) (string, error) {
	if strings.IndexByte(unsafeName, 0) >= 0 {
		return "", errors.New("NUL in name")
	}
	clean := path.Clean("/" + unsafeName)[1:]
	if len(clean) > maxPath {
		return "", unix.ENAMETOOLONG
	}
	return clean, nil
}

// lookup resolves a cleaned path to an open directory, the way a process in
// the root would: symlinks lead somewhere inside. With create, what is
// missing is made, and what is neither directory nor symlink is replaced.
// The result is valid until prepare.
func (r *run) lookup(unsafeDir string, create bool) (*dir, error) {
	if d, ok := r.dirs[unsafeDir]; ok {
		return d, nil
	}
	d := &dir{path: unsafeDir}
	var err error
	d.fd, err = r.tree.root.openDir(unsafeDir, unix.O_PATH)
	switch {
	case err == nil:
	case isGone(err):
		if d, err = r.walk(unsafeDir, create); err != nil {
			return nil, err
		}
	default:
		return nil, sysError("openat2", err)
	}
	r.dirs[unsafeDir] = d
	return d, nil
}

// walk is lookup, name by name. No single step can leave the root: a name has
// no slash, symlinks are never followed by the kernel, and ".." is the parent
// in the canonical path, not the kernel's.
func (r *run) walk(unsafeDir string, create bool) (*dir, error) {
	at, err := r.open("")
	if err != nil {
		return nil, err
	}
	links := 0
	for todo := strings.Split(unsafeDir, "/"); len(todo) > 0; {
		next, unsafeTarget, err := r.step(at, todo[0], create)
		unix.Close(at.fd)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", quoteName(unsafeDir), err)
		}
		at, todo = next, todo[1:]
		if unsafeTarget == "" {
			continue
		}
		if links++; links > maxLinks || len(todo) > maxPath {
			unix.Close(at.fd)
			return nil, fmt.Errorf("%s: %w", quoteName(unsafeDir), unix.ELOOP)
		}
		todo = append(strings.Split(unsafeTarget, "/"), todo...)
	}
	return at, nil
}

// step goes from at to name. If that is a symlink, it returns its target and
// the directory to go on from.
func (r *run) step(at *dir, name string, create bool) (next *dir, unsafeTarget string, err error) {
	switch name {
	case "", ".":
		next, err = r.open(at.path)
		return next, "", err
	case "..":
		next, err = r.open(parentOf(at.path))
		return next, "", err
	}
	if len(at.path)+1+len(name) > maxPath {
		return nil, "", unix.ENAMETOOLONG
	}
	next, err = openChild(at, name)
	if err == nil {
		return next, "", nil
	}
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		unsafeTarget, err = readlink(at.fd, name)
		if err == nil {
			next, err = r.open(startOf(unsafeTarget, at.path))
			return next, unsafeTarget, err
		}
	}
	// EINVAL: it is not a symlink either; readlink(2).
	if create && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL)) {
		next, err = r.makeImplicit(at, name)
		return next, "", err
	}
	if errors.Is(err, unix.EINVAL) {
		err = unix.ENOTDIR
	}
	return nil, "", err
}

// startOf is the directory, by canonical path, that a symlink in dir leads on
// from.
func startOf(unsafeTarget, dir string) string {
	if strings.HasPrefix(unsafeTarget, "/") {
		return ""
	}
	return dir
}

// open opens a directory by its canonical path, outside the cache.
func (r *run) open(canonical string) (*dir, error) {
	fd, err := r.tree.root.openDir(canonical, unix.O_PATH)
	if err != nil {
		return nil, sysError("openat2", err)
	}
	return &dir{fd: fd, path: canonical}, nil
}

func openChild(at *dir, name string) (*dir, error) {
	fd, err := unix.Openat(at.fd, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &dir{fd: fd, path: at.join(name)}, nil
}

// makeImplicit makes a directory that no layer describes, in place of
// whatever is there.
func (r *run) makeImplicit(at *dir, name string) (*dir, error) {
	err := r.create(at, name, "mkdirat", func() error {
		return unix.Mkdirat(at.fd, name, 0o700)
	})
	if err != nil {
		return nil, err
	}
	fd, err := unix.Openat(at.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, sysError("openat", err)
	}
	defer unix.Close(fd)
	// A parent with setgid or a default ACL would have passed it on.
	if err := r.tree.setOwner(fd, 0, 0); err != nil {
		return nil, err
	}
	if err := setMode(fd, implicitMode); err != nil {
		return nil, err
	}
	delete(r.times, at.join(name)) // of a directory that was here before
	delete(r.tree.modes, at.join(name))
	return openChild(at, name)
}

// touch remembers the times of a directory before its content changes; an
// entry that changes one is no reason to show the day of the extraction.
func (r *run) touch(d *dir) error {
	if d.touched {
		return nil
	}
	d.touched = true
	if _, ok := r.times[d.path]; ok {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(d.fd, &st); err != nil {
		return sysError("fstat", err)
	}
	r.times[d.path] = [2]unix.Timespec{st.Atim, st.Mtim}
	return nil
}

// restoreTimes sets the times of all directories that the layer described or
// changed, and that are still directories.
func (r *run) restoreTimes() error {
	for canonical, times := range r.times {
		fd, err := r.tree.root.openDir(canonical, unix.O_PATH)
		if isGone(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", quoteName(canonical), sysError("openat2", err))
		}
		err = setTimes(fd, "", times)
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("%s: %w", quoteName(canonical), err)
		}
	}
	return nil
}

// isGone says that a path of a directory leads to none any more.
func isGone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

func parentOf(canonical string) string {
	if i := strings.LastIndexByte(canonical, '/'); i >= 0 {
		return canonical[:i]
	}
	return ""
}

func readlink(dirfd int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dirfd, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}
