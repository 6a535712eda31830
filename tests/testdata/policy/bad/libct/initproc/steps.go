package initproc

import (
	"github.com/hako-runtime/hako/libct"      // want "siblings never meet"
	"github.com/hako-runtime/hako/libct/host" // want "as libct does"
	"github.com/hako-runtime/hako/libct/wire"
)
