package cgroup

import (
	"github.com/hako-runtime/hako/libct/cgroup/devices"
	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/systemd"
)

// Spec says where the container's cgroup is and what holds inside.
type Spec struct {
	Path    string         `json:"path"`              // below the root of every hierarchy, clean, with a leading "/"
	Devices []devices.Rule `json:"devices,omitempty"` // in order; empty: every device is allowed
	Limits  *limits.Limits `json:"limits,omitempty"`  // nil: none
	Unit    *systemd.Unit  `json:"unit,omitempty"`    // nil: systemd has no part in it
}
