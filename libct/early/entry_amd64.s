#include "textflag.h"

// The program's first instructions; see the package's comment.
TEXT ·entry(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	MOVQ	$0, DI
	MOVQ	$7, SI	// RLIMIT_NOFILE
	MOVQ	$0, DX
	MOVQ	$·nofile(SB), R10
	MOVQ	$302, AX	// prlimit64
	SYSCALL
	CMPQ	AX, $0
	JNE	done
	MOVQ	·nofile+8(SB), AX
	MOVQ	AX, ·std+8(SB)
	MOVQ	$0, DI
	MOVQ	$7, SI
	MOVQ	$·std(SB), DX
	MOVQ	$0, R10
	MOVQ	$302, AX
	SYSCALL
done:
	JMP	·variables(SB)

// As many of them for programs that have use for the files. The stack begins with
// argc, the arguments, a null pointer, the environment, a null pointer.
TEXT ·variables(SB), NOSPLIT|NOFRAME|TOPFRAME, $0
	// Two words lower, argc, arguments and null pointer leave room for two
	// variables; the stack stays aligned.
	MOVQ	0(SP), CX
	ADDQ	$2, CX
	MOVQ	SP, SI
	SUBQ	$16, SP
	MOVQ	SP, DI
	CLD
	REP; MOVSQ
	MOVQ	$·oneProcessor(SB), AX
	MOVQ	AX, 0(DI)
	MOVQ	AX, 8(DI)
	JMP	_rt0_amd64_linux(SB)

// func setNofile(limit *[2]uint64)
TEXT ·setNofile(SB), NOSPLIT, $0-8
	MOVQ	$0, DI
	MOVQ	$7, SI	// RLIMIT_NOFILE
	MOVQ	limit+0(FP), DX
	MOVQ	$0, R10
	MOVQ	$302, AX	// prlimit64
	SYSCALL
	RET
