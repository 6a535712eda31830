package folder

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLockWaitsUntilItsContextEnds(t *testing.T) {
	dir := t.TempDir()
	held, err := Lock(context.Background(), dir, unix.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*poll)
	defer cancel()
	if _, err := Lock(ctx, dir, unix.LOCK_SH); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second lock: %v", err)
	}
	go func() {
		time.Sleep(2 * poll)
		held.Close()
	}()
	for range 2 {
		f, err := Lock(context.Background(), dir, unix.LOCK_SH)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
	}
}

func TestMissing(t *testing.T) {
	path := t.TempDir() + "/missing"
	if _, err := Lock(context.Background(), path, unix.LOCK_EX); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Lock: %v", err)
	}
	if err := Sync(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Sync: %v", err)
	}
}
