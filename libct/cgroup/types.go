package cgroup

import (
	"github.com/hako-runtime/hako/libct/cgroup/devices"
	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/cgroup/systemd"
)

// Spec says where the container's cgroup is and what holds inside.
type Spec struct {
	Path     string         `json:"path"`               // below the root of every hierarchy, clean, with a leading "/"; empty: systemd has not been asked yet, or without Unit, the container has none
	Devices  []devices.Rule `json:"devices,omitempty"`  // in order; empty: every device is allowed
	Limits   *limits.Limits `json:"limits,omitempty"`   // nil: none
	Unit     *systemd.Unit  `json:"unit,omitempty"`     // nil: systemd has no part in it
	OwnerUID *uint32        `json:"ownerUID,omitempty"` // of the directory and the files to delegate; nil: hako's; v2 only
}

// Exists reports whether the container has a cgroup at all.
func (s *Spec) Exists() bool { return s.Path != "" || s.Unit != nil }
