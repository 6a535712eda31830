// Package image reads what a manifest describes, the image's configuration
// and its layers (image-spec manifest.md, config.md), and makes new images of
// it. It checks that the two belong together and knows nothing about what is
// inside a layer.
package image

import (
	"fmt"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hako-runtime/hako/bundle/store"
)

// Image is an image as its manifest and configuration describe it.
type Image struct {
	Manifest v1.Manifest
	Config   v1.Image
	Layers   []Layer // bottom first
}

// Layer is one layer: the blob, and the digest of the tar inside it.
type Layer struct {
	Descriptor v1.Descriptor
	DiffID     digest.Digest
}

// Read reads the image whose manifest is d, and refuses one whose layers and
// diff_ids do not pair up.
func Read(layout *store.Layout, d v1.Descriptor) (*Image, error) {
	img := &Image{}
	if err := layout.ReadJSON(d, &img.Manifest); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if err := checkManifest(&img.Manifest); err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if err := layout.ReadJSON(img.Manifest.Config, &img.Config); err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	if err := img.pairLayers(); err != nil {
		return nil, fmt.Errorf("config %s: %w", img.Manifest.Config.Digest, err)
	}
	return img, nil
}

// checkManifest refuses what is not an image: schemaVersion MUST be 2 and
// mediaType, when used, the manifest's; artifacts have other config types.
func checkManifest(m *v1.Manifest) error {
	if m.SchemaVersion != 2 {
		return fmt.Errorf("schemaVersion %d, want 2", m.SchemaVersion)
	}
	if m.MediaType != "" && !store.IsManifest(m.MediaType) {
		return fmt.Errorf("mediaType %q, want %s", m.MediaType, v1.MediaTypeImageManifest)
	}
	if store.OCIMediaType(m.Config.MediaType) != v1.MediaTypeImageConfig {
		return fmt.Errorf("config is of media type %q, want %s: not an image", m.Config.MediaType, v1.MediaTypeImageConfig)
	}
	return nil
}

func (img *Image) pairLayers() error {
	ids := img.Config.RootFS.DiffIDs
	if img.Config.RootFS.Type != "layers" {
		return fmt.Errorf(`rootfs.type %q, want "layers"`, img.Config.RootFS.Type)
	}
	if len(ids) != len(img.Manifest.Layers) {
		return fmt.Errorf("%d diff_ids for %d layers", len(ids), len(img.Manifest.Layers))
	}
	for i, d := range img.Manifest.Layers {
		if _, err := store.NewHash(ids[i]); err != nil {
			return fmt.Errorf("rootfs.diff_ids[%d]: %w", i, err)
		}
		img.Layers = append(img.Layers, Layer{Descriptor: d, DiffID: ids[i]})
	}
	return nil
}
