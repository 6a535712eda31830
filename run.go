package main

import (
	"context"

	"github.com/hako-runtime/hako/libct"
	"github.com/urfave/cli/v3"
)

// runCommand describes run.
func (a *app) runCommand() *cli.Command {
	return &cli.Command{
		Usage:     "create and run a container",
		ArgsUsage: "<container-id>",
		Description: `Creates the container that the bundle describes and starts its process. In the
foreground, waits for the process, deletes the container and exits with the
process's code, or 128 plus the number of the signal that ended it.`,
		Flags: append(createFlags(),
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return when the process has been started"},
			&cli.BoolFlag{Name: "keep", Usage: "do not delete the container after its process has ended"},
			&cli.BoolFlag{Name: "no-subreaper", Usage: "do not become the reaper of the container's orphans"},
		),
		Action: a.run,
	}
}

// run runs run.
func (a *app) run(_ context.Context, c *cli.Command) error {
	id, err := a.container(c, 0)
	if err != nil {
		return err
	}
	a.code, err = a.rt.Run(id, libct.RunOptions{
		CreateOptions: createOptions(c),
		Detach:        c.Bool("detach"),
		Keep:          c.Bool("keep"),
		NoSubreaper:   c.Bool("no-subreaper"),
	})
	return err
}
