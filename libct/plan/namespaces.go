package plan

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct/idmap"
	"github.com/hako-runtime/hako/libct/netdev"
	"github.com/hako-runtime/hako/libct/spawn"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// namespaceTypes are all the types.
var namespaceTypes = [...]struct {
	name specs.LinuxNamespaceType
	flag uint64
}{
	{specs.UserNamespace, unix.CLONE_NEWUSER},
	{specs.MountNamespace, unix.CLONE_NEWNS},
	{specs.PIDNamespace, unix.CLONE_NEWPID},
	{specs.NetworkNamespace, unix.CLONE_NEWNET},
	{specs.IPCNamespace, unix.CLONE_NEWIPC},
	{specs.UTSNamespace, unix.CLONE_NEWUTS},
	{specs.CgroupNamespace, unix.CLONE_NEWCGROUP},
	{specs.TimeNamespace, unix.CLONE_NEWTIME},
}

// KnownNamespaces lists the types of namespace, sorted; for `features`.
func KnownNamespaces() []string {
	var names []string
	for _, t := range namespaceTypes {
		names = append(names, string(t.name))
	}
	slices.Sort(names)
	return names
}

func namespaceFlag(name specs.LinuxNamespaceType) uint64 {
	for _, t := range namespaceTypes {
		if t.name == name {
			return t.flag
		}
	}
	return 0
}

// isNew reports whether the container gets a namespace of its own.
func (c *composer) isNew(flag uint64) bool { return c.target().New&flag != 0 }

// target are the container's namespaces, also for an exec.
func (c *composer) target() *spawn.Namespaces {
	if c.container != nil {
		return &c.container.Namespaces
	}
	return &c.plan.Namespaces
}

// has reports whether the container has a namespace that is not the
// runtime's: a new one, or one to join.
func (c *composer) has(flag uint64) bool {
	return c.isNew(flag) || slices.ContainsFunc(c.target().Join, func(j spawn.Join) bool { return j.Flag == flag })
}

func (c *composer) namespaces() {
	var seen uint64
	for i, ns := range c.linux.Namespaces {
		flag := namespaceFlag(ns.Type)
		switch {
		case flag == 0:
			c.refuse("unknown namespace "+quote(string(ns.Type)), "linux.namespaces[%d].type", i)
			continue
		case seen&flag != 0:
			c.refuse("duplicate namespace "+quote(string(ns.Type)), "linux.namespaces[%d].type", i)
			continue
		case ns.Path != "" && ns.Path[0] != '/':
			c.refuse(quote(ns.Path)+notAbsolute, "linux.namespaces[%d].path", i)
		}
		seen |= flag
		switch {
		case ns.Path == "":
			c.plan.Namespaces.New |= flag
		case slices.Contains(c.options.OwnNamespaces, ns.Type): // as if it were not listed: the rules for the host's hold
		default:
			c.plan.Namespaces.Join = append(c.plan.Namespaces.Join, spawn.Join{Flag: flag, Path: ns.Path})
		}
	}
	if c.facts.EUID != 0 && seen&unix.CLONE_NEWUSER == 0 {
		c.refuse("without root privileges a container needs a user namespace", "linux.namespaces")
	}
	c.plan.Setup.Loopback = c.isNew(unix.CLONE_NEWNET)
}

func (c *composer) userMappings() {
	uids, gids := c.linux.UIDMappings, c.linux.GIDMappings
	switch {
	case c.isNew(unix.CLONE_NEWUSER):
		for _, one := range [...]struct {
			maps []specs.LinuxIDMapping
			name string
		}{{uids, "linux.uidMappings"}, {gids, "linux.gidMappings"}} {
			if len(one.maps) == 0 {
				c.refuse("a new user namespace needs a mapping", "%s", one.name)
			}
			c.checkMaps(one.maps, one.name)
		}
		c.plan.Namespaces.UIDMap, c.plan.Namespaces.GIDMap = idMaps(uids), idMaps(gids)
	case len(uids) == 0 && len(gids) == 0:
	case c.has(unix.CLONE_NEWUSER):
		// containerd and CRI-O send both; runc tolerates it, too.
		c.warn("linux.uidMappings, linux.gidMappings: ignored, the joined user namespace has its own")
	default:
		c.refuse("mappings need a user namespace", "linux.uidMappings, linux.gidMappings")
	}
}

// checkMaps refuses what the kernel would; user_namespaces(7).
func (c *composer) checkMaps(list []specs.LinuxIDMapping, path string) {
	const most = 340
	if len(list) > most {
		c.refuse(strconv.Itoa(len(list))+" mappings; the kernel takes "+strconv.Itoa(most), "%s", path)
		return
	}
	for i, m := range list {
		if m.Size == 0 {
			c.refuse("is 0", "%s[%d].size", path, i)
		}
		if uint64(m.ContainerID)+uint64(m.Size) > 1<<32-1 || uint64(m.HostID)+uint64(m.Size) > 1<<32-1 {
			c.refuse("ids above 4294967294", "%s[%d]", path, i)
		}
		for j, other := range list[:i] {
			if overlap(m.ContainerID, other.ContainerID, m.Size, other.Size) {
				c.refuse("container ids overlap those of ["+strconv.Itoa(j)+"]", "%s[%d]", path, i)
			}
			if overlap(m.HostID, other.HostID, m.Size, other.Size) {
				c.refuse("host ids overlap those of ["+strconv.Itoa(j)+"]", "%s[%d]", path, i)
			}
		}
	}
}

func overlap(a, b, sizeA, sizeB uint32) bool {
	return uint64(a) < uint64(b)+uint64(sizeB) && uint64(b) < uint64(a)+uint64(sizeA)
}

func idMaps(list []specs.LinuxIDMapping) []idmap.Map {
	if len(list) == 0 {
		return nil
	}
	converted := make([]idmap.Map, len(list))
	for i, m := range list {
		converted[i] = idmap.Map{ContainerID: m.ContainerID, HostID: m.HostID, Size: m.Size}
	}
	return converted
}

// invalidID is (uid_t)-1: setresuid(2) takes it for "leave as it is", so a
// process asked to run as it would stay root.
const invalidID = 1<<32 - 1

// mapped reports whether a container id exists; maps is nil unless the user
// namespace is a new one, whose mappings we know.
func mapped(id uint32, maps []idmap.Map) bool {
	if id == invalidID {
		return false
	}
	return maps == nil || slices.ContainsFunc(maps, func(m idmap.Map) bool {
		return id >= m.ContainerID && uint64(id) < uint64(m.ContainerID)+uint64(m.Size)
	})
}

func (c *composer) timeOffsets() {
	if len(c.linux.TimeOffsets) == 0 {
		return
	}
	if !c.isNew(unix.CLONE_NEWTIME) {
		c.refuse("needs a new time namespace", "linux.timeOffsets")
	}
	for _, clock := range slices.Sorted(maps.Keys(c.linux.TimeOffsets)) {
		offset := c.linux.TimeOffsets[clock]
		if clock != "monotonic" && clock != "boottime" {
			c.refuse("unknown clock; there are monotonic and boottime", "linux.timeOffsets[%s]", quote(clock))
			continue
		}
		if offset.Nanosecs >= 1e9 {
			c.refuse(strconv.FormatUint(uint64(offset.Nanosecs), 10)+" is a second or more", "linux.timeOffsets.%s.nanosecs", clock)
		}
		c.plan.Namespaces.TimeOffsets = append(c.plan.Namespaces.TimeOffsets,
			spawn.TimeOffset{Clock: clock, Secs: offset.Secs, Nanos: offset.Nanosecs})
	}
}

func (c *composer) hostname() {
	c.plan.Setup.Hostname = c.spec.Hostname
	c.utsName(c.spec.Hostname, "hostname")
}

func (c *composer) domainname() {
	c.plan.Setup.Domainname = c.spec.Domainname
	c.utsName(c.spec.Domainname, "domainname")
}

func (c *composer) utsName(name, path string) {
	const longest = 64 // sethostname(2)
	if name == "" {
		return
	}
	if !c.has(unix.CLONE_NEWUTS) {
		c.refuse("needs a uts namespace", "%s", path)
	}
	if len(name) > longest {
		c.refuse("longer than "+strconv.Itoa(longest)+" bytes", "%s", path)
	}
}

func (c *composer) netDevices() {
	if len(c.linux.NetDevices) == 0 {
		return
	}
	if !c.has(unix.CLONE_NEWNET) {
		c.refuse("needs a network namespace", "linux.netDevices")
	}
	if c.facts.EUID != 0 {
		c.refuse("needs root privileges", "linux.netDevices")
	}
	for _, name := range slices.Sorted(maps.Keys(c.linux.NetDevices)) {
		device := c.linux.NetDevices[name]
		to := cmp.Or(device.Name, name)
		if !validInterface(name) {
			c.refuse("is not the name of a network device", "linux.netDevices[%s]", quote(name))
		}
		// The kernel replaces a trailing %d by a free number.
		if device.Name != "" && !validInterface(strings.TrimSuffix(device.Name, "%d")) || len(to) > maxInterface {
			c.refuse(quote(to)+" is not the name of a network device", "linux.netDevices[%s].name", quote(name))
		}
		c.plan.NetDevices = append(c.plan.NetDevices, netdev.Device{Host: name, Container: to})
	}
	for i, d := range c.plan.NetDevices {
		same := func(e netdev.Device) bool { return e.Container == d.Container }
		if !strings.HasSuffix(d.Container, "%d") && slices.ContainsFunc(c.plan.NetDevices[:i], same) {
			c.refuse("two devices become "+quote(d.Container), "linux.netDevices[%s].name", quote(d.Host))
		}
	}
}

const maxInterface = 15 // IFNAMSIZ with its NUL

// validInterface is the kernel's dev_valid_name, and no %, which makes a
// template of a name.
func validInterface(name string) bool {
	return name != "" && len(name) <= maxInterface && name != "." && name != ".." &&
		!strings.ContainsAny(name, "/:% \t\n\v\f\r")
}
