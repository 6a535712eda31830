#include "textflag.h"

// The program's first instructions; see the package's comment.
TEXT ·entry(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVD	$0, R2
	MOVD	$7, R3	// RLIMIT_NOFILE
	MOVD	$0, R4
	MOVD	$·nofile(SB), R5
	MOVD	$334, R1	// prlimit64
	SYSCALL
	CMPBNE	R2, $0, done
	MOVD	$·nofile(SB), R5
	MOVD	8(R5), R6
	MOVD	$·std(SB), R4
	MOVD	R6, 8(R4)
	MOVD	$0, R2
	MOVD	$7, R3
	MOVD	$0, R5
	MOVD	$334, R1
	SYSCALL
done:
	BR	·variables(SB)

// As many of them for programs that have use for the files. The stack begins with
// argc, the arguments, a null pointer, the environment, a null pointer.
TEXT ·variables(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	// Two words lower, argc, arguments and null pointer leave room for two
	// variables; the stack stays aligned.
	MOVD	0(R15), R2
	ADD	$2, R2
	MOVD	R15, R3
	SUB	$16, R15
	MOVD	R15, R4
copy:
	MOVD	0(R3), R5
	MOVD	R5, 0(R4)
	ADD	$8, R3
	ADD	$8, R4
	SUB	$1, R2
	CMPBNE	R2, $0, copy
	MOVD	$·oneProcessor(SB), R5
	MOVD	R5, 0(R4)
	MOVD	R5, 8(R4)
	BR	_rt0_s390x_linux(SB)

// func setNofile(limit *[2]uint64)
TEXT ·setNofile(SB), NOSPLIT, $0-8
	MOVD	$0, R2
	MOVD	$7, R3	// RLIMIT_NOFILE
	MOVD	limit+0(FP), R4
	MOVD	$0, R5
	MOVD	$334, R1	// prlimit64
	SYSCALL
	RET
