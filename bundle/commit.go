package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v3"
	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/bundle/image"
	"github.com/hako-runtime/hako/bundle/layer"
	"github.com/hako-runtime/hako/bundle/snapshot"
	"github.com/hako-runtime/hako/bundle/store"
)

func paranoidFlag() cli.Flag {
	return &cli.BoolFlag{Name: "paranoid", Usage: "read every file, also those whose inode and times are as they were"}
}

func maskFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "mask-path", Usage: "leave out changes at `PATH` and below; may be given more than once"},
		&cli.BoolFlag{Name: "no-mask-volumes", Usage: "do not leave out changes in the image's volumes"},
		paranoidFlag(),
	}
}

func repackCommand() *cli.Command {
	flags := []cli.Flag{
		imageFlag(), compressFlag(),
		&cli.BoolFlag{Name: "refresh-bundle", Usage: "let further changes be changes to the new image"},
	}
	flags = append(flags, maskFlags()...)
	return &cli.Command{
		Usage:     "makes an image of a bundle, with its changes as a new layer",
		ArgsUsage: "BUNDLE",
		Flags:     append(flags, historyFlags()...),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			ref, err := reference(cmd)
			if err != nil {
				return err
			}
			_, err = commitBundle(ctx, cmd, commitOptions{createdBy: "umoci repack", ref: &ref, refresh: cmd.Bool("refresh-bundle")})
			return err
		},
	}
}

func commitCommand() *cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "image", Usage: "`PATH[:TAG]` of the new image; where the bundle came from if not given"},
		&cli.StringFlag{Name: "message", Aliases: []string{"m"}, Usage: "`MESSAGE` that says why"},
		&cli.StringFlag{Name: "author", Usage: "`AUTHOR` of the change"},
		compressFlag(),
	}
	return &cli.Command{
		Usage:     "commits the changes of a bundle as a new layer, and remembers what the tag named before",
		ArgsUsage: "BUNDLE",
		Flags:     append(flags, maskFlags()...),
		Action:    commitAction,
	}
}

func commitAction(ctx context.Context, cmd *cli.Command) error {
	options := commitOptions{createdBy: "bundle commit", refresh: true, remember: true}
	if cmd.IsSet("image") {
		ref, err := reference(cmd)
		if err != nil {
			return err
		}
		options.ref = &ref
	}
	options.author, options.comment = cmd.String("author"), cmd.String("message")
	target, err := commitBundle(ctx, cmd, options)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.Root().Writer, target.Digest)
	return err
}

// commitOptions are what repack and commit do differently.
type commitOptions struct {
	ref             *store.Reference // of the result; nil: where the bundle came from
	createdBy       string
	author, comment string // of the entry in the history
	refresh         bool   // the bundle
	remember        bool   // what the tag named
}

// bundleDir is an unpacked bundle whose changes are looked at. Nobody unpacks
// into it or commits it meanwhile.
type bundleDir struct {
	path string
	meta meta
	lock *os.File

	overlay *layering // nil: the root filesystem is a plain folder
	views   *snapshot.Views
	release []func()
}

// how is unix.LOCK_EX, or unix.LOCK_SH for who changes nothing.
func openBundle(path string, how int) (*bundleDir, error) {
	lock, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w", err)
	}
	b := &bundleDir{path: path, lock: lock}
	if err := unix.Flock(int(lock.Fd()), how|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("bundle %s: another command changes it: %w", path, os.NewSyscallError("flock", err))
	}
	if err := b.read(); err != nil {
		lock.Close()
		return nil, err
	}
	return b, nil
}

func (b *bundleDir) read() error {
	l, err := readLayering(b.path)
	if errors.Is(err, os.ErrNotExist) {
		b.meta, err = readMeta(b.path)
		return err
	}
	b.overlay, b.meta = &l, l.Image
	return err
}

func (b *bundleDir) close() {
	for _, release := range slices.Backward(b.release) {
		release()
	}
	b.lock.Close()
}

// openViews makes the trees of an overlay bundle visible to us.
func (b *bundleDir) openViews(ctx context.Context) error {
	if b.overlay == nil || b.views != nil {
		return nil
	}
	views, release, err := b.overlay.views(ctx, b.path)
	if err != nil {
		return fmt.Errorf("bundle %s: %w", b.path, err)
	}
	b.views = &views
	b.release = append(b.release, release)
	return nil
}

// tree is where the files of the root filesystem are.
func (b *bundleDir) tree() string {
	if b.views != nil {
		return b.views.Now
	}
	return b.rootfs()
}

func (b *bundleDir) rootfs() string { return filepath.Join(b.path, rootfsName) }

// origin is where the bundle was unpacked from, if this tool did it.
func (b *bundleDir) origin() (store.Reference, error) {
	tag, ok := b.meta.From.Walk[0].Annotations[v1.AnnotationRefName]
	if b.meta.Layout == "" || !ok {
		return store.Reference{}, errors.New("the bundle does not say which image it came from: use --image")
	}
	return store.ParseReference(b.meta.Layout + ":" + tag)
}

// compare finds the changes since the unpack.
func (b *bundleDir) compare(ctx context.Context, paranoid bool, masked func(string) bool, sums *snapshot.Sums) (*snapshot.Deltas, error) {
	options := snapshot.CompareOptions{
		Options:  snapshot.Options{Rootless: b.meta.Maps.Rootless},
		Paranoid: paranoid,
		Masked:   masked,
		Sums:     sums,
	}
	if b.overlay == nil {
		return snapshot.Compare(b.rootfs(), filepath.Join(b.path, snapshotBase(b.meta.From.Walk)), options)
	}
	if err := b.openViews(ctx); err != nil {
		return nil, err
	}
	return snapshot.CompareUpper(*b.views, options)
}

// commitBundle makes an image of the bundle's changes and moves the tag to it.
func commitBundle(ctx context.Context, cmd *cli.Command, options commitOptions) (v1.Descriptor, error) {
	args, err := positionals(cmd, "bundle")
	if err != nil {
		return v1.Descriptor{}, err
	}
	asked, err := compression(cmd)
	if err != nil {
		return v1.Descriptor{}, err
	}
	b, err := openBundle(args[0], unix.LOCK_EX)
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer b.close()
	if options.ref == nil {
		ref, err := b.origin()
		if err != nil {
			return v1.Descriptor{}, err
		}
		options.ref = &ref
	}
	writer, err := openWriter(ctx, options.ref.Path)
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer writer.Close()
	e, err := image.Begin(writer.Layout, b.meta.From.Walk)
	if errors.Is(err, os.ErrNotExist) {
		return v1.Descriptor{}, fmt.Errorf("layout %s has not the image that the bundle was unpacked from: %w", options.ref.Path, err)
	}
	if err != nil {
		return v1.Descriptor{}, err
	}
	return b.commit(ctx, cmd, options, asked, &editing{e, writer, options.ref.Tag})
}

func (b *bundleDir) commit(ctx context.Context, cmd *cli.Command, options commitOptions, asked layer.Compression, e *editing) (target v1.Descriptor, err error) {
	var sums *snapshot.Sums
	if options.refresh {
		sums = snapshot.NewSums()
		remount, unmountErr := b.unmount(ctx)
		if unmountErr != nil {
			return v1.Descriptor{}, unmountErr
		}
		defer func() { err = errors.Join(err, remount()) }()
	}
	deltas, err := b.compare(ctx, cmd.Bool("paranoid"), masks(cmd, &e.Config.Config), sums)
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer deltas.Close()
	unchanged, err := deltas.Empty()
	if err != nil {
		return v1.Descriptor{}, err
	}
	history, err := commitHistory(cmd, options, e.Config.Author, !unchanged)
	if err != nil {
		return v1.Descriptor{}, err
	}
	if unchanged {
		e.AddHistory(history)
	} else {
		packing, err := b.meta.Maps.packOptions(warner(cmd))
		if err != nil {
			return v1.Descriptor{}, err
		}
		l, err := image.WriteLayer(e.writer, chooseCompression(asked, e.Edit), func(w io.Writer) error {
			return packDeltas(cancelableWriter{ctx, w}, b.tree(), packing, deltas)
		})
		if err != nil {
			return v1.Descriptor{}, err
		}
		e.AddLayer(l, history)
	}
	walk, err := e.Commit(e.writer)
	if err != nil {
		return v1.Descriptor{}, err
	}
	move := e.writer.SetTag
	if options.remember {
		move = e.writer.CommitTag
	}
	if err := move(e.tag, walk[0]); err != nil {
		return v1.Descriptor{}, err
	}
	if options.refresh {
		walk[0].Annotations = map[string]string{v1.AnnotationRefName: e.tag}
		err = b.refresh(ctx, walk, *options.ref, sums)
	}
	return walk[0], err
}

func commitHistory(cmd *cli.Command, options commitOptions, author string, hasLayer bool) (*v1.History, error) {
	if options.author != "" {
		author = options.author
	}
	make := historyEntry
	if hasLayer {
		make = layerHistory
	}
	entry, err := make(cmd, options.createdBy, author)
	if entry != nil && options.comment != "" {
		entry.Comment = options.comment
	}
	return entry, err
}

// masks are --mask-path and, unless --no-mask-volumes, the image's volumes:
// what is written there is not the image's.
func masks(cmd *cli.Command, config *v1.ImageConfig) func(string) bool {
	var prefixes []string
	add := func(unsafePath string) {
		prefixes = append(prefixes, path.Clean("/" + unsafePath)[1:])
	}
	for _, prefix := range cmd.StringSlice("mask-path") {
		add(prefix)
	}
	if !cmd.Bool("no-mask-volumes") {
		for volume := range config.Volumes {
			add(volume)
		}
	}
	if len(prefixes) == 0 {
		return nil
	}
	return func(path string) bool {
		for _, prefix := range prefixes {
			if prefix == "" || path == prefix || strings.HasPrefix(path, prefix+"/") {
				return true
			}
		}
		return false
	}
}

// masks are those of commit, if the layout that the bundle came from still
// has the image; without it volumes are not known.
func (b *bundleDir) masks(ctx context.Context, cmd *cli.Command) (func(string) bool, error) {
	none := masks(cmd, &v1.ImageConfig{})
	ref, err := b.origin()
	if err != nil {
		return none, nil
	}
	layout, err := store.Open(ref.Path)
	if err != nil {
		return none, nil
	}
	release, err := layout.Share(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	img, err := image.Read(layout, b.meta.From.Walk[len(b.meta.From.Walk)-1])
	if err != nil {
		return none, nil
	}
	return masks(cmd, &img.Config.Config), nil
}

// packDeltas writes the layer that brings about the changes of the tree at
// root.
func packDeltas(w io.Writer, root string, options layer.PackOptions, deltas *snapshot.Deltas) error {
	tree, err := layer.OpenTree(root, layer.Options{})
	if err != nil {
		return err
	}
	defer tree.Close()
	packer := layer.NewPacker(w, options)
	return closing(packer, packer.AddSorted(tree, func(yield func(layer.Change, error) bool) {
		for d, err := range deltas.All() {
			if !yield(layer.Change{Path: d.Path, Removed: d.Kind == snapshot.Deleted}, err) {
				return
			}
		}
	}))
}

// refresh makes the bundle one of the new image: what comes next is compared
// with what is there now. Until umoci.json is replaced the old is in force.
func (b *bundleDir) refresh(ctx context.Context, walk store.Walk, ref store.Reference, sums *snapshot.Sums) error {
	if b.overlay != nil {
		return b.rebase(ctx, walk, ref)
	}
	old, base := snapshotBase(b.meta.From.Walk), snapshotBase(walk)
	err := snapshot.Take(b.rootfs(), filepath.Join(b.path, base), sums, snapshot.Options{Rootless: b.meta.Maps.Rootless})
	if err != nil {
		return err
	}
	b.meta = newMeta(walk, b.meta.Maps, ref.Path)
	if err := replaceJSON(b.path, metaName, b.meta); err != nil {
		return err
	}
	if old == base {
		return nil
	}
	for _, suffix := range []string{snapshot.ManifestSuffix, snapshot.RecordSuffix} {
		if err := os.Remove(filepath.Join(b.path, old+suffix)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
