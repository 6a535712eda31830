package main

import (
	"context"

	"github.com/urfave/cli/v3"
)

// startCommand describes start.
func (a *app) startCommand() *cli.Command {
	return &cli.Command{
		Usage:     "execute the process of a created container",
		ArgsUsage: "<container-id>",
		Description: `Lets the process of a created container go. Fails if the program cannot be
executed.`,
		Action: a.start,
	}
}

// start runs start.
func (a *app) start(_ context.Context, c *cli.Command) error {
	ct, err := a.load(c, 0)
	if err != nil {
		return err
	}
	return ct.Start()
}
