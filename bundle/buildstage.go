package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/hako-runtime/hako/bundle/image"
	"github.com/hako-runtime/hako/bundle/layer"
	"github.com/hako-runtime/hako/bundle/store"
)

// buildStage is an image in the making, between FROM and the next.
type buildStage struct {
	b      *building
	number int
	image  *image.Edit
	args   []string // NAME=value, as ARG declared them
	shell  []string
	cmdSet bool // by this stage
}

// defaultShell executes what is not written as a list.
var defaultShell = [...]string{"/bin/sh", "-c"}

// from begins a stage: from another one, from nothing, or from an image.
func (b *building) from(n int) (*buildStage, error) {
	definition := &b.stages[n]
	name, err := b.expand(definition.BaseName, b.globals)
	if err != nil {
		return nil, err
	}
	platform, err := b.expand(definition.Platform, b.globals)
	if err != nil {
		return nil, err
	}
	if platform == "" {
		platform = b.platform
	}
	s := &buildStage{b: b, number: n, shell: defaultShell[:]}
	if before, ok := b.stageNamed(name, n); ok {
		base, err := b.build(before)
		if err != nil {
			return nil, err
		}
		s.image, s.shell = base.image.Clone(), base.shell
		return s, nil
	}
	if name == "scratch" {
		s.image = image.New(hostPlatform(), b.created)
		return s, setPlatform(s.image, platform)
	}
	if s.image, err = b.baseImage(name, platform); err != nil {
		return nil, err
	}
	var triggers []string
	if _, err := s.image.Extra("OnBuild", &triggers); err != nil {
		return nil, err
	}
	if len(triggers) > 0 {
		return nil, fmt.Errorf("the image has ONBUILD instructions (%s), which are not supported: write them into the Dockerfile", oneLine(triggers[0]))
	}
	_, err = s.image.Extra("Shell", &s.shell)
	return s, err
}

func (b *building) stageNamed(name string, limit int) (int, bool) {
	for i := limit - 1; i >= 0; i-- {
		if b.stages[i].Name != "" && strings.EqualFold(b.stages[i].Name, name) {
			return i, true
		}
	}
	return 0, false
}

func setPlatform(e *image.Edit, platform string) error {
	if platform == "" {
		return nil
	}
	parts := append(strings.SplitN(platform, "/", 3), "")
	if len(parts) < 3 || parts[0] != "linux" || parts[1] == "" {
		return fmt.Errorf("platform %q: want linux/ARCH[/VARIANT]", platform)
	}
	e.Config.OS, e.Config.Architecture, e.Config.Variant = parts[0], parts[1], parts[2]
	return nil
}

// baseImage finds an image: a tag of the layout that is built into, or
// PATH[:TAG] of another one, from which it is copied.
func (b *building) baseImage(name, platform string) (*image.Edit, error) {
	walk, err := b.writer.ResolvePlatform(name, platform)
	if err != nil {
		ref, parseErr := store.ParseReference(name)
		if parseErr != nil || !strings.Contains(name, "/") {
			return nil, fmt.Errorf("%w; another layout is named ./PATH[:TAG], and bundle pull fetches images", err)
		}
		if walk, err = b.copyImage(ref, platform); err != nil {
			return nil, err
		}
	}
	e, err := image.Begin(b.writer.Layout, walk)
	if err != nil {
		return nil, err
	}
	e.Alone()
	return e, nil
}

func (b *building) copyImage(ref store.Reference, platform string) (store.Walk, error) {
	src, err := openSource(b.ctx, ref, platform)
	if err != nil {
		return nil, err
	}
	defer src.close()
	blobs := append([]v1.Descriptor{src.walk.Target(), src.image.Manifest.Config}, src.image.Manifest.Layers...)
	for _, d := range blobs {
		if b.writer.Has(d) {
			continue
		}
		blob, err := src.layout.Blob(d)
		if err != nil {
			return nil, err
		}
		err = b.writer.Ingest(d, cancelable{b.ctx, blob})
		_ = blob.Close()
		if err != nil {
			return nil, err
		}
	}
	return store.Walk{src.walk.Target()}, nil
}

// expand replaces variables.
func (b *building) expand(word string, env []string) (string, error) {
	expanded, _, err := b.lex.ProcessWord(word, shell.EnvsFromSlice(env))
	return expanded, err
}

// env is what variables of an instruction mean: ENV hides ARG.
func (s *buildStage) env() []string { return slices.Concat(s.args, s.image.Config.Config.Env) }

func (s *buildStage) expander(word string) (string, error) { return s.b.expand(word, s.env()) }

// expandRaw leaves quotes and escapes to what reads patterns.
func (s *buildStage) expandRaw(word string) (string, error) {
	lex := shell.NewLex('\\')
	lex.SkipProcessQuotes = true
	expanded, _, err := lex.ProcessWord(word, shell.EnvsFromSlice(s.env()))
	return expanded, err
}

// execute carries out one instruction.
func (s *buildStage) execute(command instructions.Command) error {
	if c, ok := command.(*instructions.ArgCommand); ok {
		return s.b.declare(c, &s.args, s.b.globals, s.image.Config.Config.Env)
	}
	if c, ok := command.(instructions.SupportsSingleWordExpansion); ok {
		if err := c.Expand(s.expander); err != nil {
			return err
		}
	}
	if c, ok := command.(instructions.SupportsSingleWordExpansionRaw); ok {
		if err := c.ExpandRaw(s.expandRaw); err != nil {
			return err
		}
	}
	var made *image.Layer
	var err error
	switch c := command.(type) {
	case *instructions.RunCommand:
		made, err = s.run(c)
	case *instructions.CopyCommand:
		made, err = s.copyCommand(c)
	case *instructions.AddCommand:
		made, err = s.addCommand(c)
	case *instructions.WorkdirCommand:
		made, err = s.workdir(c.Path)
	default:
		err = s.configure(command)
	}
	if err != nil {
		return err
	}
	history := &v1.History{Created: &s.b.created, CreatedBy: historyOf(command), Author: s.image.Config.Author}
	if made == nil {
		s.image.AddHistory(history)
	} else {
		s.image.AddLayer(*made, history)
	}
	return nil
}

// historyOf is the instruction as it is remembered, after its variables were
// replaced.
func historyOf(command instructions.Command) string {
	if code, ok := command.(fmt.Stringer); ok {
		return code.String()
	}
	return command.Name()
}

// declare gives an ARG its value: that of --build-arg, of an ARG before the
// first FROM, or its default.
func (b *building) declare(c *instructions.ArgCommand, args *[]string, globals, env []string) error {
	for _, arg := range c.Args {
		value, given := b.args[arg.Key]
		if !given && arg.Value != nil {
			expanded, err := b.expand(*arg.Value, slices.Concat(*args, env))
			if err != nil {
				return err
			}
			value, given = expanded, true
		}
		if !given {
			value, given = lookUpEnv(globals, arg.Key)
		}
		if given {
			*args = setEnv(*args, arg.Key, value)
		}
	}
	return nil
}

func lookUpEnv(env []string, name string) (string, bool) {
	for _, entry := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value, true
		}
	}
	return "", false
}

func (s *buildStage) label(name, value string) {
	config := &s.image.Config.Config
	if config.Labels == nil {
		config.Labels = map[string]string{}
	}
	config.Labels[name] = value
}

// configure carries out an instruction that makes no files.
func (s *buildStage) configure(command instructions.Command) error {
	config := &s.image.Config.Config
	switch c := command.(type) {
	case *instructions.EnvCommand:
		for _, kv := range c.Env {
			config.Env = setEnv(config.Env, kv.Key, kv.Value)
		}
	case *instructions.LabelCommand:
		for _, kv := range c.Labels {
			s.label(kv.Key, kv.Value)
		}
	case *instructions.MaintainerCommand:
		s.image.Config.Author = c.Maintainer
	case *instructions.UserCommand:
		config.User = c.User
	case *instructions.StopSignalCommand:
		config.StopSignal = c.Signal
	case *instructions.CmdCommand:
		config.Cmd, s.cmdSet = s.commandLine(c.ShellDependantCmdLine), true
	case *instructions.EntrypointCommand:
		config.Entrypoint = s.commandLine(c.ShellDependantCmdLine)
		if !s.cmdSet {
			config.Cmd = nil // it was meant for the base's entrypoint
		}
	case *instructions.ShellCommand:
		s.shell = slices.Clone(c.Shell)
		return s.image.SetExtra("Shell", c.Shell)
	case *instructions.HealthCheckCommand:
		return s.image.SetExtra("Healthcheck", c.Health)
	case *instructions.ExposeCommand:
		return s.expose(c.Ports)
	case *instructions.VolumeCommand:
		return s.volumes(c.Volumes)
	case *instructions.OnbuildCommand:
		return errors.New("is not supported: images without triggers can be built from by every tool")
	default:
		return errors.New("is not supported")
	}
	return nil
}

// commandLine is a list as it stands, or text for the shell.
func (s *buildStage) commandLine(c instructions.ShellDependantCmdLine) []string {
	if !c.PrependShell {
		return slices.Clone(c.CmdLine)
	}
	return append(slices.Clone(s.shell), strings.Join(c.CmdLine, " "))
}

func (s *buildStage) expose(ports []string) error {
	config := &s.image.Config.Config
	if config.ExposedPorts == nil {
		config.ExposedPorts = map[string]struct{}{}
	}
	for _, word := range ports {
		expanded, err := s.b.lex.ProcessWords(word, shell.EnvsFromSlice(s.env()))
		if err != nil {
			return err
		}
		for _, port := range expanded {
			all, err := portRange(port)
			if err != nil {
				return err
			}
			for _, one := range all {
				config.ExposedPorts[one] = struct{}{}
			}
		}
	}
	return nil
}

// portRange reads PORT[-PORT][/PROTOCOL]; image-spec config.md wants each port
// by itself.
func portRange(s string) ([]string, error) {
	ports, protocol, found := strings.Cut(s, "/")
	if !found {
		protocol = "tcp"
	}
	first, last, isRange := strings.Cut(ports, "-")
	if !isRange {
		last = first
	}
	var from, to int
	_, err1 := fmt.Sscanf(first+"\n", "%d\n", &from)
	_, err2 := fmt.Sscanf(last+"\n", "%d\n", &to)
	if err1 != nil || err2 != nil || from < 1 || to > 65535 || from > to || !slices.Contains([]string{"tcp", "udp", "sctp"}, protocol) {
		return nil, fmt.Errorf("%q: want PORT[-PORT][/tcp|udp|sctp]", s)
	}
	var all []string
	for port := from; port <= to; port++ {
		all = append(all, fmt.Sprintf("%d/%s", port, protocol))
	}
	return all, nil
}

func (s *buildStage) volumes(paths []string) error {
	config := &s.image.Config.Config
	if config.Volumes == nil {
		config.Volumes = map[string]struct{}{}
	}
	for _, p := range paths {
		if p == "" {
			return errors.New("a volume has an empty path")
		}
		config.Volumes[p] = struct{}{}
	}
	return nil
}

// workdir sets the working directory, and makes it if it is missing.
func (s *buildStage) workdir(unsafePath string) (*image.Layer, error) {
	if unsafePath == "" {
		return nil, errors.New("the path is empty")
	}
	config := &s.image.Config.Config
	dir := s.inWorkdir(unsafePath)
	config.WorkingDir = dir
	if dir == "/" {
		return nil, nil
	}
	return s.produce([]string{"workdir", dir}, func(r *stepRoot) error {
		tree, err := r.open()
		if err != nil {
			return err
		}
		defer tree.Close()
		if found, err := tree.Find(dir); err == nil {
			if !found.IsDir {
				return fmt.Errorf("%s is not a directory", dir)
			}
			return nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return r.pack(tree, layer.PackOptions{Owner: &layer.Owner{}, NotAfter: s.b.latest}, func(p *layer.Packer) error {
			return p.AddDir(dir[1:], 0o755)
		})
	})
}

func (s *buildStage) inWorkdir(unsafePath string) string {
	if path.IsAbs(unsafePath) {
		return path.Clean(unsafePath)
	}
	return path.Join("/", s.image.Config.Config.WorkingDir, unsafePath)
}

// keyOf is what the result of a step depends on, beside the layers below.
func keyOf(v any) string {
	data, err := json.Marshal(v)
	if err != nil { // strings, and lists of them, always encode
		panic(err)
	}
	return string(data)
}
