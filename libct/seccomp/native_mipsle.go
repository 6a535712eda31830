package seccomp

// Native is the machine that this program was compiled for.
func Native() *Machine { return mips64le().own("SCMP_ARCH_MIPSEL") }
