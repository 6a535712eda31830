package rootfs

import (
	"errors"
	"os"

	"github.com/hako-runtime/hako/libct/idmap"
	"github.com/hako-runtime/hako/libct/safepath"
)

// This file holds the signatures until their bodies arrive.

var errStub = errors.ErrUnsupported

// OpenTree … Runs on the host.
func OpenTree(path string, recursive, noFollow bool) (*os.File, error) { return nil, errStub }

// OpenRootFS … Runs on the host.
func OpenRootFS(path string) (*os.File, error) { return nil, errStub }

// OpenSource … Runs on the host. A KindNew row of type sysfs yields the
// read-only copy of /sys that stands in when sysfs may not be mounted.
func OpenSource(m Mount, containerUIDs, containerGIDs []idmap.Map) (*os.File, error) {
	return nil, errStub
}

// OpenDevice … Runs on the host.
func OpenDevice(d Device) (*os.File, error) { return nil, errStub }

// OpenCgroupView opens one tree for each hierarchy; nil if view.Namespaced.
// Runs on the host.
func OpenCgroupView(view *CgroupMount) ([]*os.File, error) { return nil, errStub }

// Attach … Runs in the container, before the root is entered.
func Attach(r Root, tree *os.File) (*safepath.Root, error) { return nil, errStub }

// Mounter works off the mount table. Keep it until Freeze.
type Mounter struct {
	Root    *safepath.Root
	Base    uint64           // Root.Propagation of the plan
	Sources map[int]*os.File // by position in the mount table; closed by the caller
	View    *CgroupMount     // for KindCgroup rows
	Cgroups []*os.File       // what OpenCgroupView gave
	Label   string           // SELinux context of new file systems
}

// MountAll … Runs in the container, before the root is entered.
func (mt *Mounter) MountAll(mounts []Mount) error { return errStub }

// MountOne mounts the row at position pos of the table.
func (mt *Mounter) MountOne(pos int, m Mount) error { return errStub }

// Freeze makes read-only what had to stay writable while devices and mount
// points were made in it (tmpfs, /dev). Runs in the container, before or
// after the root is entered.
func (mt *Mounter) Freeze() error { return errStub }

// NeedsDevSetup reports whether devices and links are to be made: /dev is
// not a bind mount.
func NeedsDevSetup(mounts []Mount) bool { return true }

// MakeDevices … sources by position in devices (Bind rows).
// Runs in the container, before the root is entered.
func MakeDevices(root *safepath.Root, devices []Device, sources map[int]*os.File) error {
	return errStub
}

// DefaultLinks … Runs in the container, before the root is entered.
func DefaultLinks(root *safepath.Root) error { return errStub }

// BindConsole mounts the terminal tty on /dev/console.
// Runs in the container, before the root is entered.
func BindConsole(root *safepath.Root, tty *os.File) error { return errStub }

// EnterRoot … Runs in the container.
func EnterRoot(r Root, root *safepath.Root) error { return errStub }

// Apply masks and freezes paths. null is a detached /dev/null opened by the
// host; nil: the container's own, after its verification.
// Runs in the container, after the root is entered.
func (r Restrict) Apply(root *safepath.Root, null *os.File, label string) error { return errStub }

// RemountReadonly … Runs in the container, after the root is entered.
func RemountReadonly(root *safepath.Root) error { return errStub }
