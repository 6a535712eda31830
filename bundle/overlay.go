package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v3"
	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/bundle/layer"
	"github.com/hako-runtime/hako/bundle/overlay"
	"github.com/hako-runtime/hako/bundle/runconf"
	"github.com/hako-runtime/hako/bundle/snapshot"
	"github.com/hako-runtime/hako/bundle/store"
)

// Names in a bundle whose root filesystem is an overlay.
const (
	overlayMeta = "overlay.json"
	overlayDir  = "overlay" // of the bundle's own folders
	upperName   = "upper"
)

// whiteoutOverlay in umoci.json keeps umoci from taking an overlay bundle for
// one of its own.
const whiteoutOverlay = 1

// overlayVersion is that of overlay.json.
const overlayVersion = 1

// layering is overlay.json: what a bundle's root filesystem consists of.
type layering struct {
	Version int             `json:"version"`
	Store   string          `json:"store"` // absolute
	Chain   []digest.Digest `json:"chain"` // chain ids, lowest first
	Upper   string          `json:"upper"` // folder below "overlay"; others are of no use

	// Image is what umoci.json would say. It is here, so that a commit changes
	// all of it at once.
	Image meta `json:"image"`
}

func storeFlag() cli.Flag {
	return &cli.StringFlag{Name: "store", Usage: "keep unpacked layers in `DIR`; /var/lib/hako-bundle, or below $XDG_DATA_HOME, if not given"}
}

func overlayFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "overlay", Usage: "share unpacked layers with other bundles: the root filesystem is an overlay mount"},
		storeFlag(),
	}
}

// storePath is where layers are kept if --store does not say.
func storePath(cmd *cli.Command) (string, error) {
	if path := cmd.String("store"); path != "" || cmd.IsSet("store") {
		if path == "" {
			return "", errors.New("--store is empty")
		}
		return path, nil
	}
	if os.Geteuid() == 0 && !overlay.InUserNamespace() {
		return "/var/lib/hako-bundle", nil
	}
	if data := os.Getenv("XDG_DATA_HOME"); data != "" {
		return filepath.Join(data, "hako-bundle"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("where to keep layers: %w (--store says)", err)
	}
	return filepath.Join(home, ".local", "share", "hako-bundle"), nil
}

// overlayOptions refuses what would make layers that only this bundle can use.
func overlayOptions(cmd *cli.Command) error {
	for _, flag := range []string{"rootless", "uid-map", "gid-map", "keep-dirlinks", "skip-devices"} {
		if cmd.IsSet(flag) {
			return fmt.Errorf("--overlay and --%s exclude each other: layers are shared by all bundles", flag)
		}
	}
	return nil
}

func unpackOverlay(ctx context.Context, ref store.Reference, bundlePath, at string, options unpackOptions) error {
	src, err := openSource(ctx, ref, options.platform)
	if err != nil {
		return err
	}
	defer src.close()
	layers, err := overlay.OpenStore(at)
	if err != nil {
		return err
	}
	release, err := layers.Share(ctx)
	if err != nil {
		return err
	}
	defer release()
	stage, err := openStage(bundlePath, snapshotBase(src.walk))
	if err != nil {
		return err
	}
	defer stage.abandon()
	chain, err := addLayers(ctx, layers, src, options)
	if err != nil {
		return err
	}
	l := layering{
		Version: overlayVersion, Store: layers.Path(), Chain: chain, Upper: upperName,
		Image: overlayImage(src.walk, ref.Path),
	}
	mount, err := fillOverlay(stage.path, layers, src, l)
	if err != nil {
		return err
	}
	defer mount.Close()
	if err := writeJSON(filepath.Join(stage.path, metaName), l.Image); err != nil {
		return err
	}
	if err := layers.Use(bundlePath); err != nil {
		return err
	}
	if err := stage.commit(rootfsName, overlayDir, overlayMeta, metaName, configName); err != nil {
		return err
	}
	return overlay.Attach(mount, filepath.Join(bundlePath, rootfsName))
}

func overlayImage(walk store.Walk, layout string) meta {
	m := newMeta(walk, metaMaps{}, layout)
	m.Whiteout = whiteoutOverlay
	return m
}

// addLayers puts into the store what it lacks of the image, and names all.
func addLayers(ctx context.Context, layers *overlay.Store, src *source, options unpackOptions) ([]digest.Digest, error) {
	ids := make([]digest.Digest, len(src.image.Layers))
	for i, l := range src.image.Layers {
		ids[i] = l.DiffID
	}
	chain, err := overlay.ChainIDs(ids)
	if err != nil {
		return nil, err
	}
	for i := range chain {
		err := layers.Add(chain, i, func(root string) error {
			return applyTo(ctx, root, src, i, options.Options)
		})
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", i, err)
		}
	}
	return chain, nil
}

// applyTo applies one layer to the tree at root.
func applyTo(ctx context.Context, root string, src *source, i int, options layer.Options) error {
	tree, err := layer.OpenTree(root, options)
	if err != nil {
		return err
	}
	defer tree.Close()
	l := startLayer(ctx, src.layout, src.image.Layers[i])
	defer l.close()
	if err := l.apply(ctx, tree); err != nil {
		return err
	}
	return tree.Finish()
}

// fillOverlay prepares the bundle's own files and opens its root filesystem.
func fillOverlay(stage string, layers *overlay.Store, src *source, l layering) (*os.File, error) {
	for _, dir := range []string{rootfsName, overlayDir} {
		if err := os.Mkdir(filepath.Join(stage, dir), 0o700); err != nil {
			return nil, err
		}
	}
	stack, err := overlay.NewUpper(filepath.Join(stage, overlayDir), l.Upper, layers.Lower(l.Chain))
	if err != nil {
		return nil, err
	}
	mount, err := stack.Open()
	if err != nil {
		return nil, err
	}
	if err := writeOverlaySpec(stage, fdPath(mount), src); err != nil {
		mount.Close()
		return nil, err
	}
	if err := writeJSON(filepath.Join(stage, overlayMeta), l); err != nil {
		mount.Close()
		return nil, err
	}
	return mount, nil
}

func writeOverlaySpec(stage, root string, src *source) error {
	tree, err := layer.OpenTree(root, layer.Options{})
	if err != nil {
		return err
	}
	defer tree.Close()
	spec, err := runconf.New(&src.image.Config, tree, rootfsName)
	if err != nil {
		return fmt.Errorf("config %s: %w", src.image.Manifest.Config.Digest, err)
	}
	return writeSpec(filepath.Join(stage, configName), spec)
}

func fdPath(f *os.File) string { return "/proc/self/fd/" + strconv.Itoa(int(f.Fd())) }

// readLayering reads overlay.json; the error matches [os.ErrNotExist] if the
// bundle has none.
func readLayering(bundle string) (l layering, err error) {
	path := filepath.Join(bundle, overlayMeta)
	f, err := store.OpenRegular(path)
	if err != nil {
		return l, err
	}
	defer f.Close()
	if err := json.NewDecoder(io.LimitReader(f, maxMeta)).Decode(&l); err != nil {
		return l, fmt.Errorf("%s: %w", path, err)
	}
	if err := l.Image.check(whiteoutOverlay); err != nil {
		return l, fmt.Errorf("%s: image: %w", path, err)
	}
	switch {
	case l.Version != overlayVersion:
		return l, fmt.Errorf("%s: version %d, want %d", path, l.Version, overlayVersion)
	case !filepath.IsAbs(l.Store):
		return l, fmt.Errorf("%s: store %q is not an absolute path", path, l.Store)
	case l.Upper == "" || l.Upper != filepath.Base(l.Upper) || l.Upper == "..":
		return l, fmt.Errorf("%s: upper %q is not a name", path, l.Upper)
	}
	for _, id := range l.Chain {
		if err := id.Validate(); err != nil {
			return l, fmt.Errorf("%s: chain id %q: %w", path, string(id), err)
		}
	}
	return l, nil
}

// stack is the bundle's overlay, of layers that nobody removes before unlock.
func (l *layering) stack(ctx context.Context, bundle string) (stack overlay.Stack, unlock func(), err error) {
	own, err := filepath.Abs(filepath.Join(bundle, overlayDir))
	if err != nil {
		return stack, nil, err
	}
	layers, err := overlay.OpenStore(l.Store)
	if err != nil {
		return stack, nil, err
	}
	if unlock, err = layers.Share(ctx); err != nil {
		return stack, nil, err
	}
	for _, id := range l.Chain {
		if !layers.Has(id) {
			unlock()
			return stack, nil, fmt.Errorf("store %s: layer %s is missing: %w", l.Store, id, os.ErrNotExist)
		}
	}
	return overlay.Stack{Lower: layers.Lower(l.Chain), Upper: filepath.Join(own, l.Upper), Work: filepath.Join(own, "work")}, unlock, nil
}

func mountCommand() *cli.Command {
	return &cli.Command{
		Usage:     "mounts the root filesystem of an overlay bundle, after a reboot for instance",
		ArgsUsage: "BUNDLE",
		Action: func(ctx context.Context, cmd *cli.Command) error {
			b, err := overlayBundle(cmd)
			if err != nil {
				return err
			}
			defer b.close()
			mounted, err := overlay.IsMounted(b.rootfs())
			if err != nil || mounted {
				return err
			}
			return b.mount(ctx)
		},
	}
}

func umountCommand() *cli.Command {
	return &cli.Command{
		Usage:     "unmounts the root filesystem of an overlay bundle, which can be removed then",
		ArgsUsage: "BUNDLE",
		Action: func(_ context.Context, cmd *cli.Command) error {
			b, err := overlayBundle(cmd)
			if err != nil {
				return err
			}
			defer b.close()
			mounted, err := overlay.IsMounted(b.rootfs())
			if err != nil || !mounted {
				return err
			}
			return overlay.Unmount(b.rootfs())
		},
	}
}

func overlayBundle(cmd *cli.Command) (*bundleDir, error) {
	args, err := positionals(cmd, "bundle")
	if err != nil {
		return nil, err
	}
	b, err := openBundle(args[0], unix.LOCK_EX)
	if err != nil {
		return nil, err
	}
	if b.overlay == nil {
		b.close()
		return nil, fmt.Errorf("bundle %s: was not unpacked with --overlay", args[0])
	}
	return b, nil
}

func pruneCommand() *cli.Command {
	return &cli.Command{
		Usage:     "removes unpacked layers that no overlay bundle needs any more",
		ArgsUsage: " ",
		Flags:     []cli.Flag{storeFlag()},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if _, err := positionals(cmd); err != nil {
				return err
			}
			path, err := storePath(cmd)
			if err != nil {
				return err
			}
			if _, err := os.Stat(path); err != nil {
				return fmt.Errorf("store: %w", err)
			}
			layers, err := overlay.OpenStore(path)
			if err != nil {
				return err
			}
			removed, err := layers.Prune(ctx, func(bundle string) ([]digest.Digest, error) {
				l, err := readLayering(bundle)
				return l.Chain, err
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.Root().Writer, "%d layers removed\n", removed)
			return err
		},
	}
}

// views opens the trees that a bundle's changes are between, wherever and
// whether its root filesystem is mounted.
func (l *layering) views(ctx context.Context, bundle string) (v snapshot.Views, release func(), err error) {
	stack, unlock, err := l.stack(ctx, bundle)
	if err != nil {
		return v, nil, err
	}
	v, closeAll, err := viewsOf(stack)
	if err != nil {
		unlock()
		return v, nil, err
	}
	return v, func() { closeAll(); unlock() }, nil
}

// viewsOf opens the trees without and with the changes of an overlay.
func viewsOf(stack overlay.Stack) (v snapshot.Views, release func(), err error) {
	below, err := overlay.Stack{Lower: stack.Lower}.Open()
	if err != nil {
		return v, nil, err
	}
	now, err := overlay.Stack{Lower: append([]string{stack.Upper}, stack.Lower...)}.Open()
	if err != nil {
		below.Close()
		return v, nil, err
	}
	v = snapshot.Views{Upper: stack.Upper, Below: fdPath(below), Now: fdPath(now)}
	return v, func() { below.Close(); now.Close() }, nil
}

// mount mounts the root filesystem of an overlay bundle.
func (b *bundleDir) mount(ctx context.Context) error {
	stack, unlock, err := b.overlay.stack(ctx, b.path)
	if err != nil {
		return err
	}
	defer unlock()
	return stack.Mount(b.rootfs())
}

// unmount takes an overlay bundle's root filesystem away while its folders
// are exchanged; remount brings it back.
func (b *bundleDir) unmount(ctx context.Context) (remount func() error, err error) {
	nothing := func() error { return nil }
	if b.overlay == nil {
		return nothing, nil
	}
	mounted, err := overlay.IsMounted(b.rootfs())
	if err != nil || !mounted {
		return nothing, err
	}
	err = overlay.Unmount(b.rootfs())
	if errors.Is(err, unix.EBUSY) {
		err = fmt.Errorf("bundle %s: its files are in use: stop what runs in it, or repack without --refresh-bundle (%w)", b.path, err)
	}
	if err != nil {
		return nothing, err
	}
	// Also after an interrupted commit.
	return func() error { return b.mount(context.WithoutCancel(ctx)) }, nil
}

// rebase makes the committed image what the bundle's changes are changes to:
// its new layer goes to the store, and the bundle's own folder begins empty.
// The caller holds the store's Share and has unmounted the root filesystem.
func (b *bundleDir) rebase(ctx context.Context, walk store.Walk, ref store.Reference) error {
	src, err := openSource(ctx, store.Reference{Path: ref.Path, Tag: string(walk.Target().Digest)}, "")
	if err != nil {
		return err
	}
	defer src.close()
	layers, err := overlay.OpenStore(b.overlay.Store)
	if err != nil {
		return err
	}
	chain, err := addLayers(ctx, layers, src, unpackOptions{})
	if err != nil {
		return err
	}
	own := filepath.Join(b.path, overlayDir)
	next := layering{
		Version: overlayVersion, Store: b.overlay.Store, Chain: chain,
		Upper: upperName + "-" + strconv.FormatInt(time.Now().UnixNano(), 36),
		Image: overlayImage(walk, ref.Path),
	}
	if err := os.RemoveAll(filepath.Join(own, "work")); err != nil {
		return err
	}
	if _, err := overlay.NewUpper(own, next.Upper, layers.Lower(chain)); err != nil {
		return err
	}
	old := filepath.Join(own, b.overlay.Upper)
	if err := replaceJSON(b.path, overlayMeta, next); err != nil {
		return err
	}
	b.overlay, b.meta = &next, next.Image
	return errors.Join(replaceJSON(b.path, metaName, next.Image), os.RemoveAll(old))
}
