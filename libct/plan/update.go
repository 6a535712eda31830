package plan

import (
	"path/filepath"

	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/host"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// ReadResources reads and decodes the limits of `update --resources path`.
func ReadResources(path string) (*specs.LinuxResources, error) {
	data, err := readDocument(path)
	if err != nil {
		return nil, err
	}
	return DecodeResources(filepath.Base(path), data)
}

// DecodeResources parses linux.resources, under the rules of [Decode]. Errors
// name the file.
func DecodeResources(file string, data []byte) (*specs.LinuxResources, error) {
	resources := new(specs.LinuxResources)
	if err := decode(file, data, resources); err != nil {
		return nil, err
	}
	return resources, nil
}

// Update composes what `update` changes of the limits of a container, and the
// limits that it has then, to be saved in its plan. It does no I/O. Device
// rules in resources are not looked at: as with runc, they are not updated.
//
// The error is an [Invalid] if resources are at fault, also together with the
// limits that the container has.
func Update(container *Plan, resources *specs.LinuxResources, facts host.Facts) (update, after *limits.Limits, warnings []string, err error) {
	c := &composer{
		resources: resources, facts: facts, file: "update",
		plan: &Plan{OCIVersion: container.OCIVersion},
	}
	version, _ := parseVersion(container.OCIVersion) // the container was made from it
	c.minor = version[1]
	c.run(limitChecks[:])
	update = c.plan.Cgroup.Limits
	after = limits.Updated(container.Cgroup.Limits, update)
	if after != nil {
		c.agree(after)
	}
	if len(c.invalid) > 0 {
		return nil, nil, c.warnings, c.invalid
	}
	return update, after, c.warnings, nil
}
