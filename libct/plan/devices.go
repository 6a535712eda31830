package plan

import (
	"path"
	"slices"
	"strconv"

	"github.com/hako-runtime/hako/libct/cgroup/devices"
	"github.com/hako-runtime/hako/libct/rootfs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// builtinDevices are config-linux.md#default-devices but for /dev/console and
// /dev/ptmx, which are not nodes.
var builtinDevices = [...]struct {
	path         string
	major, minor uint32
}{
	{"/dev/null", 1, 3},
	{"/dev/zero", 1, 5},
	{"/dev/full", 1, 7},
	{"/dev/random", 1, 8},
	{"/dev/urandom", 1, 9},
	{"/dev/tty", 5, 0},
}

const deviceMode = 0o666

// bindDevices reports whether the kernel refuses mknod(2): in any user
// namespace but the first.
func (c *composer) bindDevices() bool {
	return c.facts.UserNamespace || c.has(unix.CLONE_NEWUSER)
}

func (c *composer) defaultDevices() {
	if c.plan.Setup.HostDev {
		return
	}
	for _, d := range builtinDevices {
		if c.configures(d.path) {
			continue
		}
		c.plan.Setup.Devices = append(c.plan.Setup.Devices, rootfs.Device{
			UnsafePath: d.path, Mode: unix.S_IFCHR | deviceMode, Major: d.major, Minor: d.minor, Bind: c.bindDevices(),
		})
	}
	if c.bindDevices() && !c.has(unix.CLONE_NEWNS) {
		// Neither mknod nor mount: the root file system has to bring them.
		c.plan.Setup.Devices = nil
	}
}

// configures reports whether linux.devices describes the path.
func (c *composer) configures(devicePath string) bool {
	for i := range c.linux.Devices {
		if path.Clean(c.linux.Devices[i].Path) == devicePath {
			return true
		}
	}
	return false
}

func (c *composer) devices() {
	for i := range c.linux.Devices {
		d, ok := c.device(i, &c.linux.Devices[i])
		// A /dev of the host has its nodes; it must not get others.
		if ok && !(c.plan.Setup.HostDev && below(d.UnsafePath, "/dev")) {
			c.plan.Setup.Devices = append(c.plan.Setup.Devices, d)
		}
	}
}

func below(p, dir string) bool {
	return len(p) > len(dir) && p[:len(dir)] == dir && p[len(dir)] == '/'
}

func (c *composer) device(i int, spec *specs.LinuxDevice) (d rootfs.Device, ok bool) {
	d = rootfs.Device{UnsafePath: path.Clean(spec.Path), Mode: deviceMode}
	if spec.Path == "" || spec.Path[0] != '/' || d.UnsafePath == "/" {
		c.refuse(quote(spec.Path)+" is not an absolute path below /", "linux.devices[%d].path", i)
	}
	if spec.FileMode != nil {
		d.Mode = uint32(*spec.FileMode) & 0o7777 // Podman sends the type, too
	}
	if spec.UID != nil {
		d.UID = *spec.UID
	}
	if spec.GID != nil {
		d.GID = *spec.GID
	}
	switch spec.Type {
	case "c", "u":
		d.Mode |= unix.S_IFCHR
	case "b":
		d.Mode |= unix.S_IFBLK
	case "p":
		d.Mode |= unix.S_IFIFO
	default:
		c.refuse(quote(spec.Type)+" is none of c, b, u and p", "linux.devices[%d].type", i)
		return d, false
	}
	if spec.Type != "p" {
		d.Major, d.Minor = c.deviceNumber(spec.Major, 1<<12, "linux.devices[%d].major", i), c.deviceNumber(spec.Minor, 1<<20, "linux.devices[%d].minor", i)
		d.Bind = c.bindDevices()
		if d.Bind && !c.has(unix.CLONE_NEWNS) {
			c.refuse("a device in a user namespace "+needsMountNS, "linux.devices[%d]", i)
		}
	}
	// A bind mount has the owner of the host's node.
	if !d.Bind && !mapped(d.UID, c.plan.Namespaces.UIDMap) {
		c.refuse(id(d.UID)+notMapped, "linux.devices[%d].uid", i)
	}
	if !d.Bind && !mapped(d.GID, c.plan.Namespaces.GIDMap) {
		c.refuse(id(d.GID)+notMapped, "linux.devices[%d].gid", i)
	}
	return d, c.firstDevice(i, d)
}

// firstDevice reports whether the path is not there yet; the same device twice
// is harmless, two devices at one path are not.
func (c *composer) firstDevice(i int, d rootfs.Device) bool {
	for _, other := range c.plan.Setup.Devices {
		if other.UnsafePath != d.UnsafePath {
			continue
		}
		if other != d {
			c.refuse(quote(d.UnsafePath)+" is described twice", "linux.devices[%d].path", i)
		}
		return false
	}
	return true
}

func (c *composer) deviceNumber(n, limit int64, path string, i int) uint32 {
	if n < 0 || n >= limit {
		c.refuse(strconv.FormatInt(n, 10)+" is not a number from 0 to "+strconv.FormatInt(limit-1, 10), path, i)
		return 0
	}
	return uint32(n)
}

// deviceRules composes the allowed devices, of which later rules win:
//
//  1. nothing (as in runc, also if the config has no rules at all)
//  2. linux.devices; before the config's rules, because those may narrow them
//  3. linux.resources.devices
//  4. what runc allows every container, and no config can take away
//
// Unprivileged, there are no rules: neither controller can be used, and no
// device node can be made either. What is lost by that is told.
func (c *composer) deviceRules() {
	rules := []devices.Rule{{Type: 'a', Major: anyNumber, Minor: anyNumber, Read: true, Write: true, Mknod: true}}
	for i := range c.linux.Devices {
		d := &c.linux.Devices[i]
		if d.Type == "p" || d.Type == "" {
			continue
		}
		kind := byte('c')
		if d.Type == "b" {
			kind = 'b'
		}
		rules = append(rules, allow(kind, d.Major, d.Minor))
	}
	if c.linux.Resources != nil {
		for i := range c.linux.Resources.Devices {
			rules = c.deviceRule(rules, i, &c.linux.Resources.Devices[i])
		}
	}
	if c.facts.EUID != 0 || c.facts.UserNamespace {
		if forbidMore(rules) {
			c.warn("linux.resources.devices: not enforced without root privileges: the container can open what its user can")
		}
		return
	}
	for _, kind := range [...]byte{'c', 'b'} {
		rules = append(rules, devices.Rule{Allow: true, Type: kind, Major: anyNumber, Minor: anyNumber, Mknod: true})
	}
	for _, d := range builtinDevices {
		rules = append(rules, allow('c', int64(d.major), int64(d.minor)))
	}
	rules = append(rules,
		allow('c', 136, anyNumber), // /dev/pts/N
		allow('c', 5, 2),           // ptmx
		allow('c', 10, 200),        // /dev/net/tun; engines rely on it since the first runc
	)
	c.plan.Cgroup.Devices = rules
}

const anyNumber = -1

// forbidMore reports whether rules forbid more than engines always do, which is
// everything but what is then allowed: whether one takes back what another has
// allowed, or allows only reading or only writing.
func forbidMore(rules []devices.Rule) bool {
	var allowed []devices.Rule // since everything was denied
	for _, r := range rules {
		switch {
		case r.Type == 'a' && !r.Allow: // of all devices: see deviceRule
			allowed = nil
		case !r.Allow && slices.ContainsFunc(allowed, func(a devices.Rule) bool { return takesBack(r, a) }):
			return true
		case r.Allow && r.Read != r.Write && !slices.ContainsFunc(allowed, func(a devices.Rule) bool { return hasOther(a, r) }):
			return true
		case r.Allow:
			allowed = append(allowed, r)
		}
	}
	return false
}

// takesBack reports whether deny denies reading or writing that a allows.
func takesBack(deny, a devices.Rule) bool {
	meet := func(x, y int64) bool { return x == y || x == anyNumber || y == anyNumber }
	return (deny.Type == a.Type || a.Type == 'a') && meet(deny.Major, a.Major) && meet(deny.Minor, a.Minor) &&
		(deny.Read && a.Read || deny.Write && a.Write)
}

// hasOther reports whether a allows the devices of half, which can only be read
// or only written by that rule, the other as well.
func hasOther(a, half devices.Rule) bool {
	holds := func(x, y int64) bool { return x == y || x == anyNumber }
	return (a.Type == half.Type || a.Type == 'a') && holds(a.Major, half.Major) && holds(a.Minor, half.Minor) &&
		(half.Read && a.Write || half.Write && a.Read)
}

func allow(kind byte, major, minor int64) devices.Rule {
	return devices.Rule{Allow: true, Type: kind, Major: major, Minor: minor, Read: true, Write: true, Mknod: true}
}

// deviceRule appends one rule of the config. Type "a" stays only in the form
// that the devices controller of cgroup v1 knows (everything); there, a rule
// such as "a 10:229 rw" would mean every device. It becomes two.
func (c *composer) deviceRule(rules []devices.Rule, i int, spec *specs.LinuxDeviceCgroup) []devices.Rule {
	rule := devices.Rule{
		Allow: spec.Allow,
		Major: c.ruleNumber(spec.Major, "major", i),
		Minor: c.ruleNumber(spec.Minor, "minor", i),
	}
	if spec.Access == "" {
		c.refuse("is empty", "linux.resources.devices[%d].access", i)
	}
	for _, letter := range []byte(spec.Access) {
		switch letter {
		case 'r':
			rule.Read = true
		case 'w':
			rule.Write = true
		case 'm':
			rule.Mknod = true
		default:
			c.refuse(quote(spec.Access)+" is not made of r, w and m", "linux.resources.devices[%d].access", i)
			return rules
		}
	}
	switch spec.Type {
	case "c", "b":
		rule.Type = spec.Type[0]
		return append(rules, rule)
	case "", "a":
	default:
		c.refuse(quote(spec.Type)+" is none of a, c and b", "linux.resources.devices[%d].type", i)
		return rules
	}
	rule.Type = 'a'
	if rule.Major == anyNumber && rule.Minor == anyNumber && rule.Read && rule.Write && rule.Mknod {
		return append(rules, rule)
	}
	char, block := rule, rule
	char.Type, block.Type = 'c', 'b'
	return append(rules, char, block)
}

func (c *composer) ruleNumber(n *int64, name string, i int) int64 {
	if n == nil {
		return anyNumber
	}
	if *n < anyNumber || *n > 1<<32-1 {
		c.refuse(strconv.FormatInt(*n, 10)+" is not a device number", "linux.resources.devices[%d].%s", i, name)
	}
	return *n
}
