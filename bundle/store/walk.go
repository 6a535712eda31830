package store

import (
	"fmt"

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

// Resolve finds the one image that tag names.
//
// Each entry of index.json with that name is followed through nested indexes
// to whatever is not an index; exactly one must be found, and it must be an
// image manifest.
func (l *Layout) Resolve(tag string) (Walk, error) {
	index, err := l.Index()
	if err != nil {
		return nil, err
	}
	w := walker{layout: l}
	for _, d := range index.Manifests {
		if name, ok := d.Annotations[v1.AnnotationRefName]; !ok || name != tag {
			continue
		}
		if err := w.visit(Walk{d}); err != nil {
			return nil, fmt.Errorf("layout %s: tag %s: %w", l.path, tag, err)
		}
	}
	switch len(w.found) {
	case 0:
		return nil, fmt.Errorf("layout %s: tag not found: %s", l.path, tag)
	case 1:
	default:
		return nil, fmt.Errorf("layout %s: tag is ambiguous: %s (%d images)", l.path, tag, len(w.found))
	}
	if got := w.found[0].Target(); got.MediaType != v1.MediaTypeImageManifest {
		return nil, fmt.Errorf("layout %s: tag %s is of media type %q, want %s", l.path, tag, got.MediaType, v1.MediaTypeImageManifest)
	}
	return w.found[0], nil
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
	if at.Target().MediaType != v1.MediaTypeImageIndex {
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
	if index.MediaType != "" && index.MediaType != v1.MediaTypeImageIndex {
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
