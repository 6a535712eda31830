package image

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hako-runtime/hako/bundle/store"
)

// Edit is a new image in the making, begun as a copy of another. The other is
// never changed: Commit writes a new configuration and a new manifest.
type Edit struct {
	Manifest v1.Manifest
	Config   v1.Image

	walk  store.Walk // of the image it began as; empty for a new one
	extra extraFields
}

// New begins an image without layers.
func New(platform v1.Platform, created time.Time) *Edit {
	return &Edit{
		Manifest: v1.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2},
			MediaType: v1.MediaTypeImageManifest,
			Layers:    []v1.Descriptor{},
		},
		Config: v1.Image{
			Created:  &created,
			Platform: platform,
			RootFS:   v1.RootFS{Type: "layers", DiffIDs: []digest.Digest{}},
		},
	}
}

// Begin starts from the image that walk leads to, with Docker's media types
// replaced by those of the image-spec.
func Begin(layout *store.Layout, walk store.Walk) (*Edit, error) {
	img, err := Read(layout, walk.Target())
	if err != nil {
		return nil, err
	}
	raw, err := layout.RawJSON(img.Manifest.Config)
	if err != nil {
		return nil, err
	}
	e := &Edit{Manifest: img.Manifest, Config: img.Config, walk: walk}
	if e.extra, err = findExtra(raw); err != nil {
		return nil, fmt.Errorf("config %s: %w", img.Manifest.Config.Digest, err)
	}
	e.Manifest.MediaType = v1.MediaTypeImageManifest
	e.Manifest.Layers = slices.Clone(e.Manifest.Layers)
	for i := range e.Manifest.Layers {
		e.Manifest.Layers[i].MediaType = store.OCIMediaType(e.Manifest.Layers[i].MediaType)
	}
	e.Manifest.Annotations = maps.Clone(e.Manifest.Annotations)
	return e, nil
}

// AddLayer puts a layer on top, with its entry of the history unless history
// is nil.
func (e *Edit) AddLayer(l Layer, history *v1.History) {
	e.Manifest.Layers = append(e.Manifest.Layers, l.Descriptor)
	e.Config.RootFS.DiffIDs = append(e.Config.RootFS.DiffIDs, l.DiffID)
	e.addHistory(history, false)
}

// AddHistory notes a change that made no layer; nil notes nothing.
func (e *Edit) AddHistory(history *v1.History) { e.addHistory(history, true) }

func (e *Edit) addHistory(history *v1.History, emptyLayer bool) {
	if history == nil {
		return
	}
	entry := *history
	entry.EmptyLayer = emptyLayer
	e.Config.History = append(e.Config.History, entry)
}

// Commit writes configuration and manifest, and every index on the way to the
// manifest anew, and returns the new way. Its first descriptor is for
// [store.Writer.SetTag].
func (e *Edit) Commit(w *store.Writer) (store.Walk, error) {
	config, err := e.extra.merge(e.Config)
	if err != nil {
		return nil, err
	}
	d, err := w.PutJSON(v1.MediaTypeImageConfig, config)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	// Other fields of the descriptor (annotations, say) stay.
	e.Manifest.Config.MediaType = d.MediaType
	e.Manifest.Config.Digest, e.Manifest.Config.Size = d.Digest, d.Size
	e.Manifest.Config.Data = nil
	manifest, err := w.PutJSON(v1.MediaTypeImageManifest, e.Manifest)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if len(e.walk) == 0 {
		return store.Walk{manifest}, nil
	}
	return e.rewriteIndexes(w, manifest)
}

// rewriteIndexes replaces, from the inside out, what the old walk went
// through.
func (e *Edit) rewriteIndexes(w *store.Writer, manifest v1.Descriptor) (store.Walk, error) {
	walk := slices.Clone(e.walk)
	last := len(walk) - 1
	walk[last] = e.redescribe(walk[last], manifest)
	for i := last - 1; i >= 0; i-- {
		var index v1.Index
		if err := w.ReadJSON(walk[i], &index); err != nil {
			return nil, fmt.Errorf("index: %w", err)
		}
		for j, d := range index.Manifests {
			if d.Digest == e.walk[i+1].Digest {
				index.Manifests[j] = walk[i+1]
			}
		}
		index.MediaType = v1.MediaTypeImageIndex
		d, err := w.PutJSON(index.MediaType, index)
		if err != nil {
			return nil, fmt.Errorf("index: %w", err)
		}
		walk[i] = e.redescribe(walk[i], d)
	}
	return walk, nil
}

// redescribe keeps what a descriptor says beside its content. A platform, if
// it has one, is that of the configuration.
func (e *Edit) redescribe(old, now v1.Descriptor) v1.Descriptor {
	old.MediaType, old.Digest, old.Size, old.Data = now.MediaType, now.Digest, now.Size, nil
	if old.Platform != nil && store.IsManifest(old.MediaType) {
		platform := e.Config.Platform
		old.Platform = &platform
	}
	return old
}

// Clone begins another image from the present state of this one.
func (e *Edit) Clone() *Edit {
	c := *e
	c.Manifest.Layers = slices.Clone(e.Manifest.Layers)
	c.Manifest.Annotations = maps.Clone(e.Manifest.Annotations)
	c.Config.RootFS.DiffIDs = slices.Clone(e.Config.RootFS.DiffIDs)
	c.Config.History = slices.Clone(e.Config.History)
	config := &c.Config.Config
	config.Env, config.Cmd, config.Entrypoint = slices.Clone(config.Env), slices.Clone(config.Cmd), slices.Clone(config.Entrypoint)
	config.Labels, config.ExposedPorts, config.Volumes = maps.Clone(config.Labels), maps.Clone(config.ExposedPorts), maps.Clone(config.Volumes)
	c.extra = extraFields{maps.Clone(e.extra.image), maps.Clone(e.extra.config)}
	return &c
}

// Alone makes Commit write the image for itself, rather than in the place of
// the one that it began as, in the indexes that led there.
func (e *Edit) Alone() { e.walk = nil }

// Extra reads a field of the configuration's "config" that image-spec does
// not know, such as Docker's Shell; false if there is none.
func (e *Edit) Extra(name string, v any) (bool, error) {
	raw, ok := e.extra.config[name]
	if !ok || string(raw) == "null" {
		return false, nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return false, fmt.Errorf("config.%s: %w", name, err)
	}
	return true, nil
}

// SetExtra sets such a field.
func (e *Edit) SetExtra(name string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("config.%s: %w", name, err)
	}
	if e.extra.config == nil {
		e.extra.config = map[string]json.RawMessage{}
	}
	e.extra.config[name] = raw
	return nil
}

// Layers pairs the layers with their diff_ids, lowest first.
func (e *Edit) Layers() ([]Layer, error) {
	img := Image{Manifest: e.Manifest, Config: e.Config}
	err := img.pairLayers()
	return img.Layers, err
}

// extraFields are fields of a configuration that image-spec does not know:
// Docker's Healthcheck, Shell and OnBuild. An edit keeps them.
type extraFields struct {
	image, config map[string]json.RawMessage
}

func findExtra(raw json.RawMessage) (extra extraFields, err error) {
	if err := json.Unmarshal(raw, &extra.image); err != nil {
		return extra, err
	}
	if config, ok := extra.image["config"]; ok {
		if err := json.Unmarshal(config, &extra.config); err != nil {
			return extra, err
		}
	}
	for _, known := range []string{
		"created", "author", "architecture", "variant", "os", "os.version", "os.features",
		"config", "rootfs", "history",
	} {
		delete(extra.image, known)
	}
	for _, known := range []string{
		"User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels",
		"StopSignal", "ArgsEscaped",
	} {
		delete(extra.config, known)
	}
	return extra, nil
}

// merge encodes the configuration with the extra fields, sorted, behind those
// of the image-spec.
func (x extraFields) merge(config v1.Image) (any, error) {
	if len(x.image) == 0 && len(x.config) == 0 {
		return config, nil
	}
	inner, err := appendFields(config.Config, x.config)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	// Of the fields in their order, only "config" is replaced.
	type withConfig struct {
		Created *time.Time `json:"created,omitempty"`
		Author  string     `json:"author,omitempty"`
		v1.Platform
		Config  json.RawMessage `json:"config,omitempty"`
		RootFS  v1.RootFS       `json:"rootfs"`
		History []v1.History    `json:"history,omitempty"`
	}
	var outer withConfig
	if err := json.Unmarshal(data, &outer); err != nil {
		return nil, err
	}
	outer.Config = inner
	return appendFields(outer, x.image)
}

func appendFields(v any, fields map[string]json.RawMessage) (json.RawMessage, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	data = data[:len(data)-1] // the closing brace
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		key, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		if len(data) > 1 {
			data = append(data, ',')
		}
		data = append(append(append(data, key...), ':'), fields[name]...)
	}
	return append(data, '}'), nil
}
