package seccomp

// Native is the machine that this program was compiled for.
func Native() *Machine { return ppc64le() }
