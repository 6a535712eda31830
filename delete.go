package main

import (
	"context"

	"github.com/urfave/cli/v3"
)

// deleteCommand describes delete.
func (a *app) deleteCommand() *cli.Command {
	return &cli.Command{
		Usage:     "delete what a container holds",
		ArgsUsage: "<container-id> [container-id...]",
		Description: `Removes the cgroup and the state of stopped containers. With --force also of
running ones, after killing them; a container that does not exist is then no
error.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "kill the container's processes (SIGKILL) if there are any"},
		},
		Action: a.delete,
	}
}

// delete runs delete. One failure does not keep the other containers.
func (a *app) delete(_ context.Context, c *cli.Command) error {
	if _, err := a.container(c, -1); err != nil {
		return err
	}
	for _, id := range c.Args().Slice() {
		a.log.id = id
		if err := a.rt.Delete(id, c.Bool("force")); err != nil {
			a.log.fail(err)
			a.code = 1
		}
	}
	return nil
}
