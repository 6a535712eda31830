//go:build ignore

package main

import "example.org/generator"

func init() {}
