// Package initproc is the container side of hako.
package initproc

// Run is the init stage. It does not return.
func Run() {}
