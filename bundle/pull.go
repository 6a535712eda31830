package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v3"

	"github.com/hako-runtime/hako/bundle/registry"
	"github.com/hako-runtime/hako/bundle/store"
)

func remoteFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "plain-http", Usage: "speak HTTP without TLS to the registry"},
		&cli.StringFlag{Name: "authfile", Usage: "take the credentials from `FILE`, instead of those of podman and docker"},
		&cli.StringSliceFlag{Name: "auth-host", Usage: "send the credentials also to `HOST`, the registry's token service; may be given more than once"},
		&cli.IntFlag{Name: "jobs", Value: 4, Usage: "transfer `N` blobs at a time"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "show no progress"},
	}
}

func pullCommand() *cli.Command {
	return &cli.Command{
		Usage:     "copies an image from a registry or an archive into a layout",
		ArgsUsage: "REF LAYOUT[:TAG]",
		Flags: append([]cli.Flag{
			platformFlag(),
			&cli.BoolFlag{Name: "all-platforms", Usage: "copy a multi-platform index with all of its images"},
		}, remoteFlags()...),
		Action: pullAction,
	}
}

func pushCommand() *cli.Command {
	return &cli.Command{
		Usage:     "copies an image from a layout to a registry or an archive",
		ArgsUsage: "LAYOUT[:TAG] REF",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "platform", Usage: "of a multi-platform index, copy only the image for `OS/ARCH[/VARIANT]`"},
		}, remoteFlags()...),
		Action: pushAction,
	}
}

func remoteOptions(cmd *cli.Command) registry.Options {
	return registry.Options{
		PlainHTTP: cmd.Bool("plain-http"), AuthFile: cmd.String("authfile"),
		AuthHosts: cmd.StringSlice("auth-host"), UserAgent: "hako-bundle/" + version,
	}
}

// transfer reads the flags of pull and push.
func transfer(cmd *cli.Command) (registry.Transfer, error) {
	t := registry.Transfer{Platform: cmd.String("platform"), Jobs: cmd.Int("jobs")}
	if t.Jobs < 1 || t.Jobs > 64 {
		return t, fmt.Errorf("--jobs %d: want 1 to 64", t.Jobs)
	}
	if !cmd.Bool("quiet") {
		t.Report = newProgress(cmd.Root().ErrWriter).report
	}
	return t, nil
}

func pullAction(ctx context.Context, cmd *cli.Command) error {
	args, err := positionals(cmd, "ref", "layout:tag")
	if err != nil {
		return err
	}
	to, err := store.ParseReference(args[1])
	if err != nil {
		return err
	}
	t, err := transfer(cmd)
	if err != nil {
		return err
	}
	if t.All = cmd.Bool("all-platforms"); t.All && t.Platform != "" {
		return errors.New("--platform and --all-platforms exclude each other")
	}
	src, err := registry.OpenSource(args[0], remoteOptions(cmd))
	if err != nil {
		return err
	}
	defer src.Close()
	// Asked before a layout is made: a mistyped name leaves nothing behind.
	d, err := src.Resolve(ctx)
	if err != nil {
		return err
	}
	return pullInto(ctx, src, d, to, t)
}

// pullInto makes the layout if there is none. If the pull fails it stays only
// if there is something to resume.
func pullInto(ctx context.Context, src registry.Source, d v1.Descriptor, to store.Reference, t registry.Transfer) (err error) {
	made := false
	if _, err := os.Lstat(to.Path); errors.Is(err, os.ErrNotExist) {
		if err := store.Create(to.Path); err != nil {
			return err
		}
		made = true
	}
	writer, err := openWriter(ctx, to.Path)
	if err != nil {
		return err
	}
	got, err := registry.Pull(ctx, src, d, writer, t)
	if err == nil {
		err = writer.SetTag(to.Tag, got)
	}
	writer.Close()
	if err != nil && made && !store.Resumable(to.Path) {
		_ = os.RemoveAll(filepath.Clean(to.Path)) // ours, and empty
	}
	return err
}

func pushAction(ctx context.Context, cmd *cli.Command) error {
	args, err := positionals(cmd, "layout:tag", "ref")
	if err != nil {
		return err
	}
	from, err := store.ParseReference(args[0])
	if err != nil {
		return err
	}
	t, err := transfer(cmd)
	if err != nil {
		return err
	}
	layout, err := store.Open(from.Path)
	if err != nil {
		return err
	}
	release, err := layout.Share(ctx)
	if err != nil {
		return err
	}
	defer release()
	d, err := layout.Tagged(from.Tag)
	if err == nil && t.Platform != "" {
		var walk store.Walk
		if walk, err = layout.ResolvePlatform(from.Tag, t.Platform); err == nil {
			d = walk.Target()
		}
	}
	if err != nil {
		return err
	}
	return registry.Push(ctx, layout, d, args[1], remoteOptions(cmd), t)
}
