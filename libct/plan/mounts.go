package plan

import (
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct/rootfs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func (c *composer) root() {
	root := &c.plan.Setup.Root
	switch {
	case !c.has(unix.CLONE_NEWNS):
		root.Enter = rootfs.EnterChroot
	case c.options.NoPivot:
		root.Enter = rootfs.EnterMove
	default:
		root.Enter = rootfs.EnterPivot
	}
	if c.spec.Root == nil {
		c.refuse(missing, "root")
		return
	}
	if c.spec.Root.Path == "" {
		c.refuse(missing, "root.path")
		return
	}
	root.HostPath = c.hostPath(c.spec.Root.Path)
	root.Readonly = c.spec.Root.Readonly
	if root.Readonly && !c.has(unix.CLONE_NEWNS) {
		c.refuse(needsMountNS, "root.readonly")
	}
}

const needsMountNS = "needs a mount namespace"

// hostPath makes a path of the config absolute; relative ones start at the
// bundle.
func (c *composer) hostPath(p string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(c.options.Bundle, p)
}

// propagation defaults to rslave, as runc's does: an unmount on the host must
// not be kept busy by a container that has a copy of the mount.
func (c *composer) propagation() {
	root := &c.plan.Setup.Root
	name := c.linux.RootfsPropagation
	if name == "" {
		root.Propagation = unix.MS_SLAVE | unix.MS_REC
		return
	}
	if !c.has(unix.CLONE_NEWNS) {
		c.refuse(needsMountNS, "linux.rootfsPropagation")
	}
	var m rootfs.Mount
	mountOption(&m, name)
	if len(m.Propagation) == 0 {
		c.refuse(quote(name)+" is none of shared, slave, private and unbindable", "linux.rootfsPropagation")
		return
	}
	root.Propagation = m.Propagation[0]
	if c.options.NoPivot && root.Propagation&unix.MS_PRIVATE != 0 {
		c.refuse("private is not safe without pivot_root", "linux.rootfsPropagation")
	}
}

func (c *composer) mounts() {
	if len(c.spec.Mounts) == 0 {
		return
	}
	if !c.has(unix.CLONE_NEWNS) {
		c.refuse(needsMountNS, "mounts")
	}
	setup := c.plan.Setup
	setup.Mounts = make([]rootfs.Mount, 0, len(c.spec.Mounts)+1)
	for i := range c.spec.Mounts {
		m := c.mount(i, &c.spec.Mounts[i])
		setup.Mounts = append(setup.Mounts, m)
		if m.Kind == rootfs.KindBind && m.UnsafeDest == "/dev" {
			setup.HostDev = true
		}
	}
}

func (c *composer) mount(i int, spec *specs.Mount) rootfs.Mount {
	m := rootfs.Mount{Index: i, FSType: spec.Type, Source: spec.Source, UnsafeDest: path.Clean("/" + spec.Destination)}
	switch {
	case spec.Destination == "":
		c.refuse(missing, "mounts[%d].destination", i)
	case spec.Destination[0] != '/':
		c.warn("mounts[%d].destination: %s is relative, which is deprecated; taken as relative to /", i, quote(spec.Destination))
	}
	isBind, isRemount := spec.Type == "bind", false
	for _, option := range spec.Options {
		bind, remount := mountOption(&m, option)
		isBind, isRemount = isBind || bind, isRemount || remount
	}
	switch {
	case isRemount:
		m.Kind, m.FSType, m.Source = rootfs.KindRemount, "", ""
		if isBind { // mount(8): "remount,bind" leaves the file system alone
			m.SuperFlags = 0
		}
	case isBind:
		c.bind(&m)
	case spec.Type == "cgroup" || spec.Type == "cgroup2":
		m.Kind = rootfs.KindCgroup
	default:
		c.newFilesystem(&m)
	}
	c.mountIDMap(&m, spec)
	if m.CopyUp && (m.Kind != rootfs.KindNew || m.FSType != "tmpfs") {
		c.refuse("tmpcopyup needs a tmpfs", "mounts[%d].options", i)
	}
	return m
}

// bind drops SuperFlags: the kernel ignores them, and mount(8) says so.
func (c *composer) bind(m *rootfs.Mount) {
	m.Kind, m.FSType, m.SuperFlags = rootfs.KindBind, "", 0
	if m.Source == "" {
		c.refuse(missing, "mounts[%d].source", m.Index)
	} else {
		m.Source = c.hostPath(m.Source)
	}
	for _, data := range m.Data {
		c.refuse(quote(data)+" is unknown, and a bind mount takes no options of a file system", "mounts[%d].options", m.Index)
	}
}

func (c *composer) newFilesystem(m *rootfs.Mount) {
	m.Kind = rootfs.KindNew
	if m.FSType == "" || m.FSType == "none" {
		c.refuse(`no type; a bind mount needs the option "bind" or "rbind"`, "mounts[%d].type", m.Index)
	}
	c.checkProcTarget(m)
	for _, data := range m.Data {
		// The kernel answers EINVAL, which says nothing.
		name, value, _ := strings.Cut(data, "=")
		ids := c.plan.Namespaces.UIDMap
		switch name {
		case "uid":
		case "gid":
			ids = c.plan.Namespaces.GIDMap
		default:
			continue
		}
		if id, err := strconv.ParseUint(value, 10, 32); err == nil && !mapped(uint32(id), ids) {
			c.refuse(quote(data)+" is not mapped in the user namespace", "mounts[%d].options", m.Index)
		}
	}
}

// checkProcTarget refuses to cover /proc, where security labels are written
// (CVE-2019-16884). Bind mounts, and what symlinks make of the path, are
// checked on the descriptor by package rootfs; this is the early, clear error.
func (c *composer) checkProcTarget(m *rootfs.Mount) {
	if m.UnsafeDest == "/proc" && m.FSType != "proc" {
		c.refuse("only a proc file system may be mounted there", "mounts[%d].destination", m.Index)
	}
}

func (c *composer) mountIDMap(m *rootfs.Mount, spec *specs.Mount) {
	if m.IDMap == nil {
		if len(spec.UIDMappings) == 0 && len(spec.GIDMappings) == 0 {
			return
		}
		m.IDMap = new(rootfs.MountIDMap) // neither idmap nor ridmap, which the spec only recommends
	}
	i := m.Index
	switch {
	case m.Kind != rootfs.KindBind:
		c.refuse("only bind mounts can be id-mapped", "mounts[%d].options", i)
	case len(spec.UIDMappings) == 0 && len(spec.GIDMappings) == 0:
		if !c.has(unix.CLONE_NEWUSER) {
			c.refuse("idmap without mappings needs a user namespace", "mounts[%d].options", i)
		}
	case len(spec.UIDMappings) == 0:
		c.refuse(missing+"; gidMappings has no meaning alone", "mounts[%d].uidMappings", i)
	case len(spec.GIDMappings) == 0:
		c.refuse(missing+"; uidMappings has no meaning alone", "mounts[%d].gidMappings", i)
	}
	c.checkMaps(spec.UIDMappings, "mounts["+strconv.Itoa(i)+"].uidMappings")
	c.checkMaps(spec.GIDMappings, "mounts["+strconv.Itoa(i)+"].gidMappings")
	m.IDMap.UIDs, m.IDMap.GIDs = idMaps(spec.UIDMappings), idMaps(spec.GIDMappings)
}

func (c *composer) mountLabel() {
	c.plan.Setup.Root.MountLabel = c.linux.MountLabel
	if c.linux.MountLabel != "" && !c.facts.SELinux {
		c.refuse(noSELinux, "linux.mountLabel")
	}
}

func (c *composer) maskedPaths() {
	c.plan.Setup.Restrict.UnsafeMasked = c.restrict(c.linux.MaskedPaths, "linux.maskedPaths")
}

func (c *composer) readonlyPaths() {
	c.plan.Setup.Restrict.UnsafeReadonly = c.restrict(c.linux.ReadonlyPaths, "linux.readonlyPaths")
}

// restrict returns the paths clean and once each.
func (c *composer) restrict(list []string, name string) []string {
	if len(list) == 0 {
		return nil
	}
	if !c.has(unix.CLONE_NEWNS) {
		c.refuse(needsMountNS, "%s", name)
	}
	paths := make([]string, 0, len(list))
	seen := make(map[string]struct{}, len(list))
	for i, unsafePath := range list {
		clean := path.Clean(unsafePath)
		if !path.IsAbs(clean) || clean == "/" {
			c.refuse(quote(unsafePath)+" is not an absolute path below /", "%s[%d]", name, i)
		}
		if _, duplicate := seen[clean]; !duplicate {
			seen[clean] = struct{}{}
			paths = append(paths, clean)
		}
	}
	return slices.Clip(paths)
}
