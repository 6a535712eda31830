package rootfs

import (
	"C"                // want "no C anywhere"
	_ "net/http/pprof" // want "blank import of net/http/pprof"

	"github.com/hako-runtime/hako/libct/cgroup"       // want "siblings never meet"
	"github.com/hako-runtime/hako/libct/cgroup/tree"  // want "it belongs to libct/cgroup"
	"github.com/hako-runtime/hako/libct/cgroup/v2"    // want "it belongs to libct/cgroup"
	"github.com/hako-runtime/hako/libct/plan"         // want "imports point down"
	"github.com/opencontainers/runtime-spec/specs-go" // want "not on this package's list"
)
