package main

import (
	"context"
	"encoding/json"

	"github.com/urfave/cli/v3"
)

// stateCommand describes state.
func (a *app) stateCommand() *cli.Command {
	return &cli.Command{
		Usage:       "output the state of a container",
		ArgsUsage:   "<container-id>",
		Description: "Prints the state of the container as JSON.",
		Action:      a.state,
	}
}

// state runs state.
func (a *app) state(_ context.Context, c *cli.Command) error {
	ct, err := a.load(c, 0)
	if err != nil {
		return err
	}
	s, err := ct.State()
	if err != nil {
		return err
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(s)
}
