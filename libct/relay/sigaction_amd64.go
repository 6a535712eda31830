package relay

// sigaction is the kernel's; arch/x86/include/uapi/asm/signal.h.
type sigaction struct {
	handler  uintptr
	flags    uintptr
	restorer uintptr
	mask     uint64
}

const saRestorer = 0x04000000

// restorerPC is the address of the code that returns from the handler.
func restorerPC() uintptr

// restore says how to return from the handler: here it is the program's task.
func (s *sigaction) restore() {
	s.flags |= saRestorer
	s.restorer = restorerPC()
}
