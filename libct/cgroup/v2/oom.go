package v2

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// WatchOOM watches memory.events, which the kernel announces to poll(2) and
// which counts the cgroups below as well. The error matches fs.ErrNotExist if
// the memory controller is not enabled.
func (g *Group) WatchOOM() (*tree.OOMWatch, error) {
	f, err := tree.OpenFile(g.dir, "memory.events")
	if err != nil {
		return nil, err
	}
	last, err := tree.ReadFile(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &tree.OOMWatch{
		File: f, Events: unix.POLLPRI, Close: func() { f.Close() },
		Look: func() (oom, gone bool, err error) {
			now, err := tree.ReadFile(f)
			if err != nil {
				return false, tree.IsGone(err), ignoreGone(err)
			}
			oom = counter(now, "oom") > counter(last, "oom") || counter(now, "oom_kill") > counter(last, "oom_kill")
			last = now
			return oom, false, nil
		},
	}, nil
}

// counter is 0 for a key that the kernel does not have.
func counter(events, key string) uint64 {
	for line := range strings.Lines(events) {
		if k, value, _ := strings.Cut(strings.TrimSpace(line), " "); k == key {
			n, _ := strconv.ParseUint(value, 10, 64) // the kernel writes numbers
			return n
		}
	}
	return 0
}
