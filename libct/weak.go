package libct

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hako-runtime/hako/libct/caps"
	"github.com/hako-runtime/hako/libct/cgroup/devices"
	"github.com/hako-runtime/hako/libct/rootfs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// weakness is one row: a way in which a container holds back less than it
// could. find returns what to say, once for each place; the paths are those of
// config.json.
type weakness struct {
	id      string
	section string
	find    func(*checking) []place
}

type place struct{ path, message string }

// weakTable is what [Runtime.Check] warns of. hako-check(8) lists the ids.
func weakTable() []weakness {
	return []weakness{
		{"admin-without-user-namespace", "config-linux.md#namespaces", adminWithoutUserNS},
		{"dangerous-capability", "config.md#linux-process", dangerousCaps},
		{"all-capabilities", "config.md#linux-process", allCaps},
		{"inheritable-capabilities", "config.md#linux-process", inheritableCaps},
		{"new-privileges", "config.md#linux-process", newPrivileges},
		{"no-seccomp", "config-linux.md#seccomp", noSeccomp},
		{"no-lsm", "config.md#linux-process", noLSM},
		{"host-namespace", "config-linux.md#namespaces", hostNamespaces},
		{"writable-sys", "config.md#mounts", writableSys},
		{"unmasked-path", "config-linux.md#masked-paths", unmaskedPaths},
		{"writable-proc", "config-linux.md#readonly-paths", writableProc},
		{"host-path", "config.md#mounts", hostPaths},
		{"engine-socket", "config.md#mounts", engineSockets},
		{"device-access", "config-linux.md#allowed-device-list", deviceAccess},
		{"shared-propagation", "config-linux.md#rootfs-mount-propagation", sharedPropagation},
		{"oom-protected", "config.md#linux-process", oomProtected},
		{"no-pids-limit", "config-linux.md#pids", noPidsLimit},
	}
}

func (c *checking) weaknesses() {
	for _, w := range weakTable() {
		for _, p := range w.find(c) {
			c.warn(w.id, p.path, p.message, w.section)
		}
	}
}

func one(path, format string, args ...any) []place {
	return []place{{path, fmt.Sprintf(format, args...)}}
}

// userNS: what root can do inside means nothing outside.
func (c *checking) userNS() bool { return c.plan.Namespaces.Has(unix.CLONE_NEWUSER) }

// has tells whether the container can have a capability.
func (c *checking) has(capability int) bool {
	return c.plan.Process.Caps.Bounding&(1<<capability) != 0
}

func adminWithoutUserNS(c *checking) []place {
	if c.userNS() || !c.has(unix.CAP_SYS_ADMIN) {
		return nil
	}
	return one("process.capabilities", "CAP_SYS_ADMIN without a user namespace is root of the host")
}

// dangerousCaps reach beyond the container without a user namespace.
func dangerousCaps(c *checking) (found []place) {
	if c.userNS() {
		return nil
	}
	for _, d := range [...]struct {
		capability int
		why        string
	}{
		{unix.CAP_SYS_MODULE, "loads kernel modules"},
		{unix.CAP_SYS_RAWIO, "reaches I/O ports and kernel memory"},
		{unix.CAP_SYS_PTRACE, "takes over a process that exec brings in, before it drops its privileges"},
		{unix.CAP_DAC_READ_SEARCH, "opens every file of a shared file system by its handle"},
		{unix.CAP_SYS_BOOT, "restarts the host where the pid namespace is the host's, and loads another kernel"},
		{unix.CAP_SYS_TIME, "sets the clock of the host"},
		{unix.CAP_MAC_ADMIN, "changes the rules of security modules"},
		{unix.CAP_BPF, "loads programs into the kernel"},
		{unix.CAP_PERFMON, "observes the whole host"},
	} {
		if c.has(d.capability) {
			found = append(found, place{"process.capabilities.bounding", caps.Names(1 << d.capability)[0] + " " + d.why})
		}
	}
	return found
}

func allCaps(c *checking) []place {
	if all := caps.All(c.facts.LastCap) & c.facts.Bounding; c.plan.Process.Caps.Bounding&all != all {
		return nil
	}
	return one("process.capabilities.bounding", "the container has every capability that hako has")
}

func inheritableCaps(c *checking) []place {
	if c.plan.Process.Caps.Inheritable == 0 {
		return nil
	}
	return one("process.capabilities.inheritable", "programs with file capabilities get them from whoever executes them")
}

func newPrivileges(c *checking) []place {
	if c.plan.Process.NoNewPrivileges {
		return nil
	}
	return one("process.noNewPrivileges", "setuid programs of the image have their effect")
}

func noSeccomp(c *checking) []place {
	if c.spec.Linux != nil && c.spec.Linux.Seccomp != nil && c.spec.Linux.Seccomp.DefaultAction != "" {
		return nil
	}
	return one("linux.seccomp", "every system call of the kernel can be called")
}

func noLSM(c *checking) []place {
	l := &c.plan.Process.Labels
	switch {
	case c.facts.AppArmor && (l.AppArmor == "" || l.AppArmor == "unconfined"):
		return one("process.apparmorProfile", "AppArmor is enabled, and does not confine the container")
	case c.facts.SELinux && l.SELinux == "":
		return one("process.selinuxLabel", "SELinux is enabled, and the process has the label of hako")
	}
	return nil
}

func hostNamespaces(c *checking) (found []place) {
	own := c.ownNamespaces()
	for _, n := range [...]struct {
		flag uint64
		kind specs.LinuxNamespaceType
		why  string
	}{
		{unix.CLONE_NEWPID, specs.PIDNamespace, "processes of the host can be seen and signalled"},
		{unix.CLONE_NEWNET, specs.NetworkNamespace, "interfaces and abstract sockets of the host can be reached"},
		{unix.CLONE_NEWIPC, specs.IPCNamespace, "shared memory of the host can be reached"},
		{unix.CLONE_NEWUTS, specs.UTSNamespace, "the host's name can be changed by CAP_SYS_ADMIN"},
		{unix.CLONE_NEWNS, specs.MountNamespace, "the root can be left by CAP_SYS_CHROOT"},
	} {
		if !c.plan.Namespaces.Has(n.flag) || slices.Contains(own, n.kind) {
			found = append(found, place{"linux.namespaces", fmt.Sprintf("the %s namespace is the host's: %s", n.kind, n.why)})
		}
	}
	return found
}

// readonly tells whether a row of the mount table ends up read-only.
func readonly(m rootfs.Mount) bool {
	return (m.Attr.Set|m.RecAttr.Set)&unix.MOUNT_ATTR_RDONLY != 0
}

func writableSys(c *checking) (found []place) {
	if c.userNS() {
		return nil
	}
	for _, m := range c.plan.Setup.Mounts {
		kernel := m.Kind == rootfs.KindCgroup || m.Kind == rootfs.KindNew && m.FSType == "sysfs"
		if kernel && !readonly(m) && !c.frozen(m.UnsafeDest) {
			found = append(found, place{mountPath(m, "options"), m.UnsafeDest + " can be written: it is the host's kernel"})
		}
	}
	return found
}

// below tells whether name is dir or in it.
func below(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

func (c *checking) masked(name string) bool {
	return slices.ContainsFunc(c.plan.Setup.Restrict.UnsafeMasked, func(p string) bool { return below(name, p) })
}

func (c *checking) frozen(name string) bool {
	return slices.ContainsFunc(c.plan.Setup.Restrict.UnsafeReadonly, func(p string) bool { return below(name, p) })
}

// mounted tells whether a file system of that type is mounted anew.
func (c *checking) mounted(fsType string) bool {
	return slices.ContainsFunc(c.plan.Setup.Mounts, func(m rootfs.Mount) bool {
		return m.Kind == rootfs.KindNew && m.FSType == fsType
	})
}

func unmaskedPaths(c *checking) (found []place) {
	for _, p := range [...]struct{ name, fsType, why string }{
		{"/proc/acpi", "proc", "controls hardware of the host"},
		{"/proc/kcore", "proc", "is the memory of the host"},
		{"/proc/keys", "proc", "lists keys of the host"},
		{"/proc/latency_stats", "proc", "shows what the host does"},
		{"/proc/timer_list", "proc", "shows what the host does"},
		{"/proc/sched_debug", "proc", "shows what the host does"},
		{"/proc/scsi", "proc", "controls hardware of the host"},
		{"/sys/firmware", "sysfs", "is the firmware of the host"},
	} {
		if c.mounted(p.fsType) && !c.masked(p.name) {
			found = append(found, place{"linux.maskedPaths", p.name + " " + p.why})
		}
	}
	return found
}

func writableProc(c *checking) (found []place) {
	if c.userNS() || !c.mounted("proc") {
		return nil
	}
	for _, name := range [...]string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"} {
		if !c.frozen(name) && !c.masked(name) {
			found = append(found, place{"linux.readonlyPaths", name + " can be written: it is the host's kernel"})
		}
	}
	return found
}

// bindSources calls look for every bind mount with what its source is on the
// host, symlinks resolved.
func (c *checking) bindSources(look func(m rootfs.Mount, source string)) {
	for _, m := range c.plan.Setup.Mounts {
		if m.Kind != rootfs.KindBind {
			continue
		}
		source, err := filepath.EvalSymlinks(m.Source)
		if err != nil {
			source = m.Source
		}
		look(m, source)
	}
}

// hostPaths are directories of the host that decide what the host does. Some
// are a way out if they can only be read.
func hostPaths(c *checking) (found []place) {
	alsoReadOnly := []string{"/", "/root", "/etc", "/proc", "/var/lib/docker", "/var/lib/containers", "/var/lib/containerd", "/var/lib/kubelet"}
	writable := []string{"/bin", "/boot", "/dev", "/lib", "/lib64", "/run", "/sbin", "/sys", "/usr", "/var", "/home", "/opt"}
	c.bindSources(func(m rootfs.Mount, source string) {
		switch {
		case slices.Contains(alsoReadOnly, source) && readonly(m):
			found = append(found, place{mountPath(m, "source"), source + " of the host can be read"})
		case slices.Contains(alsoReadOnly, source) || slices.Contains(writable, source) && !readonly(m):
			found = append(found, place{mountPath(m, "source"), source + " of the host can be written"})
		}
	})
	return found
}

// engineSockets start other containers, whatever this one may do.
func engineSockets(c *checking) (found []place) {
	names := []string{"docker.sock", "podman.sock", "containerd.sock", "crio.sock", "buildkitd.sock", "system_bus_socket"}
	c.bindSources(func(m rootfs.Mount, source string) {
		if slices.Contains(names, path.Base(source)) || slices.Contains(names, path.Base(m.Source)) {
			found = append(found, place{mountPath(m, "source"), source + " gives orders to the host"})
		}
	})
	return found
}

// deviceAccess looks at what is allowed in the end by rules of the config; what
// hako allows every container is harmless.
func deviceAccess(c *checking) (found []place) {
	rules := c.plan.Cgroup.Devices
	for i, r := range rules {
		if !r.Allow || !r.Read && !r.Write || takenAway(rules[i+1:], r) {
			continue
		}
		memory := r.Type == 'c' && r.Major == 1 && (r.Minor < 0 || r.Minor == 1 || r.Minor == 2 || r.Minor == 4)
		switch {
		case r.Type == 'a' || r.Major < 0:
			found = append(found, place{"linux.resources.devices", "every device of the host can be opened"})
		case r.Type == 'b':
			found = append(found, place{"linux.resources.devices", fmt.Sprintf("block device %d:%d of the host can be opened", r.Major, r.Minor)})
		case memory:
			found = append(found, place{"linux.resources.devices", "the memory of the host can be opened"})
		}
	}
	return slices.Compact(found)
}

// takenAway tells whether a later rule denies all that r allows.
func takenAway(later []devices.Rule, r devices.Rule) bool {
	return slices.ContainsFunc(later, func(l devices.Rule) bool {
		covers := (l.Type == 'a' || l.Type == r.Type) && (l.Major < 0 || l.Major == r.Major) && (l.Minor < 0 || l.Minor == r.Minor)
		return !l.Allow && covers && l.Read && l.Write
	})
}

func sharedPropagation(c *checking) (found []place) {
	if c.plan.Setup.Root.Propagation&unix.MS_SHARED == 0 {
		return nil
	}
	found = one("linux.rootfsPropagation", "mounts of the container can reach the host")
	for _, m := range c.plan.Setup.Mounts {
		if slices.ContainsFunc(m.Propagation, func(p uint64) bool { return p&unix.MS_SHARED != 0 }) {
			found = append(found, place{mountPath(m, "options"), "mounts below " + m.UnsafeDest + " reach the host"})
		}
	}
	return found
}

func oomProtected(c *checking) []place {
	if adj := c.plan.Process.OOMScoreAdj; adj == nil || *adj > -900 {
		return nil
	}
	return one("process.oomScoreAdj", "the kernel ends other processes of the host first when memory is short")
}

func noPidsLimit(c *checking) []place {
	r := specs.LinuxResources{}
	if c.spec.Linux != nil && c.spec.Linux.Resources != nil {
		r = *c.spec.Linux.Resources
	}
	if r.Pids != nil && r.Pids.Limit != nil && *r.Pids.Limit > 0 || r.Unified["pids.max"] != "" && r.Unified["pids.max"] != "max" {
		return nil
	}
	return one("linux.resources.pids", "a fork bomb takes the process numbers of the host")
}
