package seccomp

// Native is the machine that this program was compiled for.
func Native() *Machine { return amd64().own("SCMP_ARCH_X86") }
