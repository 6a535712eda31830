#include "textflag.h"

// The handler is called by the kernel, with the signal in R2, on the signal
// stack. All registers come back with rt_sigreturn, so none has to be saved.
TEXT ·handler(SB),NOSPLIT|NOFRAME|TOPFRAME,$0-0
	MOVD	R2, R3
	MOVW	·target(SB), R2
	MOVD	$0, R4
	MOVD	$0, R5
	MOVD	$424, R1	// pidfd_send_signal
	SYSCALL
	RET

// func handlerPC() uintptr
TEXT ·handlerPC(SB),NOSPLIT|NOFRAME,$0-8
	MOVD	$·handler(SB), R2
	MOVD	R2, ret+0(FP)
	RET
