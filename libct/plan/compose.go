package plan

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct/host"
	"github.com/hako-runtime/hako/libct/rootfs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Options is what the command line adds to config.json.
type Options struct {
	ID           string
	Bundle       string // absolute host path
	NoPivot      bool
	NoNewKeyring bool
	PreserveFDs  int    // --preserve-fds; not counting ListenFDs
	ListenFDs    int    // descriptors handed over by systemd's protocol
	NotifySocket string // host path of the socket hako listens on for the container's sd_notify(3); "" for none
	Systemd      bool   // --systemd-cgroup

	Debug func(msg string) // nil: nobody wants to know

	// OwnNamespaces are the types in linux.namespaces whose path leads to the
	// namespace that hako is in itself: to join that isolates nothing.
	OwnNamespaces []specs.LinuxNamespaceType
}

// composer turns one config into one plan. The rows of validate.go are its
// methods; each reads its part of the spec and nothing else does.
type composer struct {
	spec      *specs.Spec
	linux     *specs.Linux          // never nil
	resources *specs.LinuxResources // never nil
	process   *specs.Process        // never nil
	container *Plan                 // nil unless the process is executed in a running container
	facts     host.Facts
	options   Options
	plan      *Plan
	minor     uint64 // of ociVersion

	file        string
	resourcesAt string // "linux.resources." in config.json
	section     string
	invalid     Invalid
	warnings    []string
}

// New composes the plan of a container. It does no I/O. The spec comes from
// [Decode], which has refused NUL characters.
//
// The error is an [Invalid] if the config is at fault.
func New(spec *specs.Spec, facts host.Facts, o Options) (p *Plan, warnings []string, err error) {
	if err := checkOptions(o); err != nil {
		return nil, nil, err
	}
	c := &composer{
		spec: spec, linux: spec.Linux, process: spec.Process,
		facts: facts, options: o, file: "config.json", resourcesAt: "linux.resources.",
		plan: &Plan{
			ID:          o.ID,
			OCIVersion:  spec.Version,
			Bundle:      o.Bundle,
			Annotations: spec.Annotations,
			Setup:       &Setup{NewKeyring: !o.NoNewKeyring},
		},
	}
	if c.linux == nil {
		c.linux = new(specs.Linux)
	}
	if c.resources = c.linux.Resources; c.resources == nil {
		c.resources = new(specs.LinuxResources)
	}
	c.run(containerChecks[:])
	c.run(limitChecks[:])
	if l := c.plan.Cgroup.Limits; l != nil {
		c.agree(l)
	}
	c.limitsWithoutCgroup()
	if c.process == nil {
		c.section = "config.md#process"
		c.refuse(missing, "process")
	} else {
		c.run(processChecks[:])
		c.serviceManager(o.PreserveFDs, o.ListenFDs)
	}
	if len(c.invalid) > 0 {
		return nil, c.warnings, c.invalid
	}
	return c.plan, c.warnings, nil
}

func checkOptions(o Options) error {
	if err := ValidID(o.ID); err != nil {
		return err
	}
	if !filepath.IsAbs(o.Bundle) {
		return fmt.Errorf("bundle %q%s", o.Bundle, notAbsolute)
	}
	return checkFDs(o.PreserveFDs, o.ListenFDs)
}

func checkFDs(preserve, listen int) error {
	const most = 1 << 16
	for _, n := range [...]int{preserve, listen} {
		if n < 0 || n > most {
			return fmt.Errorf("preserved descriptors: %d is not a number from 0 to %d", n, most)
		}
	}
	return nil
}

// ValidID checks a container's id. It becomes the name of a folder and of a
// cgroup, and an argument of commands.
func ValidID(id string) error {
	const longest = 255 // NAME_MAX
	problem := ""
	switch {
	case id == "":
		problem = "it is empty"
	case len(id) > longest:
		problem = "longer than " + strconv.Itoa(longest) + " characters"
	case id == "." || id == "..":
		problem = "reserved"
	case id[0] == '-':
		problem = "a leading - would make it an option"
	case strings.ContainsFunc(id, notInID):
		problem = "allowed are letters, digits and _ + - ."
	default:
		return nil
	}
	return fmt.Errorf("invalid container id format: %s: %s", quote(id), problem)
}

const idCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-."

func notInID(r rune) bool { return !strings.ContainsRune(idCharacters, r) }

// serviceManager passes on what systemd handed to hako. The notify socket is
// bound read-only where runc puts it.
func (c *composer) serviceManager(preserveFDs, listenFDs int) {
	process := &c.plan.Process
	process.PreserveFDs = preserveFDs + listenFDs
	process.ListenFDs = listenFDs
	var env []string
	if listenFDs > 0 {
		env = append(env, "LISTEN_FDS="+strconv.Itoa(listenFDs))
	}
	if socket := c.options.NotifySocket; socket != "" && c.has(unix.CLONE_NEWNS) {
		const folder = "/run/notify"
		env = append(env, "NOTIFY_SOCKET="+folder+"/"+filepath.Base(socket))
		c.plan.Setup.Mounts = append(c.plan.Setup.Mounts, rootfs.Mount{
			Index: -1, UnsafeDest: folder, Kind: rootfs.KindBind, Source: filepath.Dir(socket),
			Attr: rootfs.Attr{Set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC},
		})
	}
	if env != nil {
		process.Env = dedupe(append(process.Env[:len(process.Env):len(process.Env)], env...))
	}
}

// version accepts every config of this major version; a newer minor one may
// have properties we ignore, as config.md#extensibility demands.
func (c *composer) version() {
	const major, minor = specs.VersionMajor, specs.VersionMinor
	if c.spec.Version == "" {
		c.refuse(missing, "ociVersion")
		return
	}
	parsed, ok := parseVersion(c.spec.Version)
	c.minor = parsed[1]
	switch {
	case !ok:
		c.refuse(quote(c.spec.Version)+" is not a semantic version", "ociVersion")
	case parsed[0] != major:
		c.refuse(quote(c.spec.Version)+" is not supported; "+specs.Version+" is", "ociVersion")
	case parsed[1] > minor:
		c.warn("ociVersion %s is newer than %s: properties it added are ignored", quote(c.spec.Version), specs.Version)
	}
}

func parseVersion(version string) (parsed [3]uint64, ok bool) {
	core, _, _ := strings.Cut(version, "+")
	core, _, _ = strings.Cut(core, "-")
	numbers := strings.Split(core, ".")
	ok = len(numbers) == len(parsed)
	for i := 0; ok && i < len(parsed); i++ {
		var err error
		parsed[i], err = strconv.ParseUint(numbers[i], 10, 32)
		ok = err == nil && (numbers[i] == "0" || numbers[i][0] != '0')
	}
	return parsed, ok
}

func (c *composer) platform() {
	const problem = "not for Linux"
	for _, one := range [...]struct {
		present bool
		name    string
	}{
		{c.spec.Solaris != nil, "solaris"},
		{c.spec.Windows != nil, "windows"},
		{c.spec.VM != nil, "vm"},
		{c.spec.ZOS != nil, "zos"},
		{c.spec.FreeBSD != nil, "freebsd"},
	} {
		if one.present {
			c.refuse(problem, "%s", one.name)
		}
	}
}

func (c *composer) annotations() {
	if _, ok := c.spec.Annotations[""]; ok {
		c.refuse("a key is empty", "annotations")
	}
}
