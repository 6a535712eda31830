package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v3"

	"github.com/hako-runtime/hako/bundle/image"
	"github.com/hako-runtime/hako/bundle/layer"
	"github.com/hako-runtime/hako/bundle/store"
)

func insertCommand() *cli.Command {
	flags := []cli.Flag{
		imageFlag(), newTagFlag(), compressFlag(),
		&cli.BoolFlag{Name: "opaque", Usage: "hide what the lower layers have in DST"},
		&cli.BoolFlag{Name: "whiteout", Usage: "hide DST of the lower layers; SRC is not given then"},
	}
	return &cli.Command{
		Usage:     "adds a file or directory to an image, as a new layer",
		ArgsUsage: "SRC DST",
		Flags:     append(append(flags, mapFlags()...), historyFlags()...),
		Action:    insertAction,
	}
}

func insertAction(ctx context.Context, cmd *cli.Command) error {
	write, err := insertion(cmd)
	if err != nil {
		return err
	}
	return addLayer(ctx, cmd, "umoci insert", write)
}

// insertion checks the arguments and returns what writes the layer.
func insertion(cmd *cli.Command) (func(io.Writer) error, error) {
	names := []string{"source", "target"}
	if cmd.Bool("whiteout") {
		names = names[1:]
	}
	args, err := positionals(cmd, names...)
	if err != nil {
		return nil, err
	}
	if cmd.Bool("whiteout") && cmd.Bool("opaque") {
		return nil, errors.New("--whiteout and --opaque exclude each other")
	}
	options, err := packOptions(cmd)
	if err != nil {
		return nil, err
	}
	target := path.Clean("/" + args[len(args)-1])[1:]
	if strings.HasPrefix(path.Base(target), ".wh.") {
		return nil, fmt.Errorf("<target> %q begins with .wh., as a layer's names cannot", args[len(args)-1])
	}
	return func(w io.Writer) error {
		packer := layer.NewPacker(w, options)
		if cmd.Bool("whiteout") {
			return closing(packer, packer.Whiteout(target))
		}
		if cmd.Bool("opaque") {
			if err := packer.Opaque(target); err != nil {
				return err
			}
		}
		return closing(packer, packer.AddTree(args[0], target))
	}, nil
}

// closing ends the archive unless it failed.
func closing(c io.Closer, err error) error {
	if err != nil {
		return err
	}
	return c.Close()
}

func packOptions(cmd *cli.Command) (layer.PackOptions, error) {
	maps, err := mapOptions(cmd)
	if err != nil {
		return layer.PackOptions{}, err
	}
	return maps.packOptions(warner(cmd))
}

// packOptions are those of a bundle that was unpacked with these maps.
func (m metaMaps) packOptions(warn func(string)) (layer.PackOptions, error) {
	latest, _, err := sourceDate()
	return layer.PackOptions{
		UIDs: m.UIDMappings, GIDs: m.GIDMappings, Rootless: m.Rootless, NotAfter: latest, Warn: warn,
	}, err
}

// addLayer puts what write produces on top of the image.
func addLayer(ctx context.Context, cmd *cli.Command, createdBy string, write func(io.Writer) error) error {
	asked, err := compression(cmd)
	if err != nil {
		return err
	}
	e, err := edit(ctx, cmd)
	if err != nil {
		return err
	}
	defer e.writer.Close()
	history, err := layerHistory(cmd, createdBy, "")
	if err != nil {
		return err
	}
	return e.addLayer(ctx, asked, history, write)
}

func (e *editing) addLayer(ctx context.Context, asked layer.Compression, history *v1.History, write func(io.Writer) error) error {
	l, err := image.WriteLayer(e.writer, chooseCompression(asked, e.Edit), func(w io.Writer) error {
		return write(cancelableWriter{ctx, w})
	})
	if err != nil {
		return err
	}
	e.AddLayer(l, history)
	return e.commit()
}

// cancelableWriter is cancelable for what is written.
type cancelableWriter struct {
	ctx    context.Context
	writer io.Writer
}

func (c cancelableWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.writer.Write(p)
}

func rawAddLayerCommand() *cli.Command {
	return &cli.Command{
		Usage:     "adds an uncompressed tar archive to an image as it is",
		ArgsUsage: "LAYER.tar",
		Flags:     append([]cli.Flag{imageFlag(), newTagFlag(), compressFlag()}, historyFlags()...),
		Action: func(ctx context.Context, cmd *cli.Command) error {
			args, err := positionals(cmd, "new-layer.tar")
			if err != nil {
				return err
			}
			f, err := store.OpenRegular(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			return addLayer(ctx, cmd, "umoci raw add-layer", func(w io.Writer) error {
				_, err := io.Copy(w, f)
				return err
			})
		},
	}
}
