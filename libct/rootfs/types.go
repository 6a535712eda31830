package rootfs

import "github.com/hako-runtime/hako/libct/idmap"

// Root says what the container's "/" is and how it is entered.
type Root struct {
	HostPath    string `json:"hostPath"`    // absolute, on the host
	Propagation uint64 `json:"propagation"` // MS_* flags set on "/" of the new mount namespace; plan defaults to MS_SLAVE|MS_REC
	Readonly    bool   `json:"readonly,omitempty"`
	Enter       Enter  `json:"enter"`
	MountLabel  string `json:"mountLabel,omitempty"` // SELinux context of the file systems made for the container
}

// Enter is the way into the root.
type Enter string

// The ways into the root.
const (
	EnterPivot  Enter = "pivot"  // pivot_root(2)
	EnterMove   Enter = "move"   // MS_MOVE and chroot, for --no-pivot on an initramfs
	EnterChroot Enter = "chroot" // no mount namespace: chroot(2) only
)

// Kind is what a row of the mount table does.
type Kind string

// The kinds of mount.
const (
	KindBind    Kind = "bind"    // a detached copy of a host tree, opened by the host
	KindNew     Kind = "new"     // a new file system instance: fsopen(2)
	KindCgroup  Kind = "cgroup"  // the container's view of /sys/fs/cgroup
	KindRemount Kind = "remount" // change the mount that is already at the destination
)

// Mount is one row of the mount table, in kernel terms.
type Mount struct {
	Index        int         `json:"index"` // place in config.json's mounts, for messages; -1 if hako added it
	UnsafeDest   string      `json:"dest"`  // inside the root
	Kind         Kind        `json:"kind"`
	Source       string      `json:"source,omitempty"`      // KindBind: absolute host path; KindNew: what mount(8) calls the device
	FSType       string      `json:"fstype,omitempty"`      // KindNew
	Data         []string    `json:"data,omitempty"`        // KindNew: file system options, "key" or "key=value"
	SuperFlags   uint64      `json:"superFlags,omitempty"`  // KindNew, KindRemount: MS_RDONLY, MS_SYNCHRONOUS, MS_DIRSYNC, MS_MANDLOCK, MS_LAZYTIME, MS_I_VERSION, MS_SILENT
	Recursive    bool        `json:"recursive,omitempty"`   // KindBind: rbind
	Attr         Attr        `json:"attr,omitzero"`         // on this mount
	RecAttr      Attr        `json:"recAttr,omitzero"`      // on it and all below: rro, rnosuid, …
	Propagation  []uint64    `json:"propagation,omitempty"` // MS_SHARED, MS_PRIVATE|MS_REC …, applied in order after attaching
	CopyUp       bool        `json:"copyUp,omitempty"`      // tmpcopyup: fill a new tmpfs with what it covers
	IDMap        *MountIDMap `json:"idMap,omitempty"`
	SrcNoFollow  bool        `json:"srcNoFollow,omitempty"`
	DestNoFollow bool        `json:"destNoFollow,omitempty"`
}

// Attr is a change of MOUNT_ATTR_* flags; mount_setattr(2).
// An access-time flag in Set implies clearing MOUNT_ATTR__ATIME.
type Attr struct {
	Set   uint64 `json:"set,omitempty"`
	Clear uint64 `json:"clear,omitempty"`
}

// MountIDMap is the mapping of an id-mapped mount.
// With empty maps the mapping of the container's user namespace is meant.
type MountIDMap struct {
	UIDs      []idmap.Map `json:"uids,omitempty"`
	GIDs      []idmap.Map `json:"gids,omitempty"`
	Recursive bool        `json:"recursive,omitempty"`
}

// Device is one device node inside the container.
type Device struct {
	UnsafePath string `json:"path"`
	Mode       uint32 `json:"mode"` // S_IFCHR, S_IFBLK or S_IFIFO, with the permissions
	Major      uint32 `json:"major"`
	Minor      uint32 `json:"minor"`
	UID        uint32 `json:"uid"` // container ids
	GID        uint32 `json:"gid"`
	Bind       bool   `json:"bind,omitempty"` // bind the host's node: mknod is not permitted in a user namespace
}

// CgroupMount tells KindCgroup rows what the container may see.
type CgroupMount struct {
	Namespaced  bool              `json:"namespaced"`            // the container has its own cgroup namespace
	Foreign     bool              `json:"foreign,omitempty"`     // the cgroup is its caller's: shown read-only, whatever the row says
	Hierarchies []CgroupHierarchy `json:"hierarchies,omitempty"` // v1 and hybrid: one mount each; v2: exactly one with FSType cgroup2
}

// CgroupHierarchy is one mounted hierarchy.
type CgroupHierarchy struct {
	Name    string   `json:"name"`            // folder below /sys/fs/cgroup: "cpu,cpuacct", "systemd", "unified"; "" for pure v2
	FSType  string   `json:"fstype"`          // "cgroup" or "cgroup2"
	Options []string `json:"options"`         // "cpu","cpuacct" or "none","name=systemd"
	Path    string   `json:"path"`            // the container's cgroup directory on the host
	Links   []string `json:"links,omitempty"` // symlinks made beside it: "cpu", "cpuacct"
}

// Restrict lists the paths hidden or frozen after the root is entered.
type Restrict struct {
	UnsafeMasked   []string `json:"masked,omitempty"`
	UnsafeReadonly []string `json:"readonly,omitempty"`
}
