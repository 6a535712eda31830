package snapshot

import (
	"maps"
	"os"

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
func Compare(root, base string, options CompareOptions) (deltas *Deltas, err error) {
	c := &comparer{options: options, deltas: newDeltas()}
	defer func() {
		if err != nil {
			c.deltas.Close()
		}
	}()
	manifest, sum, err := openListing(base+ManifestSuffix, c.gone)
	if err != nil {
		return nil, err
	}
	defer manifest.close()
	c.manifest = manifest
	if !options.Paranoid {
		if c.stamps, err = openStamps(base+RecordSuffix, sum.sum, sum.entries); err != nil {
			return nil, err
		}
		defer c.stamps.close()
	}
	rootfd, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(rootfd)
	if err := walk(rootfd, options.Options, c); err != nil {
		return nil, err
	}
	if err := manifest.finish(); err != nil {
		return nil, err
	}
	return c.deltas, nil
}

// comparer compares what the walk visits with the manifest.
type comparer struct {
	manifest listing
	stamps   *stamps
	options  CompareOptions
	deltas   *Deltas
}

func (c *comparer) leave() error { return nil }

func (c *comparer) masked(path string) bool { return c.options.Masked != nil && c.options.Masked(path) }

func (c *comparer) visit(at *cursor, now *Entry) error {
	if c.masked(now.Path) {
		return nil
	}
	listed, i, err := c.manifest.find(now)
	if err != nil {
		return err
	}
	if listed == nil {
		if err := at.readXattrs(now); err != nil {
			return err
		}
		return c.deltas.add(Delta{now.Path, Added, nil, now})
	}
	if now.Type != "dir" {
		if done, err := c.unchanged(listed, i, now); done || err != nil {
			return err
		}
	}
	was, err := listed.entry(now)
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
		return c.deltas.add(delta)
	case now.Type != "dir" && now.Nlink > 1:
		return c.deltas.add(Delta{now.Path, linked, nil, now})
	}
	return nil
}

// unchanged says whether the record tells that nothing has happened to an
// object.
func (c *comparer) unchanged(listed *Listed, i int, now *Entry) (bool, error) {
	same, err := c.stamps.unchanged(i, now.stat)
	if !same || err != nil {
		return false, err
	}
	if now.Nlink > 1 {
		if err := c.deltas.add(Delta{now.Path, linked, nil, now}); err != nil {
			return false, err
		}
	}
	if c.options.Sums == nil || now.Type != "file" {
		return true, nil
	}
	was, err := listed.entry(now)
	if err == nil {
		c.options.Sums.keep(now, was.Sum)
	}
	return true, err
}

// gone notes what is listed and was not found.
func (c *comparer) gone(listed *Listed) error {
	if c.masked(listed.Path) {
		return nil
	}
	was, err := listed.entry(&Entry{})
	if err != nil {
		return err
	}
	return c.deltas.add(Delta{listed.Path, Deleted, was, nil})
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
