package seccomp

import (
	"slices"

	"github.com/hako-runtime/hako/libct/seccomp/bpf"
)

// span is a run of numbers that share a fate; it ends where the next begins.
type span struct {
	low  uint32
	node *bpf.Node
	gone bool // whatever rules say
}

// overlay lays calls over a base of spans.
type overlay struct {
	base []span
	list []span
	next uint32 // the first number that is not in the list
}

// add appends a span, or makes the last one longer.
func (o *overlay) add(low uint32, node *bpf.Node) {
	if n := len(o.list); n == 0 || o.list[n-1].node != node {
		o.list = append(o.list, span{low: low, node: node})
	}
}

// until appends the base up to the number n, exclusively.
func (o *overlay) until(n uint32) {
	for o.next < n {
		for len(o.base) > 1 && o.base[1].low <= o.next {
			o.base = o.base[1:]
		}
		o.add(o.next, o.base[0].node)
		if len(o.base) == 1 || o.base[1].low > n {
			o.next = n
			return
		}
		o.next = o.base[1].low
	}
}

// call appends one call; calls come in order.
func (o *overlay) call(n uint32, node *bpf.Node) {
	o.until(n)
	for len(o.base) > 1 && o.base[1].low <= n {
		o.base = o.base[1:]
	}
	if o.base[0].gone {
		return
	}
	o.add(n, node)
	o.next = n + 1
}

// end appends the rest of the base.
func (o *overlay) end() []span {
	for len(o.base) > 1 && o.base[1].low <= o.next {
		o.base = o.base[1:]
	}
	o.add(o.next, o.base[0].node)
	for _, b := range o.base[1:] {
		o.add(b.low, b.node)
	}
	return o.list
}

// hotCalls are what programs call most. The kernel remembers which calls are
// always allowed and runs no filter for them (seccomp(2), since Linux 5.11), so
// the order only matters where it cannot: before, and for conditions.
var hotCalls = [...]string{
	"clock_gettime", "close", "epoll_pwait", "epoll_wait", "fstat", "futex", "getpid", "ioctl", "lseek", "madvise",
	"mmap", "mprotect", "munmap", "nanosleep", "newfstatat", "openat", "poll", "pread64", "read", "recvfrom",
	"recvmsg", "rt_sigaction", "rt_sigprocmask", "sendmsg", "sendto", "stat", "write", "writev",
}

// hotWeight is how much nearer to the root a hot call comes: by three steps.
const hotWeight = 8

// hot returns the numbers of the hot calls of an architecture, in order.
func (c *compiler) hot(i int) []uint32 {
	numbers := make([]uint32, 0, len(hotCalls))
	look := finder{calls: c.machine.calls}
	for _, name := range hotCalls {
		if row := look.find(name); row >= 0 {
			if n, ok := c.machine.calls.number(row, c.arches[i].column); ok {
				numbers = append(numbers, c.arches[i].number(n))
			}
		}
	}
	slices.Sort(numbers)
	return numbers
}

// tree is a binary search for the span of the number that has been loaded.
func tree(list []span, hot []uint32) *bpf.Node {
	// before[i] is the weight of the spans in front of i.
	before := make([]int, len(list)+1)
	for i := range list {
		weight := 1
		for len(hot) > 0 && (i+1 == len(list) || hot[0] < list[i+1].low) {
			weight += hotWeight
			hot = hot[1:]
		}
		before[i+1] = before[i] + weight
	}
	return subtree(list, before)
}

// subtree searches in spans, of which before has the weights.
func subtree(list []span, before []int) *bpf.Node {
	n := len(list)
	if n == 1 {
		return list[0].node
	}
	if n == 3 && list[0].node == list[2].node && list[1].low+1 == list[2].low {
		return bpf.If(bpf.JumpEqual, list[1].low, list[1].node, list[0].node)
	}
	// Where the two halves weigh most nearly the same.
	half := (before[0] + before[n]) / 2
	cut, _ := slices.BinarySearch(before[1:n], half)
	cut = min(cut+1, n-1)
	if cut > 1 && half-before[cut-1] < before[cut]-half {
		cut--
	}
	return bpf.If(bpf.JumpAtLeast, list[cut].low, subtree(list[cut:], before[cut:]), subtree(list[:cut], before[:cut+1]))
}
