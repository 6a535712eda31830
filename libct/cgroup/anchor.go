package cgroup

import (
	"fmt"
	"strings"

	"github.com/hako-runtime/hako/libct/cgroup/systemd"
	"github.com/hako-runtime/hako/libct/host"
)

// What is appended to the mode of an anchor if systemd manages the cgroup.
const (
	bySystem = " systemd"
	byUser   = " systemd-user"
)

// Anchor is the line that, with the path, is enough for [OpenAnchored].
func (s *Spec) Anchor(mode host.CgroupMode) string {
	switch {
	case s.Unit == nil:
		return string(mode)
	case s.Unit.User:
		return string(mode) + byUser
	}
	return string(mode) + bySystem
}

// OpenAnchored opens a cgroup of which no more is known: to kill what is in it
// and to remove it.
func OpenAnchored(anchor, path string) (Group, error) {
	spec := Spec{Path: path}
	mode, manager, managed := strings.Cut(anchor, " ")
	if managed {
		spec.Unit = &systemd.Unit{Name: systemd.NameOf(path), User: " "+manager == byUser}
		if !spec.Unit.User && " "+manager != bySystem {
			return nil, fmt.Errorf("cgroup %s: unknown manager %q", path, manager)
		}
	}
	return Open(spec, host.CgroupMode(mode))
}
