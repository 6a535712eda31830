// Package folder locks what several processes work on at once, and makes what
// they did there last. It knows files and directories, and not what they are
// for.
package folder

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// poll is how often a lock that another process holds is tried again.
const poll = 10 * time.Millisecond

// Lock opens path and locks it with unix.LOCK_SH or unix.LOCK_EX, waiting
// until ctx ends. Closing the file unlocks it, and so does the process's end;
// flock(2).
func Lock(ctx context.Context, path string, how int) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			break
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("%s is locked by another process: %w", path, ctx.Err())
		case <-time.After(poll):
		}
	}
	if err != nil {
		f.Close()
		return nil, &os.PathError{Op: "flock", Path: path, Err: err}
	}
	return f, nil
}

// Sync makes the names in a directory last; fsync(2).
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
