package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v3"
	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/bundle/layer"
	"github.com/hako-runtime/hako/bundle/overlay"
	"github.com/hako-runtime/hako/bundle/store"
)

func buildCommand() *cli.Command {
	return &cli.Command{
		Usage:     "builds an image from a Dockerfile",
		ArgsUsage: "CONTEXT",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "tag", Aliases: []string{"t"}, Usage: "`LAYOUT[:TAG]` of the image; the layout is made if it is missing"},
			&cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "`FILE` with the instructions, CONTEXT/Dockerfile if not given; - for standard input"},
			&cli.StringSliceFlag{Name: "build-arg", Usage: "`NAME[=VALUE]` for an ARG; the environment's value without =; may be given more than once"},
			&cli.StringFlag{Name: "target", Usage: "build only `STAGE`, a name or a number, and what it needs"},
			&cli.StringFlag{Name: "network", Value: "none", Usage: "the network of RUN: none, or host"},
			&cli.BoolFlag{Name: "no-cache", Usage: "execute every instruction, whatever was built before"},
			&cli.StringSliceFlag{Name: "label", Usage: "`NAME=VALUE` to add to the image; may be given more than once"},
			platformFlag(), compressFlag(), storeFlag(),
			&cli.StringFlag{Name: "runtime", Usage: "`PROGRAM` that executes RUN; hako beside this program, or in PATH, if not given"},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "show nothing but errors and the image's digest"},
		},
		Action: buildAction,
	}
}

// building works off the instructions of a Dockerfile.
type building struct {
	ctx      context.Context
	writer   *store.Writer
	layers   *overlay.Store
	dir      string // for what is of use only while building
	remove   func() error
	context  *buildContext
	stages   []instructions.Stage
	built    map[int]*buildStage
	lex      *shell.Lex
	args     map[string]string // --build-arg
	globals  []string          // of ARG before the first FROM: NAME=value
	progress *steps
	platform string
	runtime  string
	network  string
	noCache  bool
	compress layer.Compression
	latest   time.Time // SOURCE_DATE_EPOCH; zero: not set
	created  time.Time
}

func buildAction(ctx context.Context, cmd *cli.Command) (err error) {
	args, err := positionals(cmd, "context")
	if err != nil {
		return err
	}
	if !cmd.IsSet("tag") {
		return errors.New("missing mandatory argument: --tag")
	}
	to, err := store.ParseReference(cmd.String("tag"))
	if err != nil {
		return err
	}
	b := &building{ctx: ctx, built: map[int]*buildStage{}, platform: cmd.String("platform"), noCache: cmd.Bool("no-cache")}
	if err := b.configure(cmd); err != nil {
		return err
	}
	target, err := b.parse(cmd, args[0])
	if err != nil {
		return err
	}
	defer b.context.close()
	if err := b.open(cmd, to); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	s, err := b.build(target)
	if err != nil {
		return err
	}
	return b.finish(cmd, s, to.Tag)
}

func (b *building) configure(cmd *cli.Command) (err error) {
	if b.network = cmd.String("network"); b.network != "none" && b.network != "host" {
		return fmt.Errorf("--network %q: want none or host", b.network)
	}
	if b.compress, err = compression(cmd); err != nil {
		return err
	}
	if b.compress == layer.Unknown {
		b.compress = layer.Gzip
	}
	if b.latest, _, err = sourceDate(); err != nil {
		return err
	}
	if b.created, err = now(); err != nil {
		return err
	}
	b.args = map[string]string{}
	for _, arg := range cmd.StringSlice("build-arg") {
		name, value, given := strings.Cut(arg, "=")
		if name == "" {
			return fmt.Errorf("--build-arg %q: want NAME or NAME=VALUE", arg)
		}
		if !given {
			if value, given = os.LookupEnv(name); !given {
				continue // as docker build has it
			}
		}
		b.args[name] = value
	}
	for _, label := range cmd.StringSlice("label") {
		if name, _, ok := strings.Cut(label, "="); !ok || name == "" {
			return fmt.Errorf("--label %q: want NAME=VALUE", label)
		}
	}
	out := cmd.Root().ErrWriter
	if cmd.Bool("quiet") {
		out = io.Discard
	}
	b.progress = &steps{w: out}
	b.runtime, err = findRuntime(cmd.String("runtime"))
	return err
}

// findRuntime looks beside this program first: the two are made together.
func findRuntime(given string) (string, error) {
	if given != "" {
		path, err := exec.LookPath(given)
		if err != nil {
			return "", fmt.Errorf("--runtime: %w", err)
		}
		return filepath.Abs(path)
	}
	if self, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(self), "hako")
		if unix.Access(beside, unix.X_OK) == nil {
			return beside, nil
		}
	}
	path, err := exec.LookPath("hako")
	if err != nil {
		return "", nil // only RUN needs it
	}
	return path, nil
}

// parse reads the Dockerfile and returns the number of the stage to build.
func (b *building) parse(cmd *cli.Command, contextPath string) (int, error) {
	file, name, err := openDockerfile(cmd.String("file"), contextPath)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	if b.context, err = openContext(contextPath, name); err != nil {
		return 0, err
	}
	target, err := b.parseStages(io.LimitReader(file, maxMeta), cmd.String("target"))
	if err != nil {
		b.context.close()
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return target, nil
}

func openDockerfile(given, contextPath string) (io.ReadCloser, string, error) {
	switch given {
	case "-":
		return io.NopCloser(os.Stdin), "standard input", nil
	case "":
		given = filepath.Join(contextPath, "Dockerfile")
	}
	f, err := store.OpenRegular(given)
	return f, given, err
}

func (b *building) parseStages(r io.Reader, target string) (int, error) {
	parsed, err := parser.Parse(r)
	if err != nil {
		return 0, err
	}
	b.lex = shell.NewLex(parsed.EscapeToken)
	var globals []instructions.ArgCommand
	if b.stages, globals, err = instructions.Parse(parsed.AST, nil); err != nil {
		return 0, err
	}
	if len(b.stages) == 0 {
		return 0, errors.New("there is no FROM")
	}
	b.globals = b.platformArgs()
	for i := range globals {
		if err := b.declare(&globals[i], &b.globals, nil, nil); err != nil {
			return 0, err
		}
	}
	if target == "" {
		return len(b.stages) - 1, nil
	}
	if n, ok := b.stageNumber(target, len(b.stages)); ok {
		return n, nil
	}
	return 0, fmt.Errorf("--target %q: there is no such stage", target)
}

// platformArgs are the variables that BuildKit predefines.
func (b *building) platformArgs() (args []string) {
	host := hostPlatform()
	target := host
	if b.platform != "" {
		parts := append(strings.SplitN(b.platform, "/", 3), "", "")
		target.OS, target.Architecture, target.Variant = parts[0], parts[1], parts[2]
	}
	for prefix, p := range map[string]struct{ os, arch, variant string }{
		"BUILD": {host.OS, host.Architecture, host.Variant}, "TARGET": {target.OS, target.Architecture, target.Variant},
	} {
		all := p.os + "/" + p.arch
		if p.variant != "" {
			all += "/" + p.variant
		}
		args = append(args, prefix+"PLATFORM="+all, prefix+"OS="+p.os, prefix+"ARCH="+p.arch, prefix+"VARIANT="+p.variant)
	}
	return args
}

// stageNumber finds a stage before limit by name, or by number.
func (b *building) stageNumber(name string, limit int) (int, bool) {
	for i := limit - 1; i >= 0; i-- {
		if b.stages[i].Name != "" && strings.EqualFold(b.stages[i].Name, name) {
			return i, true
		}
	}
	n, err := strconv.Atoi(name)
	return n, err == nil && n >= 0 && n < limit
}

// open opens the layout, which it makes if it is missing, the store, and a
// folder for this build.
func (b *building) open(cmd *cli.Command, to store.Reference) error {
	at, err := storePath(cmd)
	if err != nil {
		return err
	}
	if b.layers, err = overlay.OpenStore(at); err != nil {
		return err
	}
	if _, err := os.Lstat(to.Path); errors.Is(err, os.ErrNotExist) {
		if err := store.Create(to.Path); err != nil {
			return err
		}
	}
	if b.writer, err = openWriter(b.ctx, to.Path); err != nil {
		return err
	}
	b.dir, b.remove, err = b.layers.TempDir(b.endContainers)
	if err != nil {
		b.writer.Close()
	}
	return err
}

func (b *building) close() error {
	b.writer.Close()
	return b.remove()
}

// build builds a stage once, after those it needs.
func (b *building) build(n int) (*buildStage, error) {
	if s, ok := b.built[n]; ok {
		return s, nil
	}
	s, err := b.from(n)
	if err != nil {
		return nil, fmt.Errorf("FROM %s: %w", b.stages[n].BaseName, err)
	}
	for i, command := range b.stages[n].Commands {
		title := titleOf(command)
		b.progress.begin(b.stageTitle(n), i+1, len(b.stages[n].Commands), title)
		if err := s.execute(command); err != nil {
			return nil, fmt.Errorf("%s: %w", title, err)
		}
		b.progress.end()
	}
	b.built[n] = s
	return s, nil
}

func (b *building) stageTitle(n int) string {
	if len(b.stages) == 1 {
		return ""
	}
	if name := b.stages[n].Name; name != "" {
		return name + " "
	}
	return strconv.Itoa(n) + " "
}

// titleOf is an instruction in one line.
func titleOf(command instructions.Command) string {
	text := command.Name()
	if code, ok := command.(fmt.Stringer); ok {
		text = code.String()
	}
	line, rest, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if rest != "" {
		line += " …"
	}
	return oneLine(line)
}

// finish writes the image and moves the tag to it.
func (b *building) finish(cmd *cli.Command, s *buildStage, tag string) error {
	for _, label := range cmd.StringSlice("label") {
		name, value, _ := strings.Cut(label, "=")
		s.label(name, value)
	}
	s.image.Config.Created = &b.created
	walk, err := s.image.Commit(b.writer)
	if err != nil {
		return err
	}
	if err := b.writer.CommitTag(tag, walk[0]); err != nil {
		return err
	}
	_, err = fmt.Fprintln(cmd.Root().Writer, walk[0].Digest)
	return err
}

// steps shows what is being built.
type steps struct {
	w      io.Writer
	began  time.Time
	cached bool
}

func (s *steps) begin(stage string, i, n int, title string) {
	s.began, s.cached = time.Now(), false
	fmt.Fprintf(s.w, "[%s%d/%d] %s\n", stage, i, n, title)
}

func (s *steps) end() {
	switch took := time.Since(s.began); {
	case s.cached:
		fmt.Fprintln(s.w, "    cached")
	case took > 100*time.Millisecond:
		fmt.Fprintf(s.w, "    %.1f s\n", took.Seconds())
	}
}

// chainOf names the layers of a stage in the store.
func (s *buildStage) chainOf() ([]digest.Digest, error) {
	return overlay.ChainIDs(s.image.Config.RootFS.DiffIDs)
}
