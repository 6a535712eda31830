package rootfs_test

import (
	"github.com/hako-runtime/hako/libct/caps" // want "siblings never meet"
	"github.com/hako-runtime/hako/libct/rootfs"
)
