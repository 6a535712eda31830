package main

import (
	"context"

	"github.com/urfave/cli/v3"
)

// updateCommand describes update.
func (a *app) updateCommand() *cli.Command {
	return &cli.Command{
		Usage:     "change the resource limits of a container",
		ArgsUsage: "<container-id>",
		Description: `Changes the given limits, or those of a file in the form of config.json's
linux.resources. Not supported yet.`,
		Flags:  updateFlags(),
		Action: a.later("resources"),
	}
}

// updateFlags are the flags of update. Quantities are text, because memory
// sizes have units and -1 lifts a limit.
func updateFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "resources", Aliases: []string{"r"}, Usage: "read the limits from `FILE`, or from standard input if it is -; other options are ignored", TakesFile: true},
		&cli.StringFlag{Name: "blkio-weight", Usage: "block I/O `WEIGHT`, from 10 to 1000"},
		&cli.StringFlag{Name: "cpu-period", Usage: "length of a CPU period in `MICROSECONDS`"},
		&cli.StringFlag{Name: "cpu-quota", Usage: "CPU time in a period in `MICROSECONDS`"},
		&cli.StringFlag{Name: "cpu-burst", Usage: "CPU time that may be saved up in `MICROSECONDS`"},
		&cli.StringFlag{Name: "cpu-share", Usage: "CPU `SHARES`, relative to other containers"},
		&cli.StringFlag{Name: "cpu-rt-period", Usage: "length of a realtime CPU period in `MICROSECONDS`"},
		&cli.StringFlag{Name: "cpu-rt-runtime", Usage: "realtime CPU time in a period in `MICROSECONDS`"},
		&cli.StringFlag{Name: "cpuset-cpus", Usage: "`CPUS` to use, e.g. 0-3,7"},
		&cli.StringFlag{Name: "cpuset-mems", Usage: "memory `NODES` to use, e.g. 0-1"},
		&cli.StringFlag{Name: "cpu-idle", Usage: "1 makes the container run only when a CPU is idle, 0 does not (`0|1`)"},
		&cli.StringFlag{Name: "memory", Usage: "memory limit in `BYTES`, also 50M; -1 lifts it"},
		&cli.StringFlag{Name: "memory-reservation", Usage: "memory that is left alone under pressure, in `BYTES`"},
		&cli.StringFlag{Name: "memory-swap", Usage: "limit of memory and swap together in `BYTES`; -1 lifts it"},
		&cli.StringFlag{Name: "kernel-memory", Hidden: true, Usage: "ignored: kernels do not have it any more (`BYTES`)"},
		&cli.StringFlag{Name: "kernel-memory-tcp", Hidden: true, Usage: "ignored: kernels do not have it any more (`BYTES`)"},
		&cli.StringFlag{Name: "pids-limit", Usage: "largest `NUMBER` of tasks"},
		&cli.StringFlag{Name: "l3-cache-schema", Usage: "Intel RDT cache allocation `SCHEMA`"},
		&cli.StringFlag{Name: "mem-bw-schema", Usage: "Intel RDT memory bandwidth `SCHEMA`"},
	}
}

// later is the action of a command whose flags are known but whose work is the
// subject of another issue.
func (a *app) later(issue string) cli.ActionFunc {
	return func(_ context.Context, c *cli.Command) error {
		if _, err := a.container(c, 0); err != nil {
			return err
		}
		a.log.id = ""
		return notSupported("", issue)
	}
}
