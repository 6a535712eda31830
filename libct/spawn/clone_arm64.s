#include "textflag.h"

// func rawClone3(args *cloneArgs, size uintptr) (result uintptr)
//
// The return address is in a register, safe from a child that shares the
// stack. As in Go's syscall/asm_linux_arm64.s.
TEXT ·rawClone3(SB),NOSPLIT,$0-24
	MOVD	args+0(FP), R0
	MOVD	size+8(FP), R1
	MOVD	$0, R2
	MOVD	$0, R3
	MOVD	$0, R4
	MOVD	$0, R5
	MOVD	$435, R8	// clone3
	SVC
	MOVD	R0, result+16(FP)
	RET
