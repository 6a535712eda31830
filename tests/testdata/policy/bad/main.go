package main

import (
	"github.com/hako-runtime/hako/bundle/store" // want "hako never imports bundle"
	"github.com/hako-runtime/hako/libct"
	"github.com/hako-runtime/hako/tests" // want "nobody imports tests"
)
