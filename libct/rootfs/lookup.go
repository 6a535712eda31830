package rootfs

import (
	"os"

	"github.com/hako-runtime/hako/libct/safepath"
	"golang.org/x/sys/unix"
)

// LookProgram reports why the program unsafePath of the root file system at
// hostPath could not be executed, before anything is mounted; nil if it could.
// Symlinks are resolved beneath the root. Runs on the host.
func LookProgram(hostPath, unsafePath string) error {
	root, err := safepath.OpenRoot(hostPath)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := root.Open(unsafePath, unix.O_PATH, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !st.Mode().IsRegular() || st.Mode()&0o111 == 0:
		return &os.PathError{Op: "exec", Path: unsafePath, Err: unix.EACCES}
	}
	return nil
}
