package host

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Probe asks the kernel. It costs about sixty short system calls, most of them
// for the bounding set, and no more than 100 µs: every command pays for it.
//
// The error matches [os.ErrNotExist] if /proc is not mounted.
func Probe() (Facts, error) {
	facts := Facts{EUID: unix.Geteuid(), EGID: unix.Getegid()}
	userNS, err := inUserNamespace()
	if err != nil {
		return Facts{}, err
	}
	if userNS {
		facts.UserNamespace = true
		facts.SetgroupsDenied = firstByte("/proc/self/setgroups") == 'd' // "deny"
	}
	facts.OwnInit = facts.EUID == 0 && (!userNS || IsOwnNamespace("user", "/proc/1/ns/user"))
	facts.Cgroup = cgroupMode()
	if facts.Unprivileged() {
		facts.ProbeDelegation()
	}
	if facts.LastCap, facts.Bounding, err = boundingSet(); err != nil {
		return Facts{}, err
	}
	facts.AppArmor = appArmor()
	facts.SELinux = seLinux()
	return facts, nil
}

// InUserNamespace reports whether the caller is in a user namespace that is
// not the first, as far as that can be known.
func InUserNamespace() bool {
	in, err := inUserNamespace()
	return err == nil && in
}

// inUserNamespace compares with the inode of the first user namespace, which
// is fixed: PROC_USER_INIT_INO.
func inUserNamespace() (bool, error) {
	const path, first = "/proc/self/ns/user", "user:[4026531837]"
	var buf [64]byte
	n, err := unix.Readlink(path, buf[:])
	if errors.Is(err, unix.ENOENT) && exists("/proc/self") {
		return false, nil // CONFIG_USER_NS is off
	}
	if err != nil {
		return false, &os.PathError{Op: "readlink", Path: path, Err: err}
	}
	return string(buf[:n]) != first, nil
}

// cgroupMode looks where everybody mounts control groups; cgroups(7).
func cgroupMode() CgroupMode {
	const root = "/sys/fs/cgroup"
	switch fsType(root) {
	case 0:
		return CgroupNone
	case unix.CGROUP2_SUPER_MAGIC:
		return CgroupV2
	}
	if fsType(root+"/unified") == unix.CGROUP2_SUPER_MAGIC {
		return CgroupHybrid
	}
	return CgroupV1
}

// fsType is the magic number of the file system at path; 0 if there is no path.
func fsType(path string) int64 {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0
	}
	return int64(uint32(st.Type))
}

// boundingSet asks for one capability after the other until the kernel does
// not know it; PR_CAPBSET_READ(2const).
func boundingSet() (last int, set uint64, err error) {
	for n := range 64 {
		has, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(n), 0, 0, 0)
		switch {
		case errors.Is(err, unix.EINVAL) && n > 0:
			return n - 1, set, nil
		case err != nil:
			return 0, 0, os.NewSyscallError("prctl PR_CAPBSET_READ", err)
		case has == 1:
			set |= 1 << n
		}
	}
	return 63, set, nil
}

// appArmor wants the interface as well as the module: without securityfs no
// profile can be looked up.
func appArmor() bool {
	return firstByte("/sys/module/apparmor/parameters/enabled") == 'Y' && exists("/sys/kernel/security/apparmor")
}

// seLinux is off where its file system is read-only, as libselinux has it.
func seLinux() bool {
	var st unix.Statfs_t
	if err := unix.Statfs("/sys/fs/selinux", &st); err != nil {
		return false
	}
	return int64(uint32(st.Type)) == unix.SELINUX_MAGIC && st.Flags&unix.ST_RDONLY == 0
}

func exists(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.F_OK, 0) == nil
}

// firstByte is 0 if the file cannot be read.
func firstByte(path string) byte {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	var buf [1]byte
	if n, err := unix.Read(fd, buf[:]); err != nil || n != 1 {
		return 0
	}
	return buf[0]
}
