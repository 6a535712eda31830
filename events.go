package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/hako-runtime/hako/libct/cgroup/stats"
	"github.com/urfave/cli/v3"
)

// eventsCommand describes events.
func (a *app) eventsCommand() *cli.Command {
	return &cli.Command{
		Usage:     "show statistics and out-of-memory events of a container",
		ArgsUsage: "<container-id>",
		Description: `Prints a JSON object a line: statistics in each interval, and an event whenever
the container is out of memory; until the container has stopped.`,
		Flags: []cli.Flag{
			&cli.DurationFlag{Name: "interval", Value: 5 * time.Second, Usage: "`TIME` between two statistics"},
			&cli.BoolFlag{Name: "stats", Usage: "print one statistic and exit"},
		},
		Action: a.events,
	}
}

// events runs events.
func (a *app) events(_ context.Context, c *cli.Command) error {
	ct, err := a.load(c, 0)
	if err != nil {
		return err
	}
	interval := c.Duration("interval")
	if interval <= 0 {
		return errors.New("--interval must be greater than 0")
	}
	enc := json.NewEncoder(a.stdout)
	if !c.Bool("stats") {
		return ct.Events(interval, func(e stats.Event) error { return enc.Encode(e) })
	}
	s, err := ct.Stats()
	if err != nil {
		return err
	}
	return enc.Encode(stats.Event{Type: stats.TypeStats, ID: c.Args().First(), Data: s})
}
