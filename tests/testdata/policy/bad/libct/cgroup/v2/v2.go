package v2

import (
	"github.com/hako-runtime/hako/libct/cgroup"         // want "imports point down"
	"github.com/hako-runtime/hako/libct/cgroup/devices" // want "siblings never meet"
)
