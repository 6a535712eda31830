package v2

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Own gives the directory to a user of the host, who can make cgroups below
// and move processes there, but not change the limits: of the files, only
// those that the kernel lists for it; runtime-spec config-linux.md#cgroup-ownership.
func (g *Group) Own(uid uint32) error {
	files, err := os.ReadFile("/sys/kernel/cgroup/delegate")
	if err != nil { // the specification's list for this case
		files = []byte("cgroup.procs cgroup.subtree_control cgroup.threads")
	}
	if err := chown(g.dir, uid); err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(files)) {
		if err := chown(filepath.Join(g.dir, name), uid); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func chown(path string, uid uint32) error {
	if err := unix.Lchown(path, int(uid), -1); err != nil {
		return &os.PathError{Op: "chown", Path: path, Err: err}
	}
	return nil
}
