package host

import (
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Unprivileged reports whether hako lacks power over this machine, though it
// may be root of a user namespace.
func (f *Facts) Unprivileged() bool { return f.EUID != 0 || f.UserNamespace }

// ProbeDelegation looks for the place where this user may make cgroups.
//
// It is, in the unified hierarchy, the parent of our own cgroup: a delegated
// cgroup that holds processes cannot hand controllers down, so that whoever
// has one moves them into a child first (DelegateSubgroup= of systemd). A
// slice is never delegated, even if its owner could write to it. Else it is
// our own cgroup, where containers can be placed but not limited.
// See cgroups(7), "Delegation", and systemd's CGROUP_DELEGATION.md.
func (f *Facts) ProbeDelegation() {
	const root = "/sys/fs/cgroup"
	f.CgroupDenied, f.CgroupParent = !writable(root), ""
	if !f.CgroupDenied || f.Cgroup != CgroupV2 {
		return
	}
	own := ownCgroup2()
	if own == "" || own == "/" {
		return
	}
	if parent := path.Dir(own); parent != "/" && !strings.HasSuffix(parent, ".slice") && delegated(root+parent) {
		f.CgroupParent = parent
	} else if delegated(root + own) {
		f.CgroupParent = own
	}
}

// delegated takes what clone3(2) needs to move a process there, too.
func delegated(dir string) bool { return writable(dir) && writable(dir+"/cgroup.procs") }

// writable is by the effective ids; a read-only mount is not.
func writable(name string) bool {
	return unix.Faccessat(unix.AT_FDCWD, name, unix.W_OK, unix.AT_EACCESS) == nil
}

// ownCgroup2 is "" if it is outside of our cgroup namespace; proc_pid_cgroup(5).
func ownCgroup2() string {
	table, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(table)) {
		own, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		if ok && path.Clean(own) == own && strings.HasPrefix(own, "/") && !strings.HasPrefix(own, "/..") {
			return own
		}
	}
	return ""
}
