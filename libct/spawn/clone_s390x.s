#include "textflag.h"

// func rawClone3(args *cloneArgs, size uintptr) (result uintptr)
//
// The return address is in a register, safe from a child that shares the
// stack. As in Go's syscall/asm_linux_s390x.s.
TEXT ·rawClone3(SB),NOSPLIT|NOFRAME,$0-24
	MOVD	args+0(FP), R2
	MOVD	size+8(FP), R3
	MOVD	$0, R4
	MOVD	$0, R5
	MOVD	$0, R6
	MOVD	$0, R7
	MOVD	$435, R1	// clone3
	SYSCALL
	MOVD	R2, result+16(FP)
	RET
