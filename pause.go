package main

import (
	"context"

	"github.com/urfave/cli/v3"
)

// pauseCommand describes pause.
func (a *app) pauseCommand() *cli.Command {
	return &cli.Command{
		Usage:       "suspend all processes of a container",
		ArgsUsage:   "<container-id>",
		Description: "Freezes the container's cgroup, until \"hako resume\".",
		Action:      a.pause,
	}
}

// resumeCommand describes resume.
func (a *app) resumeCommand() *cli.Command {
	return &cli.Command{
		Usage:       "let the processes of a paused container go on",
		ArgsUsage:   "<container-id>",
		Description: "Thaws the container's cgroup after \"hako pause\".",
		Action:      a.resume,
	}
}

// pause runs pause.
func (a *app) pause(_ context.Context, c *cli.Command) error {
	ct, err := a.load(c, 0)
	if err != nil {
		return err
	}
	return ct.Pause()
}

// resume runs resume.
func (a *app) resume(_ context.Context, c *cli.Command) error {
	ct, err := a.load(c, 0)
	if err != nil {
		return err
	}
	return ct.Resume()
}
