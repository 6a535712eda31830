package snapshot

import (
	"crypto/sha256"
	"maps"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Kind is what happened to a path.
type Kind byte

// The letters are those that people know from git.
const (
	Added    Kind = 'A'
	Modified Kind = 'M'
	Deleted  Kind = 'D'
)

// Delta is a path that is not as it was.
type Delta struct {
	Path     string
	Kind     Kind
	Was, Now *Entry // nil for what is not there
}

// CompareOptions say how thoroughly to look.
type CompareOptions struct {
	Options
	Paranoid bool                   // read every file, whatever its times say
	Masked   func(path string) bool // leave these out, with all below; may be nil
	Sums     *Sums                  // collects hashes of unchanged files for Take; may be nil
}

// Compare finds what has changed in the tree at root since Take wrote base,
// sorted by path. Of a directory that is gone, only itself is told.
func Compare(root, base string, options CompareOptions) ([]Delta, error) {
	manifest, sum, err := readManifest(base + ManifestSuffix)
	if err != nil {
		return nil, err
	}
	c := &comparer{manifest: manifest, options: options, seen: make([]bool, len(manifest.Entries)), inodes: map[uint64]bool{}}
	if !options.Paranoid {
		if c.stamps, err = readStamps(base+RecordSuffix, sum, len(manifest.Entries)); err != nil {
			return nil, err
		}
	}
	rootfd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(rootfd)
	if err := walk(rootfd, options.Options, c); err != nil {
		return nil, err
	}
	return c.finish()
}

func readManifest(path string) (*Manifest, [sha256.Size]byte, error) {
	var sum [sha256.Size]byte
	f, err := os.Open(path)
	if err != nil {
		return nil, sum, err
	}
	defer f.Close()
	h := sha256.New()
	manifest, err := ParseManifest(&teeReader{f, h})
	if err != nil {
		return nil, sum, err
	}
	h.Sum(sum[:0])
	return manifest, sum, nil
}

type teeReader struct {
	file *os.File
	hash interface{ Write([]byte) (int, error) }
}

func (t *teeReader) Read(p []byte) (int, error) {
	n, err := t.file.Read(p)
	_, _ = t.hash.Write(p[:n]) // hash.Hash: never an error
	return n, err
}

// comparer compares what the walk visits with the manifest.
type comparer struct {
	manifest *Manifest
	stamps   *stamps
	options  CompareOptions
	seen     []bool // by index of the manifest
	deltas   []Delta
	linked   []Delta         // unchanged files with several names
	inodes   map[uint64]bool // of changed files with several names
}

func (c *comparer) leave() error { return nil }

func (c *comparer) masked(path string) bool { return c.options.Masked != nil && c.options.Masked(path) }

func (c *comparer) visit(at *cursor, now *Entry) error {
	if c.masked(now.Path) {
		return nil
	}
	i, known := c.manifest.byPath[now.Path]
	if !known {
		c.add(Delta{now.Path, Added, nil, now})
		return at.readXattrs(now)
	}
	c.seen[i] = true
	if now.Type != "dir" && c.stamps.unchanged(i, now.stat) {
		if now.Nlink > 1 {
			c.linked = append(c.linked, Delta{now.Path, Modified, now, now})
		}
		if c.options.Sums == nil || now.Type != "file" {
			return nil
		}
		was, err := c.manifest.Entries[i].entry(now)
		if err == nil {
			c.options.Sums.keep(now, was.Sum)
		}
		return err
	}
	was, err := c.manifest.Entries[i].entry(now)
	if err != nil {
		return err
	}
	if err := at.readXattrs(now); err != nil {
		return err
	}
	changed := differ(was, now)
	if !changed && now.Type == "file" && was.Sum != nil {
		if err := at.sum(now); err != nil {
			return err
		}
		changed = *was.Sum != *now.Sum
		c.options.Sums.keep(now, now.Sum)
	}
	switch delta := (Delta{now.Path, Modified, was, now}); {
	case changed:
		c.add(delta)
	case now.Type != "dir" && now.Nlink > 1:
		c.linked = append(c.linked, delta)
	}
	return nil
}

func (c *comparer) add(d Delta) {
	if d.Now.Type != "dir" && d.Now.Nlink > 1 {
		c.inodes[d.Now.stat.inode] = true
	}
	c.deltas = append(c.deltas, d)
}

// Same says whether two objects are the same in all that a layer keeps.
func Same(a, b *Entry) bool {
	sameSum := a.Sum == nil || b.Sum == nil || *a.Sum == *b.Sum
	return sameSum && a.Size == b.Size && !differ(a, b)
}

// differ compares all but content. Size and link count of a directory are the
// file system's affair; how many names a file has is seen from its names.
func differ(was, now *Entry) bool {
	if was.Type != now.Type || was.UID != now.UID || was.GID != now.GID || was.Mode != now.Mode ||
		was.MTime != now.MTime || was.Link != now.Link {
		return true
	}
	if now.Type == "file" && was.Size != now.Size {
		return true
	}
	return !maps.Equal(imageXattrs(was.Xattrs), imageXattrs(now.Xattrs))
}

// imageXattrs leaves out what belongs to the machine.
func imageXattrs(xattrs map[string]string) map[string]string {
	kept := maps.Clone(xattrs)
	maps.DeleteFunc(kept, func(name, value string) bool {
		return name == "security.selinux" || name == "system.nfs4_acl" || value == ""
	})
	return kept
}

// finish adds what is gone, and the other names of changed files: a layer
// that holds one name of a file must hold all, or they part.
func (c *comparer) finish() ([]Delta, error) {
	c.addLinked()
	if err := c.addGone(); err != nil {
		return nil, err
	}
	slices.SortFunc(c.deltas, func(a, b Delta) int { return strings.Compare(a.Path, b.Path) })
	return c.deltas, nil
}

func (c *comparer) addLinked() {
	for _, d := range c.linked {
		if c.inodes[d.Now.stat.inode] {
			c.deltas = append(c.deltas, d)
		}
	}
}

func (c *comparer) addGone() error {
	gone := map[string]bool{}
	for i, seen := range c.seen {
		listed := &c.manifest.Entries[i]
		if seen || listed.Path == "" || c.masked(listed.Path) {
			continue
		}
		gone[listed.Path] = true
	}
	// Below a directory that became something else nothing needs to go.
	for _, d := range c.deltas {
		if d.Kind == Modified && d.Was.Type == "dir" && d.Now.Type != "dir" {
			gone[d.Path] = true
		}
	}
	for i, seen := range c.seen {
		listed := &c.manifest.Entries[i]
		if seen || !gone[listed.Path] || gone[parentOf(listed.Path)] {
			continue
		}
		was, err := listed.entry(&Entry{})
		if err != nil {
			return err
		}
		c.deltas = append(c.deltas, Delta{listed.Path, Deleted, was, nil})
	}
	return nil
}
