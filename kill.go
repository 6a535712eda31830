package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v3"
	"golang.org/x/sys/unix"
)

// killCommand describes kill.
func (a *app) killCommand() *cli.Command {
	return &cli.Command{
		Usage:     "send a signal (default: SIGTERM) to a container's process",
		ArgsUsage: "<container-id> [signal]",
		Description: `The signal is a name with or without SIG, in any case, or a number:

   # hako kill web KILL
   # hako kill web sighup
   # hako kill web 9`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "send the signal to all processes of the container"},
		},
		Action: a.kill,
	}
}

// kill runs kill.
func (a *app) kill(_ context.Context, c *cli.Command) error {
	id, err := a.container(c, 1)
	if err != nil {
		return err
	}
	sig := unix.SIGTERM
	if name := c.Args().Get(1); name != "" {
		if sig, err = parseSignal(name); err != nil {
			return err
		}
	}
	ct, err := a.rt.Load(id)
	if err != nil {
		return err
	}
	return ct.Signal(sig, c.Bool("all"))
}

// The real-time signals as C libraries number them; signal(7). The kernel's
// own start at 32.
const (
	sigRTMin = 34
	sigRTMax = 64
)

// parseSignal understands numbers and names; see kill(1).
func parseSignal(s string) (unix.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 0 || n > sigRTMax {
			return 0, fmt.Errorf("signal %d: must be from 0 to %d", n, sigRTMax)
		}
		return unix.Signal(n), nil
	}
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, nil
	}
	if sig, ok := parseRealTime(name); ok {
		return sig, nil
	}
	return 0, fmt.Errorf("unknown signal %q", s)
}

// parseRealTime understands RTMIN, RTMIN+n, RTMAX and RTMAX-n.
func parseRealTime(name string) (unix.Signal, bool) {
	base, sign := sigRTMin, "+"
	offset, ok := strings.CutPrefix(name, "RTMIN")
	if !ok {
		base, sign = sigRTMax, "-"
		if offset, ok = strings.CutPrefix(name, "RTMAX"); !ok {
			return 0, false
		}
	}
	if offset == "" {
		return unix.Signal(base), true
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(offset, sign), 10, 8)
	if err != nil || !strings.HasPrefix(offset, sign) || n > sigRTMax-sigRTMin {
		return 0, false
	}
	if sign == "-" {
		return unix.Signal(base - int(n)), true
	}
	return unix.Signal(base + int(n)), true
}
