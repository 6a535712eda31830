package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v3"
)

// execCommand describes exec.
func (a *app) execCommand() *cli.Command {
	return &cli.Command{
		Usage:     "execute another process in a running container",
		ArgsUsage: "<container-id> <command> [arguments...] || --process FILE <container-id>",
		Description: `Without --process, the new process is like the container's own, changed by the
options. Everything after the ID belongs to the process:

   # hako exec -t web sh -c 'echo $HOSTNAME'

In the foreground, exits with the code of the process; with 255 if hako itself
fails.`,
		Flags:        execFlags(),
		StopOnNthArg: new(1), // options behind the ID are the process's
		Action:       a.exec,
	}
}

// execFlags are the flags of exec.
func execFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "console-socket", Usage: "`PATH` of an AF_UNIX socket that receives the controlling end of the terminal", TakesFile: true},
		&cli.StringFlag{Name: "pidfd-socket", Usage: "`PATH` of an AF_UNIX socket that receives a pidfd of the process", TakesFile: true},
		&cli.StringFlag{Name: "cwd", Usage: "working directory, a `PATH` in the container"},
		&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "set an environment variable, `NAME=VALUE`"},
		&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "give the process a terminal"},
		&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "user of the process, `UID[:GID]`"},
		&cli.StringSliceFlag{Name: "additional-gids", Aliases: []string{"g"}, Usage: "supplementary `GID` of the process"},
		&cli.StringFlag{Name: "process", Aliases: []string{"p"}, Usage: "read the process from `FILE`, in the form of config.json's process", TakesFile: true},
		&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return when the process has been started"},
		&cli.StringFlag{Name: "pid-file", Usage: "write the process ID to `FILE`", TakesFile: true},
		&cli.StringFlag{Name: "process-label", Usage: "SELinux `LABEL` of the process"},
		&cli.StringFlag{Name: "apparmor", Usage: "AppArmor `PROFILE` of the process"},
		&cli.BoolFlag{Name: "no-new-privs", Usage: "set no_new_privs for the process"},
		&cli.StringSliceFlag{Name: "cap", Aliases: []string{"c"}, Usage: "give the process a `CAPABILITY`"},
		preserveFlag(),
		&cli.StringSliceFlag{Name: "cgroup", Usage: "existing sub-cgroup to run in, `[CONTROLLER[,CONTROLLER]:]PATH`"},
		&cli.BoolFlag{Name: "ignore-paused", Usage: "execute also in a paused container"},
	}
}

// exec runs exec.
func (a *app) exec(_ context.Context, c *cli.Command) error {
	id, err := a.container(c, -1)
	if err != nil {
		return err
	}
	build, err := execProcess(c)
	if err != nil {
		return err
	}
	ct, err := a.rt.Load(id)
	if err != nil {
		return err
	}
	a.code, err = ct.Exec(libct.ExecOptions{
		Process:       build,
		ConsoleSocket: c.String("console-socket"),
		PidfdSocket:   c.String("pidfd-socket"),
		PidFile:       c.String("pid-file"),
		Detach:        c.Bool("detach"),
		PreserveFDs:   c.Int("preserve-fds"),
		IgnorePaused:  c.Bool("ignore-paused"),
		Caps:          c.StringSlice("cap"),
		Cgroups:       c.StringSlice("cgroup"),
	})
	return err
}

// processFunc makes the process to execute from the container's own.
type processFunc = func(*specs.Process) (*specs.Process, error)

// execProcess decides between --process and the arguments behind the ID.
func execProcess(c *cli.Command) (processFunc, error) {
	args := c.Args().Tail()
	if file := c.String("process"); file != "" {
		// A pipe can be read once: not before hako has executed itself protected.
		return func(*specs.Process) (*specs.Process, error) {
			p, err := plan.ReadProcess(file)
			if err != nil {
				return nil, fmt.Errorf("--process: %w", err)
			}
			return p, nil
		}, nil
	}
	if len(args) == 0 {
		return nil, errors.New("neither a command nor --process is given; see hako exec --help")
	}
	change, err := execChanges(c)
	if err != nil {
		return nil, err
	}
	change.args = args
	return change.apply, nil
}

// changes is what the flags of exec change in the container's process.
type changes struct {
	args           []string
	env            []string
	cwd            string
	terminal       bool
	uid, gid       *uint32
	additionalGIDs []uint32
	noNewPrivs     *bool
	apparmor       string
	selinux        string
}

// execChanges reads the flags.
func execChanges(c *cli.Command) (*changes, error) {
	ch := &changes{
		env:      c.StringSlice("env"),
		cwd:      c.String("cwd"),
		terminal: c.Bool("tty"),
		apparmor: c.String("apparmor"),
		selinux:  c.String("process-label"),
	}
	if c.IsSet("no-new-privs") {
		ch.noNewPrivs = new(c.Bool("no-new-privs"))
	}
	if user := c.String("user"); user != "" {
		uid, gid, err := parseUser(user)
		if err != nil {
			return nil, err
		}
		ch.uid, ch.gid = &uid, gid
	}
	for _, s := range c.StringSlice("additional-gids") {
		gid, err := parseID(s)
		if err != nil {
			return nil, fmt.Errorf("--additional-gids %q: %w", s, err)
		}
		ch.additionalGIDs = append(ch.additionalGIDs, gid)
	}
	return ch, nil
}

// apply returns a changed copy of the container's process.
func (ch *changes) apply(configured *specs.Process) (*specs.Process, error) {
	p := *configured
	p.Args = ch.args
	p.Env = slices.Concat(p.Env, ch.env)
	p.Terminal = ch.terminal
	p.User.AdditionalGids = slices.Concat(p.User.AdditionalGids, ch.additionalGIDs)
	if ch.uid != nil {
		p.User.UID = *ch.uid
	}
	if ch.gid != nil {
		p.User.GID = *ch.gid
	}
	if ch.noNewPrivs != nil {
		p.NoNewPrivileges = *ch.noNewPrivs
	}
	p.Cwd = override(p.Cwd, ch.cwd)
	p.ApparmorProfile = override(p.ApparmorProfile, ch.apparmor)
	p.SelinuxLabel = override(p.SelinuxLabel, ch.selinux)
	return &p, nil
}

// override returns value unless it is empty.
func override(configured, value string) string {
	if value == "" {
		return configured
	}
	return value
}

// parseUser understands UID[:GID]. gid is nil if only the user changes.
func parseUser(s string) (uid uint32, gid *uint32, err error) {
	u, g, hasGID := strings.Cut(s, ":")
	if uid, err = parseID(u); err != nil {
		return 0, nil, fmt.Errorf("--user %q: UID %w", s, err)
	}
	if !hasGID {
		return uid, nil, nil
	}
	n, err := parseID(g)
	if err != nil {
		return 0, nil, fmt.Errorf("--user %q: GID %w", s, err)
	}
	return uid, &n, nil
}

// parseID understands a decimal user or group ID. Names are never looked up:
// the container's user database is not the caller's.
func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 { // -1 means "unchanged" to the kernel
		return 0, errors.New("must be a number from 0 to 4294967294")
	}
	return uint32(n), nil
}
