package console

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/safepath"
)

// ReopenNull replaces standard streams that are the null device by the
// container's own /dev/null: through a descriptor of the host's node, root in
// the container could change the node's mode on the host. If the container has
// no null device there, the streams stay.
//
// Runs in the container, when /dev is complete, before the user changes.
func ReopenNull(root *safepath.Root) error {
	for fd := range 3 {
		var stat unix.Stat_t
		if err := unix.Fstat(fd, &stat); err != nil {
			return fmt.Errorf("descriptor %d: %w", fd, os.NewSyscallError("fstat", err))
		}
		if !isNull(&stat) {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		if err != nil {
			return fmt.Errorf("descriptor %d: %w", fd, os.NewSyscallError("fcntl", err))
		}
		own, err := openNull(root, flags&unix.O_ACCMODE)
		if err != nil {
			return nil // Best effort: a device rule or nodev may forbid it.
		}
		err = unix.Dup3(int(own.Fd()), fd, 0)
		own.Close()
		if err != nil {
			return os.NewSyscallError("dup3", err)
		}
	}
	return nil
}

// openNull opens /dev/null beneath the root if it is the null device. Who
// swaps it in between does not get anything opened that blocks.
func openNull(root *safepath.Root, access int) (*os.File, error) {
	stat, err := root.Lstat("/dev/null")
	if err != nil {
		return nil, err
	}
	if !isNull(&stat) {
		return nil, errNotNull
	}
	f, err := root.Open("/dev/null", access|unix.O_NOFOLLOW|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	fd := int(f.Fd())
	err = unix.Fstat(fd, &stat)
	if err == nil && !isNull(&stat) {
		err = errNotNull
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

var errNotNull = errors.New("/dev/null is not the null device")
