package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/hako-runtime/hako/bundle/store"
)

func listCommand() *cli.Command {
	return &cli.Command{
		Usage:     "lists the tags of an image layout, one per line",
		ArgsUsage: " ",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "layout", Usage: "`PATH` of the image layout"},
		},
		Action: list,
	}
}

func list(_ context.Context, cmd *cli.Command) error {
	if _, err := positionals(cmd); err != nil {
		return err
	}
	if !cmd.IsSet("layout") {
		return errors.New("missing mandatory argument: --layout")
	}
	layout, err := store.Open(cmd.String("layout"))
	if err != nil {
		return err
	}
	tags, err := layout.Tags()
	if err != nil {
		return err
	}
	for _, tag := range tags {
		if _, err := fmt.Fprintln(cmd.Root().Writer, oneLine(tag)); err != nil {
			return err
		}
	}
	return nil
}
