package store

import (
	"context"
	"os"
	"path/filepath"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/bundle/folder"
)

// Two locks, both flock(2) on files that every layout has, so that nothing is
// left behind and a killed process holds none:
//
//   - the layout's directory: shared by whoever adds or reads blobs, exclusive
//     for gc, which so never sees a blob before what refers to it;
//   - oci-layout: exclusive from reading index.json to replacing it.

// Share keeps [Layout.GC] of all processes from removing blobs until release
// is called: a reader's lock.
func (l *Layout) Share(ctx context.Context) (release func(), err error) {
	f, err := folder.Lock(ctx, l.path, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	return func() { f.Close() }, nil
}

// lockIndex keeps every other process from replacing index.json.
func (l *Layout) lockIndex(ctx context.Context) (*os.File, error) {
	return folder.Lock(ctx, filepath.Join(l.path, v1.ImageLayoutFile), unix.LOCK_EX)
}
