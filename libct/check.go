package libct

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hako-runtime/hako/libct/hooks"
	"github.com/hako-runtime/hako/libct/lsm"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/rootfs"
	"golang.org/x/sys/unix"
)

// Level is how bad a finding is.
type Level string

// The levels of findings.
const (
	LevelError   Level = "error"   // create or start would fail
	LevelWarning Level = "warning" // it starts, but is weak, or not what the config says
)

// Finding is one thing that is wrong or weak. ID never changes its meaning.
type Finding struct {
	Level   Level  `json:"level"`
	ID      string `json:"id"`
	Path    string `json:"path"` // in config.json; "" for all of it
	Message string `json:"message"`
	Section string `json:"section,omitempty"` // of the specification
}

// CheckResult is all that was found, errors first.
type CheckResult struct {
	Bundle   string    `json:"bundle"`
	Findings []Finding `json:"findings"`
}

// Errors counts the findings that would keep the container from starting.
func (r *CheckResult) Errors() (n int) {
	for _, f := range r.Findings {
		if f.Level == LevelError {
			n++
		}
	}
	return n
}

// checking is one Check under way.
type checking struct {
	creation
	out []Finding
}

// checkID stands for the id that nobody has given yet.
const checkID = "check"

// Check compares a bundle with the specification and this host. It starts
// nothing and writes nothing. "" is the current directory.
//
// The error says that it could not look, not what it found.
func (r *Runtime) Check(bundle string) (*CheckResult, error) {
	dir, err := filepath.Abs(bundle)
	if err != nil {
		return nil, err
	}
	c := &checking{creation: creation{r: r, id: checkID, bundle: dir}, out: []Finding{}}
	if err := c.interpret(); err != nil {
		return nil, err
	}
	if c.plan != nil {
		c.lookup()
		c.weaknesses()
	}
	return &CheckResult{Bundle: dir, Findings: c.out}, nil
}

// interpret reads and plans as create does.
func (c *checking) interpret() (err error) {
	if c.spec, err = plan.ReadConfig(c.bundle); err != nil {
		c.fail("unreadable-config", "", err.Error(), "")
		return nil
	}
	warnings, err := c.compose()
	var invalid plan.Invalid
	if errors.As(err, &invalid) {
		for _, v := range invalid {
			c.fail("invalid-config", v.Path, v.Problem, v.Section)
		}
		err = nil
	}
	for _, w := range warnings {
		c.warn("ignored", "", w, "")
	}
	return err
}

func (c *checking) fail(id, path, message, section string) {
	c.out = append(c.out, Finding{LevelError, id, path, message, section})
}

func (c *checking) warn(id, path, message, section string) {
	c.out = append(c.out, Finding{LevelWarning, id, path, message, section})
}

// lookup finds what the plan takes for granted on this host.
func (c *checking) lookup() {
	if err := lsm.CheckLoaded(c.plan.Process.Labels.AppArmor); err != nil {
		c.fail("no-apparmor-profile", "process.apparmorProfile", err.Error(), "config.md#linux-process")
	}
	for _, j := range c.plan.Namespaces.Join {
		if _, err := os.Stat(j.Path); err != nil {
			c.fail("no-namespace", "linux.namespaces", err.Error(), "config-linux.md#namespaces")
		}
	}
	for _, m := range c.plan.Setup.Mounts {
		if m.Kind != rootfs.KindBind || m.Index < 0 { // what hako adds, it makes
			continue
		}
		if _, err := os.Lstat(m.Source); err != nil {
			c.fail("no-mount-source", mountPath(m, "source"), err.Error(), "config.md#mounts")
		}
	}
	for _, d := range c.plan.Setup.Devices {
		if !d.Bind {
			continue
		}
		f, err := rootfs.OpenDevice(d)
		if err != nil {
			c.fail("no-device", "linux.devices", d.UnsafePath+": "+err.Error(), "config-linux.md#devices")
			continue
		}
		f.Close()
	}
	c.lookupHooks()
	c.lookupRoot()
}

func mountPath(m rootfs.Mount, property string) string {
	return fmt.Sprintf("mounts[%d].%s", m.Index, property)
}

// lookupHooks checks the hooks whose programs are looked up on the host.
func (c *checking) lookupHooks() {
	h := &c.plan.Hooks
	for _, p := range [...]struct {
		name  string
		hooks []hooks.Hook
	}{
		{"prestart", h.Prestart}, {"createRuntime", h.CreateRuntime}, {"createContainer", h.CreateContainer},
		{"poststart", h.Poststart}, {"poststop", h.Poststop},
	} {
		for i := range p.hooks {
			path := p.hooks[i].Path
			if err := unix.Access(path, unix.X_OK); err != nil {
				c.fail("no-hook", fmt.Sprintf("hooks.%s[%d].path", p.name, i), path+": "+err.Error(), "config.md#posix-platform-hooks")
			}
		}
	}
}

// lookupRoot looks for the root file system, and in it for the program, unless
// something will be mounted where the program could be.
func (c *checking) lookupRoot() {
	root := c.plan.Setup.Root.HostPath
	st, err := os.Stat(root)
	if err == nil && !st.IsDir() {
		err = &os.PathError{Op: "open", Path: root, Err: unix.ENOTDIR}
	}
	if err != nil {
		c.fail("no-rootfs", "root.path", err.Error(), "config.md#root")
		return
	}
	name := c.plan.Process.Args[0]
	message := name + ": executable file not found in $PATH"
	for _, candidate := range c.candidates(name) {
		if c.covered(candidate) {
			return
		}
		err := rootfs.LookProgram(root, candidate)
		if err == nil {
			return
		}
		if strings.Contains(name, "/") {
			message = err.Error()
		}
	}
	c.fail("no-program", "process.args[0]", message, "config.md#process")
}

// candidates are the paths that execvp(3) would try.
func (c *checking) candidates(name string) []string {
	if strings.Contains(name, "/") {
		return []string{filepath.Join(c.plan.Process.Cwd, name)}
	}
	var paths []string
	search := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, e := range c.plan.Process.Env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			search = v
		}
	}
	for _, dir := range filepath.SplitList(search) {
		if filepath.IsAbs(dir) {
			paths = append(paths, filepath.Join(dir, name))
		}
	}
	return paths
}

// covered tells whether a mount will decide what is at path.
func (c *checking) covered(path string) bool {
	for _, m := range c.plan.Setup.Mounts {
		if path == m.UnsafeDest || strings.HasPrefix(path, strings.TrimSuffix(m.UnsafeDest, "/")+"/") {
			return true
		}
	}
	return false
}
