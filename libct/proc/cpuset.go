package proc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxCPUs bounds what a config can make us allocate: eight times what Linux
// can be built for.
const maxCPUs = 64 << 10

// ParseCPUSet reads a list such as "0-3,7", the format of cpuset(7) without
// strides. Blanks around the items are ignored; an empty list is nil.
// It serves NUMA nodes as well.
func ParseCPUSet(list string) (CPUSet, error) {
	if strings.TrimSpace(list) == "" {
		return nil, nil
	}
	var set CPUSet
	for item := range strings.SplitSeq(list, ",") {
		first, last, err := parseRange(strings.TrimSpace(item))
		if err != nil {
			return nil, fmt.Errorf("list %q: item %q: %w", list, item, err)
		}
		set = set.with(first, last)
	}
	return set, nil
}

func parseRange(item string) (first, last int, err error) {
	from, to, isRange := strings.Cut(item, "-")
	if first, err = parseNumber(from); err != nil {
		return 0, 0, err
	}
	if !isRange {
		return first, first, nil
	}
	if last, err = parseNumber(to); err != nil {
		return 0, 0, err
	}
	if last < first {
		return 0, 0, fmt.Errorf("the range runs backwards")
	}
	return first, last, nil
}

func parseNumber(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("want a number, have %q", s)
	}
	if n >= maxCPUs {
		return 0, fmt.Errorf("%d is above %d", n, maxCPUs-1)
	}
	return int(n), nil
}

// with adds first … last.
func (set CPUSet) with(first, last int) CPUSet {
	for len(set) <= last/64 {
		set = append(set, 0)
	}
	for n := first; n <= last; n++ {
		set[n/64] |= 1 << (n % 64)
	}
	return set
}

// Has reports whether n is in the set.
func (set CPUSet) Has(n int) bool {
	return n >= 0 && n/64 < len(set) && set[n/64]&(1<<(n%64)) != 0
}

// String is the shortest list that [ParseCPUSet] reads back.
func (set CPUSet) String() string {
	var items []string
	for n := 0; n < len(set)*64; n++ {
		if !set.Has(n) {
			continue
		}
		first := n
		for set.Has(n + 1) {
			n++
		}
		item := strconv.Itoa(first)
		if n > first {
			item += "-" + strconv.Itoa(n)
		}
		items = append(items, item)
	}
	return strings.Join(items, ",")
}

// SetAffinity lets a thread run on the given processors only; pid 0 is the
// calling thread. The kernel ignores those it does not have, and the process's
// cpuset still applies. EINVAL: none is left. sched_setaffinity(2).
func SetAffinity(pid int, set CPUSet) error {
	if len(set) == 0 {
		return os.NewSyscallError("sched_setaffinity", unix.EINVAL)
	}
	mask := words(set)
	_, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETAFFINITY, uintptr(pid), uintptr(len(mask))*unsafe.Sizeof(mask[0]), uintptr(unsafe.Pointer(&mask[0])))
	return syscallError("sched_setaffinity", errno)
}

// ResetAffinity lets the calling thread run wherever its cpuset allows, now and
// when the cpuset grows: the container must not inherit the affinity of whoever
// called the runtime. Runs in the container, when the process is in its cgroup.
// The kernel cuts the mask to the processors it can have.
func ResetAffinity() error {
	everything := make(CPUSet, maxCPUs/64)
	for i := range everything {
		everything[i] = ^uint64(0)
	}
	return SetAffinity(0, everything)
}

// words turns a mask of 64-bit words into the kernel's unsigned longs, which
// are in another order on a 32-bit big-endian machine.
func words(mask []uint64) []uintptr {
	const perWord = int(8 / unsafe.Sizeof(uintptr(0)))
	longs := make([]uintptr, 0, len(mask)*perWord)
	for _, word := range mask {
		for i := range perWord {
			longs = append(longs, uintptr(word>>(i*64/perWord)))
		}
	}
	return longs
}
