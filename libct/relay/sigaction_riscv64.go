package relay

// sigaction is the kernel's; asm-generic/signal.h without SA_RESTORER.
type sigaction struct {
	handler uintptr
	flags   uintptr
	mask    uint64
}

// restore does nothing: the kernel returns from the handler through its vdso.
func (*sigaction) restore() {}
