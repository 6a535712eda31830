package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"
)

// psCommand describes ps.
func (a *app) psCommand() *cli.Command {
	return &cli.Command{
		Usage:     "show the processes of a container",
		ArgsUsage: "<container-id> [ps options]",
		Description: `Runs ps(1) with the options behind the ID (default: -ef) and shows those of its
lines that belong to the container. The options have to keep the PID column.`,
		Flags:        []cli.Flag{formatFlag()},
		StopOnNthArg: new(1), // options behind the ID are for ps(1)
		Action:       a.ps,
	}
}

// ps runs ps.
func (a *app) ps(_ context.Context, c *cli.Command) error {
	ct, err := a.load(c, -1)
	if err != nil {
		return err
	}
	if err := checkFormat(c.String("format")); err != nil {
		return err
	}
	pids, err := ct.Processes()
	if err != nil {
		return err
	}
	if c.String("format") == "json" {
		if pids == nil {
			pids = []int{} // [] rather than null
		}
		return json.NewEncoder(a.stdout).Encode(pids)
	}
	args := c.Args().Tail()
	if len(args) == 0 {
		args = []string{"-ef"}
	}
	out, err := exec.Command("ps", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ps %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return filterPS(a.stdout, string(out), pids)
}

// filterPS prints the header of ps(1)'s output and the lines of pids.
func filterPS(w io.Writer, output string, pids []int) error {
	header, rest, _ := strings.Cut(output, "\n")
	column := slices.Index(strings.Fields(header), "PID")
	if column < 0 {
		return errors.New("ps(1) printed no PID column; leave it in the options")
	}
	fmt.Fprintln(w, header)
	for line := range strings.Lines(rest) {
		fields := strings.Fields(line)
		if len(fields) <= column {
			continue
		}
		pid, err := strconv.Atoi(fields[column])
		if err != nil {
			return fmt.Errorf("ps(1) printed %q as a PID", fields[column])
		}
		if slices.Contains(pids, pid) {
			fmt.Fprint(w, line)
		}
	}
	return nil
}
