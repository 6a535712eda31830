package v1

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// WatchOOM asks the memory controller to write to an eventfd(2) whenever the
// container is out of memory, and once more when the cgroup is removed;
// Documentation/admin-guide/cgroup-v1/memory.rst, "OOM Control". The error
// matches fs.ErrNotExist if the controller is not mounted.
func (g *Group) WatchOOM() (*tree.OOMWatch, error) {
	dir := g.With("memory")
	if dir == "" {
		return nil, fmt.Errorf("memory: no hierarchy of it is mounted: %w", os.ErrNotExist)
	}
	control, err := tree.OpenFile(dir, "memory.oom_control")
	if err != nil {
		return nil, err
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		control.Close()
		return nil, os.NewSyscallError("eventfd2", err)
	}
	event := os.NewFile(uintptr(fd), "eventfd")
	w := &tree.OOMWatch{
		File: event, Events: unix.POLLIN,
		Close: func() {
			event.Close()
			control.Close()
		},
		Look: func() (oom, gone bool, err error) { return announced(event, control) },
	}
	if err := tree.Write(dir, "cgroup.event_control", fmt.Sprintf("%d %d", fd, control.Fd())); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// announced reads how often the kernel has written. Of a cgroup that is gone,
// the last time was its end.
func announced(event, control *os.File) (oom, gone bool, err error) {
	n, err := tree.DrainEvent(event)
	if err != nil || n == 0 {
		return false, false, err
	}
	_, err = tree.ReadFile(control)
	if tree.IsGone(err) {
		return n > 1, true, nil
	}
	return true, false, err
}
