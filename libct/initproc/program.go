package initproc

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// defaultPath is where programs are sought if the environment has no PATH;
// what execvp(3) does in the C library, without the current directory.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Texts that Podman and containerd look for.
var (
	errNotFound = errors.New("executable file not found in $PATH")
)

// findProgram finds what args[0] names, as the user who will execute it, so
// that create and not start tells of a program that is missing.
func (s *stage) findProgram() error {
	name := s.plan.Process.Args[0]
	if strings.Contains(name, "/") {
		if err := executable(name); err != nil {
			return fmt.Errorf("exec %s: %w", name, err)
		}
		s.program = name
		return nil
	}
	path, ok := lookup(s.env, "PATH")
	if !ok {
		path = defaultPath
	}
	var denied error
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue // a relative directory would depend on the image's working directory
		}
		candidate := filepath.Join(dir, name)
		err := executable(candidate)
		if err == nil {
			s.program = candidate
			return nil
		}
		if errors.Is(err, unix.EACCES) {
			denied = err
		}
	}
	if denied != nil {
		return fmt.Errorf("exec: %q: %w", name, denied)
	}
	return fmt.Errorf("exec: %q: %w", name, errNotFound)
}

// executable reports why path cannot be executed by the calling thread.
func executable(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return unix.EISDIR
	}
	if err := unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS); err != nil {
		return err
	}
	if st.Mode&0o111 == 0 {
		return unix.EACCES
	}
	return nil
}

func rawSetgroups(n int, first *uint32) error {
	if _, _, e := syscall.RawSyscall(unix.SYS_SETGROUPS, uintptr(n), uintptr(unsafe.Pointer(first)), 0); e != 0 {
		return e
	}
	return nil
}
