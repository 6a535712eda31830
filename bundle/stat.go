package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v3"

	"github.com/hako-runtime/hako/bundle/store"
)

func statCommand() *cli.Command {
	return &cli.Command{
		Usage:     "shows an image's manifest, configuration and history",
		ArgsUsage: " ",
		Flags: []cli.Flag{
			imageFlag(), platformFlag(),
			&cli.BoolFlag{Name: "json", Usage: "print one line of JSON"},
		},
		Action: statAction,
	}
}

// described is a blob as it is stored, and its descriptor.
type described struct {
	Descriptor v1.Descriptor   `json:"descriptor"`
	Blob       json.RawMessage `json:"blob"`
}

// imageStat is what stat knows; its JSON is umoci's.
type imageStat struct {
	Manifest described      `json:"manifest"`
	Config   *described     `json:"config,omitempty"`
	History  []historyLayer `json:"history,omitempty"`

	manifest v1.Manifest
	config   *v1.Image // nil if it is of a type that is not known
}

// historyLayer is an entry of the history with the layer it made.
type historyLayer struct {
	Layer  *v1.Descriptor `json:"layer"`
	DiffID string         `json:"diff_id"`
	v1.History
}

func statAction(_ context.Context, cmd *cli.Command) error {
	if _, err := positionals(cmd); err != nil {
		return err
	}
	ref, err := reference(cmd)
	if err != nil {
		return err
	}
	layout, err := store.Open(ref.Path)
	if err != nil {
		return err
	}
	stat, err := statImage(layout, ref.Tag, cmd.String("platform"))
	if err != nil {
		return err
	}
	out := bufio.NewWriter(cmd.Root().Writer)
	if cmd.Bool("json") {
		err = json.NewEncoder(out).Encode(stat)
	} else {
		err = stat.print(out)
	}
	if err != nil {
		return err
	}
	return out.Flush()
}

func statImage(layout *store.Layout, tag, platform string) (*imageStat, error) {
	walk, err := layout.ResolvePlatform(tag, platform)
	if err != nil {
		return nil, err
	}
	stat := &imageStat{}
	if stat.Manifest, err = describe(layout, walk.Target(), &stat.manifest); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	d := stat.manifest.Config
	switch store.OCIMediaType(d.MediaType) {
	case v1.MediaTypeImageConfig:
		stat.config = &v1.Image{}
		config, err := describe(layout, d, stat.config)
		if err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		stat.Config = &config
		stat.History = pairHistory(stat.manifest.Layers, stat.config)
	case v1.MediaTypeEmptyJSON:
		config, err := describe(layout, d, &struct{}{})
		if err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		stat.Config = &config
	}
	return stat, nil
}

func describe(layout *store.Layout, d v1.Descriptor, v any) (described, error) {
	raw, err := layout.RawJSON(d)
	if err != nil {
		return described{}, err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return described{}, fmt.Errorf("blob %s: %w", d.Digest, err)
	}
	return described{d, raw}, nil
}

// pairHistory finds the layer of each entry. A history need not be complete:
// entries beyond the last layer have none, and layers without an entry get
// one that says nothing.
func pairHistory(layers []v1.Descriptor, config *v1.Image) []historyLayer {
	all := make([]historyLayer, 0, len(config.History))
	next := 0
	add := func(entry v1.History) {
		h := historyLayer{History: entry}
		if !entry.EmptyLayer && next < len(layers) {
			h.Layer = &layers[next]
			if next < len(config.RootFS.DiffIDs) {
				h.DiffID = string(config.RootFS.DiffIDs[next])
			}
			next++
		}
		all = append(all, h)
	}
	for _, entry := range config.History {
		add(entry)
	}
	for next < len(layers) {
		add(v1.History{})
	}
	return all
}

func (s *imageStat) print(w io.Writer) error {
	p := printer{w: w}
	p.section("MANIFEST")
	p.manifest(&s.manifest)
	p.descriptor(0, s.Manifest.Descriptor)
	if s.Config != nil {
		p.line(0, "")
		p.section("CONFIG")
		if s.config != nil {
			p.config(s.config)
		}
		p.descriptor(0, s.Config.Descriptor)
	}
	if s.config != nil {
		p.line(0, "")
		p.section("HISTORY")
		p.history(s.History)
	}
	return p.err
}
