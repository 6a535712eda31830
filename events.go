package main

import (
	"time"

	"github.com/urfave/cli/v3"
)

// eventsCommand describes events.
func (a *app) eventsCommand() *cli.Command {
	return &cli.Command{
		Usage:       "show statistics and out-of-memory events of a container",
		ArgsUsage:   "<container-id>",
		Description: `Prints a JSON object a line, until the container is gone. Not supported yet.`,
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "interval", Value: 5 * time.Second, Usage: "`TIME` between two statistics"},
			&cli.BoolFlag{Name: "stats", Usage: "print one statistic and exit"},
		},
		Action: a.later("resources"),
	}
}
