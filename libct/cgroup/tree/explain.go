package tree

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Explain adds to the error of a process that could not enter the cgroup2
// directory why the kernel would not have it; cgroups(7), "no internal
// processes" and "Thread mode". Other errors are returned as they are.
func Explain(dir *os.File, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		if controllers := readAt(dir, "cgroup.subtree_control"); controllers != "" {
			return fmt.Errorf("%w: controllers are enabled for the cgroups below it (%s), so that only those may have processes", err, controllers)
		}
	case errors.Is(err, unix.EAGAIN): // of clone(2)
		if most := readAt(dir, "pids.max"); most != "" && most == readAt(dir, "pids.current") {
			return fmt.Errorf("%w: the limit of %s tasks is reached", err, most)
		}
	case errors.Is(err, unix.EOPNOTSUPP):
		switch readAt(dir, "cgroup.type") {
		case "threaded":
			return fmt.Errorf("%w: it is threaded: it takes threads of processes that are in the cgroup above, and no other process", err)
		case "domain invalid":
			return fmt.Errorf("%w: it is below a threaded cgroup, and is not threaded itself (cgroup.type: domain invalid)", err)
		}
	}
	return err
}

// readAt is empty if the file cannot be read.
func readAt(dir *os.File, name string) string {
	f, err := open(int(dir.Fd()), name, unix.O_RDONLY)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, _ := ReadFile(f)
	return strings.TrimSpace(text)
}
