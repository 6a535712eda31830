#include "textflag.h"

// The program's first instructions; see the package's comment.
TEXT ·entry(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	XOR	R0, R0	// the assembler counts on it
	MOVD	R0, R3
	MOVD	$7, R4	// RLIMIT_NOFILE
	MOVD	R0, R5
	MOVD	$·nofile(SB), R6
	MOVD	$325, R9	// prlimit64
	SYSCALL	R9
	BVS	done
	MOVD	·nofile+8(SB), R7
	MOVD	R7, ·std+8(SB)
	MOVD	R0, R3
	MOVD	$7, R4
	MOVD	$·std(SB), R5
	MOVD	R0, R6
	MOVD	$325, R9
	SYSCALL	R9
done:
	BR	·variables(SB)

// As many of them for programs that have use for the files. The stack begins with
// argc, the arguments, a null pointer, the environment, a null pointer.
TEXT ·variables(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	XOR	R0, R0	// the assembler counts on it
	// Two words lower, argc, arguments and null pointer leave room for two
	// variables; the stack stays aligned.
	MOVD	0(R1), R3
	ADD	$2, R3
	MOVD	R3, CTR
	MOVD	R1, R4
	ADD	$-16, R1
	MOVD	R1, R5
copy:
	MOVD	0(R4), R6
	MOVD	R6, 0(R5)
	ADD	$8, R4
	ADD	$8, R5
	BDNZ	copy
	MOVD	$·oneProcessor(SB), R6
	MOVD	R6, 0(R5)
	MOVD	R6, 8(R5)
	BR	_rt0_ppc64le_linux(SB)

// func setNofile(limit *[2]uint64)
TEXT ·setNofile(SB), NOSPLIT, $0-8
	MOVD	R0, R3
	MOVD	$7, R4	// RLIMIT_NOFILE
	MOVD	limit+0(FP), R5
	MOVD	R0, R6
	MOVD	$325, R9	// prlimit64
	SYSCALL	R9
	XOR	R0, R0
	RET
