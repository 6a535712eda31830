#include "textflag.h"

// The program's first instructions; see the package's comment.
TEXT ·entry(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVD	$0, R0
	MOVD	$7, R1	// RLIMIT_NOFILE
	MOVD	$0, R2
	MOVD	$·nofile(SB), R3
	MOVD	$261, R8	// prlimit64
	SVC
	CBNZ	R0, done
	MOVD	·nofile+8(SB), R4
	MOVD	R4, ·std+8(SB)
	MOVD	$0, R0
	MOVD	$7, R1
	MOVD	$·std(SB), R2
	MOVD	$0, R3
	MOVD	$261, R8
	SVC
done:
	B	·variables(SB)

// As many of them for programs that have use for the files. The stack begins with
// argc, the arguments, a null pointer, the environment, a null pointer.
TEXT ·variables(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	// Two words lower, argc, arguments and null pointer leave room for two
	// variables; the stack stays aligned.
	MOVD	0(RSP), R0
	ADD	$2, R0
	MOVD	RSP, R1
	SUB	$16, RSP
	MOVD	RSP, R2
copy:
	MOVD.P	8(R1), R3
	MOVD.P	R3, 8(R2)
	SUBS	$1, R0, R0
	BNE	copy
	MOVD	$·oneProcessor(SB), R3
	MOVD	R3, 0(R2)
	MOVD	R3, 8(R2)
	B	_rt0_arm64_linux(SB)

// func setNofile(limit *[2]uint64)
TEXT ·setNofile(SB), NOSPLIT, $0-8
	MOVD	$0, R0
	MOVD	$7, R1	// RLIMIT_NOFILE
	MOVD	limit+0(FP), R2
	MOVD	$0, R3
	MOVD	$261, R8	// prlimit64
	SVC
	RET
