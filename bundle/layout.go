package main

import (
	"context"
	"fmt"
	"runtime"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v3"

	"github.com/hako-runtime/hako/bundle/image"
	"github.com/hako-runtime/hako/bundle/store"
)

func initCommand() *cli.Command {
	return &cli.Command{
		Usage:     "makes an empty image layout",
		ArgsUsage: " ",
		Flags:     []cli.Flag{layoutFlag()},
		Action: func(_ context.Context, cmd *cli.Command) error {
			if _, err := positionals(cmd); err != nil {
				return err
			}
			path, err := layoutPath(cmd)
			if err != nil {
				return err
			}
			return store.Create(path)
		},
	}
}

func newCommand() *cli.Command {
	return &cli.Command{
		Usage:     "makes an image without layers",
		ArgsUsage: " ",
		Flags:     []cli.Flag{imageFlag()},
		Action:    newAction,
	}
}

func newAction(ctx context.Context, cmd *cli.Command) error {
	if _, err := positionals(cmd); err != nil {
		return err
	}
	ref, err := reference(cmd)
	if err != nil {
		return err
	}
	created, err := now()
	if err != nil {
		return err
	}
	writer, err := openWriter(ctx, ref.Path)
	if err != nil {
		return err
	}
	defer writer.Close()
	e := editing{image.New(hostPlatform(), created), writer, ref.Tag}
	return e.commit()
}

// hostPlatform says what this machine runs; of ARM, also which variant
// (image-index.md).
func hostPlatform() v1.Platform {
	platform := v1.Platform{Architecture: runtime.GOARCH, OS: runtime.GOOS}
	switch platform.Architecture {
	case "arm":
		platform.Variant = "v7"
	case "arm64":
		platform.Variant = "v8"
	}
	return platform
}

func tagCommand() *cli.Command {
	return &cli.Command{
		Usage:     "gives an image another tag",
		ArgsUsage: "NEW-TAG",
		Flags:     []cli.Flag{imageFlag()},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			args, err := positionals(cmd, "new-tag")
			if err != nil {
				return err
			}
			return withWriter(ctx, cmd, func(w *store.Writer, tag string) error {
				return w.CopyTag(tag, args[0])
			})
		},
	}
}

func removeCommand() *cli.Command {
	return &cli.Command{
		Usage:     "removes a tag; gc removes what it led to",
		ArgsUsage: " ",
		Flags:     []cli.Flag{imageFlag()},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if _, err := positionals(cmd); err != nil {
				return err
			}
			return withWriter(ctx, cmd, func(w *store.Writer, tag string) error {
				return w.RemoveTag(tag)
			})
		},
	}
}

// withWriter opens the layout of --image for writing.
func withWriter(ctx context.Context, cmd *cli.Command, do func(w *store.Writer, tag string) error) error {
	ref, err := reference(cmd)
	if err != nil {
		return err
	}
	writer, err := openWriter(ctx, ref.Path)
	if err != nil {
		return err
	}
	defer writer.Close()
	return do(writer, ref.Tag)
}

func gcCommand() *cli.Command {
	return &cli.Command{
		Usage:     "removes blobs that no image refers to",
		ArgsUsage: " ",
		Flags:     []cli.Flag{layoutFlag()},
		Action: func(ctx context.Context, cmd *cli.Command) error {
			if _, err := positionals(cmd); err != nil {
				return err
			}
			path, err := layoutPath(cmd)
			if err != nil {
				return err
			}
			layout, err := store.Open(path)
			if err != nil {
				return err
			}
			return layout.GC(ctx)
		},
	}
}

func rollbackCommand() *cli.Command {
	return &cli.Command{
		Usage:     "moves a tag back to an earlier commit",
		ArgsUsage: "IMAGE [N]",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "forward", Usage: "undo rollbacks instead, N of them"},
		},
		Action: rollbackAction,
	}
}

func rollbackAction(ctx context.Context, cmd *cli.Command) error {
	args := cmd.Args().Slice()
	if len(args) == 1 {
		args = append(args, "1")
	}
	if len(args) != 2 {
		return fmt.Errorf("invalid number of positional arguments: expected <image> [<n>], got %d", len(args))
	}
	var n int
	if _, err := fmt.Sscanf(args[1]+"\n", "%d\n", &n); err != nil || n < 1 {
		return fmt.Errorf("<n> %q: want how many commits to go, 1 or more", args[1])
	}
	if cmd.Bool("forward") {
		n = -n
	}
	ref, err := store.ParseReference(args[0])
	if err != nil {
		return err
	}
	writer, err := openWriter(ctx, ref.Path)
	if err != nil {
		return err
	}
	defer writer.Close()
	target, err := writer.Rollback(ref.Tag, n)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.Root().Writer, "%s is %s now\n", ref.Tag, target.Digest)
	return err
}
