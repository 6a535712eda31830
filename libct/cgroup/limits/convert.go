package limits

import (
	"fmt"
	"math"
	"strconv"

	"golang.org/x/sys/unix"
)

// The scale of cpu.shares; Documentation/scheduler/sched-design-CFS.rst.
const (
	MinShares     = 2
	DefaultShares = 1024
	MaxShares     = 1 << 18
)

// Weight converts cpu.shares of v1 to cpu.weight of v2, 1 … 10000. It is the
// quadratic curve in the logarithms that goes through the least, the default
// and the greatest of both scales, (2,1) (1024,100) (262144,10000), as runc 1.4
// and crun have it; the straight line of before gave a container with the
// default shares a weight of 39 beside services with 100.
func Weight(shares uint64) uint64 {
	switch {
	case shares <= MinShares:
		return 1
	case shares >= MaxShares:
		return 10000
	}
	l := math.Log2(float64(shares))
	return uint64(math.Ceil(math.Pow(10, (l*l+125*l)/612-7.0/34)))
}

// The scale of blkio.weight; Documentation/admin-guide/cgroup-v1/blkio-controller.rst.
const (
	MinIOWeight = 10
	MaxIOWeight = 1000
)

// IOWeight converts blkio.weight, 10 … 1000, to io.weight of v2, 1 … 10000.
// io.bfq.weight has the scale of blkio.weight.
func IOWeight(weight uint16) uint64 {
	weight = min(max(weight, MinIOWeight), MaxIOWeight)
	return 1 + (uint64(weight)-MinIOWeight)*9999/(MaxIOWeight-MinIOWeight)
}

// SwapMax converts the limits of v1, memory and memory with swap, to what v2
// limits: swap alone. ok is false if nothing is said about swap.
//
// The error matches EINVAL if the total is below the limit, or is one while
// memory is not limited.
func SwapMax(limitBytes, totalBytes *int64) (swapBytes int64, ok bool, err error) {
	switch {
	case totalBytes == nil && limitBytes != nil && *limitBytes == Unlimited:
		// As v1's kernel demands: no limit is above that of the total.
		return Unlimited, true, nil
	case totalBytes == nil:
		return 0, false, nil
	case *totalBytes == Unlimited:
		return Unlimited, true, nil
	case limitBytes == nil || *limitBytes == Unlimited:
		return 0, false, fmt.Errorf("swap: a limit of memory and swap needs one of memory: %w", unix.EINVAL)
	case *totalBytes < *limitBytes:
		return 0, false, fmt.Errorf("swap: %d bytes of memory and swap are below the memory limit of %d: %w", *totalBytes, *limitBytes, unix.EINVAL)
	}
	return *totalBytes - *limitBytes, true, nil
}

// MemoryLow converts a reservation to memory.low: both are what memory is
// reclaimed down to before others suffer. Lifting v1's soft limit restores its
// default; so does 0 in v2, where "max" would protect all that is in use.
func MemoryLow(reservationBytes int64) int64 {
	if reservationBytes == Unlimited {
		return 0
	}
	return reservationBytes
}

// Line is what rdma.max reads, in both versions; all bits set lift a limit.
func (r RDMA) Line() string {
	line := r.Device
	for _, one := range [...]struct {
		key   string
		value *uint32
	}{{"hca_handle", r.HCAHandles}, {"hca_object", r.HCAObjects}} {
		switch {
		case one.value == nil:
		case *one.value == math.MaxUint32:
			line += " " + one.key + "=max"
		default:
			line += " " + one.key + "=" + strconv.FormatUint(uint64(*one.value), 10)
		}
	}
	return line
}
