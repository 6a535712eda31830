package layer

import (
	"github.com/hako-runtime/hako/bundle/store" // want "siblings never meet"
	"github.com/hako-runtime/hako/libct/idmap"
	"github.com/hako-runtime/hako/libct/rootfs" // want "bundle knows only libct/safepath, libct/idmap, libct/early"
)
