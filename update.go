package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v3"
)

// updateCommand describes update.
func (a *app) updateCommand() *cli.Command {
	return &cli.Command{
		Usage:     "change the resource limits of a container",
		ArgsUsage: "<container-id>",
		Description: `Changes the given limits, or those of a file in the form of config.json's
linux.resources. What is not given stays as it is. Device rules are not changed.`,
		Flags:  updateFlags(),
		Action: a.update,
	}
}

// updateFlags are the flags of update. Quantities are text, because memory
// sizes have units and -1 lifts a limit.
func updateFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "resources", Aliases: []string{"r"}, Usage: "read the limits from `FILE`, or from standard input if it is -; other limits are ignored", TakesFile: true},
		&cli.StringFlag{Name: "blkio-weight", Usage: "block I/O `WEIGHT`, from 10 to 1000"},
		&cli.StringFlag{Name: "cpu-period", Usage: "length of a CPU period in `MICROSECONDS`"},
		&cli.StringFlag{Name: "cpu-quota", Usage: "CPU time in a period in `MICROSECONDS`; -1 lifts the limit"},
		&cli.StringFlag{Name: "cpu-burst", Usage: "CPU time that may be saved up in `MICROSECONDS`"},
		&cli.StringFlag{Name: "cpu-share", Usage: "CPU `SHARES`, relative to other containers"},
		&cli.StringFlag{Name: "cpu-rt-period", Usage: "length of a realtime CPU period in `MICROSECONDS`; cgroup v1 only"},
		&cli.StringFlag{Name: "cpu-rt-runtime", Usage: "realtime CPU time in a period in `MICROSECONDS`; cgroup v1 only"},
		&cli.StringFlag{Name: "cpuset-cpus", Usage: "`CPUS` to use, e.g. 0-3,7"},
		&cli.StringFlag{Name: "cpuset-mems", Usage: "memory `NODES` to use, e.g. 0-1"},
		&cli.StringFlag{Name: "cpu-idle", Usage: "1 makes the container run only when a CPU is idle, 0 does not (`0|1`)"},
		&cli.StringFlag{Name: "memory", Usage: "memory limit in `BYTES`, also 50M; -1 lifts it"},
		&cli.StringFlag{Name: "memory-reservation", Usage: "memory that is left alone under pressure, in `BYTES`; -1 lifts it"},
		&cli.StringFlag{Name: "memory-swap", Usage: "limit of memory and swap together in `BYTES`; -1 lifts it"},
		&cli.StringFlag{Name: "kernel-memory", Hidden: true, Usage: "ignored: kernels do not have it any more (`BYTES`)"},
		&cli.StringFlag{Name: "kernel-memory-tcp", Hidden: true, Usage: "ignored: kernels do not have it any more (`BYTES`)"},
		&cli.StringFlag{Name: "pids-limit", Usage: "largest `NUMBER` of tasks; -1 lifts the limit"},
		&cli.StringFlag{Name: "l3-cache-schema", Usage: "Intel RDT cache allocation `SCHEMA`"},
		&cli.StringFlag{Name: "mem-bw-schema", Usage: "Intel RDT memory bandwidth `SCHEMA`"},
	}
}

// update runs update.
func (a *app) update(_ context.Context, c *cli.Command) error {
	ct, err := a.load(c, 0)
	if err != nil {
		return err
	}
	o := libct.UpdateOptions{L3CacheSchema: c.String("l3-cache-schema"), MemBwSchema: c.String("mem-bw-schema")}
	if file := c.String("resources"); file != "" {
		o.Resources, err = readResources(file)
	} else {
		o.Resources, err = resourcesOf(c)
	}
	if err != nil {
		return err
	}
	for _, name := range []string{"kernel-memory", "kernel-memory-tcp"} {
		if c.IsSet(name) {
			a.log.warn("--" + name + " is ignored: kernels do not have this limit any more")
		}
	}
	return ct.Update(o)
}

// maxResources bounds standard input, which may be anything.
const maxResources = 16 << 20

// readResources reads a file, or standard input if it is "-".
func readResources(file string) (*specs.LinuxResources, error) {
	if file != "-" {
		return plan.ReadResources(file)
	}
	data, err := io.ReadAll(io.LimitReader(os.Stdin, maxResources+1))
	if err != nil {
		return nil, err
	}
	return plan.DecodeResources("standard input", data)
}

// resourcesOf says what the flags say. Whether that makes sense is plan's
// business.
func resourcesOf(c *cli.Command) (*specs.LinuxResources, error) {
	f := &flagReader{c: c}
	r := &specs.LinuxResources{
		Memory: &specs.LinuxMemory{
			Limit: f.size("memory"), Reservation: f.size("memory-reservation"), Swap: f.size("memory-swap"),
		},
		CPU: &specs.LinuxCPU{
			Shares: f.unsigned("cpu-share"), Quota: f.signed("cpu-quota"), Period: f.unsigned("cpu-period"), Burst: f.unsigned("cpu-burst"),
			RealtimeRuntime: f.signed("cpu-rt-runtime"), RealtimePeriod: f.unsigned("cpu-rt-period"),
			Cpus: c.String("cpuset-cpus"), Mems: c.String("cpuset-mems"), Idle: f.signed("cpu-idle"),
		},
		BlockIO: &specs.LinuxBlockIO{},
	}
	if c.IsSet("pids-limit") {
		r.Pids = &specs.LinuxPids{Limit: f.signed("pids-limit")}
	}
	if weight := f.unsigned("blkio-weight"); weight != nil {
		if *weight > math.MaxUint16 {
			f.fail("blkio-weight", "is not from 10 to 1000")
		}
		r.BlockIO.Weight = new(uint16(*weight))
	}
	return r, f.err
}

// flagReader reads numbers of flags, nil if a flag is not there. It keeps the
// first error.
type flagReader struct {
	c   *cli.Command
	err error
}

func (f *flagReader) fail(name, problem string) {
	if f.err == nil {
		f.err = fmt.Errorf("--%s %q %s", name, f.c.String(name), problem)
	}
}

func (f *flagReader) unsigned(name string) *uint64 {
	if !f.c.IsSet(name) {
		return nil
	}
	n, err := strconv.ParseUint(f.c.String(name), 10, 64)
	if err != nil {
		f.fail(name, "is not a number from 0")
	}
	return &n
}

func (f *flagReader) signed(name string) *int64 {
	if !f.c.IsSet(name) {
		return nil
	}
	n, err := strconv.ParseInt(f.c.String(name), 10, 64)
	if err != nil {
		f.fail(name, "is not a number")
	}
	return &n
}

func (f *flagReader) size(name string) *int64 {
	if !f.c.IsSet(name) {
		return nil
	}
	n, ok := parseSize(f.c.String(name))
	if !ok {
		f.fail(name, "is not a number of bytes, such as 50M, nor -1")
	}
	return &n
}

// parseSize reads a number of bytes as Docker and runc do: "50M", "1.5g",
// "64KiB", "10 mb"; units are powers of 1024. -1 is no limit.
func parseSize(s string) (bytes int64, ok bool) {
	if s == "-1" {
		return -1, true
	}
	digits := strings.TrimRight(s, "bBiIkKmMgGtTpP ")
	unit := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(s[len(digits):])), "b")
	if rest, ok := strings.CutSuffix(unit, "i"); ok && rest != "" {
		unit = rest
	}
	power := strings.Index("kmgtp", unit) + 1
	switch {
	case digits == "" || strings.Trim(digits, "0123456789.") != "" || len(unit) > 1 || power == 0:
		return 0, false
	case unit == "":
		power = 0
	}
	n, err := strconv.ParseFloat(digits, 64)
	if n *= math.Pow(1024, float64(power)); err != nil || n > math.MaxInt64/2 {
		return 0, false
	}
	if power == 0 {
		bytes, err = strconv.ParseInt(digits, 10, 64) // exactly
		return bytes, err == nil
	}
	return int64(n), true
}
