package main

import (
	_ "embed"

	"github.com/hako-runtime/hako/libct"
	"github.com/hako-runtime/hako/libct/initproc"
	"github.com/urfave/cli/v3"
)
