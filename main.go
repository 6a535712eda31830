// Command hako creates, runs and deletes containers as the OCI runtime
// specification describes them.
//
// This package is the command line: every file turns the flags of one command
// into one call of package libct. It decides no container matter itself.
//
// The Go runtime need not read cgroups to size itself for a command that
// lives for milliseconds; the init stage would pay for it again.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"

	"github.com/hako-runtime/hako/libct"
	_ "github.com/hako-runtime/hako/libct/early"
	"github.com/hako-runtime/hako/libct/host"
	_ "github.com/hako-runtime/hako/libct/initproc" // the container side: what is executed as "hako init" ends there
	_ "github.com/hako-runtime/hako/libct/quiet"
	"github.com/hako-runtime/hako/libct/timeline"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v3"
)

func main() {
	os.Exit(run(os.Args, os.Stdout, os.Stderr))
}

// app is one invocation of hako.
type app struct {
	stdout io.Writer
	log    logger
	rt     libct.Runtime
	ready  bool     // the global flags have been applied
	trace  *os.File // of --timeline
	code   int      // exit code when the command returns no error
}

// run executes one command line and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	a := &app{stdout: stdout, log: logger{stderr: stderr}}
	defer a.log.close()
	root := a.root(args)
	err := root.Run(context.Background(), args)
	if err != nil {
		a.log.fail(err)
		a.code = a.failureCode(err)
	}
	if err := a.writeTimeline(); err != nil {
		a.log.fail(err)
		a.code = max(a.code, 1)
	}
	return a.code
}

// exitUnknown is the exit code for an unknown command, runc's.
const exitUnknown = 3

// failureCode is 255 for exec, because 1 could be the process's own.
func (a *app) failureCode(err error) int {
	var coder cli.ExitCoder
	switch {
	case a.log.command == "exec":
		return 255
	case a.log.command == "" && errors.As(err, &coder): // noCommand's or that of "hako help foo"
		return coder.ExitCode()
	}
	return 1 // also if err wraps the exit status of a hook
}

// entry is one row of the command table.
type entry struct {
	name  string
	build func() *cli.Command
}

// commands is the command table, in the order of the help text.
func (a *app) commands() []entry {
	return []entry{
		{"check", a.checkCommand},
		{"checkpoint", a.checkpointCommand},
		{"completion", a.completionCommand},
		{"create", a.createCommand},
		{"delete", a.deleteCommand},
		{"events", a.eventsCommand},
		{"exec", a.execCommand},
		{"features", a.featuresCommand},
		{"kill", a.killCommand},
		{"list", a.listCommand},
		{"pause", a.pauseCommand},
		{"ps", a.psCommand},
		{"restore", a.restoreCommand},
		{"resume", a.resumeCommand},
		{"run", a.runCommand},
		{"spec", a.specCommand},
		{"start", a.startCommand},
		{"state", a.stateCommand},
		{"update", a.updateCommand},
	}
}

// root builds the command tree. Only commands whose names occur in args are
// built, since every container start pays for it; all of them if help may be
// asked for or no name is known.
func (a *app) root(args []string) *cli.Command {
	root := &cli.Command{
		Name:           "hako",
		Usage:          "Open Container Initiative runtime without C",
		UsageText:      "hako [global options] command [command options] [arguments...]",
		Description:    rootDescription,
		Version:        versionText(),
		Flags:          globalFlags(),
		StopOnNthArg:   new(1),
		Before:         a.before,
		Action:         a.noCommand,
		OnUsageError:   a.usageError,
		ExitErrHandler: func(context.Context, *cli.Command, error) {}, // run reports
		Writer:         a.stdout,
		ErrWriter:      a.log.stderr,
	}
	all := slices.ContainsFunc(args, func(s string) bool { return s == "help" || s == "h" || s == "-h" || s == "--help" })
	for _, e := range a.commands() {
		if all || slices.Contains(args, e.name) {
			root.Commands = append(root.Commands, a.finish(e))
		}
	}
	cli.FlagStringer = helpLine
	if len(root.Commands) == 0 {
		for _, e := range a.commands() {
			root.Commands = append(root.Commands, a.finish(e))
		}
	}
	return root
}

// finish builds a command and sets what all commands have in common.
func (a *app) finish(e entry) *cli.Command {
	c := e.build()
	c.Name = e.name
	c.HideHelpCommand = true           // "hako state help" asks for the container called help
	c.DisableSliceFlagSeparator = true // --env A=1,2 is one variable
	c.OnUsageError = a.usageError
	if action := c.Action; action != nil {
		c.Action = func(ctx context.Context, c *cli.Command) error {
			return a.rt.Timeline.Step("hako "+c.Name, func() error { return action(ctx, c) })
		}
	}
	return c
}

const rootDescription = `hako creates and runs containers from bundles: directories with a
specification called config.json and a root filesystem. It understands the
command line of runc, so that container engines can use it in runc's place.

To start a new container from the bundle in the current directory:

    # hako spec
    # hako run <container-id>

See hako(8) and the manual page of each command, e.g. hako-run(8).`

// defaultRoot is where state is kept without --root. The second result says
// that it is in $XDG_RUNTIME_DIR, where what is old may be removed unless it
// has the sticky bit; XDG Base Directory Specification.
func defaultRoot() (dir string, sticky bool) {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" && isUsers() {
		return filepath.Join(dir, "hako"), true
	}
	return "/run/hako", false
}

// isUsers reports whether $XDG_RUNTIME_DIR is that of the user who runs hako.
// In a user namespace whose root it is, it is, unless root logged in there; as
// in runc.
func isUsers() bool {
	if os.Geteuid() != 0 {
		return true
	}
	user, set := os.LookupEnv("USER")
	return host.InUserNamespace() && (!set || user != "root")
}

// before runs when the command line has been understood, before the action.
func (a *app) before(ctx context.Context, root *cli.Command) (context.Context, error) {
	if c := root.Command(root.Args().First()); c != nil && c.Name != "help" {
		a.log.command = c.Name
	}
	return ctx, a.configure(root)
}

// configure applies the global flags, once.
func (a *app) configure(root *cli.Command) error {
	if a.ready {
		return nil
	}
	a.ready = true
	if err := a.log.open(root.String("log"), root.String("log-format"), root.Bool("debug")); err != nil {
		return err
	}
	dir, sticky := root.String("root"), false
	if dir == "" {
		dir, sticky = defaultRoot()
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	rootless, err := rootlessMode(root.String("rootless"))
	if err != nil {
		return err
	}
	a.rt = libct.Runtime{Root: dir, Sticky: sticky, Systemd: root.Bool("systemd-cgroup"), Rootless: rootless, Warn: a.log.warn}
	if file := root.String("timeline"); file != "" {
		// Now: create changes the directory.
		if a.trace, err = os.OpenFile(file, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644); err != nil {
			return fmt.Errorf("--timeline: %w", err)
		}
	}
	if a.log.debug || a.trace != nil {
		a.rt.Timeline = &timeline.Recorder{}
	}
	if a.log.debug {
		a.rt.Debug = func(msg string) { a.log.record("debug", msg) }
		a.rt.Timeline.Trace = a.log.step
	}
	return nil
}

// rootlessMode understands --rootless.
func rootlessMode(value string) (libct.Rootless, error) {
	if value == "" || value == "auto" {
		return libct.RootlessAuto, nil
	}
	on, err := strconv.ParseBool(value)
	switch {
	case err != nil:
		return "", fmt.Errorf("--rootless %q: must be true, false or auto", value)
	case on:
		return libct.RootlessOn, nil
	}
	return libct.RootlessOff, nil
}

// noCommand runs when no command was recognised.
func (a *app) noCommand(_ context.Context, root *cli.Command) error {
	if name := root.Args().First(); name != "" {
		return cli.Exit(fmt.Sprintf("No help topic for '%s'; hako --help lists the commands", name), exitUnknown)
	}
	return cli.ShowRootCommandHelp(root)
}

// usageError turns a command line that cannot be parsed into one line.
func (a *app) usageError(_ context.Context, c *cli.Command, err error, isSubcommand bool) error {
	help := "hako --help"
	if isSubcommand {
		a.log.command = c.Name
		help = "hako " + c.Name + " --help"
	}
	_ = a.configure(c.Root()) // for --log; an error of its own would hide err
	return fmt.Errorf("%w; see %s", err, help)
}

// container checks that the command was given a container ID and at most extra
// more arguments (-1: any number). It returns the ID, which from here on
// appears in messages.
func (a *app) container(c *cli.Command, extra int) (id string, err error) {
	n := c.Args().Len()
	if n == 0 {
		return "", fmt.Errorf("container ID is missing; see hako %s --help", c.Name)
	}
	id = c.Args().First()
	a.log.id = id
	if extra >= 0 && n > 1+extra {
		return "", fmt.Errorf("unexpected argument %q; see hako %s --help", c.Args().Get(1+extra), c.Name)
	}
	return id, nil
}

// load is container for the commands that act on an existing one.
func (a *app) load(c *cli.Command, extra int) (*libct.Container, error) {
	id, err := a.container(c, extra)
	if err != nil {
		return nil, err
	}
	return a.rt.Load(id)
}

// noArgs checks that the command was given no arguments.
func noArgs(c *cli.Command) error {
	if c.Args().Present() {
		return fmt.Errorf("unexpected argument %q; see hako %s --help", c.Args().First(), c.Name)
	}
	return nil
}

// notSupported is the answer to what hako understands but does not do yet;
// what is the flag, or "" for the command itself.
func notSupported(what, issue string) error {
	if what != "" {
		what += ": "
	}
	return fmt.Errorf("%snot supported yet (issue: %s)", what, issue)
}

// writeTimeline writes the steps that were recorded.
func (a *app) writeTimeline() error {
	if a.trace == nil { // not asked for, or the command line was not understood
		return nil
	}
	return errors.Join(a.rt.Timeline.Write(a.trace, a.log.subject()), a.trace.Close())
}

// versionText is what follows "hako version " in the output of --version.
// Engines read its lines.
func versionText() string {
	c := commit
	if c == "" {
		c = "unknown"
	}
	return version + "\ncommit: " + c + "\nspec: " + specs.Version + "\ngo: " + runtime.Version()
}
