#include "textflag.h"

// The handler is called by the kernel, with the signal in A0, on the signal
// stack. All registers come back with rt_sigreturn, so none has to be saved.
TEXT ·handler(SB),NOSPLIT|NOFRAME|TOPFRAME,$0-0
	MOV	A0, A1
	MOVW	·target(SB), A0
	MOV	ZERO, A2
	MOV	ZERO, A3
	MOV	$424, A7	// pidfd_send_signal
	ECALL
	RET

// func handlerPC() uintptr
TEXT ·handlerPC(SB),NOSPLIT,$0-8
	MOV	$·handler(SB), A0
	MOV	A0, ret+0(FP)
	RET
