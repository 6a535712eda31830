#include "textflag.h"

// The program's first instructions; see the package's comment.
TEXT ·entry(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOV	ZERO, A0
	MOV	$7, A1	// RLIMIT_NOFILE
	MOV	ZERO, A2
	MOV	$·nofile(SB), A3
	MOV	$261, A7	// prlimit64
	ECALL
	BNE	A0, ZERO, done
	MOV	·nofile+8(SB), T0
	MOV	T0, ·std+8(SB)
	MOV	ZERO, A0
	MOV	$7, A1
	MOV	$·std(SB), A2
	MOV	ZERO, A3
	MOV	$261, A7
	ECALL
done:
	JMP	·variables(SB)

// As many of them for programs that have use for the files. The stack begins with
// argc, the arguments, a null pointer, the environment, a null pointer.
TEXT ·variables(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	// Two words lower, argc, arguments and null pointer leave room for two
	// variables; the stack stays aligned.
	MOV	0(X2), T0
	ADD	$2, T0
	MOV	X2, T1
	SUB	$16, X2
	MOV	X2, T2
copy:
	MOV	0(T1), T3
	MOV	T3, 0(T2)
	ADD	$8, T1
	ADD	$8, T2
	SUB	$1, T0
	BNE	T0, ZERO, copy
	MOV	$·oneProcessor(SB), T3
	MOV	T3, 0(T2)
	MOV	T3, 8(T2)
	JMP	_rt0_riscv64_linux(SB)

// func setNofile(limit *[2]uint64)
TEXT ·setNofile(SB), NOSPLIT, $0-8
	MOV	ZERO, A0
	MOV	$7, A1	// RLIMIT_NOFILE
	MOV	limit+0(FP), A2
	MOV	ZERO, A3
	MOV	$261, A7	// prlimit64
	ECALL
	RET
