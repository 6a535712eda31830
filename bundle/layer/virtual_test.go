package layer

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// model is Virtual as simple as it can be: all in memory, a map for each
// directory.
type model struct {
	root    *modelNode
	options Options
	tree    Tree
	layer   int
	hash    hash.Hash
}

// modelNode is a name in a directory.
type modelNode struct {
	object   *Object
	layer    int                   // that put it there, or changed it
	children map[string]*modelNode // nil unless it is a directory
}

func (n *modelNode) isDir() bool { return n.children != nil }

func (n *modelNode) holds(other *modelNode) bool {
	for _, child := range n.children {
		if child == other || child.holds(other) {
			return true
		}
	}
	return false
}

// newModel returns an empty tree; of the options only the bounds count.
func newModel(options Options) *model {
	return &model{root: implicitModelNode(0), options: options, tree: Tree{options: options}, hash: sha256.New()}
}

func implicitModelNode(layer int) *modelNode {
	return &modelNode{
		object:   &Object{Type: tar.TypeDir, Mode: implicitMode, Time: time.Time{}.Unix()},
		layer:    layer,
		children: map[string]*modelNode{},
	}
}

// Apply applies one layer, an uncompressed tar stream.
func (v *model) Apply(stream io.Reader) error {
	v.layer++
	return v.tree.eachEntry(stream, v.entry)
}

func (v *model) entry(header *tar.Header, content io.Reader) error {
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

func (v *model) whiteout(name string, what kind) {
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
func (v *model) hide(parent *modelNode, name string) {
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

func (v *model) hideChildren(n *modelNode) {
	for name := range n.children {
		v.hide(n, name)
	}
}

func (v *model) put(parent *modelNode, name string, header *tar.Header, content io.Reader) error {
	n := &modelNode{object: objectOf(header), layer: v.layer}
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		n.object.Type = tar.TypeReg
		v.hash.Reset()
		if _, err := io.Copy(v.hash, content); err != nil {
			return err
		}
		v.hash.Sum(n.object.Sum[:0])
	case tar.TypeDir:
		n.children = map[string]*modelNode{}
		if old, ok := parent.children[name]; ok && old.isDir() {
			n.children = old.children
		}
	case tar.TypeLink:
		target, err := v.linkTarget(header.Linkname)
		if old, ok := parent.children[name]; ok && err == nil && old.isDir() && old.holds(target) {
			err = unix.ENOENT
		}
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

func (v *model) linkTarget(unsafeTarget string) (*modelNode, error) {
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
func (v *model) lookup(unsafeDir string, create bool) (*modelNode, error) {
	way := []*modelNode{v.root} // to the current directory, for ".."
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
			next = implicitModelNode(0)
			at.children[strings.Clone(name)] = next
		}
		way = append(way, next)
	}
	return way[len(way)-1], nil
}

// Walk calls visit for every path but the root, parents first, names sorted.
func (v *model) Walk(visit func(path string, o *Object)) {
	v.root.walk("", visit)
}

func (n *modelNode) walk(dir string, visit func(path string, o *Object)) {
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

// Whatever is put where, on disk it is what it is in memory.
func TestVirtualIsTheModel(t *testing.T) {
	random := rand.New(rand.NewPCG(11, 12))
	for _, size := range []int{10, 100, 5000} {
		for range 20_000 / size {
			v, m := newVirtual(Options{}, 0, 0), newModel(Options{})
			for range 3 {
				data := archive(t, randomEntries(random, size)...)
				if err := errors.Join(v.Apply(bytes.NewReader(data)), m.Apply(bytes.NewReader(data))); err != nil {
					t.Fatal(err)
				}
				sameWalk(t, v, m)
			}
			v.Close()
		}
	}
}

// randomEntries are some that can be applied to any tree: symlinks have names
// that no target has, so they make no loop. The more entries there are, the
// more names.
func randomEntries(random *rand.Rand, count int) []entry {
	target := func() string {
		parts := make([]string, 1+random.IntN(4))
		for i := range parts {
			parts[i] = fmt.Sprint(random.IntN(3 + count/100))
		}
		return strings.Join(parts, "/")
	}
	name := func() string { return strings.Repeat("link/", random.IntN(6)/5) + target() }
	entries := []entry{file("target", "x")}
	for range count {
		var e entry
		switch random.IntN(12) {
		case 0:
			e = whiteout(path.Join(path.Dir(name()), whiteoutPrefix+path.Base(name())))
		case 1:
			e = whiteout(path.Join(path.Dir(name()), opaqueName))
		case 2:
			e = hardLink(name(), "target")
		case 3:
			up, long := strings.Repeat("../", random.IntN(4)), strings.Repeat("/.", random.IntN(2)*random.IntN(1500))
			e = symlink(path.Join(path.Dir(name()), "link"), up+target()+long)
		case 4, 5, 6:
			e = folder(name())
			e.uid, e.gid = random.IntN(1<<31), random.IntN(1<<31)
		default:
			e = file(name(), fmt.Sprint(random.IntN(1000)))
			e.mode = random.Int64N(0o10000)
			if random.IntN(8) == 0 {
				e.pax = map[string]string{xattrPrefix + "user.a": fmt.Sprint(random.IntN(10)), xattrPrefix + "user.b": strings.Repeat("b", random.IntN(9000))}
			}
		}
		entries = append(entries, e)
	}
	return entries
}

func sameWalk(t *testing.T, v *Virtual, m *model) {
	t.Helper()
	type visited struct {
		path string
		Object
	}
	want := []visited{{"", *m.root.object}}
	m.Walk(func(path string, o *Object) { want = append(want, visited{path, *o}) })
	var got []visited
	err := v.Walk(func(path string, o *Object) error {
		got = append(got, visited{path, *o})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Errorf("%d paths, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Fatalf("got %+v\nwant %+v", got[i], want[i])
		}
	}
}
