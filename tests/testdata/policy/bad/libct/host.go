package libct

import (
	"github.com/hako-runtime/hako/libct/host"
	"github.com/hako-runtime/hako/libct/initproc" // want "siblings never meet"
	"github.com/hako-runtime/hako/libct/wire"
	"github.com/urfave/cli/v3" // want "not on this package's list"
)
