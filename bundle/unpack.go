package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/hako-runtime/hako/bundle/image"
	"github.com/hako-runtime/hako/bundle/layer"
	"github.com/hako-runtime/hako/bundle/runconf"
	"github.com/hako-runtime/hako/bundle/snapshot"
	"github.com/hako-runtime/hako/bundle/store"
)

// Default bounds of what one image may unpack to: far above any real image,
// far below what keeps a machine busy for days.
const (
	defaultMaxEntries = 16 << 20
	defaultMaxBytes   = 1 << 40
)

func unpackCommand() *cli.Command {
	return &cli.Command{
		Usage:     "unpacks an image into a bundle: rootfs and config.json",
		ArgsUsage: "BUNDLE",
		Flags:     append(unpackFlags(), overlayFlags()...),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			args, err := positionals(cmd, "bundle")
			if err != nil {
				return err
			}
			ref, options, err := unpackArguments(cmd)
			if err != nil {
				return err
			}
			if !cmd.Bool("overlay") {
				return options.advise(unpack(ctx, ref, args[0], options))
			}
			if err := overlayOptions(cmd); err != nil {
				return err
			}
			at, err := storePath(cmd)
			if err != nil {
				return err
			}
			return unpackOverlay(ctx, ref, args[0], at, options)
		},
	}
}

func unpackFlags() []cli.Flag {
	return append([]cli.Flag{
		imageFlag(), platformFlag(),
		&cli.BoolFlag{Name: "keep-dirlinks", Usage: "a layer's directory does not replace a symlink to a directory, but is merged into it"},
		&cli.BoolFlag{Name: "skip-devices", Usage: "leave out device nodes"},
		&cli.Int64Flag{Name: "max-bytes", Value: defaultMaxBytes, Usage: "refuse an image whose layers hold more than `N` bytes; 0 for no bound"},
		&cli.Int64Flag{Name: "max-entries", Value: defaultMaxEntries, Usage: "refuse an image whose layers have more than `N` entries; 0 for no bound"},
	}, mapFlags()...)
}

// unpackOptions are what unpack and raw unpack have in common.
type unpackOptions struct {
	layer.Options
	platform string
	maps     metaMaps
}

func unpackArguments(cmd *cli.Command) (store.Reference, unpackOptions, error) {
	ref, err := reference(cmd)
	if err != nil {
		return ref, unpackOptions{}, err
	}
	maps, err := mapOptions(cmd)
	if err != nil {
		return ref, unpackOptions{}, err
	}
	options := unpackOptions{
		Options: layer.Options{
			MaxEntries:   cmd.Int64("max-entries"),
			MaxBytes:     cmd.Int64("max-bytes"),
			KeepDirlinks: cmd.Bool("keep-dirlinks"),
			SkipDevices:  cmd.Bool("skip-devices"),
			UIDs:         maps.UIDMappings,
			GIDs:         maps.GIDMappings,
			Rootless:     maps.Rootless,
			Warn:         warner(cmd),
		},
		platform: cmd.String("platform"),
		maps:     maps,
	}
	if options.MaxEntries < 0 || options.MaxBytes < 0 {
		return ref, options, errors.New("--max-bytes and --max-entries cannot be negative")
	}
	return ref, options, nil
}

// advise says what to do about an error that comes from not being root.
func (o unpackOptions) advise(err error) error {
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 && !o.Rootless {
		return fmt.Errorf("%w (owners and devices need root, or use --rootless)", err)
	}
	return err
}

// source is an image that is about to be unpacked. No gc removes its blobs
// before it is closed.
type source struct {
	layout *store.Layout
	walk   store.Walk
	image  *image.Image
	close  func()
}

func openSource(ctx context.Context, ref store.Reference, platform string) (*source, error) {
	layout, err := store.Open(ref.Path)
	if err != nil {
		return nil, err
	}
	release, err := layout.Share(ctx)
	if err != nil {
		return nil, err
	}
	s := &source{layout: layout, close: release}
	if err := s.read(ref.Tag, platform); err != nil {
		release()
		return nil, err
	}
	return s, nil
}

func (s *source) read(tag, platform string) (err error) {
	if s.walk, err = s.layout.ResolvePlatform(tag, platform); err != nil {
		return err
	}
	if s.image, err = image.Read(s.layout, s.walk.Target()); err != nil {
		return err
	}
	for i, l := range s.image.Layers {
		if err := layer.CheckMediaType(l.Descriptor.MediaType); err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
	}
	return nil
}

// unpack makes bundlePath a bundle with the image's files and configuration,
// or leaves it as it was.
func unpack(ctx context.Context, ref store.Reference, bundlePath string, options unpackOptions) error {
	src, err := openSource(ctx, ref, options.platform)
	if err != nil {
		return err
	}
	defer src.close()
	base := snapshotBase(src.walk)
	stage, err := openStage(bundlePath, base)
	if err != nil {
		return err
	}
	defer stage.abandon()
	sums := snapshot.NewSums()
	options.Hashed = sums.Add
	if err := fillStage(ctx, stage.path, src, options); err != nil {
		return err
	}
	err = snapshot.Take(filepath.Join(stage.path, rootfsName), filepath.Join(stage.path, base), sums, options.snapshotOptions())
	if err != nil {
		return err
	}
	meta := newMeta(src.walk, options.maps, ref.Path)
	if err := writeJSON(filepath.Join(stage.path, metaName), meta); err != nil {
		return err
	}
	return stage.commit(rootfsName, base+snapshot.ManifestSuffix, base+snapshot.RecordSuffix, metaName, configName)
}

func (o unpackOptions) snapshotOptions() snapshot.Options {
	return snapshot.Options{Rootless: o.Rootless}
}

// fillStage extracts the layers and, once there is a root filesystem to look
// users up in, writes the configuration.
func fillStage(ctx context.Context, stage string, src *source, options unpackOptions) error {
	tree, err := extract(ctx, filepath.Join(stage, rootfsName), src, options)
	if err != nil {
		return err
	}
	defer tree.Close()
	spec, err := runconf.New(&src.image.Config, tree, rootfsName)
	if err != nil {
		return fmt.Errorf("config %s: %w", src.image.Manifest.Config.Digest, err)
	}
	options.maps.apply(spec)
	if err := writeSpec(filepath.Join(stage, configName), spec); err != nil {
		return err
	}
	// Only now may directories become unreadable for their owner.
	return tree.Finish()
}

// extract makes the root filesystem at path, which must not exist.
func extract(ctx context.Context, path string, src *source, options unpackOptions) (*layer.Tree, error) {
	if err := makeRootfs(path, options); err != nil {
		return nil, err
	}
	tree, err := layer.OpenTree(path, options.Options)
	if err != nil {
		return nil, err
	}
	// The root's own times, should no layer have an entry for it.
	err = tree.SetTimes(time.Unix(0, 0))
	if err == nil {
		err = applyLayers(ctx, tree, src)
	}
	if err != nil {
		return nil, errors.Join(err, tree.Close())
	}
	return tree, nil
}

// makeRootfs makes the root as an image without an entry for it has it: 0755,
// owned by the container's root, whatever umask and parent say.
func makeRootfs(path string, options unpackOptions) error {
	if err := os.Mkdir(path, 0o700); err != nil {
		return err
	}
	tree, err := layer.OpenTree(path, options.Options)
	if err != nil {
		return err
	}
	defer tree.Close()
	return tree.InitRoot()
}

// layerTree is what layers are applied to: files, or an account of them.
type layerTree interface {
	ApplyStream(s *layer.Stream) error
}

// applyLayers extracts all layers. While one is extracted, the next is
// already being decompressed.
func applyLayers(ctx context.Context, tree layerTree, src *source) error {
	layers := src.image.Layers
	var next *openLayer
	defer func() {
		if next != nil {
			next.close()
		}
	}()
	for i := range layers {
		current := next
		if current == nil {
			current = startLayer(ctx, src.layout, layers[i])
		}
		if next = nil; i+1 < len(layers) {
			next = startLayer(ctx, src.layout, layers[i+1])
		}
		err := current.apply(ctx, tree)
		current.close()
		if err != nil {
			return fmt.Errorf("layer %d: %w", i, err)
		}
	}
	return nil
}

// openLayer is a layer that is being decompressed.
type openLayer struct {
	image.Layer
	blob   *store.Blob
	stream *layer.Stream
	err    error // of the start, told when it is the layer's turn
}

func startLayer(ctx context.Context, layout *store.Layout, l image.Layer) *openLayer {
	o := &openLayer{Layer: l}
	diffHash, err := store.NewHash(l.DiffID)
	if err != nil {
		o.err = err
		return o
	}
	if o.blob, o.err = layout.Blob(l.Descriptor); o.err != nil {
		return o
	}
	o.stream, o.err = layer.OpenStream(cancelable{ctx, o.blob}, l.Descriptor.MediaType, l.DiffID, diffHash)
	return o
}

func (o *openLayer) apply(ctx context.Context, tree layerTree) error {
	err := o.err
	if o.stream != nil {
		err = tree.ApplyStream(o.stream)
		o.stream.Close()
		o.stream = nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if o.blob == nil {
		return err
	}
	// A damaged blob is the cause of whatever went wrong with its content.
	if damage := o.blob.Drain(); damage != nil {
		return damage
	}
	if err != nil {
		return fmt.Errorf("blob %s: %w", o.Descriptor.Digest, err)
	}
	return nil
}

func (o *openLayer) close() {
	if o.stream != nil {
		o.stream.Close()
	}
	if o.blob != nil {
		_ = o.blob.Close() // it was only read
	}
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
