package spawn

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// prepare turns c into what the raw child needs: no allocation is possible
// after the clone. The returned files live until the clone has returned.
func prepare(c Child) (*childArgs, []*os.File, error) {
	a := &childArgs{wireTo: 3 + c.PreserveFDs}
	var files []*os.File
	above := func(f *os.File) (uintptr, error) {
		d, err := dupAbove(f, a.wireTo)
		if err != nil {
			return 0, err
		}
		files = append(files, d)
		return d.Fd(), nil
	}
	var err error
	if a.exeFD, err = above(c.Exe); err != nil {
		return nil, files, err
	}
	if a.wireFD, err = above(c.Wire); err != nil {
		return nil, files, err
	}
	opened, err := a.addJoins(c, above)
	files = append(files, opened...)
	if err != nil {
		return nil, files, err
	}
	if err := a.addStrings(c); err != nil {
		return nil, files, err
	}
	a.addClones(c)
	return a, files, nil
}

func (a *childArgs) addStrings(c Child) (err error) {
	if a.argv, err = syscall.SlicePtrFromStrings(c.Args); err != nil {
		return err
	}
	if a.envv, err = syscall.SlicePtrFromStrings(c.Env); err != nil {
		return err
	}
	a.empty = new(byte)
	if len(c.Namespaces.TimeOffsets) > 0 {
		if a.timensPath, err = syscall.BytePtrFromString("/proc/self/timens_offsets"); err != nil {
			return err
		}
		for _, o := range c.Namespaces.TimeOffsets {
			a.timens = fmt.Appendf(a.timens, "%s %d %d\n", o.Clock, o.Secs, o.Nanos)
		}
	}
	return nil
}

// addClones decides between one clone and two; docs/design.md#spawn.
func (a *childArgs) addClones(c Child) {
	flags := c.Namespaces.New
	// Its root will be the cgroup that the process is in: init makes it, when
	// the host has placed init.
	flags &^= unix.CLONE_NEWCGROUP
	a.wait = flags&unix.CLONE_NEWUSER != 0
	// /proc/PID/uid_map of a process that is not dumpable belongs to the root
	// of the namespace in which hako was executed; proc_pid(5).
	a.visible = a.wait && unix.Geteuid() != 0
	a.becomeRoot = a.wait || a.joined&unix.CLONE_NEWUSER != 0
	a.twoSteps = a.bornIn == 0 && (a.njoins > 0 || flags&unix.CLONE_NEWTIME != 0)

	a.first.exitSignal = uint64(unix.SIGCHLD)
	a.first.flags = unix.CLONE_CLEAR_SIGHAND
	if c.Cgroup != nil {
		a.first.flags |= unix.CLONE_INTO_CGROUP
		a.first.cgroup = uint64(c.Cgroup.Fd())
	}
	// If nobody has to talk to the first child, it borrows our memory instead
	// of copying page tables, as vfork(2) does. Nothing in a container can see
	// it: it is alone in a new pid namespace, or still in ours. Time namespaces
	// want a memory of one's own; setns(2).
	if !a.wait && a.bornIn == 0 && (flags|a.joined)&unix.CLONE_NEWTIME == 0 {
		a.first.flags |= unix.CLONE_VM | unix.CLONE_VFORK
	}
	if !a.twoSteps {
		a.first.flags |= flags
		return
	}
	const early = unix.CLONE_NEWUSER | unix.CLONE_NEWTIME
	a.unshareEarly = uintptr(flags & early)
	a.second = cloneArgs{flags: flags&^early | unix.CLONE_PARENT}
}

// addJoins opens the namespaces to join, in the order of joining.
func (a *childArgs) addJoins(c Child, above func(*os.File) (uintptr, error)) ([]*os.File, error) {
	var opened []*os.File
	if t := c.Target; t != nil && t.Flags != 0 {
		fd, err := above(t.PidFD)
		if err != nil {
			return nil, err
		}
		flags := t.Flags
		if canBeBornInside(c) {
			own, err := openNamespace(Join{unix.CLONE_NEWPID, "/proc/self/ns/pid"})
			if err != nil {
				return nil, err
			}
			opened = append(opened, own)
			a.bornIn, a.ownPid = fd, own.Fd()
			flags &^= unix.CLONE_NEWPID
		}
		a.addJoin(fd, flags)
	}
	for _, j := range joinOrder(c.Namespaces.Join, unix.Geteuid() == 0) {
		f, err := openNamespace(j)
		if err != nil {
			return opened, err
		}
		opened = append(opened, f)
		same, err := isOurs(f, j.Flag)
		if err != nil {
			return opened, err
		}
		if same {
			continue
		}
		fd, err := above(f)
		if err != nil {
			return opened, err
		}
		a.addJoin(fd, j.Flag)
	}
	return opened, nil
}

// canBeBornInside tells whether one clone is enough to execute in a running
// container: the calling thread enters the pid namespace for its child, which
// joins the rest. It takes privileges on the host, and nothing may be new.
func canBeBornInside(c Child) bool {
	return c.Target.Flags&unix.CLONE_NEWPID != 0 && c.Namespaces.New == 0 && len(c.Namespaces.Join) == 0 && unix.Geteuid() == 0
}

func (a *childArgs) addJoin(fd uintptr, flags uint64) {
	a.joins[a.njoins] = joinArg{fd, uintptr(flags)}
	a.njoins++
	a.joined |= flags
}

// joinOrder puts the user namespace last if we are privileged on the host,
// since after joining it the others may be out of reach; else first, since
// only it gives us the capabilities to join the others.
func joinOrder(joins []Join, privileged bool) []Join {
	var user, rest []Join
	for _, j := range joins {
		if j.Flag == unix.CLONE_NEWUSER {
			user = append(user, j)
		} else {
			rest = append(rest, j)
		}
	}
	if privileged {
		return append(rest, user...)
	}
	return append(user, rest...)
}

var nsNames = [...]struct {
	flag uint64
	name string
	file string
}{
	{unix.CLONE_NEWUSER, "user", "user"},
	{unix.CLONE_NEWNS, "mount", "mnt"},
	{unix.CLONE_NEWPID, "pid", "pid"},
	{unix.CLONE_NEWNET, "network", "net"},
	{unix.CLONE_NEWIPC, "ipc", "ipc"},
	{unix.CLONE_NEWUTS, "uts", "uts"},
	{unix.CLONE_NEWCGROUP, "cgroup", "cgroup"},
	{unix.CLONE_NEWTIME, "time", "time"},
}

func nsName(flag uint64) (name, file string) {
	for _, n := range nsNames {
		if n.flag == flag {
			return n.name, n.file
		}
	}
	return "0x" + strconv.FormatUint(flag, 16), ""
}

// openNamespace opens j.Path and checks that it is a namespace of j's type;
// the check keeps a FIFO or a device from being opened for real.
func openNamespace(j Join) (*os.File, error) {
	name, _ := nsName(j.Flag)
	fd, err := unix.Open(j.Path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("%s namespace: %w", name, &os.PathError{Op: "open", Path: j.Path, Err: err})
	}
	_ = unix.SetNonblock(fd, false) // or the runtime makes a poller for it
	f := os.NewFile(uintptr(fd), j.Path)
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s namespace: %s is not a namespace", name, j.Path)
	}
	if uint64(kind) != j.Flag {
		other, _ := nsName(uint64(kind))
		f.Close()
		return nil, fmt.Errorf("%s namespace: %s is a %s namespace", name, j.Path, other)
	}
	return f, nil
}

// isOurs reports whether f is the namespace that we are in already: joining
// one's own user namespace is an error to setns(2), the others need no joining.
func isOurs(f *os.File, flag uint64) (bool, error) {
	_, file := nsName(flag)
	var ours, theirs unix.Stat_t
	if err := unix.Stat("/proc/self/ns/"+file, &ours); err != nil {
		return false, &os.PathError{Op: "stat", Path: "/proc/self/ns/" + file, Err: err}
	}
	if err := unix.Fstat(int(f.Fd()), &theirs); err != nil {
		return false, os.NewSyscallError("fstat", err)
	}
	return ours.Dev == theirs.Dev && ours.Ino == theirs.Ino, nil
}

// Differing returns the CLONE_NEW* flags of the namespaces in which process
// pid differs from the caller, for [Target]. Those in made, which were made for
// the container, are not looked at: to enter one's own does nothing, but for the
// user namespace, where it is an error. setns(2).
func Differing(pid int, made uint64) (flags uint64, err error) {
	flags = made &^ unix.CLONE_NEWUSER
	dir := "/proc/" + strconv.Itoa(pid) + "/ns/"
	for _, n := range nsNames {
		if flags&n.flag != 0 {
			continue
		}
		var ours, theirs unix.Stat_t
		if err := unix.Stat("/proc/self/ns/"+n.file, &ours); err != nil {
			continue // a type that this kernel lacks
		}
		if err := unix.Stat(dir+n.file, &theirs); err != nil {
			return 0, &os.PathError{Op: "stat", Path: dir + n.file, Err: err}
		}
		if ours.Ino != theirs.Ino || ours.Dev != theirs.Dev {
			flags |= n.flag
		}
	}
	return flags, nil
}
