package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// Two locks, both flock(2) on files that every layout has, so that nothing is
// left behind and a killed process holds none:
//
//   - the layout's directory: shared by whoever adds or reads blobs, exclusive
//     for gc, which so never sees a blob before what refers to it;
//   - oci-layout: exclusive from reading index.json to replacing it.

// lockPoll is how often a lock that another process holds is tried again.
const lockPoll = 10 * time.Millisecond

// lockFile opens path and locks it with unix.LOCK_SH or unix.LOCK_EX, waiting
// until ctx ends. Closing the file unlocks it.
func lockFile(ctx context.Context, path string, how int) (*os.File, error) {
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
		case <-time.After(lockPoll):
		}
	}
	if err != nil {
		f.Close()
		return nil, &os.PathError{Op: "flock", Path: path, Err: err}
	}
	return f, nil
}

// Share keeps [Layout.GC] of all processes from removing blobs until release
// is called: a reader's lock.
func (l *Layout) Share(ctx context.Context) (release func(), err error) {
	f, err := lockFile(ctx, l.path, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

// lockIndex keeps every other process from replacing index.json.
func (l *Layout) lockIndex(ctx context.Context) (*os.File, error) {
	return lockFile(ctx, filepath.Join(l.path, v1.ImageLayoutFile), unix.LOCK_EX)
}
