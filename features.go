package main

import (
	"context"
	"encoding/json"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"github.com/urfave/cli/v3"
)

// featuresCommand describes features.
func (a *app) featuresCommand() *cli.Command {
	return &cli.Command{
		Usage:       "show what this runtime implements",
		Description: "Prints the features structure of the runtime specification as JSON.",
		Action:      a.features,
	}
}

// features runs features.
func (a *app) features(_ context.Context, c *cli.Command) error {
	if err := a.noArgs(c); err != nil {
		return err
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "    ")
	return enc.Encode(implemented())
}

// implemented is the features structure; features.md.
func implemented() features.Features {
	return features.Features{OCIVersionMin: "1.0.0", OCIVersionMax: specs.Version}
}
