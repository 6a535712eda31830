#include "textflag.h"

// The handler is called by the kernel, with the signal in R3, on the signal
// stack. All registers come back with rt_sigreturn, so none has to be saved.
TEXT ·handler(SB),NOSPLIT|NOFRAME|TOPFRAME,$0-0
	MOVD	R3, R4
	MOVW	·target(SB), R3
	MOVD	$0, R5
	MOVD	$0, R6
	MOVD	$424, R9	// pidfd_send_signal
	SYSCALL	R9
	RET

// func handlerPC() uintptr
TEXT ·handlerPC(SB),NOSPLIT|NOFRAME,$0-8
	MOVD	$·handler(SB), R3
	MOVD	R3, ret+0(FP)
	RET
