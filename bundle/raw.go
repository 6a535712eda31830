package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v3"
	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/bundle/layer"
	"github.com/hako-runtime/hako/bundle/runconf"
	"github.com/hako-runtime/hako/bundle/store"
)

func rawCommand() *cli.Command {
	return &cli.Command{
		Usage: "steps of other commands, one by one",
		Commands: []*cli.Command{
			entry{"add-layer", rawAddLayerCommand, cleansUp}.command(),
			entry{"mtree-validate", rawValidateCommand, cleansUp}.command(),
			entry{"runtime-config config", rawConfigCommand, dies}.command(),
			entry{"unpack", rawUnpackCommand, cleansUp}.command(),
		},
	}
}

func rawUnpackCommand() *cli.Command {
	return &cli.Command{
		Usage:     "unpacks an image into a root filesystem, and nothing else",
		ArgsUsage: "ROOTFS",
		Flags:     unpackFlags(),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			args, err := positionals(cmd, "rootfs")
			if err != nil {
				return err
			}
			ref, options, err := unpackArguments(cmd)
			if err != nil {
				return err
			}
			return options.advise(rawUnpack(ctx, ref, args[0], options))
		},
	}
}

// rawUnpack makes path, which is missing or an empty directory, the image's
// root filesystem, or leaves it as it was.
func rawUnpack(ctx context.Context, ref store.Reference, path string, options unpackOptions) error {
	src, err := openSource(ctx, ref, options.platform)
	if err != nil {
		return err
	}
	defer src.close()
	parent := filepath.Dir(filepath.Clean(path))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return err
	}
	if err := checkEmpty(path); err != nil {
		return err
	}
	stage, err := os.MkdirTemp(parent, stageName+"-")
	if err != nil {
		return err
	}
	defer func() { _ = removeTree(stage) }() // what is left of it
	rootfs := filepath.Join(stage, rootfsName)
	tree, err := extract(ctx, rootfs, src, options)
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := tree.Finish(); err != nil {
		return err
	}
	// Replaces an empty directory, and nothing else; rename(2). os.Rename would
	// refuse.
	if err := unix.Rename(rootfs, filepath.Clean(path)); err != nil {
		return &os.LinkError{Op: "rename", Old: rootfs, New: path, Err: err}
	}
	return nil
}

func checkEmpty(path string) error {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("rootfs %s: %w", path, unix.ENOTEMPTY)
	}
	return err
}

func rawConfigCommand() *cli.Command {
	return &cli.Command{
		Usage:     "writes the config.json of an image",
		ArgsUsage: "FILE",
		Flags: append([]cli.Flag{
			imageFlag(), platformFlag(),
			&cli.StringFlag{Name: "rootfs", Usage: "look users and groups up in the root filesystem at `PATH`"},
		}, mapFlags()...),
		Action: rawConfig,
	}
}

func rawConfig(ctx context.Context, cmd *cli.Command) error {
	args, err := positionals(cmd, "config.json")
	if err != nil {
		return err
	}
	ref, err := reference(cmd)
	if err != nil {
		return err
	}
	maps, err := mapOptions(cmd)
	if err != nil {
		return err
	}
	src, err := openSource(ctx, ref, cmd.String("platform"))
	if err != nil {
		return err
	}
	defer src.close()
	spec, err := rawSpec(cmd, src)
	if err != nil {
		return fmt.Errorf("config %s: %w", src.image.Manifest.Config.Digest, err)
	}
	maps.apply(spec)
	return writeSpec(args[0], spec)
}

// rawSpec converts with the users of --rootfs, or without any.
func rawSpec(cmd *cli.Command, src *source) (*specs.Spec, error) {
	rootfs := cmd.String("rootfs")
	if rootfs != "" {
		tree, err := layer.OpenTree(rootfs, layer.Options{})
		if err != nil {
			return nil, err
		}
		defer tree.Close()
		return runconf.New(&src.image.Config, tree, filepath.Base(rootfs))
	}
	spec, known, err := runconf.NewWithoutFiles(&src.image.Config)
	if err == nil && !known {
		warner(cmd)(fmt.Sprintf("user %q cannot be looked up without --rootfs: 0:0 is taken", src.image.Config.Config.User))
	}
	return spec, err
}
