package image

import (
	"github.com/hako-runtime/hako/bundle/store"
	"github.com/hako-runtime/hako/libct/safepath"
	"github.com/opencontainers/image-spec/specs-go/v1"
)
