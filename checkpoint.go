package main

import (
	"context"

	"github.com/urfave/cli/v3"
)

// checkpointCommand describes checkpoint.
func (a *app) checkpointCommand() *cli.Command {
	return &cli.Command{
		Usage:       "checkpoint a running container",
		ArgsUsage:   "<container-id>",
		Description: `Saves the processes of the container with criu(8). Not supported yet.`,
		Flags: append(criuFlags(),
			&cli.StringFlag{Name: "parent-path", Usage: "`DIR` of the images of an earlier --pre-dump", TakesFile: true},
			&cli.BoolFlag{Name: "leave-running", Usage: "let the container run on"},
			&cli.IntFlag{Name: "status-fd", Value: -1, Usage: "descriptor `FD` to which criu writes a zero byte when lazy pages can be fetched"},
			&cli.StringFlag{Name: "page-server", Usage: "`ADDRESS:PORT` of the page server"},
			&cli.BoolFlag{Name: "pre-dump", Usage: "save only memory and let the container run on"},
		),
		Action: a.later("checkpoint"),
	}
}

// restoreCommand describes restore.
func (a *app) restoreCommand() *cli.Command {
	return &cli.Command{
		Usage:     "restore a container from a checkpoint",
		ArgsUsage: "<container-id>",
		Description: `Creates the container of the bundle from images that "hako checkpoint" saved. Not
supported yet.`,
		Flags: append(criuFlags(),
			&cli.StringFlag{Name: "console-socket", Usage: "`PATH` of an AF_UNIX socket that receives the controlling end of the terminal", TakesFile: true},
			&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "`DIR` of the bundle (default: current directory)", TakesFile: true},
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return when the container runs"},
			&cli.StringFlag{Name: "pid-file", Usage: "write the process ID to `FILE`", TakesFile: true},
			&cli.BoolFlag{Name: "no-subreaper", Usage: "do not become the reaper of the container's orphans"},
			&cli.BoolFlag{Name: "no-pivot", Usage: "enter the root without pivot_root(2), for roots on a ramdisk"},
			&cli.StringFlag{Name: "lsm-profile", Usage: "security label of the processes, `TYPE:NAME`"},
			&cli.StringFlag{Name: "lsm-mount-context", Usage: "security `CONTEXT` of the mounts"},
		),
		Action: a.later("checkpoint"),
	}
}

// criuFlags are the flags that checkpoint and restore share.
func criuFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "image-path", Usage: "`DIR` of criu's images", TakesFile: true},
		&cli.StringFlag{Name: "work-path", Usage: "`DIR` for criu's working files and logs", TakesFile: true},
		&cli.BoolFlag{Name: "tcp-established", Usage: "allow open TCP connections"},
		&cli.BoolFlag{Name: "ext-unix-sk", Usage: "allow Unix sockets to outside"},
		&cli.BoolFlag{Name: "shell-job", Usage: "allow processes of a session outside"},
		&cli.BoolFlag{Name: "lazy-pages", Usage: "fetch memory pages when they are used"},
		&cli.BoolFlag{Name: "file-locks", Usage: "allow file locks"},
		&cli.StringFlag{Name: "manage-cgroups-mode", Usage: "how criu treats cgroups, `MODE` ignore, soft, full or strict"},
		&cli.StringSliceFlag{Name: "empty-ns", Usage: "make a `NAMESPACE` (network) without its contents"},
		&cli.BoolFlag{Name: "auto-dedup", Usage: "drop pages of parent images that are not needed any more"},
	}
}

// later is the action of a command whose flags are known but whose work is the
// subject of another issue.
func (a *app) later(issue string) cli.ActionFunc {
	return func(_ context.Context, c *cli.Command) error {
		if _, err := a.container(c, 0); err != nil {
			return err
		}
		a.log.id = ""
		return notSupported("", issue)
	}
}
