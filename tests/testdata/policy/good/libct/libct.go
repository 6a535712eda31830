package libct

import (
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/rootfs"
	"github.com/hako-runtime/hako/libct/safepath"
	"github.com/hako-runtime/hako/libct/wire"
)
