#include "textflag.h"

// func rawClone3(args *cloneArgs, size uintptr) (result uintptr)
//
// The return address is kept in a register: with CLONE_VM the child uses this
// very stack before the parent returns. As in Go's syscall/asm_linux_amd64.s.
TEXT ·rawClone3(SB),NOSPLIT|NOFRAME,$0-24
	MOVQ	args+0(FP), DI
	MOVQ	size+8(FP), SI
	MOVQ	$0, DX
	MOVQ	$0, R10
	MOVQ	$0, R8
	MOVQ	$0, R9
	MOVQ	$435, AX	// clone3
	POPQ	R12
	SYSCALL
	PUSHQ	R12
	MOVQ	AX, result+16(FP)
	RET
