// Package layer turns layers (tar streams) into a directory tree, by the
// rules of image-spec layer.md.
//
// The bytes of a layer are hostile. Whatever its entries are called and
// wherever its links point, nothing outside the tree is read or changed:
// every parent directory is resolved beneath a descriptor of the root, and
// every object is made by name in its parent, never through what is already
// there. An object is replaced, not written to, so a hard link of a lower
// layer keeps its content.
//
// The tree must not be changed by anybody else meanwhile: that cannot lead
// outside either, but the result is then undefined.
//
// The package knows tar and files. It knows nothing of manifests, descriptors
// and where blobs are kept.
package layer

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/idmap"
)

// Options bound, change and observe the extraction. The zero value has no
// bounds and extracts as root does.
type Options struct {
	MaxEntries int64        // of all layers together; 0 is no bound
	MaxBytes   int64        // of content in all layers together; 0 is no bound
	Warn       func(string) // told once about each kind of loss; may be nil

	UIDs, GIDs   []idmap.Map // the layer's ids to the host's; empty: as they are
	Rootless     bool        // owners become user.rootlesscontainers, devices empty files
	KeepDirlinks bool        // a directory's entry leaves a symlink to a directory
	SkipDevices  bool        // leave out device nodes

	// Hashed is told the SHA-256 of each file that is written, by inode. A
	// later file with the same inode number replaces an earlier one.
	Hashed func(inode uint64, sum [sha256.Size]byte)
}

// Tree is a root filesystem under construction.
type Tree struct {
	root     beneath
	options  Options
	entries  int64
	bytes    int64 // of content, holes included
	streamed int64 // out of decompressors
	warned   map[string]bool

	inherits bool              // new objects may get attributes from their directory
	modes    map[string]uint32 // of directories, set when all layers are done; only rootless
}

// OpenTree opens the directory at path as the root that layers are applied
// to. Close it after the last.
func OpenTree(path string, options Options) (*Tree, error) {
	root, err := openBeneath(path)
	if err != nil {
		return nil, err
	}
	t := &Tree{root: root, options: options, warned: map[string]bool{}, modes: map[string]uint32{}}
	names, err := listXattrs(root.fd)
	if err != nil {
		return nil, errors.Join(err, root.close())
	}
	t.inherits = slices.Contains(names, defaultACL)
	return t, nil
}

// Finish gives directories the modes that would have been in the way while
// layers were applied.
func (t *Tree) Finish() error {
	// Backwards: a directory comes after those in it, which stay reachable.
	for _, canonical := range slices.Backward(slices.Sorted(maps.Keys(t.modes))) {
		fd, err := t.root.openDir(canonical, unix.O_PATH)
		if isGone(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", quoteName(canonical), sysError("openat2", err))
		}
		err = unix.Chmod(procPath(fd), t.modes[canonical])
		unix.Close(fd)
		if err != nil {
			return fmt.Errorf("%s: %w", quoteName(canonical), sysError("chmod", err))
		}
	}
	clear(t.modes)
	return nil
}

// Close closes the root's descriptor.
func (t *Tree) Close() error { return t.root.close() }

// ReadFile reads a file of the tree as a process inside would find it.
//
// The error matches [os.ErrNotExist] if it is absent; anything other than a
// regular file of at most maxBytes is an error too, and is not opened.
func (t *Tree) ReadFile(unsafePath string, maxBytes int64) ([]byte, error) {
	data, err := t.root.readFile(unsafePath, maxBytes)
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: unsafePath, Err: err}
	}
	return data, nil
}

// Apply extracts one layer, an uncompressed tar stream, over what is there.
// It stops at the end of the archive, which may be before the stream's.
//
// After an error the tree is half changed and of no use.
func (t *Tree) Apply(stream io.Reader) error {
	r := newRun(t)
	defer r.close()
	if err := t.eachEntry(stream, r.apply); err != nil {
		return err
	}
	return r.restoreTimes()
}

// eachEntry counts the entries of a tar stream against the bounds and calls
// apply for each.
func (t *Tree) eachEntry(stream io.Reader, apply func(header *tar.Header, content io.Reader) error) error {
	archive := tar.NewReader(stream)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			return nil
		}
		// Absolute names and ".." are dealt with later, whatever
		// GODEBUG=tarinsecurepath says.
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return fmt.Errorf("tar: %w", err)
		}
		if err := t.count(header); err != nil {
			return err
		}
		name := header.Name
		if err := apply(header, archive); err != nil {
			return fmt.Errorf("entry %s: %w", quoteName(name), err)
		}
	}
}

// InitRoot makes the root what it is in an image without an entry for it:
// 0755, and the container's root's.
func (t *Tree) InitRoot() error {
	if err := t.setOwner(t.root.fd, 0, 0); err != nil {
		return err
	}
	return setMode(t.root.fd, implicitMode)
}

// SetTimes sets access and modification time of the root directory.
func (t *Tree) SetTimes(at time.Time) error {
	return setTimes(t.root.fd, "", timespecs(at, at))
}

func (t *Tree) count(header *tar.Header) error {
	t.entries++
	t.bytes += header.Size
	if limit := t.options.MaxEntries; limit > 0 && t.entries > limit {
		return fmt.Errorf("more than %d entries", limit)
	}
	// A sum that wrapped is negative: each size is at most 2^63-1.
	if limit := t.options.MaxBytes; limit > 0 && (t.bytes > limit || t.bytes < 0) {
		return fmt.Errorf("entry %s: more than %d bytes of content", quoteName(header.Name), limit)
	}
	return nil
}

// warn reports a loss once per kind.
func (t *Tree) warn(kind, message string) {
	if t.options.Warn == nil || t.warned[kind] {
		return
	}
	t.warned[kind] = true
	t.options.Warn(message)
}

// quoteName makes a name of the archive fit for one line of an error.
func quoteName(name string) string {
	const most = 256
	if len(name) > most {
		return strconv.Quote(name[:most]) + "…"
	}
	return strconv.Quote(name)
}

// sysError names the system call that refused.
func sysError(call string, err error) error {
	return os.NewSyscallError(call, err) // nil for nil
}
