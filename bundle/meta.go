package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/hako-runtime/hako/bundle/runconf"
	"github.com/hako-runtime/hako/bundle/store"
	"github.com/hako-runtime/hako/libct/idmap"
)

// Names in a bundle; runtime-spec bundle.md gives the first, config.json
// points to the second, and the third belongs to this tool, and to umoci.
const (
	configName = "config.json"
	rootfsName = "rootfs"
	metaName   = "umoci.json"
)

// metaVersion is the version of umoci.json.
const metaVersion = "2"

// meta is umoci.json: what a later repack needs to know about the unpack.
type meta struct {
	Version  string   `json:"umoci_version"`
	From     metaFrom `json:"from_descriptor_path"`
	Maps     metaMaps `json:"map_options"`
	Whiteout int      `json:"whiteout_mode,omitempty"`

	// Layout is where the image is, for commit; umoci ignores it.
	Layout string `json:"hako_layout,omitempty"`
}

type metaFrom struct {
	Walk []v1.Descriptor `json:"descriptor_walk"`
}

type metaMaps struct {
	UIDMappings []idmap.Map `json:"uid_mappings"`
	GIDMappings []idmap.Map `json:"gid_mappings"`
	Rootless    bool        `json:"rootless"`
}

func newMeta(walk store.Walk, maps metaMaps, layout string) meta {
	m := meta{Version: metaVersion, From: metaFrom{Walk: walk}, Maps: maps}
	if absolute, err := filepath.Abs(layout); err == nil {
		m.Layout = absolute
	}
	return m
}

// apply changes a configuration to one for a root filesystem with these maps.
func (m metaMaps) apply(spec *specs.Spec) {
	runconf.Map(spec, m.UIDMappings, m.GIDMappings)
	if m.Rootless {
		runconf.Rootless(spec)
	}
}

// maxMeta bounds umoci.json.
const maxMeta = 4 << 20

// readMeta reads umoci.json of a bundle, whichever of the tools wrote it.
func readMeta(bundle string) (meta, error) {
	path := filepath.Join(bundle, metaName)
	m, err := decodeMeta(path)
	if errors.Is(err, os.ErrNotExist) {
		return meta{}, fmt.Errorf("%s: %w: not a bundle that was unpacked from an image", path, os.ErrNotExist)
	}
	if err != nil {
		return meta{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func decodeMeta(path string) (meta, error) {
	f, err := store.OpenRegular(path)
	if err != nil {
		return meta{}, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxMeta))
	if err != nil {
		return meta{}, err
	}
	var m meta
	if err := json.Unmarshal(data, &m); err != nil {
		return meta{}, err
	}
	return m, m.check(0)
}

// check refuses what this version does not understand. whiteout is the mode
// that is expected.
func (m *meta) check(whiteout int) error {
	if m.Version != metaVersion {
		return fmt.Errorf("umoci_version %q, want %q", m.Version, metaVersion)
	}
	if m.Whiteout != whiteout {
		return fmt.Errorf("whiteout_mode %d is for root filesystems that are overlayfs layers: not supported", m.Whiteout)
	}
	if len(m.From.Walk) == 0 {
		return errors.New("from_descriptor_path is empty")
	}
	for _, d := range m.From.Walk {
		if err := d.Digest.Validate(); err != nil {
			return fmt.Errorf("digest %q: %w", string(d.Digest), err)
		}
	}
	return nil
}

// snapshotBase is the name, without suffix, of the files that say what the
// root filesystem was like.
func snapshotBase(walk store.Walk) string {
	return strings.ReplaceAll(string(walk.Target().Digest), ":", "_")
}

func writeSpec(path string, spec *specs.Spec) error {
	data, err := json.MarshalIndent(spec, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// replaceJSON writes a file of a bundle such that it is either the old or the
// new one.
func replaceJSON(dir, name string, v any) error {
	temp := filepath.Join(dir, "."+name+".new")
	if err := writeJSON(temp, v); err != nil {
		return err
	}
	return os.Rename(temp, filepath.Join(dir, name))
}

func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
