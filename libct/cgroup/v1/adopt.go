package v1

import (
	"slices"

	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// Adopt takes the cgroup as somebody else has made it, and makes it in the
// hierarchies where it is missing: systemd manages only some.
func (g *Group) Adopt() error {
	for _, h := range g.hierarchies {
		var enter func(dir string) error
		if slices.Contains(h.Options, "cpuset") {
			enter = inheritCPUSet
		}
		if _, err := tree.Make(h.Mountpoint, g.path, enter); err != nil {
			return err
		}
	}
	return nil
}
