package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// Annotations of an entry of index.json that remember what its tag named
// before, newest first, as a JSON list of descriptors. They keep nothing
// alive: gc removes what no entry itself refers to.
const (
	annotationPrevious = "io.github.hako-runtime.bundle.previous"
	annotationUndone   = "io.github.hako-runtime.bundle.undone"
)

// maxPrevious bounds how many targets a tag remembers.
const maxPrevious = 100

// ErrNoEarlier says that a tag has no further commit in that direction.
var ErrNoEarlier = errors.New("no such commit is remembered")

// SetTag makes tag name d and nothing else. If the tag already remembers
// earlier targets, the one it has now is added to them.
func (w *Writer) SetTag(tag string, d v1.Descriptor) error { return w.moveTag(tag, d, false) }

// CommitTag is SetTag that always remembers the target it replaces, for
// [Writer.Rollback].
func (w *Writer) CommitTag(tag string, d v1.Descriptor) error { return w.moveTag(tag, d, true) }

func (w *Writer) moveTag(tag string, d v1.Descriptor, remember bool) error {
	if err := CheckTag(tag); err != nil {
		return err
	}
	return w.UpdateIndex(func(index *v1.Index) error {
		var previous []v1.Descriptor
		if old := findTag(index, tag); old != nil {
			previous = targets(*old, annotationPrevious)
			if (remember || len(previous) > 0) && old.Digest != d.Digest {
				previous = append([]v1.Descriptor{bare(*old)}, previous...)
			}
		}
		replaceTag(index, tag, d, previous, nil)
		return nil
	})
}

// CopyTag makes to another name for what from names now.
func (w *Writer) CopyTag(from, to string) error {
	if err := CheckTag(to); err != nil {
		return err
	}
	walk, err := w.Resolve(from)
	if err != nil {
		return err
	}
	return w.SetTag(to, walk[0])
}

// RemoveTag drops every entry with that name; it is no error if there is none.
func (w *Writer) RemoveTag(tag string) error {
	return w.UpdateIndex(func(index *v1.Index) error {
		index.Manifests = slices.DeleteFunc(index.Manifests, func(d v1.Descriptor) bool { return isTagged(d, tag) })
		return nil
	})
}

// Rollback moves tag back by n remembered targets, or forward again by -n
// that were rolled back, and returns the new target.
//
// The error matches [ErrNoEarlier] if fewer are remembered. The target must
// still be there: a gc may have removed it.
func (w *Writer) Rollback(tag string, n int) (v1.Descriptor, error) {
	var target v1.Descriptor
	err := w.UpdateIndex(func(index *v1.Index) error {
		now := findTag(index, tag)
		if now == nil {
			return w.unknownTag(index, tag)
		}
		from, to := targets(*now, annotationPrevious), targets(*now, annotationUndone)
		steps := n
		if n < 0 {
			from, to, steps = to, from, -n
		}
		if steps == 0 || steps > len(from) {
			return fmt.Errorf("tag %s: %w: %d in this direction", tag, ErrNoEarlier, len(from))
		}
		target = from[steps-1]
		if !w.Has(target) {
			return fmt.Errorf("tag %s: commit %s was removed by gc", tag, target.Digest)
		}
		passed := append([]v1.Descriptor{bare(*now)}, from[:steps-1]...)
		slices.Reverse(passed)
		from, to = from[steps:], append(passed, to...)
		if n < 0 {
			from, to = to, from
		}
		replaceTag(index, tag, target, from, to)
		return nil
	})
	return target, err
}

// Previous lists what tag named before, newest first.
func (l *Layout) Previous(tag string) ([]v1.Descriptor, error) {
	index, err := l.Index()
	if err != nil {
		return nil, err
	}
	d := findTag(&index, tag)
	if d == nil {
		return nil, nil
	}
	return targets(*d, annotationPrevious), nil
}

func isTagged(d v1.Descriptor, tag string) bool {
	name, ok := d.Annotations[v1.AnnotationRefName]
	return ok && name == tag
}

func findTag(index *v1.Index, tag string) *v1.Descriptor {
	i := slices.IndexFunc(index.Manifests, func(d v1.Descriptor) bool { return isTagged(d, tag) })
	if i < 0 {
		return nil
	}
	return &index.Manifests[i]
}

func replaceTag(index *v1.Index, tag string, d v1.Descriptor, previous, undone []v1.Descriptor) {
	d.Annotations = maps.Clone(d.Annotations)
	if d.Annotations == nil {
		d.Annotations = map[string]string{}
	}
	d.Annotations[v1.AnnotationRefName] = tag
	setTargets(d.Annotations, annotationPrevious, previous)
	setTargets(d.Annotations, annotationUndone, undone)
	index.Manifests = slices.DeleteFunc(index.Manifests, func(d v1.Descriptor) bool { return isTagged(d, tag) })
	index.Manifests = append(index.Manifests, d)
}

// bare is what identifies a target, without what the tag says about it.
func bare(d v1.Descriptor) v1.Descriptor {
	d.Annotations = maps.Clone(d.Annotations)
	for _, key := range []string{v1.AnnotationRefName, annotationPrevious, annotationUndone} {
		delete(d.Annotations, key)
	}
	return d
}

// targets reads a list; one that somebody else spoilt is as good as none.
func targets(d v1.Descriptor, key string) []v1.Descriptor {
	var list []v1.Descriptor
	if json.Unmarshal([]byte(d.Annotations[key]), &list) != nil {
		return nil
	}
	return list
}

func setTargets(annotations map[string]string, key string, list []v1.Descriptor) {
	delete(annotations, key)
	if len(list) == 0 {
		return
	}
	data, err := json.Marshal(list[:min(len(list), maxPrevious)])
	if err == nil { // descriptors always encode
		annotations[key] = string(data)
	}
}
