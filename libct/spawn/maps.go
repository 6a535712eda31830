package spawn

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/hako-runtime/hako/libct/idmap"
	"golang.org/x/sys/unix"
)

// idKind is what differs between user and group ids.
type idKind struct {
	property string // of config.json
	file     string // below /proc/PID
	helper   string // of the package uidmap
	ranges   string // where the helper looks
}

func userIDs() idKind { return idKind{"linux.uidMappings", "uid_map", "newuidmap", "/etc/subuid"} }

func groupIDs() idKind { return idKind{"linux.gidMappings", "gid_map", "newgidmap", "/etc/subgid"} }

// writeMaps maps the ids of the new user namespace that pid waits in. pid is
// our child, which we have not reaped: the number is nobody else's.
//
// Without privileges only one's own id can be mapped, and only after the group
// list has been frozen for good; all else is left to newuidmap(1) and
// newgidmap(1), which ask /etc/subuid and /etc/subgid. user_namespaces(7).
func writeMaps(pid int, n Namespaces) error {
	if n.New&unix.CLONE_NEWUSER == 0 {
		return nil
	}
	dir := "/proc/" + strconv.Itoa(pid) + "/"
	if unix.Geteuid() == 0 {
		if err := writeMap(dir, userIDs(), n.UIDMap); err != nil {
			return err
		}
		return writeMap(dir, groupIDs(), n.GIDMap)
	}
	if err := mapAsUser(pid, userIDs(), n.UIDMap, unix.Geteuid()); err != nil {
		return err
	}
	if idmap.IsOnly(n.GIDMap, uint32(unix.Getegid())) {
		if err := os.WriteFile(dir+"setgroups", []byte("deny"), 0); err != nil {
			return err
		}
	}
	return mapAsUser(pid, groupIDs(), n.GIDMap, unix.Getegid())
}

func writeMap(dir string, k idKind, maps []idmap.Map) error {
	if err := os.WriteFile(dir+k.file, idmap.Format(maps), 0); err != nil {
		return fmt.Errorf("%s: %w", k.property, err)
	}
	return nil
}

func mapAsUser(pid int, k idKind, maps []idmap.Map, own int) error {
	if idmap.IsOnly(maps, uint32(own)) {
		return writeMap("/proc/"+strconv.Itoa(pid)+"/", k, maps)
	}
	if err := mapByHelper(pid, k, maps); err != nil {
		return fmt.Errorf("%s: %w", k.property, err)
	}
	return nil
}

// mapByHelper executes newuidmap(1) or newgidmap(1).
func mapByHelper(pid int, k idKind, maps []idmap.Map) error {
	path, err := findHelper(k.helper)
	if err != nil {
		return err
	}
	output, status, err := execHelper(path, helperArgs(k.helper, pid, maps))
	if err != nil {
		return &os.PathError{Op: "exec", Path: path, Err: err}
	}
	if status.Exited() && status.ExitStatus() == 0 {
		return nil
	}
	return helperError(k, output, status)
}

func helperArgs(name string, pid int, maps []idmap.Map) []string {
	args := []string{name, strconv.Itoa(pid)}
	for _, m := range maps {
		for _, n := range [...]uint32{m.ContainerID, m.HostID, m.Size} {
			args = append(args, strconv.FormatUint(uint64(n), 10))
		}
	}
	return args
}

// findHelper looks in the caller's PATH, which is no boundary: the helper
// works for this user only. Relative folders do not count.
func findHelper(name string) (string, error) {
	list := os.Getenv("PATH")
	if list == "" {
		list = "/usr/local/bin:/usr/bin:/bin"
	}
	for _, dir := range filepath.SplitList(list) {
		path := filepath.Join(dir, name)
		var st unix.Stat_t
		if filepath.IsAbs(dir) && unix.Stat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && unix.Access(path, unix.X_OK) == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("more than the caller's own id is mapped, which takes %s: not found in $PATH (Debian's package uidmap has it)", name)
}

// execHelper runs a program that is setuid root: nothing of the caller's
// environment and no open file but the standard ones reach it.
func execHelper(path string, args []string) (output string, status unix.WaitStatus, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	// The child of ours has its own table: what it is to preserve stays open.
	if err := unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		w.Close()
		return "", 0, os.NewSyscallError("close_range", err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		w.Close()
		return "", 0, err
	}
	pid, err := syscall.ForkExec(path, args, &syscall.ProcAttr{
		Dir: "/", Env: []string{}, Files: []uintptr{null.Fd(), w.Fd(), w.Fd()},
	})
	null.Close()
	w.Close()
	if err != nil {
		return "", 0, err
	}
	var text bytes.Buffer
	_, err = text.ReadFrom(r)
	return text.String(), reap(pid), err
}

// helperError says what the helper said, and what can be done about it.
func helperError(k idKind, output string, status unix.WaitStatus) error {
	said := strings.Join(strings.Fields(output), " ")
	switch {
	case strings.Contains(said, "not allowed"):
		return fmt.Errorf("%s (the range has to be the user's in %s)", said, k.ranges)
	case strings.Contains(said, "open of "+k.file) || strings.Contains(said, "write to "+k.file):
		why := "is the helper setuid root?"
		if n, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err == nil && n == 1 {
			why = "no_new_privs is set, so that setuid programs have no effect"
		}
		return fmt.Errorf("%s (%s)", said, why)
	case said != "":
		return errors.New(said)
	case status.Signaled():
		return fmt.Errorf("%s was killed by signal %d", k.helper, status.Signal())
	}
	return fmt.Errorf("%s: exit status %d", k.helper, status.ExitStatus())
}
