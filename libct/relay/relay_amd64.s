#include "textflag.h"

// The handler is called by the kernel, with the signal in DI, on the signal
// stack. All registers come back with rt_sigreturn, so none has to be saved.
TEXT ·handler(SB),NOSPLIT|NOFRAME|TOPFRAME,$0-0
	MOVL	DI, SI
	MOVL	·target(SB), DI
	XORL	DX, DX
	XORL	R10, R10
	MOVL	$424, AX	// pidfd_send_signal
	SYSCALL
	RET

TEXT restorer<>(SB),NOSPLIT|NOFRAME|TOPFRAME,$0-0
	MOVQ	$15, AX	// rt_sigreturn
	SYSCALL
	INT	$3

// func handlerPC() uintptr
TEXT ·handlerPC(SB),NOSPLIT,$0-8
	MOVQ	$·handler(SB), AX
	MOVQ	AX, ret+0(FP)
	RET

// func restorerPC() uintptr
TEXT ·restorerPC(SB),NOSPLIT,$0-8
	MOVQ	$restorer<>(SB), AX
	MOVQ	AX, ret+0(FP)
	RET
