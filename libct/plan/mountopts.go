package plan

import (
	"slices"
	"strings"

	"github.com/hako-runtime/hako/libct/rootfs"
	"golang.org/x/sys/unix"
)

// optionKind says what an option of a mount changes.
type optionKind uint8

const (
	optNone       optionKind = iota // accepted, changes nothing
	optAttr                         // flags of this mount
	optAttrClear                    //
	optRec                          // flags of this mount and all below
	optRecClear                     //
	optSuper                        // flags of the file system
	optSuperClear                   //
	optRead                         // ro: mount and file system
	optWrite                        // rw
	optPropagation
	optBind
	optRecBind
	optRemount
	optCopyUp
	optIDMap
	optRecIDMap
	optSrcNoFollow
	optDestNoFollow
)

// The kernel's MOUNT_ATTR_RELATIME is 0: one value of the field ATIME, which
// has to be cleared before it is set; mount_setattr(2).
const atimeField = unix.MOUNT_ATTR__ATIME

// mountOptions is config.md#linux-mount-options, and with it mount(8). What is
// not here is the file system's business.
//
// The opposite of noatime and strictatime is what the kernel does by default,
// relatime; norelatime does not say what instead, so it is the same.
var mountOptions = [...]struct {
	name string
	kind optionKind
	flag uint64
}{
	{"ro", optRead, 0},
	{"rw", optWrite, 0},
	{"nosuid", optAttr, unix.MOUNT_ATTR_NOSUID},
	{"noexec", optAttr, unix.MOUNT_ATTR_NOEXEC},
	{"nodev", optAttr, unix.MOUNT_ATTR_NODEV},
	{"rprivate", optPropagation, unix.MS_PRIVATE | unix.MS_REC},
	{"rbind", optRecBind, 0},
	{"bind", optBind, 0},
	{"async", optSuperClear, unix.MS_SYNCHRONOUS},
	{"atime", optAttr, unix.MOUNT_ATTR_RELATIME},
	{"defaults", optNone, 0},
	{"dest-nofollow", optDestNoFollow, 0}, // crun's
	{"dev", optAttrClear, unix.MOUNT_ATTR_NODEV},
	{"diratime", optAttrClear, unix.MOUNT_ATTR_NODIRATIME},
	{"dirsync", optSuper, unix.MS_DIRSYNC},
	{"exec", optAttrClear, unix.MOUNT_ATTR_NOEXEC},
	{"idmap", optIDMap, 0},
	{"iversion", optSuper, unix.MS_I_VERSION},
	{"lazytime", optSuper, unix.MS_LAZYTIME},
	{"loud", optSuperClear, unix.MS_SILENT},
	{"mand", optSuper, unix.MS_MANDLOCK},
	{"noatime", optAttr, unix.MOUNT_ATTR_NOATIME},
	{"nodiratime", optAttr, unix.MOUNT_ATTR_NODIRATIME},
	{"noiversion", optSuperClear, unix.MS_I_VERSION},
	{"nolazytime", optSuperClear, unix.MS_LAZYTIME},
	{"nomand", optSuperClear, unix.MS_MANDLOCK},
	{"norelatime", optAttr, unix.MOUNT_ATTR_RELATIME},
	{"nostrictatime", optAttr, unix.MOUNT_ATTR_RELATIME},
	{"nosymfollow", optAttr, unix.MOUNT_ATTR_NOSYMFOLLOW},
	{"private", optPropagation, unix.MS_PRIVATE},
	{"ratime", optRec, unix.MOUNT_ATTR_RELATIME},
	{"rdev", optRecClear, unix.MOUNT_ATTR_NODEV},
	{"rdiratime", optRecClear, unix.MOUNT_ATTR_NODIRATIME},
	{"relatime", optAttr, unix.MOUNT_ATTR_RELATIME},
	{"remount", optRemount, 0},
	{"rexec", optRecClear, unix.MOUNT_ATTR_NOEXEC},
	{"ridmap", optRecIDMap, 0},
	{"rnoatime", optRec, unix.MOUNT_ATTR_NOATIME},
	{"rnodev", optRec, unix.MOUNT_ATTR_NODEV},
	{"rnodiratime", optRec, unix.MOUNT_ATTR_NODIRATIME},
	{"rnoexec", optRec, unix.MOUNT_ATTR_NOEXEC},
	{"rnorelatime", optRec, unix.MOUNT_ATTR_RELATIME},
	{"rnostrictatime", optRec, unix.MOUNT_ATTR_RELATIME},
	{"rnosuid", optRec, unix.MOUNT_ATTR_NOSUID},
	{"rnosymfollow", optRec, unix.MOUNT_ATTR_NOSYMFOLLOW},
	{"rrelatime", optRec, unix.MOUNT_ATTR_RELATIME},
	{"rro", optRec, unix.MOUNT_ATTR_RDONLY},
	{"rrw", optRecClear, unix.MOUNT_ATTR_RDONLY},
	{"rshared", optPropagation, unix.MS_SHARED | unix.MS_REC},
	{"rslave", optPropagation, unix.MS_SLAVE | unix.MS_REC},
	{"rstrictatime", optRec, unix.MOUNT_ATTR_STRICTATIME},
	{"rsuid", optRecClear, unix.MOUNT_ATTR_NOSUID},
	{"rsymfollow", optRecClear, unix.MOUNT_ATTR_NOSYMFOLLOW},
	{"runbindable", optPropagation, unix.MS_UNBINDABLE | unix.MS_REC},
	{"shared", optPropagation, unix.MS_SHARED},
	{"silent", optSuper, unix.MS_SILENT},
	{"slave", optPropagation, unix.MS_SLAVE},
	{"src-nofollow", optSrcNoFollow, 0}, // crun's
	{"strictatime", optAttr, unix.MOUNT_ATTR_STRICTATIME},
	{"suid", optAttrClear, unix.MOUNT_ATTR_NOSUID},
	{"symfollow", optAttrClear, unix.MOUNT_ATTR_NOSYMFOLLOW},
	{"sync", optSuper, unix.MS_SYNCHRONOUS},
	{"tmpcopyup", optCopyUp, 0},
	{"unbindable", optPropagation, unix.MS_UNBINDABLE},
}

// KnownMountOptions lists the options hako interprets itself, sorted; for
// `features`.
func KnownMountOptions() []string {
	names := make([]string, 0, len(mountOptions))
	for _, o := range mountOptions {
		names = append(names, o.name)
	}
	slices.Sort(names)
	return names
}

// mountOption applies one option to m; bind and remount are reported instead.
func mountOption(m *rootfs.Mount, option string) (bind, remount bool) {
	var kind optionKind
	var flag uint64
	found := false
	for i := range mountOptions {
		if mountOptions[i].name == option {
			kind, flag, found = mountOptions[i].kind, mountOptions[i].flag, true
			break
		}
	}
	if !found {
		m.Data = append(m.Data, splitData(option)...)
		return false, false
	}
	switch kind {
	case optAttr:
		set(&m.Attr, flag)
	case optAttrClear:
		unset(&m.Attr, flag)
	case optRec:
		set(&m.RecAttr, flag)
	case optRecClear:
		unset(&m.RecAttr, flag)
	case optSuper:
		m.SuperFlags |= flag
	case optSuperClear:
		m.SuperFlags &^= flag
	case optRead:
		m.SuperFlags |= unix.MS_RDONLY
		set(&m.Attr, unix.MOUNT_ATTR_RDONLY)
	case optWrite:
		m.SuperFlags &^= unix.MS_RDONLY
		unset(&m.Attr, unix.MOUNT_ATTR_RDONLY)
	case optPropagation:
		m.Propagation = append(m.Propagation, flag)
	case optRecBind:
		m.Recursive = true
		return true, false
	case optBind:
		return true, false
	case optRemount:
		return false, true
	case optCopyUp:
		m.CopyUp = true
	case optIDMap, optRecIDMap:
		m.IDMap = &rootfs.MountIDMap{Recursive: kind == optRecIDMap}
	case optSrcNoFollow:
		m.SrcNoFollow = true
	case optDestNoFollow:
		m.DestNoFollow = true
	case optNone:
	}
	return false, false
}

// set turns flags on; the last option of a pair wins. The access-time settings
// are values of one field.
func set(a *rootfs.Attr, flag uint64) {
	if flag&^atimeField == 0 {
		a.Clear |= atimeField
		a.Set = a.Set&^atimeField | flag
		return
	}
	a.Set |= flag
	a.Clear &^= flag
}

func unset(a *rootfs.Attr, flag uint64) {
	a.Set &^= flag
	a.Clear |= flag
}

// splitData takes apart what mount(2) would take as one string, for fsconfig(2).
// Commas in double quotes (SELinux contexts) or behind a backslash (overlay's
// folders) stay.
func splitData(option string) []string {
	if !strings.ContainsRune(option, ',') {
		return []string{option}
	}
	var parts []string
	start, quoted := 0, false
	for i := 0; i < len(option); i++ {
		switch {
		case option[i] == ',' && !quoted:
			if i > start {
				parts = append(parts, option[start:i])
			}
			start = i + 1
		case option[i] == '\\':
			i++
		case option[i] == '"':
			quoted = !quoted
		}
	}
	if start < len(option) {
		parts = append(parts, option[start:])
	}
	return parts
}
