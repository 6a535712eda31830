package seccomp

import (
	"math"
	"slices"

	"github.com/hako-runtime/hako/libct/seccomp/bpf"
)

// span is a run of numbers that share a fate; it ends where the next begins.
type span struct {
	node   *bpf.Node
	low    uint32
	weight int32 // how near to the root of the tree it should be
	gone   bool  // whatever rules say
}

// Weights. Every span has one, for what nobody knows about its numbers.
//
// The kernel remembers which calls are always allowed and runs no filter for
// them (seccomp(2), since Linux 5.11): of the calls that succeed only those
// with conditions run it. They outweigh all others together.
const (
	conditionalWeight = 1024
	hotWeight         = 8 // three steps nearer
	valueWeight       = 4 // of an argument
)

// overlay lays calls, or values of an argument, over a base of spans.
type overlay struct {
	base []span
	list []span
	next uint64 // the first number that is not in the list
}

// add appends a span, or makes the last one longer.
func (o *overlay) add(low uint32, node *bpf.Node) {
	if n := len(o.list); n == 0 || o.list[n-1].node != node {
		o.list = append(o.list, span{low: low, node: node, weight: 1})
	}
}

// until appends the base up to the number n, exclusively.
func (o *overlay) until(n uint32) {
	for o.next < uint64(n) {
		o.skip()
		o.add(uint32(o.next), o.base[0].node)
		if len(o.base) == 1 || o.base[1].low > n {
			o.next = uint64(n)
			return
		}
		o.next = uint64(o.base[1].low)
	}
}

// skip drops what of the base ends before next.
func (o *overlay) skip() {
	for len(o.base) > 1 && uint64(o.base[1].low) <= o.next {
		o.base = o.base[1:]
	}
}

// put lays one number over the base; numbers come in order.
func (o *overlay) put(n uint32, node *bpf.Node, weight int32) {
	o.until(n)
	o.skip()
	if o.base[0].gone {
		return
	}
	o.add(n, node)
	o.list[len(o.list)-1].weight += weight
	o.next = uint64(n) + 1
}

// end appends the rest of the base.
func (o *overlay) end() []span {
	o.skip()
	if o.next > math.MaxUint32 {
		return o.list
	}
	o.add(uint32(o.next), o.base[0].node)
	for _, b := range o.base[1:] {
		o.add(b.low, b.node)
	}
	return o.list
}

// hotCalls are what programs call most. It matters among calls with conditions,
// and where the kernel does not remember what is always allowed.
var hotCalls = [...]string{
	"clock_gettime", "clone", "close", "epoll_pwait", "epoll_wait", "fstat", "futex", "getpid", "ioctl", "lseek", "madvise",
	"mmap", "mprotect", "munmap", "nanosleep", "newfstatat", "openat", "poll", "pread64", "read", "recvfrom",
	"recvmsg", "rt_sigaction", "rt_sigprocmask", "sendmsg", "sendto", "socket", "stat", "write", "writev",
}

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

// tree is a search for the span of the number that has been loaded.
func tree(list []span, hot []uint32) *bpf.Node {
	for i := range list {
		for len(hot) > 0 && (i+1 == len(list) || hot[0] < list[i+1].low) {
			list[i].weight += hotWeight
			hot = hot[1:]
		}
	}
	return search(list, math.MaxUint32)
}

// search is a search in spans, the last of which ends with last: binary, by
// weight, but a number that has a quarter of the weight is asked for at once.
// It uses the list up.
func search(list []span, last uint32) *bpf.Node {
	n := len(list)
	if n == 1 {
		return list[0].node
	}
	if at := outstanding(list, last); at >= 0 {
		one := list[at]
		return bpf.If(bpf.JumpEqual, one.low, one.node, search(without(list, at), last))
	}
	cut := middle(list)
	low := list[cut].low
	return bpf.If(bpf.JumpAtLeast, low, search(list[cut:], last), search(list[:cut], low-1))
}

// outstanding is the index of a number to ask for by itself, -1 if there is
// none.
func outstanding(list []span, last uint32) int {
	total, heaviest := int32(0), -1
	for i := range list {
		end := last
		if i+1 < len(list) {
			end = list[i+1].low - 1
		}
		total += list[i].weight
		if list[i].low == end && (heaviest < 0 || list[i].weight > list[heaviest].weight) {
			heaviest = i
		}
	}
	switch {
	case heaviest < 0,
		// A gap in a span is always asked for so: nothing else is left then.
		4*list[heaviest].weight < total && !(len(list) == 3 && heaviest == 1 && list[0].node == list[2].node):
		return -1
	}
	return heaviest
}

// without removes a span whose number cannot come any more: its neighbours may
// take it.
func without(list []span, at int) []span {
	if at > 0 && at+1 < len(list) && list[at-1].node == list[at+1].node {
		list[at-1].weight += list[at+1].weight
		return slices.Delete(list, at, at+2)
	}
	return slices.Delete(list, at, at+1)
}

// middle is where the two halves weigh most nearly the same.
func middle(list []span) (cut int) {
	total := int32(0)
	for i := range list {
		total += list[i].weight
	}
	before, nearest := int32(0), total
	for i := range list[:len(list)-1] {
		before += list[i].weight
		if off := max(2*before-total, total-2*before); off < nearest {
			cut, nearest = i+1, off
		}
	}
	return max(cut, 1)
}
