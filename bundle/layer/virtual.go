package layer

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Virtual is what a tree of layers would be, without a file of it made: what
// Tree does on disk, by the same rules, for comparing images.
type Virtual struct {
	root    *node
	options Options
	tree    Tree // counts against the bounds
	layer   int
	hash    hash.Hash
}

// Object is what layers put at a path. Hard links share one. There may be
// millions: it is what two trees are compared by, and no more.
type Object struct {
	Type       byte   // tar.TypeReg, TypeDir, TypeSymlink, TypeChar, TypeBlock, TypeFifo
	Mode       uint32 // permissions, set-id and sticky bits
	UID, GID   uint32
	Major      uint32 // of a device
	Minor      uint32
	Size, Time int64             // bytes; seconds since 1970
	Link       string            // target of a symlink
	Xattrs     map[string]string // nil if there are none
	Sum        [sha256.Size]byte // of a file's content
}

func objectOf(h *tar.Header) *Object {
	o := &Object{
		Type: h.Typeflag, Mode: uint32(h.Mode & 0o7777), UID: uint32(h.Uid), GID: uint32(h.Gid),
		Size: h.Size, Time: h.ModTime.Unix(), Link: strings.Clone(h.Linkname),
	}
	if h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock {
		o.Major, o.Minor = uint32(h.Devmajor), uint32(h.Devminor)
	}
	for record, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(record, xattrPrefix); ok {
			if o.Xattrs == nil {
				o.Xattrs = map[string]string{}
			}
			o.Xattrs[name] = value
		}
	}
	return o
}

// node is a name in a directory.
type node struct {
	object   *Object
	layer    int              // that put it there, or changed it
	children map[string]*node // nil unless it is a directory
}

func (n *node) isDir() bool { return n.children != nil }

// NewVirtual returns an empty tree; of the options only the bounds count.
func NewVirtual(options Options) *Virtual {
	return &Virtual{root: implicitNode(0), options: options, tree: Tree{options: options}, hash: sha256.New()}
}

func implicitNode(layer int) *node {
	return &node{
		object:   &Object{Type: tar.TypeDir, Mode: implicitMode, Time: time.Time{}.Unix()},
		layer:    layer,
		children: map[string]*node{},
	}
}

// ApplyStream applies a layer and reads its stream to the end.
func (v *Virtual) ApplyStream(s *Stream) error {
	bounded := &boundedReader{s, &v.tree}
	if err := v.Apply(bounded); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, bounded)
	return err
}

// Apply applies one layer, an uncompressed tar stream.
func (v *Virtual) Apply(stream io.Reader) error {
	v.layer++
	return v.tree.eachEntry(stream, v.entry)
}

func (v *Virtual) entry(header *tar.Header, content io.Reader) error {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	name, err := cleanName(header.Name)
	if err != nil {
		return err
	}
	if name == "" {
		if header.Typeflag != tar.TypeDir {
			return fmt.Errorf("the root must be a directory, not of type %q", header.Typeflag)
		}
		v.root.object = objectOf(header)
		return checkNumbers(header)
	}
	what, err := classify(name)
	if err != nil || what == ignored {
		return err
	}
	if what != ordinary {
		v.whiteout(name, what)
		return nil
	}
	if err := checkNumbers(header); err != nil {
		return err
	}
	parent, err := v.lookup(parentOf(name), true)
	if err != nil {
		return err
	}
	return v.put(parent, strings.Clone(path.Base(name)), header, content)
}

func (v *Virtual) whiteout(name string, what kind) {
	parent, err := v.lookup(parentOf(name), false)
	if err != nil {
		return // nothing to hide
	}
	if what == opaque {
		v.hideChildren(parent)
		return
	}
	v.hide(parent, strings.TrimPrefix(path.Base(name), whiteoutPrefix))
}

// hide removes what lower layers have; of a directory it leaves what this
// layer put into it.
func (v *Virtual) hide(parent *node, name string) {
	n, ok := parent.children[name]
	if !ok {
		return
	}
	if n.isDir() {
		v.hideChildren(n)
	}
	if n.layer != v.layer && len(n.children) == 0 {
		delete(parent.children, name)
	}
}

func (v *Virtual) hideChildren(n *node) {
	for name := range n.children {
		v.hide(n, name)
	}
}

func (v *Virtual) put(parent *node, name string, header *tar.Header, content io.Reader) error {
	n := &node{object: objectOf(header), layer: v.layer}
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		n.object.Type = tar.TypeReg
		v.hash.Reset()
		if _, err := io.Copy(v.hash, content); err != nil {
			return err
		}
		v.hash.Sum(n.object.Sum[:0])
	case tar.TypeDir:
		n.children = map[string]*node{}
		if old, ok := parent.children[name]; ok && old.isDir() {
			n.children = old.children
		}
	case tar.TypeLink:
		target, err := v.linkTarget(header.Linkname)
		if err != nil {
			return fmt.Errorf("link target %s: %w", quoteName(header.Linkname), err)
		}
		n.object = target.object
	case tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
	default:
		return fmt.Errorf("unknown type %q", header.Typeflag)
	}
	parent.children[name] = n
	return nil
}

func (v *Virtual) linkTarget(unsafeTarget string) (*node, error) {
	target, err := cleanName(unsafeTarget)
	if err != nil || target == "" {
		return nil, errors.Join(err, unix.EPERM)
	}
	parent, err := v.lookup(parentOf(target), false)
	if err != nil {
		return nil, err
	}
	n, ok := parent.children[path.Base(target)]
	if !ok {
		return nil, unix.ENOENT
	}
	if n.isDir() {
		return nil, unix.EPERM
	}
	return n, nil
}

// lookup finds a directory as a process in the root would; see run.walk.
func (v *Virtual) lookup(unsafeDir string, create bool) (*node, error) {
	way := []*node{v.root} // to the current directory, for ".."
	links := 0
	for todo := strings.Split(unsafeDir, "/"); len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			way = way[:max(1, len(way)-1)]
			continue
		}
		at := way[len(way)-1]
		next, ok := at.children[name]
		switch {
		case ok && next.isDir():
		case ok && next.object.Type == tar.TypeSymlink:
			if links++; links > maxLinks || len(todo) > maxPath {
				return nil, unix.ELOOP
			}
			target := next.object.Link
			if strings.HasPrefix(target, "/") {
				way = way[:1]
			}
			todo = slices.Concat(strings.Split(target, "/"), todo)
			continue
		case !create && ok:
			return nil, unix.ENOTDIR
		case !create:
			return nil, unix.ENOENT
		default:
			next = implicitNode(0)
			at.children[strings.Clone(name)] = next
		}
		way = append(way, next)
	}
	return way[len(way)-1], nil
}

// Walk calls visit for every path but the root, parents first, names sorted.
// Objects that are the same pointer are hard links of each other.
func (v *Virtual) Walk(visit func(path string, o *Object)) {
	v.root.walk("", visit)
}

func (n *node) walk(dir string, visit func(path string, o *Object)) {
	names := make([]string, 0, len(n.children))
	for name := range n.children {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		child := n.children[name]
		visit(joinPath(dir, name), child.object)
		child.walk(joinPath(dir, name), visit)
	}
}
