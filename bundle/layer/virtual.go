package layer

import (
	"archive/tar"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/bundle/paged"
)

// Virtual is what a tree of layers would be, without a file of it made: what
// Tree does on disk, by the same rules, for comparing images. What does not fit
// into some megabytes is in temporary files, however many paths there are.
// Close it.
type Virtual struct {
	root    *Object
	nodes   *paged.Map // of a directory's number and a name
	objects *paged.Log
	dirs    uint32 // the last directory's number
	layer   uint32
	tree    Tree // counts against the bounds
	hash    hash.Hash
	buffer  []byte

	// The directory that was looked up last. What an entry changes is beneath
	// its parent, which it looks up first, so the way to this one stays.
	recentName string
	recent     position
}

// Memory of each of the two, in bytes.
const (
	nodesMemory   = 12 << 20
	objectsMemory = 4 << 20
)

// Object is what layers put at a path: what two trees are compared by, and no
// more.
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

// node is what a directory has by a name.
type node struct {
	object int64  // where its object is; hard links share one
	layer  uint32 // that put it there, or changed it
	dir    uint32 // a directory's number, by which its names are found; else 0
	typ    byte   // of the object
}

const nodeSize = 8 + 4 + 4 + 1

func (n node) isDir() bool { return n.dir != 0 }

func (n node) encode() []byte {
	var b [nodeSize]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n.object))
	binary.LittleEndian.PutUint32(b[8:], n.layer)
	binary.LittleEndian.PutUint32(b[12:], n.dir)
	b[16] = n.typ
	return b[:]
}

func decodeNode(b *[nodeSize]byte) node {
	return node{
		object: int64(binary.LittleEndian.Uint64(b[:])),
		layer:  binary.LittleEndian.Uint32(b[8:]),
		dir:    binary.LittleEndian.Uint32(b[12:]),
		typ:    b[16],
	}
}

const (
	rootDir        = 1
	implicitObject = 0 // where the object of directories without an entry is
)

// NewVirtual returns an empty tree; of the options only the bounds count.
func NewVirtual(options Options) *Virtual {
	return newVirtual(options, nodesMemory, objectsMemory)
}

func newVirtual(options Options, nodesMemory, objectsMemory int) *Virtual {
	v := &Virtual{
		root:    &Object{Type: tar.TypeDir, Mode: implicitMode, Time: time.Time{}.Unix()},
		nodes:   paged.NewMap(nodeSize, nodesMemory),
		objects: paged.NewLog(objectsMemory),
		dirs:    rootDir,
		tree:    Tree{options: options},
		hash:    sha256.New(),
	}
	v.store(v.root)
	return v
}

// Close gives up what is on disk.
func (v *Virtual) Close() {
	v.nodes.Close()
	v.objects.Close()
}

func (v *Virtual) err() error { return cmp.Or(v.nodes.Err(), v.objects.Err()) }

// key is that of a name in a directory. It is valid until the next.
func (v *Virtual) key(dir uint32, name string) []byte {
	v.buffer = append(binary.BigEndian.AppendUint32(v.buffer[:0], dir), name...)
	return v.buffer
}

func (v *Virtual) child(dir uint32, name string) (node, bool) {
	var b [nodeSize]byte
	if len(name) > unix.NAME_MAX || !v.nodes.Get(v.key(dir, name), b[:]) {
		return node{}, false
	}
	return decodeNode(&b), true
}

// setChild fails as a file system does.
func (v *Virtual) setChild(at position, name string, n node) error {
	if len(name) > unix.NAME_MAX || at.length+1+len(name) > maxPath {
		return unix.ENAMETOOLONG
	}
	v.nodes.Set(v.key(at.dir, name), n.encode())
	return nil
}

// nextChild is what comes after a name, in order; after "" it is the first.
func (v *Virtual) nextChild(dir uint32, after string) (string, node, bool) {
	var b [nodeSize]byte
	var buffer [4 + unix.NAME_MAX]byte
	next, ok := v.nodes.Next(v.key(dir, after), buffer[:], b[:])
	if !ok || binary.BigEndian.Uint32(next) != dir {
		return "", node{}, false
	}
	return string(next[4:]), decodeNode(&b), true
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
	return cmp.Or(v.apply(header, content), v.err())
}

func (v *Virtual) apply(header *tar.Header, content io.Reader) error {
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
		v.root = objectOf(header)
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
	return v.put(parent, path.Base(name), header, content)
}

func (v *Virtual) whiteout(name string, what kind) {
	parent, err := v.lookup(parentOf(name), false)
	if err != nil {
		return // nothing to hide
	}
	if what == opaque {
		v.hideChildren(parent.dir)
		return
	}
	v.hide(parent.dir, strings.TrimPrefix(path.Base(name), whiteoutPrefix))
}

// hide removes what lower layers have; of a directory it leaves what this
// layer put into it.
func (v *Virtual) hide(dir uint32, name string) {
	n, ok := v.child(dir, name)
	if !ok {
		return
	}
	if n.isDir() {
		v.hideChildren(n.dir)
		if _, _, ok := v.nextChild(n.dir, ""); ok {
			return
		}
	}
	if n.layer != v.layer {
		v.nodes.Delete(v.key(dir, name))
	}
}

func (v *Virtual) hideChildren(dir uint32) {
	for name, _, ok := v.nextChild(dir, ""); ok; name, _, ok = v.nextChild(dir, name) {
		v.hide(dir, name)
	}
}

func (v *Virtual) put(parent position, name string, header *tar.Header, content io.Reader) error {
	object := objectOf(header)
	n := node{layer: v.layer}
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		object.Type = tar.TypeReg
		v.hash.Reset()
		if _, err := io.Copy(v.hash, content); err != nil {
			return err
		}
		v.hash.Sum(object.Sum[:0])
	case tar.TypeDir:
		if old, ok := v.child(parent.dir, name); ok && old.isDir() {
			n.dir = old.dir
		} else {
			n.dir = v.newDir()
		}
	case tar.TypeLink:
		old, _ := v.child(parent.dir, name)
		target, err := v.linkTarget(header.Linkname, old)
		if err != nil {
			return fmt.Errorf("link target %s: %w", quoteName(header.Linkname), err)
		}
		n.object, n.typ = target.object, target.typ
	case tar.TypeSymlink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
	default:
		return fmt.Errorf("unknown type %q", header.Typeflag)
	}
	if header.Typeflag != tar.TypeLink {
		n.object, n.typ = v.store(object), object.Type
	}
	return v.setChild(parent, name, n)
}

func (v *Virtual) newDir() uint32 {
	v.dirs++
	return v.dirs
}

// linkTarget finds it, unless it is in what the link replaces.
func (v *Virtual) linkTarget(unsafeTarget string, replaced node) (node, error) {
	target, err := cleanName(unsafeTarget)
	if err != nil || target == "" {
		return node{}, errors.Join(err, unix.EPERM)
	}
	way, err := v.walkTo(parentOf(target), false)
	if err != nil {
		return node{}, err
	}
	n, ok := v.child(way[len(way)-1].dir, path.Base(target))
	if !ok || slices.ContainsFunc(way, func(p position) bool { return p.dir == replaced.dir }) {
		return node{}, unix.ENOENT
	}
	if n.isDir() {
		return node{}, unix.EPERM
	}
	return n, nil
}

// position is a directory.
type position struct {
	dir    uint32
	length int // of its canonical path; -1 for the root
}

// lookup finds a directory.
func (v *Virtual) lookup(unsafeDir string, create bool) (position, error) {
	if unsafeDir == v.recentName && v.recent.dir != 0 {
		return v.recent, nil
	}
	way, err := v.walkTo(unsafeDir, create)
	if err != nil {
		return position{}, err
	}
	v.recentName, v.recent = strings.Clone(unsafeDir), way[len(way)-1]
	return v.recent, nil
}

// walkTo finds the directories from the root to the last of a path, as a
// process in the root would; see run.walk.
func (v *Virtual) walkTo(unsafeDir string, create bool) ([]position, error) {
	way := []position{{rootDir, -1}} // to the current directory, for ".."
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
		next, ok := v.child(at.dir, name)
		switch {
		case ok && next.isDir():
		case ok && next.typ == tar.TypeSymlink:
			if links++; links > maxLinks || len(todo) > maxPath {
				return nil, unix.ELOOP
			}
			target := v.load(next.object).Link
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
			next = node{object: implicitObject, typ: tar.TypeDir, dir: v.newDir()}
			if err := v.setChild(at, name, next); err != nil {
				return nil, err
			}
		}
		way = append(way, position{next.dir, at.length + 1 + len(name)})
	}
	return way, nil
}

// Walk calls visit for every path, the root's is "", parents first, names
// sorted.
func (v *Virtual) Walk(visit func(path string, o *Object) error) error {
	if err := visit("", v.root); err != nil {
		return err
	}
	return cmp.Or(v.walk("", rootDir, visit), v.err())
}

func (v *Virtual) walk(dir string, number uint32, visit func(path string, o *Object) error) error {
	for name, n, ok := v.nextChild(number, ""); ok; name, n, ok = v.nextChild(number, name) {
		path := joinPath(dir, name)
		if err := visit(path, v.load(n.object)); err != nil {
			return err
		}
		if !n.isDir() {
			continue
		}
		if err := v.walk(path, n.dir, visit); err != nil {
			return err
		}
	}
	return nil
}

// store adds an object and says where.
func (v *Virtual) store(o *Object) int64 {
	b := v.buffer[:0]
	for _, n := range []int64{int64(o.Type), int64(o.Mode), int64(o.UID), int64(o.GID), int64(o.Major), int64(o.Minor), o.Size, o.Time} {
		b = binary.AppendVarint(b, n)
	}
	b = appendString(b, o.Link)
	b = binary.AppendUvarint(b, uint64(len(o.Xattrs)))
	for name, value := range o.Xattrs {
		b = appendString(appendString(b, name), value)
	}
	if o.Type == tar.TypeReg {
		b = append(b, o.Sum[:]...)
	}
	v.buffer = b
	at := v.objects.Size()
	v.objects.Append(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
	v.objects.Append(b)
	return at
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// load reads what store wrote, or after an error of the file some of it.
func (v *Virtual) load(at int64) *Object {
	var length [8]byte
	v.objects.Read(length[:], at)
	v.buffer = slices.Grow(v.buffer[:0], int(binary.BigEndian.Uint64(length[:])))
	b := v.buffer[:binary.BigEndian.Uint64(length[:])]
	v.objects.Read(b, at+int64(len(length)))
	d := decoder{b}
	o := &Object{Type: byte(d.number())}
	o.Mode, o.UID, o.GID = uint32(d.number()), uint32(d.number()), uint32(d.number())
	o.Major, o.Minor = uint32(d.number()), uint32(d.number())
	o.Size, o.Time, o.Link = d.number(), d.number(), d.string()
	for n := d.count(); n > 0 && len(d.b) > 0; n-- {
		if o.Xattrs == nil {
			o.Xattrs = map[string]string{}
		}
		name := d.string()
		o.Xattrs[name] = d.string()
	}
	copy(o.Sum[:], d.b)
	return o
}

// decoder takes from the front of what is left.
type decoder struct{ b []byte }

func (d *decoder) number() int64 {
	n, size := binary.Varint(d.b)
	d.b = d.b[max(size, 0):]
	return n
}

func (d *decoder) count() uint64 {
	n, size := binary.Uvarint(d.b)
	d.b = d.b[max(size, 0):]
	return n
}

func (d *decoder) string() string {
	n := min(d.count(), uint64(len(d.b)))
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}
