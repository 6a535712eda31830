package plan

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/hako-runtime/hako/libct/hooks"
	"github.com/hako-runtime/hako/libct/idmap"
	"github.com/hako-runtime/hako/libct/rdt"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// cgroupsPath is relative to the root of each hierarchy with or without a
// leading slash, but for a user to whom a cgroup is delegated: a relative one
// starts there. Who may make no cgroup gets none, unless the config names one;
// docs/design.md.
func (c *composer) cgroupsPath() {
	given := c.linux.CgroupsPath
	if c.options.Systemd {
		c.systemdUnit()
		return
	}
	if given == "" && c.facts.CgroupDenied && c.facts.CgroupParent == "" {
		return
	}
	if !strings.Contains(given, "/") && strings.Count(given, ":") == 2 {
		c.refuse(quote(given)+" is of the form slice:prefix:name, which needs --systemd-cgroup", "linux.cgroupsPath")
		return
	}
	clean := path.Clean("/" + cmp.Or(given, c.options.ID))
	if c.facts.CgroupDenied && !path.IsAbs(given) && clean != "/" {
		clean = path.Join("/", c.facts.CgroupParent, clean)
	}
	switch {
	case clean == "/":
		c.refuse(quote(given)+" is the root, which holds every process", "linux.cgroupsPath")
	case strings.Contains(clean, "\n"):
		c.refuse(quote(given)+" has a line break", "linux.cgroupsPath")
	}
	c.plan.Cgroup.Path = clean
}

// cgroupOwner gives the cgroup to the user of a container that has it mounted
// writable in a cgroup namespace of its own; not on v1, where that is not safe.
func (c *composer) cgroupOwner() {
	ns := &c.plan.Namespaces
	writable := slices.ContainsFunc(c.spec.Mounts, func(m specs.Mount) bool {
		return m.Source == "cgroup" && path.Clean(m.Destination) == "/sys/fs/cgroup" && !slices.Contains(m.Options, "ro")
	})
	if !c.v2() || !writable || ns.New&unix.CLONE_NEWCGROUP == 0 || c.process == nil {
		return
	}
	uid := c.process.User.UID
	if c.has(unix.CLONE_NEWUSER) {
		var ok bool
		if uid, ok = idmap.HostID(ns.UIDMap, uid); !ok {
			return // a namespace that is joined: its map is not ours to know
		}
	}
	if uid != uint32(c.facts.EUID) && c.facts.EUID == 0 {
		c.plan.Cgroup.OwnerUID = &uid
	}
}

func (c *composer) intelRdt() {
	spec := c.linux.IntelRdt
	if spec == nil {
		return
	}
	group := &rdt.Group{
		ClosID: cmp.Or(spec.ClosID, c.options.ID), Explicit: spec.ClosID != "",
		Monitoring: spec.EnableMonitoring, ID: c.options.ID,
	}
	if id := spec.ClosID; id == "." || id == ".." || id != "/" && strings.Contains(id, "/") {
		c.refuse(quote(id)+" is not the name of a folder", "linux.intelRdt.closID")
	}
	if spec.MemBwSchema != "" && !strings.HasPrefix(spec.MemBwSchema, "MB:") {
		c.refuse(`does not start with "MB:"`, "linux.intelRdt.memBwSchema")
	}
	if spec.L3CacheSchema != "" && !strings.HasPrefix(spec.L3CacheSchema, "L3:") {
		c.warn(`linux.intelRdt.l3CacheSchema: does not start with "L3:"`)
	}
	// The order is the specification's.
	for _, line := range append([]string{spec.L3CacheSchema, spec.MemBwSchema}, spec.Schemata...) {
		if strings.Contains(line, "\n") {
			c.refuse(quote(line)+" has a line break", "linux.intelRdt")
		}
		if line != "" {
			group.Schemata = append(group.Schemata, line)
		}
	}
	c.plan.RDT = group
}

// sysctlNamespaces says which of /proc/sys belong to a namespace; everything
// else is the host's. A name ending in "/" stands for all below.
var sysctlNamespaces = [...]struct {
	file, namespace string
	flag            uint64
}{
	{"net/", "network", unix.CLONE_NEWNET},
	{"kernel/auto_msgmni", "ipc", unix.CLONE_NEWIPC},
	{"kernel/msgmax", "ipc", unix.CLONE_NEWIPC},
	{"kernel/msgmnb", "ipc", unix.CLONE_NEWIPC},
	{"kernel/msgmni", "ipc", unix.CLONE_NEWIPC},
	{"kernel/msg_next_id", "ipc", unix.CLONE_NEWIPC},
	{"kernel/sem", "ipc", unix.CLONE_NEWIPC},
	{"kernel/sem_next_id", "ipc", unix.CLONE_NEWIPC},
	{"kernel/shmall", "ipc", unix.CLONE_NEWIPC},
	{"kernel/shmmax", "ipc", unix.CLONE_NEWIPC},
	{"kernel/shmmni", "ipc", unix.CLONE_NEWIPC},
	{"kernel/shm_next_id", "ipc", unix.CLONE_NEWIPC},
	{"kernel/shm_rmid_forced", "ipc", unix.CLONE_NEWIPC},
	{"fs/mqueue/", "ipc", unix.CLONE_NEWIPC},
	{"kernel/domainname", "uts", unix.CLONE_NEWUTS},
	{"user/", "user", unix.CLONE_NEWUSER},
}

func (c *composer) sysctls() {
	if len(c.linux.Sysctl) == 0 {
		return
	}
	names := slices.Sorted(maps.Keys(c.linux.Sysctl))
	list := make([]Sysctl, 0, len(names))
	for _, name := range names {
		file := sysctlFile(name)
		if problem := c.sysctlProblem(name, file); problem != "" {
			c.refuse(problem, "linux.sysctl[%s]", quote(name))
		} else if slices.ContainsFunc(list, func(s Sysctl) bool { return s.File == file }) {
			c.refuse("the same parameter under another name", "linux.sysctl[%s]", quote(name))
		}
		list = append(list, Sysctl{Name: name, File: file, Value: c.linux.Sysctl[name]})
	}
	c.plan.Setup.Sysctls = list
}

// sysctlFile turns a name into a path as sysctl(8) does: whichever of "." and
// "/" comes first is the separator, and the other one is part of a word
// ("net.ipv4.conf.eth0/1.forwarding" is about the device "eth0.1").
func sysctlFile(name string) string {
	i := strings.IndexAny(name, "./")
	if i < 0 || name[i] == '/' {
		return name
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, name)
}

func (c *composer) sysctlProblem(name, file string) string {
	for word := range strings.SplitSeq(file, "/") {
		if word == "" || word == "." || word == ".." {
			return "is not the name of a kernel parameter"
		}
	}
	if file == "kernel/hostname" {
		return `sysctl ` + quote(name) + ` is not allowed as it conflicts with the OCI "hostname" field`
	}
	if file == "kernel/domainname" && c.spec.Domainname != "" {
		return `sysctl ` + quote(name) + ` is not allowed as it conflicts with the OCI "domainname" field`
	}
	for _, s := range sysctlNamespaces {
		if file != s.file && !(strings.HasSuffix(s.file, "/") && strings.HasPrefix(file, s.file)) {
			continue
		}
		if !c.has(s.flag) {
			return "sysctl " + quote(name) + " is not allowed in the host's " + s.namespace + " namespace"
		}
		return ""
	}
	return "sysctl " + quote(name) + " is not in a separate kernel namespace"
}

func (c *composer) hooks() {
	spec, set := c.spec.Hooks, &c.plan.Hooks
	if spec == nil {
		return
	}
	set.Prestart = c.hookList(spec.Prestart, "prestart") //nolint:staticcheck // deprecated, but part of the specification
	set.CreateRuntime = c.hookList(spec.CreateRuntime, "createRuntime")
	set.CreateContainer = c.hookList(spec.CreateContainer, "createContainer")
	set.StartContainer = c.hookList(spec.StartContainer, "startContainer")
	set.Poststart = c.hookList(spec.Poststart, "poststart")
	set.Poststop = c.hookList(spec.Poststop, "poststop")
}

func (c *composer) hookList(list []specs.Hook, point string) []hooks.Hook {
	if len(list) == 0 {
		return nil
	}
	converted := make([]hooks.Hook, len(list))
	for i, h := range list {
		where := "hooks." + point
		if !path.IsAbs(h.Path) {
			c.refuse(quote(h.Path)+notAbsolute, "%s[%d].path", where, i)
		}
		converted[i] = hooks.Hook{Path: h.Path, Args: h.Args, Env: h.Env}
		if h.Timeout != nil {
			converted[i].TimeoutS = *h.Timeout
			if *h.Timeout <= 0 {
				c.refuse("is not above 0", "%s[%d].timeout", where, i)
			}
		}
		for j, entry := range h.Env {
			if name, _, ok := strings.Cut(entry, "="); !ok || name == "" {
				c.refuse("is not NAME=value", "%s[%d].env[%d]", where, i, j)
			}
		}
	}
	return converted
}
