package idmap

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
)

// UserNS returns a descriptor of a new user namespace with these maps, for
// mount_setattr(2) with MOUNT_ATTR_IDMAP. No process stays in it.
//
// EINVAL or EPERM means that the kernel refused the maps.
// Runs on the host. See user_namespaces(7).
func UserNS(uids, gids []Map) (*os.File, error) {
	// ptrace and the parent death signal belong to a thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// The child stops before its first instruction: a traced process does so
	// at execve(2). A namespace without a process or descriptor is gone.
	pid, _, err := syscall.StartProcess("/proc/self/exe", []string{"hako-idmap"}, &syscall.ProcAttr{
		Sys: &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: sysMaps(uids),
			GidMappings: sysMaps(gids),
			Ptrace:      true,
			Pdeathsig:   syscall.SIGKILL,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("user namespace for id-mapped mounts: %w", err)
	}
	defer reap(pid)
	return os.Open("/proc/" + strconv.Itoa(pid) + "/ns/user")
}

func reap(pid int) {
	_ = syscall.Kill(pid, syscall.SIGKILL)
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(pid, &status, syscall.WALL, nil)
		// The first report may be the stop at execve(2).
		if err == syscall.EINTR || err == nil && status.Stopped() {
			continue
		}
		return
	}
}

func sysMaps(maps []Map) []syscall.SysProcIDMap {
	out := make([]syscall.SysProcIDMap, len(maps))
	for i, m := range maps {
		out[i] = syscall.SysProcIDMap{ContainerID: int(m.ContainerID), HostID: int(m.HostID), Size: int(m.Size)}
	}
	return out
}
