#include "textflag.h"

// The handler is called by the kernel, with the signal in R0, on the signal
// stack. All registers come back with rt_sigreturn, so none has to be saved.
TEXT ·handler(SB),NOSPLIT|NOFRAME|TOPFRAME,$0-0
	MOVD	R0, R1
	MOVW	·target(SB), R0
	MOVD	$0, R2
	MOVD	$0, R3
	MOVD	$424, R8	// pidfd_send_signal
	SVC
	RET

// func handlerPC() uintptr
TEXT ·handlerPC(SB),NOSPLIT,$0-8
	MOVD	$·handler(SB), R0
	MOVD	R0, ret+0(FP)
	RET
