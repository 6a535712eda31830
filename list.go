package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"text/tabwriter"
	"time"

	"github.com/hako-runtime/hako/libct"
	"github.com/urfave/cli/v3"
)

// listCommand describes list.
func (a *app) listCommand() *cli.Command {
	return &cli.Command{
		Usage:       "list the containers below --root",
		Description: "Prints all containers of the state root, started by whom and from what bundle.",
		Flags: []cli.Flag{
			formatFlag(),
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print only container IDs"},
		},
		Action: a.list,
	}
}

// formatFlag is --format of list and ps.
func formatFlag() cli.Flag {
	return &cli.StringFlag{Name: "format", Aliases: []string{"f"}, Value: "table", Usage: "output `FORMAT`: table or json"}
}

// checkFormat refuses what formatFlag does not offer.
func checkFormat(format string) error {
	if format != "table" && format != "json" {
		return fmt.Errorf("--format %q: must be table or json", format)
	}
	return nil
}

// list runs list.
func (a *app) list(_ context.Context, c *cli.Command) error {
	if err := noArgs(c); err != nil {
		return err
	}
	if err := checkFormat(c.String("format")); err != nil {
		return err
	}
	states, err := a.containers(c.Root().IsSet("root"))
	switch {
	case err != nil:
		return err
	case c.Bool("quiet"):
		return listIDs(a.stdout, states)
	case c.String("format") == "json":
		return listJSON(a.stdout, states)
	}
	return listTable(a.stdout, states)
}

// containers lists the state root. That the default one is missing means only
// that nothing was created since the machine started.
func (a *app) containers(explicitRoot bool) ([]libct.State, error) {
	if _, err := os.Stat(a.rt.Root); err != nil {
		if !explicitRoot && errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	return a.rt.List()
}

// listIDs prints an ID a line.
func listIDs(w io.Writer, states []libct.State) error {
	for _, s := range states {
		if _, err := fmt.Fprintln(w, s.ID); err != nil {
			return err
		}
	}
	return nil
}

// listJSON prints an array, in one line.
func listJSON(w io.Writer, states []libct.State) error {
	if states == nil {
		states = []libct.State{} // [] rather than null
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(states)
}

// listTable prints columns for people.
func listTable(w io.Writer, states []libct.State) error {
	t := tabwriter.NewWriter(w, 12, 1, 3, ' ', 0)
	fmt.Fprint(t, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
	for _, s := range states {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%s\t%s\n",
			s.ID, s.Pid, s.Status, s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner)
	}
	return t.Flush()
}
