package main

import (
	"strings"

	"github.com/urfave/cli/v3"
)

// globalFlags are the flags that stand before the command.
func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "debug", Local: true, Usage: "log every step with the time that it took"},
		&cli.StringFlag{Name: "log", Local: true, Usage: "append messages to `FILE`; errors go to standard error, too", TakesFile: true},
		&cli.StringFlag{Name: "log-format", Local: true, Value: "text", Usage: "`FORMAT` of log messages: text or json"},
		&cli.StringFlag{Name: "root", Local: true, DefaultText: "/run/hako, or $XDG_RUNTIME_DIR/hako if not root", Usage: "`DIR` for the state of containers, which should be in a tmpfs", TakesFile: true},
		&cli.StringFlag{Name: "criu", Local: true, Hidden: true, Usage: "`PATH` of the criu binary; accepted for compatibility"},
		&cli.BoolFlag{Name: "systemd-cgroup", Local: true, Usage: "let systemd manage the cgroup; linux.cgroupsPath is slice:prefix:name"},
		&cli.StringFlag{Name: "rootless", Local: true, Value: "auto", Usage: "`MODE` for cgroup permission errors: true (go on without a cgroup), false or auto (true if not root)"},
		&cli.StringFlag{Name: "timeline", Local: true, Usage: "write the steps of the command to `FILE` as a Chrome trace, also if it fails", TakesFile: true},
	}
}

// The flags that the library adds to the command line, for documentation.
func helpFlag() cli.Flag {
	return &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show help"}
}

func versionFlag() cli.Flag {
	return &cli.BoolFlag{Name: "version", Aliases: []string{"v"}, Usage: "print the version"}
}

// flagDoc is what help texts, manual pages and completions tell of a flag.
type flagDoc struct {
	names       []string // with hyphens
	placeholder string   // of its value, in capitals; "" if it has none
	usage       string
	value       string // default
	file        bool   // the value is a path of the host
	choices     []string
	repeats     bool
}

// describe collects what is told of a flag. The placeholder is the part of
// the usage in backquotes.
func describe(f cli.Flag) flagDoc {
	doc := f.(cli.DocGenerationFlag) // every type of the library
	d := flagDoc{usage: strings.ReplaceAll(doc.GetUsage(), "`", "")}
	for _, name := range f.Names() {
		d.names = append(d.names, hyphens(name))
	}
	if !doc.TakesValue() {
		return d
	}
	_, rest, _ := strings.Cut(doc.GetUsage(), "`")
	d.placeholder, _, _ = strings.Cut(rest, "`")
	if d.value = doc.GetDefaultText(); d.value == "" {
		d.value = doc.GetValue()
	}
	if d.value = strings.Trim(d.value, `"`); d.value == "0" {
		d.value = "" // goes without saying
	}
	switch f := f.(type) {
	case *cli.StringFlag:
		d.file, d.choices = f.TakesFile, choices(f.Name)
	case *cli.StringSliceFlag:
		d.repeats, d.value = true, ""
	}
	return d
}

// visible leaves out the flags that exist only to be accepted.
func visible(flags []cli.Flag) []cli.Flag {
	var list []cli.Flag
	for _, f := range flags {
		if v, ok := f.(cli.VisibleFlag); !ok || v.IsVisible() {
			list = append(list, f)
		}
	}
	return list
}

// remarks is the usage with what else there is to know.
func (d flagDoc) remarks() string {
	s := d.usage
	if d.repeats {
		s += "; may be repeated"
	}
	if d.value != "" {
		s += " (default: " + d.value + ")"
	}
	return s
}

// helpLine is a flag's line in help texts; a tab ends the first column.
func helpLine(f cli.Flag) string {
	d := describe(f)
	return strings.TrimSuffix(strings.Join(d.names, ", ")+" "+d.placeholder, " ") + "\t" + d.remarks()
}

// hyphens turns the name of a flag into what is typed.
func hyphens(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// choices are the values of a flag that has only a few.
func choices(flag string) []string {
	switch flag {
	case "format":
		return []string{"table", "json"}
	case "log-format":
		return []string{"text", "json"}
	case "rootless":
		return []string{"true", "false", "auto"}
	case "manage-cgroups-mode":
		return []string{"ignore", "soft", "full", "strict"}
	}
	return nil
}
