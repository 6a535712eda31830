// Package bigstack gives the main goroutine the stack that hako needs, once,
// before it has used any.
//
// A goroutine begins with 2 KiB and doubles: each time the runtime reads its
// tables to find the pointers in every frame, and takes the new stack from a
// pool of that size that it fills first. In the two Go programs of a container
// start that touches 60 pages; a page costs a microsecond and more
// (docs/performance.md). Packages without imports are initialized first, in
// the order of their paths, so that here the stack is almost empty.
//
// A leaf, and nothing but its import is needed. Without it everything works.
package bigstack

// grow has a frame that is larger than any stack from the pools.
func grow()

func init() { grow() }
