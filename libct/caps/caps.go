// Package caps sets the capabilities of the calling thread; capabilities(7).
//
// Capabilities belong to a thread. Whoever calls the setters runs on a locked
// thread (the init stage's first one) and executes the program from it.
// The package knows names and bits; what a container may have is plan's
// business.
package caps

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Last returns the highest capability the running kernel knows, by asking for
// the bounding set; no /proc is needed. See PR_CAPBSET_READ(2const).
func Last() (int, error) {
	low, high := 0, 63
	if _, err := bounded(low); err != nil {
		return 0, os.NewSyscallError("prctl PR_CAPBSET_READ", err)
	}
	for low < high {
		middle := (low + high + 1) / 2
		if _, err := bounded(middle); err == nil {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low, nil
}

// Current reads the five sets of the calling thread.
func Current() (Sets, error) {
	var s Sets
	var data [2]unix.CapUserData
	hdr := header()
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return s, os.NewSyscallError("capget", err)
	}
	s.Effective = join(data[0].Effective, data[1].Effective)
	s.Permitted = join(data[0].Permitted, data[1].Permitted)
	s.Inheritable = join(data[0].Inheritable, data[1].Inheritable)
	for bit := range 64 {
		set, err := bounded(bit)
		if errors.Is(err, unix.EINVAL) {
			break
		} else if err != nil {
			return s, os.NewSyscallError("prctl PR_CAPBSET_READ", err)
		}
		if set {
			s.Bounding |= 1 << bit
		}
		if on, _ := ambient(unix.PR_CAP_AMBIENT_IS_SET, bit); on == 1 {
			s.Ambient |= 1 << bit
		}
	}
	return s, nil
}

// DropBounding removes everything but keep from the bounding set. What is
// absent already stays absent and costs no privilege; for the rest CAP_SETPCAP
// is needed, and missing it is an error: the set must never be larger than asked.
//
// Runs in the container, before the user changes. PR_CAPBSET_DROP(2const).
func DropBounding(keep uint64) error {
	for bit := range 64 {
		set, err := bounded(bit)
		if errors.Is(err, unix.EINVAL) {
			return nil // one past the kernel's last
		} else if err != nil {
			return os.NewSyscallError("prctl PR_CAPBSET_READ", err)
		}
		if !set || keep&(1<<bit) != 0 {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(bit), 0, 0, 0); err != nil {
			return fmt.Errorf("%s: %w", name(bit), os.NewSyscallError("prctl PR_CAPBSET_DROP", err))
		}
	}
	return nil
}

// SetKeepCaps says whether the permitted set survives the change from uid 0 to
// another; execve(2) clears it. PR_SET_KEEPCAPS(2const).
func SetKeepCaps(keep bool) error {
	var arg uintptr
	if keep {
		arg = 1
	}
	return os.NewSyscallError("prctl PR_SET_KEEPCAPS", unix.Prctl(unix.PR_SET_KEEPCAPS, arg, 0, 0, 0))
}

// Apply sets the effective, permitted, inheritable and ambient sets; the
// bounding set is [DropBounding]'s. Bits the kernel does not know are without
// effect. ambientFailed are the ambient capabilities that could not be raised
// (not permitted, not inheritable, unknown), for a warning.
//
// Runs in the container, after the user changed, before the seccomp filter.
func Apply(s Sets) (ambientFailed uint64, err error) {
	data := s.data()
	hdr := header()
	if err := unix.Capset(&hdr, &data[0]); err != nil {
		return 0, capsetError(s, err)
	}
	if _, err := ambient(unix.PR_CAP_AMBIENT_CLEAR_ALL, 0); err != nil {
		return 0, os.NewSyscallError("prctl PR_CAP_AMBIENT_CLEAR_ALL", err)
	}
	for bit := range 64 {
		if s.Ambient&(1<<bit) == 0 {
			continue
		}
		if _, err := ambient(unix.PR_CAP_AMBIENT_RAISE, bit); err != nil {
			ambientFailed |= 1 << bit
		}
	}
	return ambientFailed, nil
}

// Lowering is [Apply] of the effective, permitted and inheritable sets, made
// ready: to do it takes one system call and nothing of the Go runtime's.
// Ambient capabilities that stay permitted stay.
type Lowering struct {
	header unix.CapUserHeader
	data   [2]unix.CapUserData
}

// NewLowering prepares to lower the calling thread's sets.
func NewLowering(s Sets) *Lowering { return &Lowering{header(), s.data()} }

// Do lowers them. Runs in the container, after the seccomp filter.
func (l *Lowering) Do() error {
	_, _, errno := unix.RawSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&l.header)), uintptr(unsafe.Pointer(&l.data)), 0)
	runtime.KeepAlive(l)
	if errno != 0 {
		return os.NewSyscallError("capset", errno)
	}
	return nil
}

// data is what capset(2) takes.
func (s Sets) data() [2]unix.CapUserData {
	return [2]unix.CapUserData{
		{Effective: uint32(s.Effective), Permitted: uint32(s.Permitted), Inheritable: uint32(s.Inheritable)},
		{Effective: uint32(s.Effective >> 32), Permitted: uint32(s.Permitted >> 32), Inheritable: uint32(s.Inheritable >> 32)},
	}
}

// capsetError names what the thread does not have itself: capset(2) says only EPERM.
func capsetError(s Sets, err error) error {
	err = os.NewSyscallError("capset", err)
	have, currentErr := Current()
	if currentErr != nil {
		return err
	}
	last, _ := Last()
	if missing := s.Permitted &^ have.Permitted & All(last); missing != 0 {
		return fmt.Errorf("%w: the runtime itself does not have %s", err, strings.Join(Names(missing), ", "))
	}
	if beyond := s.Effective &^ s.Permitted; beyond != 0 {
		return fmt.Errorf("%w: effective but not permitted: %s", err, strings.Join(Names(beyond), ", "))
	}
	if beyond := s.Inheritable &^ (have.Inheritable | have.Bounding); beyond != 0 {
		return fmt.Errorf("%w: inheritable but not in the bounding set: %s", err, strings.Join(Names(beyond), ", "))
	}
	return err
}

// header is version 3, 64 bits a set; pid 0 is the calling thread.
func header() unix.CapUserHeader {
	return unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
}

func join(low, high uint32) uint64 { return uint64(high)<<32 | uint64(low) }

func bounded(bit int) (bool, error) {
	n, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(bit), 0, 0, 0)
	return n == 1, err
}

func ambient(op, bit int) (int, error) {
	return unix.PrctlRetInt(unix.PR_CAP_AMBIENT, uintptr(op), uintptr(bit), 0, 0)
}
