package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v3"
)

// completionCommand describes completion.
func (a *app) completionCommand() *cli.Command {
	return &cli.Command{
		Usage:     "print a completion script for a shell",
		ArgsUsage: "bash|zsh|fish",
		Action:    func(context.Context, *cli.Command) error { return errors.New("being written") },
	}
}
