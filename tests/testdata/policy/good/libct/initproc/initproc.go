package initproc

import (
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/rootfs"
	"github.com/hako-runtime/hako/libct/wire"
)
