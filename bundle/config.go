package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/hako-runtime/hako/bundle/image"
)

func configCommand() *cli.Command {
	list := func(name, usage string) cli.Flag { return &cli.StringSliceFlag{Name: name, Usage: usage} }
	one := func(name, usage string, aliases ...string) cli.Flag {
		return &cli.StringFlag{Name: name, Aliases: aliases, Usage: usage}
	}
	flags := []cli.Flag{
		imageFlag(), newTagFlag(),
		one("config.user", "`USER[:GROUP]` of the process"),
		list("config.exposedports", "add `PORT[/PROTOCOL]` to the exposed ports"),
		list("config.env", "set the variable `NAME=VALUE`"),
		list("config.entrypoint", "`ARG` of the entrypoint, instead of those before"),
		list("config.cmd", "`ARG` of the command, instead of those before"),
		list("config.volume", "add `PATH` to the volumes"),
		list("config.label", "set the label `NAME=VALUE`"),
		one("config.workingdir", "working directory `PATH`"),
		one("config.stopsignal", "`SIGNAL` that ends the container"),
		one("created", "`TIME` (RFC 3339) of the image"),
		one("author", "`AUTHOR` of the image"),
		one("platform.os", "operating system `OS`", "os"),
		one("platform.arch", "`ARCHITECTURE` of the processor", "architecture"),
		one("platform.variant", "`VARIANT` of the architecture"),
		list("manifest.annotation", "set the manifest's annotation `NAME=VALUE`"),
		list("clear", "empty `KEY` first: config.labels, manifest.annotations, config.exposedports, config.env, config.volume, config.cmd or config.entrypoint"),
	}
	return &cli.Command{
		Usage:     "changes the configuration of an image",
		ArgsUsage: " ",
		Flags:     append(flags, historyFlags()...),
		Action:    configAction,
	}
}

func configAction(ctx context.Context, cmd *cli.Command) error {
	if _, err := positionals(cmd); err != nil {
		return err
	}
	e, err := edit(ctx, cmd)
	if err != nil {
		return err
	}
	defer e.writer.Close()
	for _, key := range cmd.StringSlice("clear") {
		if err := clearKey(e.Edit, key); err != nil {
			return err
		}
	}
	if err := setConfig(cmd, e.Edit); err != nil {
		return err
	}
	history, err := historyEntry(cmd, "umoci config", e.Config.Author)
	if err != nil {
		return err
	}
	e.AddHistory(history)
	return e.commit()
}

func clearKey(e *image.Edit, key string) error {
	switch key {
	case "config.labels":
		e.Config.Config.Labels = nil
	case "manifest.annotations":
		e.Manifest.Annotations = nil
	case "config.exposedports":
		e.Config.Config.ExposedPorts = nil
	case "config.env":
		e.Config.Config.Env = nil
	case "config.volume":
		e.Config.Config.Volumes = nil
	case "config.cmd":
		e.Config.Config.Cmd = nil
	case "config.entrypoint":
		e.Config.Config.Entrypoint = nil
	default:
		return fmt.Errorf("--clear %q: no such list", key)
	}
	return nil
}

func setConfig(cmd *cli.Command, e *image.Edit) error {
	config := &e.Config.Config
	for flag, field := range map[string]*string{
		"config.user": &config.User, "config.workingdir": &config.WorkingDir, "config.stopsignal": &config.StopSignal,
		"author": &e.Config.Author, "platform.os": &e.Config.OS, "platform.arch": &e.Config.Architecture,
		"platform.variant": &e.Config.Variant,
	} {
		if cmd.IsSet(flag) {
			*field = cmd.String(flag)
		}
	}
	if cmd.IsSet("created") {
		created, err := parseTime("created", cmd.String("created"))
		if err != nil {
			return err
		}
		e.Config.Created = &created
	}
	if cmd.IsSet("config.entrypoint") {
		config.Entrypoint = cmd.StringSlice("config.entrypoint")
	}
	if cmd.IsSet("config.cmd") {
		config.Cmd = cmd.StringSlice("config.cmd")
	}
	var err error
	if config.ExposedPorts, err = addToSet(config.ExposedPorts, "config.exposedports", cmd); err != nil {
		return err
	}
	if config.Volumes, err = addToSet(config.Volumes, "config.volume", cmd); err != nil {
		return err
	}
	if config.Labels, err = addPairs(config.Labels, "config.label", cmd); err != nil {
		return err
	}
	if e.Manifest.Annotations, err = addPairs(e.Manifest.Annotations, "manifest.annotation", cmd); err != nil {
		return err
	}
	config.Env, err = setVariables(config.Env, cmd.StringSlice("config.env"))
	return err
}

func setVariables(env, values []string) ([]string, error) {
	for _, one := range values {
		name, value, ok := strings.Cut(one, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--config.env %q: want NAME=VALUE", one)
		}
		env = setEnv(env, name, value)
	}
	return env, nil
}

// setEnv replaces a variable in its place, or appends it.
func setEnv(env []string, name, value string) []string {
	env = slices.Clone(env)
	i := slices.IndexFunc(env, func(old string) bool { return strings.HasPrefix(old, name+"=") || old == name })
	if i < 0 {
		return append(env, name+"="+value)
	}
	env[i] = name + "=" + value
	return env
}

func addToSet(set map[string]struct{}, flag string, cmd *cli.Command) (map[string]struct{}, error) {
	for _, value := range cmd.StringSlice(flag) {
		if value == "" {
			return nil, errors.New("--" + flag + " is empty")
		}
		if set == nil {
			set = map[string]struct{}{}
		}
		set[value] = struct{}{}
	}
	return set, nil
}

func addPairs(pairs map[string]string, flag string, cmd *cli.Command) (map[string]string, error) {
	for _, pair := range cmd.StringSlice(flag) {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--%s %q: want NAME=VALUE", flag, pair)
		}
		if pairs == nil {
			pairs = map[string]string{}
		}
		pairs[name] = value
	}
	return pairs, nil
}
