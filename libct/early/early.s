#include "textflag.h"

// func grow()
//
// The assembler adds the check that makes the stack grow; nothing is written.
TEXT ·grow(SB), 0, $36864-0
	RET

// A variable of the environment, as the kernel would have written it.
DATA ·oneProcessor+0(SB)/8, $"GOMAXPRO"
DATA ·oneProcessor+8(SB)/8, $"CS=1\x00\x00\x00\x00"
GLOBL ·oneProcessor(SB), RODATA|NOPTR, $16

// The limit until init: descriptors 0, 1 and 2. entry adds the caller's hard one.
DATA ·std+0(SB)/8, $3
DATA ·std+8(SB)/8, $0
GLOBL ·std(SB), NOPTR, $16
