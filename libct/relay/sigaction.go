//go:build !riscv64 && !amd64

package relay

// sigaction is the kernel's; asm-generic/signal.h.
type sigaction struct {
	handler  uintptr
	flags    uintptr
	restorer uintptr
	mask     uint64
}

// restore does nothing: the kernel returns from the handler through its vdso.
func (*sigaction) restore() {}
