package plan

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct/caps"
	"github.com/hako-runtime/hako/libct/idmap"
	"golang.org/x/sys/unix"
)

// What AppArmor and SELinux refusals say in runc.
const (
	noAppArmor = "config provided but apparmor not supported"
	noSELinux  = "selinux label is specified in config, but selinux is disabled or not supported"
)

const notMapped = " is not mapped in the user namespace"

func id(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// program is what execve(2) gets, and the rest of the process's booleans.
func (c *composer) program() {
	spec, process := c.process, &c.plan.Process
	process.Args, process.Cwd, process.NoNewPrivileges = spec.Args, spec.Cwd, spec.NoNewPrivileges
	switch {
	case len(spec.Args) == 0:
		c.refuse("is empty; it needs the program", "process.args")
	case spec.Args[0] == "":
		c.refuse("is empty", "process.args[0]")
	}
	switch {
	case spec.Cwd == "":
		c.refuse(missing, "process.cwd")
	case !path.IsAbs(spec.Cwd):
		c.refuse(quote(spec.Cwd)+notAbsolute, "process.cwd")
	}
	if spec.CommandLine != "" {
		c.refuse("not for Linux; args is", "process.commandLine")
	}
	c.checkEnv(spec.Env, "process.env")
	process.Env = dedupe(spec.Env)
}

func (c *composer) checkEnv(env []string, path string) {
	for i, entry := range env {
		name, _, ok := strings.Cut(entry, "=")
		if !ok || name == "" {
			// The value may be a secret: only the name is shown.
			c.refuse("is not NAME=value", "%s[%d]", path, i)
		}
	}
}

// dedupe keeps the last of the entries with one name, in its place.
func dedupe(env []string) []string {
	seen := make(map[string]struct{}, len(env))
	kept := make([]string, 0, len(env))
	for _, entry := range slices.Backward(env) {
		name, _, _ := strings.Cut(entry, "=")
		if _, duplicate := seen[name]; !duplicate {
			seen[name] = struct{}{}
			kept = append(kept, entry)
		}
	}
	slices.Reverse(kept)
	return kept
}

func (c *composer) terminal() {
	process := &c.plan.Process
	process.Terminal = c.process.Terminal
	if !process.Terminal || c.process.ConsoleSize == nil {
		return
	}
	const most = 1<<16 - 1 // struct winsize
	size := c.process.ConsoleSize
	if size.Height > most {
		c.refuse("above "+strconv.Itoa(most), "process.consoleSize.height")
	}
	if size.Width > most {
		c.refuse("above "+strconv.Itoa(most), "process.consoleSize.width")
	}
	process.ConsoleRows, process.ConsoleCols = uint16(size.Height), uint16(size.Width)
}

// defaultUmask is what runc gives where the config says nothing; the spec
// would have the caller's, but nothing is inherited from it.
const defaultUmask = 0o022

func (c *composer) user() {
	user, process := &c.process.User, &c.plan.Process
	if user.Username != "" {
		c.refuse("not for Linux; uid and gid are", "process.user.username")
	}
	uids, gids := c.target().UIDMap, c.target().GIDMap // nil: not known
	process.UID, process.GID, process.AdditionalGIDs = user.UID, user.GID, user.AdditionalGids
	if !mapped(user.UID, uids) {
		c.refuse(id(user.UID)+unusable(user.UID), "process.user.uid")
	}
	if !mapped(user.GID, gids) {
		c.refuse(id(user.GID)+unusable(user.GID), "process.user.gid")
	}
	process.KeepGroups = c.setgroupsDenied()
	for i, gid := range user.AdditionalGids {
		if !mapped(gid, gids) {
			c.refuse(id(gid)+unusable(gid), "process.user.additionalGids[%d]", i)
		}
	}
	if process.KeepGroups && len(user.AdditionalGids) > 0 {
		c.refuse("setgroups is denied in this user namespace", "process.user.additionalGids")
	}
	process.Umask = defaultUmask
	if c.container != nil {
		process.Umask = c.container.Process.Umask
	}
	if user.Umask != nil {
		process.Umask = *user.Umask
	}
	if process.Umask > 0o777 {
		c.refuse("0"+strconv.FormatUint(uint64(process.Umask), 8)+" is above 0777", "process.user.umask")
	}
}

func unusable(n uint32) string {
	if n == invalidID {
		return " is not an id"
	}
	return notMapped
}

// setgroupsDenied reports whether the groups cannot be set: in a user
// namespace where an unprivileged process mapped its own gid by itself, and
// where hako's own namespace denies it; user_namespaces(7).
func (c *composer) setgroupsDenied() bool {
	if c.facts.EUID != 0 && idmap.IsOnly(c.target().GIDMap, uint32(c.facts.EGID)) {
		return true
	}
	return c.facts.SetgroupsDenied
}

// capabilities warns of what cannot be granted and goes on without;
// config.md#linux-process.
func (c *composer) capabilities() {
	sets := &c.plan.Process.Caps
	if spec := c.process.Capabilities; spec != nil {
		var unknown []string
		grantable := c.grantable()
		for _, one := range [...]struct {
			set   *uint64
			names []string
		}{
			{&sets.Bounding, spec.Bounding}, {&sets.Effective, spec.Effective}, {&sets.Permitted, spec.Permitted},
			{&sets.Inheritable, spec.Inheritable}, {&sets.Ambient, spec.Ambient},
		} {
			var odd []string
			*one.set, odd = caps.Parse(one.names)
			odd = append(odd, caps.Names(*one.set&^grantable)...)
			*one.set &= grantable
			for _, name := range odd {
				if !slices.Contains(unknown, name) {
					unknown = append(unknown, name)
				}
			}
		}
		if len(unknown) > 0 {
			c.warn("process.capabilities: ignoring unknown or unavailable capabilities: %s", quote(strings.Join(unknown, " ")))
		}
	} else if c.container != nil {
		*sets = c.container.Process.Caps
	}
	c.consistent()
}

// consistent takes away what capset(2) and prctl(2) would refuse.
func (c *composer) consistent() {
	sets := &c.plan.Process.Caps
	for _, one := range [...]struct {
		name, lacks string
		set         *uint64
		limit       uint64
	}{
		{"effective", "permitted", &sets.Effective, sets.Permitted},
		{"inheritable", "in the bounding set", &sets.Inheritable, sets.Bounding},
		{"ambient", "permitted and inheritable", &sets.Ambient, sets.Permitted & sets.Inheritable},
	} {
		if excess := *one.set &^ one.limit; excess != 0 {
			c.warn("process.capabilities.%s: ignoring what is not %s: %s", one.name, one.lacks, strings.Join(caps.Names(excess), " "))
			*one.set &= one.limit
		}
	}
}

// grantable are the capabilities the process can have at all. A user namespace
// starts with a full bounding set.
func (c *composer) grantable() uint64 {
	known := caps.All(c.facts.LastCap)
	if c.has(unix.CLONE_NEWUSER) {
		return known
	}
	return known & c.facts.Bounding
}

func (c *composer) rlimits() { c.plan.Process.Rlimits = c.limits(c.process.Rlimits) }

func (c *composer) oomScore() {
	process := &c.plan.Process
	process.OOMScoreAdj = c.process.OOMScoreAdj
	if process.OOMScoreAdj == nil {
		if c.container != nil {
			process.OOMScoreAdj = c.container.Process.OOMScoreAdj
		}
		return
	}
	if n := *process.OOMScoreAdj; n < -1000 || n > 1000 {
		c.refuse(strconv.Itoa(n)+" is not a number from -1000 to 1000", "process.oomScoreAdj")
	}
}

func (c *composer) labels() {
	labels := &c.plan.Process.Labels
	if c.container != nil {
		*labels = c.container.Process.Labels
	}
	if profile := c.process.ApparmorProfile; profile != "" {
		labels.AppArmor = profile
	}
	if label := c.process.SelinuxLabel; label != "" {
		labels.SELinux = label
	}
	if labels.AppArmor != "" && !c.facts.AppArmor {
		if labels.AppArmor == "unconfined" { // which it is
			labels.AppArmor = ""
		} else {
			c.refuse("apparmor: "+noAppArmor, "process.apparmorProfile")
		}
	}
	if labels.SELinux != "" && !c.facts.SELinux {
		c.refuse(noSELinux, "process.selinuxLabel")
	}
}

// unknownName is the refusal of a word that is not in a table.
func unknownName(what, name string, known []string) string {
	return "unknown " + what + " " + quote(name) + "; there are " + strings.Join(known, ", ")
}
