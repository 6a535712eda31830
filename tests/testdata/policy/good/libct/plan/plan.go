package plan

import (
	"errors"
	"os"
	"sync"
	"time"

	"github.com/hako-runtime/hako/libct/cgroup/devices"
	"github.com/hako-runtime/hako/libct/idmap"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

type kind string

var (
	errNone = errors.New("none")
	first   = kind("first")
	limit   = min(1, 2)
	mode    = os.FileMode(0o755)
	wait    = time.Duration(3) * time.Second
	magic   = []byte("magic")
	late    = sync.OnceValue(func() string { return os.Getenv("PATH") })
	host    = idmap.Kind("host")
	checks  = []struct {
		name string
		run  func(*specs.Spec) error
	}{
		{"root", func(s *specs.Spec) error { return os.ErrNotExist }},
	}
	_ error = (*failure)(nil)
)

type failure struct{ unix.Errno }
