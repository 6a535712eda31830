#include "textflag.h"

// func rawClone3(args *cloneArgs, size uintptr) (result uintptr)
//
// The return address is in a register, safe from a child that shares the
// stack. As in Go's syscall/asm_linux_riscv64.s.
TEXT ·rawClone3(SB),NOSPLIT|NOFRAME,$0-24
	MOV	args+0(FP), A0
	MOV	size+8(FP), A1
	MOV	ZERO, A2
	MOV	ZERO, A3
	MOV	ZERO, A4
	MOV	ZERO, A5
	MOV	$435, A7	// clone3
	ECALL
	MOV	A0, result+16(FP)
	RET
