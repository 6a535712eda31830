package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v3"

	"github.com/hako-runtime/hako/bundle/image"
	"github.com/hako-runtime/hako/bundle/layer"
	"github.com/hako-runtime/hako/bundle/runconf"
	"github.com/hako-runtime/hako/bundle/store"
	"github.com/hako-runtime/hako/libct/idmap"
)

// Names in a bundle; runtime-spec bundle.md gives the first, config.json
// points to the second, and the third belongs to this tool.
const (
	configName = "config.json"
	rootfsName = "rootfs"
	metaName   = "umoci.json"
)

// Default bounds of what one image may unpack to: far above any real image,
// far below what keeps a machine busy for days.
const (
	defaultMaxEntries = 16 << 20
	defaultMaxBytes   = 1 << 40
)

func unpackCommand() *cli.Command {
	return &cli.Command{
		Name:      "unpack",
		Usage:     "unpacks an image into a bundle: rootfs and config.json",
		ArgsUsage: "BUNDLE",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "image", Usage: "`PATH[:TAG]` of the image; TAG is latest if not given"},
			&cli.Int64Flag{Name: "max-bytes", Value: defaultMaxBytes, Usage: "refuse an image whose layers hold more than `N` bytes; 0 for no bound"},
			&cli.Int64Flag{Name: "max-entries", Value: defaultMaxEntries, Usage: "refuse an image whose layers have more than `N` entries; 0 for no bound"},
		},
		Action: unpackAction,
	}
}

func unpackAction(ctx context.Context, cmd *cli.Command) error {
	args, err := positionals(cmd, "bundle")
	if err != nil {
		return err
	}
	if !cmd.IsSet("image") {
		return errors.New("missing mandatory argument: --image")
	}
	ref, err := store.ParseReference(cmd.String("image"))
	if err != nil {
		return err
	}
	options := layer.Options{
		MaxEntries: cmd.Int64("max-entries"),
		MaxBytes:   cmd.Int64("max-bytes"),
		Warn:       warner(cmd),
	}
	if options.MaxEntries < 0 || options.MaxBytes < 0 {
		return errors.New("--max-bytes and --max-entries cannot be negative")
	}
	err = unpack(ctx, ref, args[0], options)
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		err = fmt.Errorf("%w (owners and devices need root; --rootless is not supported yet)", err)
	}
	return err
}

// unpack makes bundlePath a bundle with the image's files and configuration,
// or leaves it as it was.
func unpack(ctx context.Context, ref store.Reference, bundlePath string, options layer.Options) error {
	layout, err := store.Open(ref.Path)
	if err != nil {
		return err
	}
	walk, err := layout.Resolve(ref.Tag)
	if err != nil {
		return err
	}
	img, err := image.Read(layout, walk.Target())
	if err != nil {
		return err
	}
	for i, l := range img.Layers {
		if err := layer.CheckMediaType(l.Descriptor.MediaType); err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
	}
	stage, err := openStage(bundlePath)
	if err != nil {
		return err
	}
	defer stage.abandon()
	if err := fillStage(ctx, stage.path, layout, img, options); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(stage.path, metaName), newMeta(walk)); err != nil {
		return err
	}
	return stage.commit()
}

// fillStage extracts the layers and, once there is a root filesystem to look
// users up in, writes the configuration.
func fillStage(ctx context.Context, stage string, layout *store.Layout, img *image.Image, options layer.Options) error {
	rootfs := filepath.Join(stage, rootfsName)
	if err := makeRootfs(rootfs); err != nil {
		return err
	}
	tree, err := layer.OpenTree(rootfs, options)
	if err != nil {
		return err
	}
	defer tree.Close()
	// The root's own times, should no layer have an entry for it.
	if err := tree.SetTimes(time.Unix(0, 0)); err != nil {
		return err
	}
	for i, l := range img.Layers {
		if err := applyLayer(ctx, tree, layout, l); err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
	}
	spec, err := runconf.New(&img.Config, tree, rootfsName)
	if err != nil {
		return fmt.Errorf("config %s: %w", img.Manifest.Config.Digest, err)
	}
	return writeSpec(filepath.Join(stage, configName), spec)
}

// makeRootfs makes the root as an image without an entry for it has it: 0755,
// owned by root, whatever umask and parent say.
func makeRootfs(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	if err := os.Lchown(path, 0, 0); err != nil {
		return err
	}
	return os.Chmod(path, 0o755)
}

func applyLayer(ctx context.Context, tree *layer.Tree, layout *store.Layout, l image.Layer) error {
	diffHash, err := store.NewHash(l.DiffID)
	if err != nil {
		return err
	}
	blob, err := layout.Blob(l.Descriptor)
	if err != nil {
		return err
	}
	defer blob.Close()
	err = tree.ApplyBlob(cancelable{ctx, blob}, l.Descriptor.MediaType, l.DiffID, diffHash)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// A damaged blob is the cause of whatever went wrong with its content.
	if damage := blob.Drain(); damage != nil {
		return damage
	}
	if err != nil {
		return fmt.Errorf("blob %s: %w", l.Descriptor.Digest, err)
	}
	return nil
}

// cancelable ends a stream when its context does, so that an interrupted
// unpack can clean up.
type cancelable struct {
	ctx    context.Context
	reader io.Reader
}

func (c cancelable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.reader.Read(p)
}

// meta is umoci.json: what a later repack needs to know about the unpack.
type meta struct {
	Version string   `json:"umoci_version"`
	From    metaFrom `json:"from_descriptor_path"`
	Maps    metaMaps `json:"map_options"`
}

type metaFrom struct {
	Walk []v1.Descriptor `json:"descriptor_walk"`
}

type metaMaps struct {
	UIDMappings []idmap.Map `json:"uid_mappings"`
	GIDMappings []idmap.Map `json:"gid_mappings"`
	Rootless    bool        `json:"rootless"`
}

func newMeta(walk store.Walk) meta {
	return meta{Version: "2", From: metaFrom{Walk: walk}}
}

func writeSpec(path string, spec *specs.Spec) error {
	data, err := json.MarshalIndent(spec, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

func writeJSON(path string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
