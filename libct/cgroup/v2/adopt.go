package v2

import (
	"fmt"
	"io/fs"

	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// Adopt takes the cgroup as somebody else has made it. Controllers that it has
// not been given are enabled when a limit needs them.
func (g *Group) Adopt() error {
	if !tree.Exists(g.dir) {
		return fmt.Errorf("cgroup %s: %w", g.path, fs.ErrNotExist)
	}
	return nil
}
