package tree

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// OOMWatch tells when a cgroup is out of memory.
type OOMWatch struct {
	File   *os.File // for poll(2)
	Events int16    // what to wait for

	// Look tells whether the cgroup was out of memory since the last look, and
	// whether it has been removed. It does not block.
	Look func() (oom, gone bool, err error)

	Close func()
}

// DrainEvent reads the counter of an eventfd(2), without waiting for more.
func DrainEvent(event *os.File) (n uint64, err error) {
	fds := []unix.PollFd{{Fd: int32(event.Fd()), Events: unix.POLLIN}}
	if ready, err := unix.Poll(fds, 0); err == unix.EINTR || err == nil && ready == 0 {
		return 0, nil
	} else if err != nil {
		return 0, os.NewSyscallError("poll", err)
	}
	var buf [8]byte
	err = ignoringEINTR(func() error {
		_, err := unix.Read(int(event.Fd()), buf[:])
		return err
	})
	if err != nil {
		return 0, pathError("read", event.Name(), err)
	}
	return binary.NativeEndian.Uint64(buf[:]), nil
}
