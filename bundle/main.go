// Command bundle unpacks layered OCI images into bundles that hako, or any
// OCI runtime, can run. It works on image layouts on disk, needs no daemon and
// keeps no state but what is in the bundle.
//
// The Go runtime need not watch for a new CPU limit: most commands end before
// it would look, and to be ready to costs a thread.
//
//go:debug updatemaxprocs=0
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"unicode"

	_ "github.com/hako-runtime/hako/libct/early"
	imagespecs "github.com/opencontainers/image-spec/specs-go"
	runtimespecs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v3"
	"golang.org/x/sys/unix"
)

func main() {
	os.Exit(run(context.Background(), os.Args, os.Stdout, os.Stderr))
}

// run executes one command line and returns the exit status: 0, 3 for an
// unknown command, 1 for every other error, which is told in one line.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := rootCommand(args, stdout, stderr).Run(ctx, args)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "bundle: %s\n", oneLine(err.Error()))
	var exit cli.ExitCoder
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 1
}

// entry is one row of the command table.
type entry struct {
	names string // and aliases
	build func() *cli.Command
	ends  ending
}

// ending is what a command does about SIGINT and SIGTERM.
type ending int

const (
	cleansUp ending = iota // its context ends, and it removes what is half done
	dies                   // without harm: to handle signals would cost it 0.3 ms; on one processor
)

// commands is the command table, in the order of the help text.
func commands() []entry {
	return []entry{
		{"commit", commitCommand, cleansUp},
		{"build", buildCommand, cleansUp},
		{"config", configCommand, cleansUp},
		{"diff", diffCommand, cleansUp},
		{"gc", gcCommand, cleansUp},
		{"init", initCommand, cleansUp},
		{"insert", insertCommand, cleansUp},
		{"list ls", listCommand, dies},
		{"log", logCommand, dies},
		{"mount", mountCommand, cleansUp},
		{"new", newCommand, cleansUp},
		{"prune", pruneCommand, cleansUp},
		{"pull", pullCommand, cleansUp},
		{"push", pushCommand, cleansUp},
		{"raw", rawCommand, cleansUp},
		{"remove rm", removeCommand, dies},
		{"repack", repackCommand, cleansUp},
		{"rollback", rollbackCommand, dies},
		{"stat", statCommand, dies},
		{"tag", tagCommand, dies},
		{"umount unmount", umountCommand, cleansUp},
		{"unpack", unpackCommand, cleansUp},
	}
}

// rootCommand builds the command tree. Only commands whose names occur in args
// are built, since the small ones take little longer than that; all of them if
// help may be asked for or no name is known.
func rootCommand(args []string, stdout, stderr io.Writer) *cli.Command {
	root := &cli.Command{
		Name:      "bundle",
		Usage:     "bundle modifies Open Container images",
		Version:   version,
		Writer:    stdout,
		ErrWriter: stderr,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "verbose", Usage: "alias for --log=info"},
			&cli.StringFlag{Name: "cpu-profile", Hidden: true, Usage: "write a profile for pprof to `FILE`"},
			&cli.StringFlag{Name: "log", Usage: "debug, info, warn, error or fatal: what to tell about (default: warn)"},
		},
		Before: func(ctx context.Context, cmd *cli.Command) (context.Context, error) {
			if err := checkLogFlags(cmd); err != nil || !cmd.IsSet("cpu-profile") {
				return ctx, err
			}
			return ctx, startProfile(cmd.String("cpu-profile"))
		},
		After: func(_ context.Context, cmd *cli.Command) error {
			if cmd.IsSet("cpu-profile") {
				pprof.StopCPUProfile()
			}
			return nil
		},
		// Errors are printed by run, which knows the exit status as well.
		ExitErrHandler:            func(context.Context, *cli.Command, error) {},
		OnUsageError:              usageError,
		DisableSliceFlagSeparator: true,
	}
	all := slices.ContainsFunc(args, func(s string) bool {
		return slices.Contains([]string{"help", "h", "-h", "--help"}, s)
	})
	for _, e := range commands() {
		if all || e.isNamed(args) {
			root.Commands = append(root.Commands, e.command())
		}
	}
	if len(root.Commands) == 0 {
		for _, e := range commands() {
			root.Commands = append(root.Commands, e.command())
		}
	}
	cli.VersionPrinter = printVersion
	return root
}

func (e entry) isNamed(args []string) bool {
	return slices.ContainsFunc(strings.Fields(e.names), func(name string) bool { return slices.Contains(args, name) })
}

// command builds the command, with what all of them have in common.
func (e entry) command() *cli.Command {
	c := e.build()
	names := strings.Fields(e.names)
	c.Name, c.Aliases = names[0], names[1:]
	c.OnUsageError = usageError
	if action := c.Action; action != nil && e.ends == cleansUp {
		c.Action = func(ctx context.Context, cmd *cli.Command) error {
			runtime.SetDefaultGOMAXPROCS() // one until now, see package early
			ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM)
			defer stop()
			return action(ctx, cmd)
		}
	}
	return c
}

// startProfile writes a CPU profile to path, until it is stopped.
func startProfile(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return pprof.StartCPUProfile(f) // which keeps f until the process ends
}

// usageError keeps the library from printing the help over the error.
func usageError(_ context.Context, cmd *cli.Command, err error, _ bool) error {
	return fmt.Errorf("%w (see %s --help)", err, cmd.FullName())
}

func printVersion(cmd *cli.Command) {
	w := cmd.Root().Writer
	fmt.Fprintf(w, "bundle version %s\n", version)
	if commit != "" {
		fmt.Fprintf(w, "commit: %s\n", commit)
	}
	fmt.Fprintf(w, "image spec: %s\n", imagespecs.Version)
	fmt.Fprintf(w, "runtime spec: %s\n", runtimespecs.Version)
	fmt.Fprintf(w, "go: %s\n", runtime.Version())
}

// oneLine keeps an error in its line, whatever an image put into it. A terminal
// takes U+009B for an escape and a bracket.
func oneLine(message string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, message)
}

func checkLogFlags(cmd *cli.Command) error {
	if cmd.Bool("verbose") && cmd.IsSet("log") {
		return errors.New("--verbose and --log exclude each other")
	}
	switch level := cmd.String("log"); level {
	case "", "debug", "info", "warn", "error", "fatal":
		return nil
	default:
		return fmt.Errorf("--log %q: want debug, info, warn, error or fatal", level)
	}
}

// warner prints warnings, unless --log asks for errors only.
func warner(cmd *cli.Command) func(string) {
	if level := cmd.String("log"); level == "error" || level == "fatal" {
		return func(string) {}
	}
	w := cmd.Root().ErrWriter
	return func(message string) {
		fmt.Fprintf(w, "bundle: warning: %s\n", oneLine(message))
	}
}

// positionals returns the arguments of a command that takes exactly those
// that are named.
func positionals(cmd *cli.Command, names ...string) ([]string, error) {
	args := cmd.Args().Slice()
	if len(args) != len(names) {
		want := "none"
		if len(names) > 0 {
			want = "<" + strings.Join(names, "> <") + ">"
		}
		return nil, fmt.Errorf("invalid number of positional arguments: expected %s, got %d", want, len(args))
	}
	for i, arg := range args {
		if arg == "" {
			return nil, fmt.Errorf("<%s> is empty", names[i])
		}
	}
	return args, nil
}
