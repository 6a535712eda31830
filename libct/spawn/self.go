package spawn

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Self returns hako's own binary for [Child.Exe], such that nothing that ever
// gets hold of /proc/PID/exe can write to it (the class of CVE-2019-5736):
// the file on a read-only mount of its own that is attached nowhere and never
// can be, or where mounting is not permitted a sealed copy in memory.
//
// Runs on the host. See open_tree(2), mount_setattr(2), memfd_create(2).
func Self() (*os.File, error) {
	if protected() {
		return os.OpenFile("/proc/self/exe", unix.O_PATH, 0)
	}
	f, err := detachedSelf()
	if err == nil {
		return f, nil
	}
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return sealedSelf()
	}
	return nil, err
}

// protectedEnv tells an execution by [Protect] from the one before.
const protectedEnv = "_HAKO_PROTECTED"

func protected() bool { return os.Getenv(protectedEnv) != "" }

// Protect executes hako once more, from [Self], with the same arguments; in
// that execution it returns at once. For commands whose child is seen by
// others before it executes the init stage: until then its /proc/PID/exe is
// ours, and CAP_SYS_PTRACE opens it.
//
// It costs a start of a Go program. Nothing may have been done yet that cannot
// be done twice. Runs on the host.
func Protect() error {
	if protected() {
		return nil
	}
	exe, err := Self()
	if err != nil {
		return err
	}
	defer exe.Close()
	path := "/proc/self/fd/" + strconv.Itoa(int(exe.Fd()))
	err = syscall.Exec(path, os.Args, append(os.Environ(), protectedEnv+"=1"))
	return fmt.Errorf("execute hako protected: %w", os.NewSyscallError("execve", err))
}

func detachedSelf() (*os.File, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, "/proc/self/exe", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return nil, &os.PathError{Op: "open_tree", Path: "/proc/self/exe", Err: err}
	}
	// Whoever gets hold of a detached mount can make it writable again, from a
	// user namespace of his own, as long as it could still be attached. Closing
	// this descriptor dissolves it; what keeps the read-only mount alive is
	// only the file below.
	defer unix.Close(fd)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return nil, os.NewSyscallError("mount_setattr", err)
	}
	file, err := unix.OpenTree(fd, "", unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH)
	if err != nil {
		return nil, os.NewSyscallError("open_tree", err)
	}
	return os.NewFile(uintptr(file), "/proc/self/exe"), nil
}

func sealedSelf() (*os.File, error) {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	defer self.Close()
	fd, err := unix.MemfdCreate("hako", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // MFD_EXEC: before Linux 6.3
		fd, err = unix.MemfdCreate("hako", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	copyFile := os.NewFile(uintptr(fd), "hako")
	if _, err := io.Copy(copyFile, self); err != nil {
		copyFile.Close()
		return nil, err
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(copyFile.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		copyFile.Close()
		return nil, os.NewSyscallError("fcntl F_ADD_SEALS", err)
	}
	return copyFile, nil
}
