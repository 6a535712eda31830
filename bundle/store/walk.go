package store

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Bounds of the walk through nested indexes. Digests rule out cycles, but not
// an index that lists another a thousand times, ten levels deep.
const (
	maxIndexDepth  = 32
	maxDescriptors = 10000
)

// Walk is the way from an entry of index.json (first) to what it stands for
// (last), through the indexes between.
type Walk []v1.Descriptor

// Target is the descriptor that the walk ends at.
func (w Walk) Target() v1.Descriptor { return w[len(w)-1] }

// Resolve finds the one image that tag names, for this machine's platform if
// there are several. See [Layout.ResolvePlatform].
func (l *Layout) Resolve(tag string) (Walk, error) {
	return l.ResolvePlatform(tag, "")
}

// ResolvePlatform finds the one image that tag names. A digest is a tag that
// every manifest has.
//
// Each entry of index.json with that name is followed through nested indexes
// to whatever is not an index; exactly one must be found, and it must be an
// image manifest. Of several that say which platform they are for, the one
// for platform, OS/ARCH[/VARIANT], is taken; "" is this machine's. A platform
// that is asked for must be that of the manifest, if it says one.
func (l *Layout) ResolvePlatform(tag, platform string) (Walk, error) {
	walk, err := l.resolve(tag, platform)
	if err != nil {
		return nil, fmt.Errorf("layout %s: %w", l.path, err)
	}
	return walk, nil
}

func (l *Layout) resolve(tag, platform string) (Walk, error) {
	index, err := l.Index()
	if err != nil {
		return nil, err
	}
	w := walker{layout: l}
	for _, d := range l.entries(&index, tag) {
		if err := w.visit(Walk{d}); err != nil {
			return nil, fmt.Errorf("tag %s: %w", tag, err)
		}
	}
	if len(w.found) == 0 {
		return nil, l.unknownTag(&index, tag)
	}
	walk, err := choose(w.found, platform)
	if errors.Is(err, errAmbiguous) {
		return nil, fmt.Errorf("tag is %w: %s (%d images)", err, tag, len(w.found))
	}
	if err != nil {
		return nil, fmt.Errorf("tag %s: %w", tag, err)
	}
	if got := walk.Target(); !IsManifest(got.MediaType) {
		return nil, fmt.Errorf("tag %s is of media type %q, want %s", tag, got.MediaType, v1.MediaTypeImageManifest)
	}
	return walk, nil
}

// Tagged is the one entry of index.json, an image or an index of several, that
// tag names. A digest is a tag that every manifest has.
func (l *Layout) Tagged(tag string) (v1.Descriptor, error) {
	index, err := l.Index()
	if err != nil {
		return v1.Descriptor{}, err
	}
	switch found := l.entries(&index, tag); len(found) {
	case 0:
		return v1.Descriptor{}, fmt.Errorf("layout %s: %w", l.path, l.unknownTag(&index, tag))
	case 1:
		return found[0], nil
	default:
		return v1.Descriptor{}, fmt.Errorf("layout %s: tag is %w: %s (%d entries)", l.path, errAmbiguous, tag, len(found))
	}
}

// entries are those that tag names; or the one manifest whose digest it is.
func (l *Layout) entries(index *v1.Index, tag string) []v1.Descriptor {
	var named []v1.Descriptor
	for _, d := range index.Manifests {
		if isTagged(d, tag) {
			named = append(named, d)
		}
	}
	id := digest.Digest(tag)
	if len(named) > 0 || id.Validate() != nil {
		return named
	}
	if i := slices.IndexFunc(index.Manifests, func(d v1.Descriptor) bool { return d.Digest == id }); i >= 0 {
		return index.Manifests[i : i+1]
	}
	if d, ok := l.describe(id); ok {
		return []v1.Descriptor{d}
	}
	return nil
}

// describe makes a descriptor for a manifest or index that no entry refers to.
func (l *Layout) describe(id digest.Digest) (v1.Descriptor, bool) {
	path, err := l.blobPath(id)
	if err != nil {
		return v1.Descriptor{}, false
	}
	info, err := os.Stat(path)
	if err != nil {
		return v1.Descriptor{}, false
	}
	d := v1.Descriptor{Digest: id, Size: info.Size()}
	var content struct {
		MediaType string          `json:"mediaType"`
		Manifests []v1.Descriptor `json:"manifests"`
		Config    *v1.Descriptor  `json:"config"`
	}
	if l.ReadJSON(d, &content) != nil {
		return v1.Descriptor{}, false
	}
	switch d.MediaType = content.MediaType; {
	case d.MediaType != "":
	case content.Manifests != nil:
		d.MediaType = v1.MediaTypeImageIndex
	case content.Config != nil:
		d.MediaType = v1.MediaTypeImageManifest
	}
	return d, isIndex(d.MediaType) || IsManifest(d.MediaType)
}

// choose takes the walk for a platform, or the only one.
func choose(found []Walk, platform string) (Walk, error) {
	if len(found) == 1 && (platform == "" || found[0].Target().Platform == nil) {
		return found[0], nil
	}
	wanted := platform
	if wanted == "" {
		wanted = runtime.GOOS + "/" + runtime.GOARCH
	}
	var fitting []Walk
	var offered []string
	for _, walk := range found {
		p := walk.Target().Platform
		if p == nil {
			continue
		}
		offered = append(offered, PlatformName(p))
		if Fits(p, wanted) {
			fitting = append(fitting, walk)
		}
	}
	switch {
	case len(offered) < len(found):
		return nil, errAmbiguous
	case len(fitting) == 1:
		return fitting[0], nil
	case len(fitting) > 1:
		return nil, errAmbiguous
	}
	return nil, fmt.Errorf("no image for platform %s: there is %s", wanted, strings.Join(offered, ", "))
}

var errAmbiguous = errors.New("ambiguous")

// PlatformName is OS/ARCH[/VARIANT].
func PlatformName(p *v1.Platform) string {
	name := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		name += "/" + p.Variant
	}
	return name
}

// Fits compares by OS and architecture, and by variant if one is asked for.
func Fits(p *v1.Platform, wanted string) bool {
	return PlatformName(p) == wanted || p.OS+"/"+p.Architecture == wanted
}

type walker struct {
	layout *Layout
	seen   int
	found  []Walk
}

func (w *walker) visit(at Walk) error {
	if w.seen++; w.seen > maxDescriptors {
		return fmt.Errorf("more than %d descriptors in nested indexes", maxDescriptors)
	}
	if !isIndex(at.Target().MediaType) {
		w.found = append(w.found, at)
		return nil
	}
	if len(at) > maxIndexDepth {
		return fmt.Errorf("indexes nested more than %d deep", maxIndexDepth)
	}
	var index v1.Index
	if err := w.layout.ReadJSON(at.Target(), &index); err != nil {
		return err
	}
	// A blob MUST NOT be read as another type than it says it is
	// (image-index.md; the confusion of CVE-2021-41190).
	if index.MediaType != "" && index.MediaType != at.Target().MediaType {
		return fmt.Errorf("blob %s: mediaType %q in an index", at.Target().Digest, index.MediaType)
	}
	for _, d := range index.Manifests {
		// A full slice expression: siblings must not share the tail.
		if err := w.visit(append(at[:len(at):len(at)], d)); err != nil {
			return err
		}
	}
	return nil
}
