package plan

import (
	"slices"
	"strings"

	"github.com/hako-runtime/hako/libct/rdt"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// UpdateRDT composes what `update` changes of the class of service of a
// container, and the group that the container has then, to be saved in its
// plan. A container without one gets a class of its own. It does no I/O.
//
// The error is an [Invalid] if the schemata are at fault, or if the container's
// class has a name of its own: others may be in it.
func UpdateRDT(container *Plan, spec *specs.LinuxIntelRdt) (update, after *rdt.Group, err error) {
	c := &composer{
		linux: &specs.Linux{IntelRdt: spec}, options: Options{ID: container.ID},
		file: "update", plan: new(Plan),
	}
	c.run([]check{{"config-linux.md#intelrdt", (*composer).intelRdt}})
	if has := container.RDT; has != nil && has.Explicit {
		c.refuse(quote(has.ClosID)+" may be shared with other containers; change its schemata in resctrl", "linux.intelRdt.closID")
	}
	if len(c.invalid) > 0 {
		return nil, nil, c.invalid
	}
	update = c.plan.RDT
	if container.RDT == nil {
		return update, update, nil
	}
	merged := *container.RDT
	merged.Schemata = mergeSchemata(merged.Schemata, update.Schemata)
	return update, &merged, nil
}

// mergeSchemata replaces the lines about the same resource, "L3" or "MB".
func mergeSchemata(lines, update []string) []string {
	merged := slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
		resource, _, _ := strings.Cut(line, ":")
		return slices.ContainsFunc(update, func(u string) bool { return strings.HasPrefix(u, resource+":") })
	})
	return append(merged, update...)
}
