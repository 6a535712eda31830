package overlay

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/bundle/folder"
)

// The folders of a store.
const (
	layersDir = "layers" // by chain id
	emptyDir  = "empty"  // below the first layer: a root as an image without an entry for it has
	voidDir   = "void"   // below that: a read-only overlay wants two folders at least
	usersDir  = "users"  // which bundles need which layers
	treeDir   = "fs"     // of a layer: its files
	tempName  = ".new-"
)

// Store is a folder of unpacked layers, each by its chain id: the layer and all
// below it. A layer appears when it is complete, and never changes.
type Store struct {
	path string
}

// OpenStore opens the store at path and makes it if it is missing. Only its
// owner can look into it: there are setuid programs of all images inside.
func OpenStore(path string) (*Store, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(path, ":,\\\n") {
		return nil, fmt.Errorf("store %q: overlayfs cannot work with one of : , \\ in a path", path)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	for _, dir := range []string{layersDir, emptyDir, voidDir, usersDir} {
		if err := os.Mkdir(filepath.Join(path, dir), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("store: %w", err)
		}
	}
	empty := filepath.Join(path, emptyDir)
	if err := os.Chmod(empty, 0o755); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := os.Chtimes(empty, time.Unix(0, 0), time.Unix(0, 0)); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	return &Store{path}, nil
}

// Path is the folder of the store.
func (s *Store) Path() string { return s.path }

// ChainIDs names each layer together with all below it; image-spec
// config.md#layer-chainid.
func ChainIDs(diffIDs []digest.Digest) ([]digest.Digest, error) {
	chain := make([]digest.Digest, len(diffIDs))
	for i, id := range diffIDs {
		if err := id.Validate(); err != nil {
			return nil, fmt.Errorf("diff_id %q: %w", string(id), err)
		}
		if chain[i] = id; i > 0 {
			chain[i] = digest.FromString(string(chain[i-1]) + " " + string(id))
		}
	}
	return chain, nil
}

func (s *Store) layerDir(id digest.Digest) string {
	return filepath.Join(s.path, layersDir, string(id.Algorithm())+"-"+id.Encoded())
}

// Lower lists the folders below a bundle's own, uppermost first.
func (s *Store) Lower(chain []digest.Digest) []string {
	lower := make([]string, 0, len(chain)+2)
	for i := len(chain) - 1; i >= 0; i-- {
		lower = append(lower, filepath.Join(s.layerDir(chain[i]), treeDir))
	}
	return append(lower, filepath.Join(s.path, emptyDir), filepath.Join(s.path, voidDir))
}

// Has says whether the layer is there.
func (s *Store) Has(id digest.Digest) bool {
	info, err := os.Lstat(s.layerDir(id))
	return err == nil && info.IsDir()
}

// lock keeps prune away while layers are added and named (shared), and
// everybody while it works.
func (s *Store) lock(ctx context.Context, how int) (*os.File, error) {
	return folder.Lock(ctx, filepath.Join(s.path, layersDir), how)
}

// Share keeps every layer where it is until release is called.
func (s *Store) Share(ctx context.Context) (release func(), err error) {
	f, err := s.lock(ctx, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

// Add makes the layer chain[n], if it is missing: apply is given a path at
// which the layers below are seen, and brings about the changes of the layer.
// Of two that add the same layer at once, one's work is dropped.
//
// The caller holds Share, and chain[:n] are there.
func (s *Store) Add(chain []digest.Digest, n int, apply func(root string) error) error {
	if s.Has(chain[n]) {
		return nil
	}
	temp, err := os.MkdirTemp(filepath.Join(s.path, layersDir), tempName+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return err
	}
	defer func() { _ = removeAll(temp) }() // after success it is the layer's no more
	if err := s.fill(temp, s.Lower(chain[:n]), apply); err != nil {
		return err
	}
	err = os.Rename(temp, s.layerDir(chain[n]))
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
		return nil
	}
	if err != nil {
		return err
	}
	return folder.Sync(filepath.Join(s.path, layersDir))
}

func (s *Store) fill(temp string, lower []string, apply func(root string) error) error {
	stack, err := NewUpper(temp, treeDir, lower)
	if err != nil {
		return err
	}
	mount, err := stack.Open()
	if err != nil {
		return err
	}
	defer mount.Close()
	root := "/proc/self/fd/" + strconv.Itoa(int(mount.Fd()))
	if err := apply(root); err != nil {
		return err
	}
	return syncFS(root)
}

// syncFS makes a layer durable before it gets its name: nobody looks into it
// again to see whether it is whole.
func syncFS(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return &os.PathError{Op: "syncfs", Path: path, Err: err}
	}
	return nil
}

// NewUpper makes the folders name and "work" in dir, for an overlay over
// lower. An overlay's root has the attributes of its uppermost folder, so that
// name gets those of the one below.
func NewUpper(dir, name string, lower []string) (Stack, error) {
	dir, err := filepath.Abs(dir) // mountinfo shows it
	if err != nil {
		return Stack{}, err
	}
	s := Stack{Lower: lower, Upper: filepath.Join(dir, name), Work: filepath.Join(dir, "work")}
	for _, path := range []string{s.Upper, s.Work} {
		if err := os.Mkdir(path, 0o755); err != nil {
			return s, err
		}
	}
	return s, copyAttributes(lower[0], s.Upper)
}

// copyAttributes copies owner, mode, extended attributes and times.
func copyAttributes(from, to string) error {
	var st unix.Stat_t
	if err := unix.Lstat(from, &st); err != nil {
		return &os.PathError{Op: "lstat", Path: from, Err: err}
	}
	if err := os.Lchown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	if err := unix.Chmod(to, st.Mode&0o7777); err != nil {
		return &os.PathError{Op: "chmod", Path: to, Err: err}
	}
	if err := copyXattrs(from, to); err != nil {
		return err
	}
	times := []unix.Timespec{st.Atim, st.Mtim}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, to, times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &os.PathError{Op: "utimensat", Path: to, Err: err}
	}
	return nil
}

func copyXattrs(from, to string) error {
	names := make([]byte, 64<<10) // XATTR_LIST_MAX
	n, err := unix.Llistxattr(from, names)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	if err != nil {
		return &os.PathError{Op: "llistxattr", Path: from, Err: err}
	}
	value := make([]byte, 64<<10) // XATTR_SIZE_MAX
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		if name == "" || name == "security.selinux" || isOverlays(name) {
			continue
		}
		size, err := unix.Lgetxattr(from, name, value)
		if err == nil {
			err = unix.Lsetxattr(to, name, value[:size], 0)
		}
		if err != nil && !errors.Is(err, unix.ENOTSUP) {
			return &os.PathError{Op: "copy attribute " + name, Path: to, Err: err}
		}
	}
	return nil
}

// isOverlays tells the attributes by which overlayfs marks its folders.
func isOverlays(name string) bool {
	return strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.")
}

// removeAll also removes what overlayfs leaves without permissions in "work".
func removeAll(path string) error {
	_ = unix.Chmod(filepath.Join(path, "work", "work"), 0o700) // missing, mostly
	return os.RemoveAll(path)
}
