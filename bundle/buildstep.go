package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/hako-runtime/hako/bundle/image"
	"github.com/hako-runtime/hako/bundle/layer"
	"github.com/hako-runtime/hako/bundle/overlay"
	"github.com/hako-runtime/hako/bundle/snapshot"
)

// stepRoot is the root filesystem that one instruction changes.
type stepRoot struct {
	dir   string // with upper and work, and room for more
	stack overlay.Stack
	mount *os.File

	// ignore are paths that exist only because something was mounted there.
	ignore map[string]bool
}

// open opens it for changes by this process.
func (r *stepRoot) open() (*layer.Tree, error) {
	return layer.OpenTree(fdPath(r.mount), layer.Options{KeepDirlinks: true})
}

// pack applies what add stores to the tree.
func (r *stepRoot) pack(tree *layer.Tree, options layer.PackOptions, add func(*layer.Packer) error) error {
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() {
		packer := layer.NewPacker(in, options)
		err := closing(packer, add(packer))
		in.CloseWithError(err) // nil: end of file
		done <- err
	}()
	err := tree.Apply(out)
	if err == nil {
		_, err = io.Copy(io.Discard, out) // what follows the archive's end
	}
	out.CloseWithError(err)
	if packed := <-done; packed != nil && !errors.Is(packed, io.ErrClosedPipe) {
		return packed
	}
	return err
}

// result is what a cached step made.
type result struct {
	Layer *image.Layer // nil: nothing
}

// produce returns the layer that a step makes on top of the stage, nil if it
// changes nothing. A step whose layers below and key were seen before is not
// executed again, as long as its layer is in the layout.
func (s *buildStage) produce(key []string, change func(*stepRoot) error) (*image.Layer, error) {
	chain, err := s.chainOf()
	if err != nil {
		return nil, err
	}
	id := s.stepID(chain, key)
	if !s.b.noCache {
		if known, ok := s.b.recall(id); ok {
			s.b.progress.cached = true
			return known.Layer, nil
		}
	}
	made, err := s.perform(chain, change)
	if err != nil {
		return nil, err
	}
	return made, s.b.layers.Remember(id, result{made})
}

// stepID names a step by all that its result depends on.
func (s *buildStage) stepID(chain []digest.Digest, key []string) string {
	top := "scratch"
	if len(chain) > 0 {
		top = string(chain[len(chain)-1])
	}
	epoch := "now"
	if !s.b.latest.IsZero() {
		epoch = strconv.FormatInt(s.b.latest.Unix(), 10)
	}
	all := append([]string{"1", top, s.b.compress.MediaType(), epoch}, key...)
	return digest.FromString(keyOf(all)).Encoded()
}

// recall finds what a step made, if it is still to be had.
func (b *building) recall(id string) (result, bool) {
	var r result
	data, err := b.layers.Recall(id)
	if err != nil || json.Unmarshal(data, &r) != nil {
		return result{}, false
	}
	return r, r.Layer == nil || b.writer.Has(r.Layer.Descriptor)
}

// perform lets change work on the files of the stage, and stores what came of
// it as a layer.
func (s *buildStage) perform(chain []digest.Digest, change func(*stepRoot) error) (*image.Layer, error) {
	release, err := s.b.layers.Share(s.b.ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := s.unpack(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(s.b.dir, "step-")
	if err != nil {
		return nil, err
	}
	r := &stepRoot{dir: dir, ignore: map[string]bool{}}
	if r.stack, err = overlay.NewUpper(dir, upperName, s.b.layers.Lower(chain)); err != nil {
		return nil, err
	}
	if r.mount, err = r.stack.Open(); err != nil {
		return nil, err
	}
	defer r.mount.Close()
	if err := change(r); err != nil {
		return nil, err
	}
	made, err := s.harvest(r)
	if err != nil {
		return nil, err
	}
	return made, overlay.RemoveAll(dir)
}

// unpack puts the stage's layers into the store.
func (s *buildStage) unpack() error {
	layers, err := s.image.Layers()
	if err != nil {
		return err
	}
	src := &source{layout: s.b.writer.Layout, image: &image.Image{Layers: layers}}
	_, err = addLayers(s.b.ctx, s.b.layers, src, unpackOptions{})
	return err
}

// harvest stores what a step has changed as a layer; nil if it is nothing.
func (s *buildStage) harvest(r *stepRoot) (*image.Layer, error) {
	views, release, err := viewsOf(r.stack)
	if err != nil {
		return nil, err
	}
	defer release()
	deltas, err := snapshot.CompareUpper(views, snapshot.CompareOptions{})
	if err != nil {
		return nil, err
	}
	defer deltas.Close()
	// A mount point that was made changes the time of its directory as well.
	deltas.Drop(func(d snapshot.Delta) bool {
		return d.Kind == snapshot.Added && r.ignore[d.Path] || onlyTouched(d) && r.madeIn(d.Path)
	})
	if unchanged, err := deltas.Empty(); unchanged || err != nil {
		return nil, err
	}
	made, err := image.WriteLayer(s.b.writer, s.b.compress, func(w io.Writer) error {
		return packDeltas(cancelableWriter{s.b.ctx, w}, views.Now, layer.PackOptions{NotAfter: s.b.latest}, deltas)
	})
	return &made, err
}

// madeIn says whether an ignored path is in the directory.
func (r *stepRoot) madeIn(dir string) bool {
	for ignored := range r.ignore {
		if parent := filepath.Dir("/" + ignored)[1:]; parent == dir {
			return true
		}
	}
	return false
}

// onlyTouched says whether nothing but its time has changed.
func onlyTouched(d snapshot.Delta) bool {
	if d.Kind != snapshot.Modified || d.Now.Type != "dir" || d.Was.Type != "dir" {
		return false
	}
	was := *d.Was
	was.MTime, was.Size = d.Now.MTime, d.Now.Size
	return snapshot.Same(&was, d.Now)
}
