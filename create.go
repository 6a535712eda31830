package main

import (
	"context"
	"errors"

	"github.com/hako-runtime/hako/libct"
	"github.com/urfave/cli/v3"
)

// createCommand describes create.
func (a *app) createCommand() *cli.Command {
	return &cli.Command{
		Usage:     "create a container",
		ArgsUsage: "<container-id>",
		Description: `Makes everything of the container that the bundle describes, except that its
process waits for "hako start". The ID must be unique below --root.`,
		Flags:  createFlags(),
		Action: a.create,
	}
}

// createFlags are the flags that create and run share.
func createFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "`DIR` of the bundle (default: current directory)", TakesFile: true},
		&cli.StringFlag{Name: "console-socket", Usage: "`PATH` of an AF_UNIX socket that receives the controlling end of the terminal", TakesFile: true},
		&cli.StringFlag{Name: "pidfd-socket", Usage: "`PATH` of an AF_UNIX socket that receives a pidfd of the container's process", TakesFile: true},
		&cli.StringFlag{Name: "pid-file", Usage: "write the process ID to `FILE`", TakesFile: true},
		&cli.BoolFlag{Name: "no-pivot", Usage: "enter the root without pivot_root(2), for roots on a ramdisk"},
		&cli.BoolFlag{Name: "no-new-keyring", Usage: "keep the caller's session keyring"},
		preserveFlag(),
	}
}

// preserveFlag is --preserve-fds of create, run and exec.
func preserveFlag() cli.Flag {
	return &cli.IntFlag{
		Name:  "preserve-fds",
		Usage: "pass `N` more file descriptors, after standard ones and $LISTEN_FDS",
		Validator: func(n int) error {
			if n < 0 {
				return errors.New("must not be negative")
			}
			return nil
		},
	}
}

// createOptions reads createFlags.
func createOptions(c *cli.Command) libct.CreateOptions {
	return libct.CreateOptions{
		Bundle:        c.String("bundle"),
		ConsoleSocket: c.String("console-socket"),
		PidfdSocket:   c.String("pidfd-socket"),
		PidFile:       c.String("pid-file"),
		NoPivot:       c.Bool("no-pivot"),
		NoNewKeyring:  c.Bool("no-new-keyring"),
		PreserveFDs:   c.Int("preserve-fds"),
	}
}

// create runs create.
func (a *app) create(_ context.Context, c *cli.Command) error {
	id, err := a.container(c, 0)
	if err != nil {
		return err
	}
	_, err = a.rt.Create(id, createOptions(c))
	return err
}
