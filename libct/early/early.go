// Package early is what happens before the Go runtime, and before any other
// package, is initialized. hako is two Go programs for each container, of a few
// milliseconds each, so what the runtime does for programs that stay counts.
//
// The program's first instruction is entry (the linker's -E, see the Makefile).
// On the stack that the kernel has made, see execve(2), it puts GOMAXPROCS=1
// before the environment: a second processor brings two more threads, which look
// for work that there is not. And it lowers the soft RLIMIT_NOFILE to the
// standard streams: the runtime reads the size of huge pages, and the CPU limit
// of its cgroup, for which it searches /proc/self/mountinfo, a quarter of a
// millisecond in two processes here and more the more mounts there are. As these
// files cannot be opened it goes on as if they were not there.
//
// The other choice, variables, leaves the limit alone: for programs that go on to
// [runtime.SetDefaultGOMAXPROCS] when there is work for more processors.
//
// Packages without imports are initialized first, in the order of their paths.
// So the limit is restored before package syscall looks at it, and the main
// goroutine's stack, almost empty yet, gets the size that hako needs: else it
// grows from 2 KiB by doubling, and each time the runtime reads its tables to find
// the pointers in every frame, and takes the new stack from a pool of that size
// that it fills first. That would be 60 pages in the two programs; a page costs a
// microsecond and more (docs/performance.md).
//
// A leaf, and nothing but its import is needed. Without it, and where the program
// is built without -E, everything works.
package early

// nofile is the caller's limit, from entry: the soft and the hard one, as in the
// kernel's struct rlimit64, prlimit(2).
var nofile [2]uint64

func grow()

// setNofile sets RLIMIT_NOFILE; best effort, as a lower limit than the caller's
// would be told by the first file that cannot be opened.
func setNofile(limit *[2]uint64)

func init() {
	grow()
	if nofile != [2]uint64{} { // entry has run
		setNofile(&nofile)
	}
}
