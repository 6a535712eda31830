package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/bundle/image"
	"github.com/hako-runtime/hako/bundle/layer"
	"github.com/hako-runtime/hako/bundle/overlay"
	"github.com/hako-runtime/hako/bundle/runconf"
)

// buildCapabilities are those that package managers need, and that docker
// gives to RUN.
var buildCapabilities = [...]string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
	"CAP_NET_BIND_SERVICE", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

// scriptDir is where heredocs that are programs are seen.
const scriptDir = "/dev/pipes"

// runStep is a RUN.
type runStep struct {
	args    []string
	script  *instructions.ShellInlineFile // mounted at scriptDir; may be nil
	network string
}

func (s *buildStage) run(c *instructions.RunCommand) (*image.Layer, error) {
	if mounts := instructions.GetMounts(c); len(mounts) > 0 {
		return nil, fmt.Errorf("--mount=type=%s is not supported", mounts[0].Type)
	}
	if security := instructions.GetSecurity(c); security != "" && security != instructions.SecuritySandbox {
		return nil, fmt.Errorf("--security=%s is not supported", security)
	}
	if len(instructions.GetDevices(c)) > 0 {
		return nil, errors.New("--device is not supported")
	}
	step, err := s.runStep(c)
	if err != nil {
		return nil, err
	}
	config := &s.image.Config.Config
	key := slices.Concat([]string{"run", step.network, config.User, config.WorkingDir, keyOf(s.env())}, step.args)
	if step.script != nil {
		key = append(key, step.script.Name, step.script.Data)
	}
	return s.produce(key, func(r *stepRoot) error { return s.runIn(r, step) })
}

func (s *buildStage) runStep(c *instructions.RunCommand) (step runStep, err error) {
	step.network = s.b.network
	switch network := instructions.GetNetwork(c); network {
	case "", instructions.NetworkDefault:
	case instructions.NetworkNone:
		step.network = "none"
	case instructions.NetworkHost:
		if s.b.network != "host" {
			return step, errors.New("--network=host: the build was not started with --network host")
		}
	default:
		return step, fmt.Errorf("--network=%s is not supported", network)
	}
	line := slices.Clone(c.CmdLine)
	if len(c.Files) > 0 {
		if len(line) != 1 || !c.PrependShell {
			return step, errors.New("a heredoc wants the shell form")
		}
		if line[0], err = s.heredoc(&step, line[0], c.Files); err != nil {
			return step, err
		}
		if step.script != nil {
			step.args = []string{path.Join(scriptDir, step.script.Name)}
			return step, nil
		}
	}
	step.args = s.commandLine(instructions.ShellDependantCmdLine{CmdLine: line, PrependShell: c.PrependShell})
	if strings.TrimSpace(strings.Join(line, "")) == "" {
		return step, errors.New("there is no command")
	}
	return step, nil
}

// heredoc: a lone one is the shell's program, or a program by itself if it
// says so (#!); others are the shell's to read.
func (s *buildStage) heredoc(step *runStep, line string, files []instructions.ShellInlineFile) (string, error) {
	lone, err := parser.ParseHeredoc(line)
	if err != nil {
		return "", err
	}
	if lone == nil {
		for _, file := range files {
			line += "\n" + file.Data + file.Name
		}
		return line, nil
	}
	script := files[0]
	if lone.Chomp {
		script.Data = parser.ChompHeredocContent(script.Data)
	}
	if !strings.HasPrefix(script.Data, "#!") {
		return script.Data, nil
	}
	if script.Name != path.Base(script.Name) || script.Name == ".." {
		return "", fmt.Errorf("heredoc %q: not the name of a file", script.Name)
	}
	step.script = &script
	return line, nil
}

// runIn executes the command in a container whose root filesystem is the
// step's.
func (s *buildStage) runIn(r *stepRoot, step runStep) error {
	if s.b.runtime == "" {
		return errors.New("hako is neither beside this program nor in PATH (--runtime says where it is)")
	}
	root := filepath.Join(r.dir, overlay.RootName)
	if err := os.Mkdir(root, 0o700); err != nil {
		return err
	}
	if err := overlay.Attach(r.mount, root); err != nil {
		return err
	}
	defer func() { _ = unix.Unmount(root, unix.MNT_DETACH) }() // RemoveAll tries again
	spec, err := s.runSpec(r, step)
	if err != nil {
		return err
	}
	if err := writeSpec(filepath.Join(r.dir, configName), spec); err != nil {
		return err
	}
	return s.b.container(r.dir)
}

func (s *buildStage) runSpec(r *stepRoot, step runStep) (*specs.Spec, error) {
	tree, err := r.open()
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	config := s.image.Config
	config.Config.Volumes = nil // of containers, not of what is built
	config.Config.Env = s.env()
	config.Config.Entrypoint, config.Config.Cmd = nil, step.args
	spec, err := runconf.New(&config, tree, overlay.RootName)
	if err != nil {
		return nil, err
	}
	spec.Process.Terminal = false
	spec.Process.NoNewPrivileges = false
	all := buildCapabilities[:]
	spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}
	if spec.Process.User.UID != 0 {
		spec.Process.Capabilities.Effective, spec.Process.Capabilities.Permitted = nil, nil
	}
	spec.Process.Rlimits = nil
	spec.Root.Readonly = false
	if step.script != nil {
		if err := addScript(r, spec, step.script); err != nil {
			return nil, err
		}
	}
	if step.network == "host" {
		shareNetwork(spec)
	}
	return spec, r.ignoreMounts(tree, spec)
}

func addScript(r *stepRoot, spec *specs.Spec, script *instructions.ShellInlineFile) error {
	file := filepath.Join(r.dir, "script")
	if err := os.WriteFile(file, []byte(script.Data), 0o755); err != nil {
		return err
	}
	if err := os.Chmod(file, 0o755); err != nil {
		return err
	}
	spec.Mounts = append(spec.Mounts, specs.Mount{
		Destination: path.Join(scriptDir, script.Name), Type: "bind", Source: file, Options: []string{"bind", "ro"},
	})
	return nil
}

func shareNetwork(spec *specs.Spec) {
	spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.NetworkNamespace
	})
	for _, file := range []string{"/etc/resolv.conf", "/etc/hosts"} {
		if _, err := os.Stat(file); err == nil {
			spec.Mounts = append(spec.Mounts, specs.Mount{
				Destination: file, Type: "bind", Source: file, Options: []string{"rbind", "ro", "nosuid", "nodev", "noexec"},
			})
		}
	}
}

// ignoreMounts notes the mount points that the runtime will have to make: they
// are no part of the image.
func (r *stepRoot) ignoreMounts(tree *layer.Tree, spec *specs.Spec) error {
	for _, m := range spec.Mounts {
		for at := path.Clean(m.Destination); at != "/"; at = path.Dir(at) {
			if _, err := tree.Find(at); err == nil {
				break
			} else if !errors.Is(err, os.ErrNotExist) {
				return err
			}
			r.ignore[at[1:]] = true
		}
	}
	return nil
}

// container runs the bundle in dir to its end.
func (b *building) container(dir string) error {
	id := "build-" + digest.FromString(dir).Encoded()[:16]
	state := filepath.Join(b.dir, stateName)
	out := &indented{w: b.progress.w}
	cmd := exec.CommandContext(b.ctx, b.runtime, "--root", state, "run", "--bundle", dir, id)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Cancel = func() error {
		return exec.Command(b.runtime, "--root", state, "delete", "--force", id).Run()
	}
	err := cmd.Run()
	out.end()
	if b.ctx.Err() != nil {
		return b.ctx.Err()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("exit status %d: %s", exit.ExitCode(), oneLine(out.lastLine()))
	}
	return err
}

// stateName is where the runtime keeps the containers of a build.
const stateName = "state"

// endContainers ends those of a build that was killed, as far as it can.
func (b *building) endContainers(dir string) {
	state := filepath.Join(dir, stateName)
	entries, err := os.ReadDir(state)
	if err != nil || b.runtime == "" {
		return
	}
	for _, e := range entries {
		_ = exec.Command(b.runtime, "--root", state, "delete", "--force", e.Name()).Run()
	}
}

// indented shows the output of a container below its step, and remembers the
// last line.
type indented struct {
	w    io.Writer
	line []byte
	last []byte
}

// maxLine is how many bytes of a line are shown at once; the others follow in
// lines of their own.
const maxLine = 4096

func (i *indented) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		part, after, found := bytes.Cut(rest, []byte("\n"))
		if room := maxLine - len(i.line); len(part) > room {
			part, after, found = part[:room], rest[room:], true
		}
		i.line = append(i.line, part...)
		if found {
			i.end()
		}
		rest = after
	}
	return len(p), nil
}

func (i *indented) end() {
	if len(i.line) == 0 {
		return
	}
	fmt.Fprintf(i.w, "    | %s\n", oneLine(string(i.line)))
	i.last = append(i.last[:0], i.line...)
	i.line = i.line[:0]
}

func (i *indented) lastLine() string { return string(i.last) }

// readOnly opens the files of a stage for reading.
func (b *building) readOnly(chain []digest.Digest) (*layer.Tree, func(), error) {
	mount, err := overlay.Stack{Lower: b.layers.Lower(chain)}.Open()
	if err != nil {
		return nil, nil, err
	}
	tree, err := layer.OpenTree(fdPath(mount), layer.Options{})
	if err != nil {
		mount.Close()
		return nil, nil, err
	}
	return tree, func() { _ = tree.Close(); mount.Close() }, nil
}
