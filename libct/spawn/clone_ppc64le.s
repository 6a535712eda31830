#include "textflag.h"

// func rawClone3(args *cloneArgs, size uintptr) (result uintptr)
//
// The return address is in a register, safe from a child that shares the
// stack. The kernel tells of an error by a flag; here as everywhere else by
// a negative result. As in Go's syscall/asm_linux_ppc64x.s.
TEXT ·rawClone3(SB),NOSPLIT|NOFRAME,$0-24
	MOVD	args+0(FP), R3
	MOVD	size+8(FP), R4
	MOVD	R0, R5
	MOVD	R0, R6
	MOVD	R0, R7
	MOVD	R0, R8
	MOVD	$435, R9	// clone3
	SYSCALL	R9
	BVC	ok
	NEG	R3, R3
ok:
	MOVD	R3, result+16(FP)
	RET
