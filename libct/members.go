package libct

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/hako-runtime/hako/libct/cgroup"
	"golang.org/x/sys/unix"
)

// hasCgroup reports whether the container's processes are held together by a
// cgroup; a rootless one may have none.
func (c *Container) hasCgroup() bool { return c.record.Plan.Cgroup.Exists() }

// signalAll signals every process of the container.
func (c *Container) signalAll(sig unix.Signal) error {
	if !c.hasCgroup() {
		return c.signalMembers(sig)
	}
	group, err := c.group()
	if err != nil {
		return err
	}
	return group.Kill(sig)
}

// realm is the namespace that tells a container's processes from others where
// there is no cgroup: its pid namespace, or else its user namespace. Those
// made inside belong to it. Holding it keeps its number from being used again.
type realm struct {
	ns   *os.File
	file string // below /proc/PID/ns
}

// realm is nil when the container's process is gone: with its pid namespace
// everything ended; of its user namespace nothing is known any more.
// The error matches [cgroup.ErrNone] if the container shares both with others.
func (c *Container) realm() (*realm, error) {
	r := &realm{}
	switch created := c.record.Plan.Namespaces.New; {
	case created&unix.CLONE_NEWPID != 0:
		r.file = "pid"
	case created&unix.CLONE_NEWUSER != 0:
		r.file = "user"
	default:
		return nil, fmt.Errorf("%w, nor a pid or user namespace of its own: its processes are not known", cgroup.ErrNone)
	}
	pidfd, err := openPidfd(c.record.Pid, c.record.StartTime)
	if errors.Is(err, ErrNotRunning) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer pidfd.Close()
	r.ns, err = os.Open(r.path(c.record.Pid))
	if err != nil || unix.PidfdSendSignal(int(pidfd.Fd()), 0, nil, 0) != nil {
		if err == nil {
			r.ns.Close()
		}
		return nil, nil //nolint:nilerr // it has ended meanwhile
	}
	return r, nil
}

func (r *realm) path(pid int) string { return "/proc/" + strconv.Itoa(pid) + "/ns/" + r.file }

// has reports whether pid is in the namespace or in one made inside; not if it
// has ended, or may not be looked at, which a member always may;
// ioctl_ns(2), NS_GET_PARENT.
func (r *realm) has(pid int) bool {
	var want, st unix.Stat_t
	if unix.Fstat(int(r.ns.Fd()), &want) != nil {
		return false
	}
	fd, err := unix.Open(r.path(pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	for err == nil {
		if unix.Fstat(fd, &st) == nil && st.Ino == want.Ino && st.Dev == want.Dev {
			unix.Close(fd)
			return true
		}
		var parent int
		parent, err = unix.IoctlRetInt(fd, unix.NS_GET_PARENT) // EPERM: above ours
		unix.Close(fd)
		fd = parent
	}
	return false
}

// pids lists the members, ascending.
func (r *realm) pids() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && r.has(pid) {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}

// members lists the processes of a container without a cgroup.
func (c *Container) members() ([]int, error) {
	r, err := c.realm()
	if r == nil || err != nil {
		return nil, err
	}
	defer r.ns.Close()
	return r.pids()
}

// signalMembers signals every process of a container without a cgroup, until a
// pass finds none that has not had it: forking does not save a child.
func (c *Container) signalMembers(sig unix.Signal) error {
	r, err := c.realm()
	if r == nil || err != nil {
		return err
	}
	defer r.ns.Close()
	reached := map[int]bool{}
	for range 100 {
		pids, err := r.pids()
		if err != nil {
			return err
		}
		fresh := slices.DeleteFunc(pids, func(pid int) bool { return reached[pid] })
		if len(fresh) == 0 {
			return nil
		}
		for _, pid := range fresh {
			if err := r.signal(pid, sig); err != nil {
				return err
			}
			reached[pid] = true
		}
	}
	return fmt.Errorf("signal %d: new processes keep appearing: %w", sig, unix.EAGAIN)
}

// signal never hits a stranger that has been given the number meanwhile.
func (r *realm) signal(pid int, sig unix.Signal) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(fd)
	if !r.has(pid) {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("process %d: %w", pid, os.NewSyscallError("pidfd_send_signal", err))
	}
	return nil
}
