package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hako-runtime/hako/libct"
	"github.com/urfave/cli/v3"
)

// checkCommand describes check.
func (a *app) checkCommand() *cli.Command {
	return &cli.Command{
		Usage:     "tell what is wrong or weak in a bundle",
		ArgsUsage: "[bundle]",
		Description: `Compares config.json with the specification and with this machine, and starts
nothing. Errors are what create would fail with. Warnings are what makes the
container weak: it starts, but holds back less than it could.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "`DIR` of the bundle (default: current directory)", TakesFile: true},
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Value: "text", Usage: "output `FORMAT`: text or json"},
		},
		Action: a.check,
	}
}

// check runs check.
func (a *app) check(_ context.Context, c *cli.Command) error {
	format, bundle := c.String("format"), c.String("bundle")
	switch {
	case format != "text" && format != "json":
		return fmt.Errorf("--format %q: must be text or json", format)
	case c.NArg() > 1:
		return fmt.Errorf("unexpected argument %q; see hako check --help", c.Args().Get(1))
	case c.NArg() == 1 && bundle != "":
		return errors.New("the bundle is given twice")
	case c.NArg() == 1:
		bundle = c.Args().First()
	}
	result, err := a.rt.Check(bundle)
	if err != nil {
		return err
	}
	if result.Errors() > 0 {
		a.code = 1
	}
	if format == "json" {
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(result)
	}
	return a.printCheck(result)
}

// printCheck prints a finding a line, and the sum.
func (a *app) printCheck(result *libct.CheckResult) error {
	for _, f := range result.Findings {
		where := f.Path
		if where != "" {
			where += ": "
		}
		section := ""
		if f.Section != "" {
			section = ", " + f.Section
		}
		if _, err := fmt.Fprintf(a.stdout, "%s: %s%s (%s%s)\n", f.Level, printable(where), printable(f.Message), f.ID, section); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(a.stdout, "%d errors, %d warnings\n", result.Errors(), len(result.Findings)-result.Errors())
	return err
}
