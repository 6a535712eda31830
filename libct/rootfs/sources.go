package rootfs

import (
	"errors"
	"fmt"
	"os"

	"github.com/hako-runtime/hako/libct/idmap"
	"golang.org/x/sys/unix"
)

// Wanted is what a container takes from the host's file systems.
type Wanted struct {
	RootPath string
	Mounts   []Mount
	Devices  []Device
	Masks    bool // paths are masked: the null device is needed

	// HostSysfs: sysfs cannot be mounted, or it is not sure that it can.
	HostSysfs      bool
	UIDMap, GIDMap []idmap.Map // of the container, for id-mapped mounts

	// Inside: the caller is in the container's user namespace.
	Inside bool
}

// Source is the part that an opened source plays.
type Source string

// The parts. The index of the last three is the position in the table; those
// of a cgroup come from [OpenCgroupView].
const (
	SourceRoot   Source = "root"
	SourceNull   Source = "null"
	SourceMount  Source = "mount"
	SourceDevice Source = "device"
	SourceCgroup Source = "cgroup"
)

// ErrUnprivileged says that the caller may not mount in its mount namespace.
var ErrUnprivileged = errors.New("not privileged in the mount namespace")

// OpenSources opens what w names, as detached mounts that give takes over.
//
// The error matches [ErrUnprivileged] if nothing can be opened here, before
// anything has been: a rootless caller leaves it to the container side.
// Runs on the host, or in the container before [Attach], where nothing of the
// image is in sight yet.
func OpenSources(w Wanted, give func(part Source, index int, f *os.File)) error {
	root, err := OpenRootFS(w.RootPath)
	if errors.Is(err, unix.EPERM) && !w.Inside {
		return fmt.Errorf("root.path: %w", ErrUnprivileged)
	}
	if err != nil {
		return fmt.Errorf("root.path: %w", err)
	}
	give(SourceRoot, 0, root)
	for i, m := range w.Mounts {
		f, err := w.openMount(m)
		if err != nil {
			return fmt.Errorf("mounts[%d] %s: %w", m.Index, m.UnsafeDest, err)
		}
		if f != nil {
			give(SourceMount, i, f)
		}
	}
	return w.openDevices(give)
}

func (w *Wanted) openMount(m Mount) (*os.File, error) {
	switch {
	case m.Kind == KindNew && m.FSType == "sysfs" && !w.HostSysfs:
		return nil, nil
	case m.IDMap != nil && w.Inside:
		return nil, fmt.Errorf("an id-mapped mount takes root privileges on the host: %w", unix.EPERM)
	}
	return OpenSource(m, w.UIDMap, w.GIDMap)
}

func (w *Wanted) openDevices(give func(Source, int, *os.File)) error {
	for i, d := range w.Devices {
		if !d.Bind {
			continue
		}
		f, err := OpenDevice(d)
		if err != nil {
			return fmt.Errorf("linux.devices %s: %w", d.UnsafePath, err)
		}
		give(SourceDevice, i, f)
	}
	if !w.Masks {
		return nil
	}
	null, err := OpenTree("/dev/null", false, false)
	if err != nil {
		return err
	}
	give(SourceNull, 0, null)
	return nil
}
