// Package devices makes the kernel enforce which device nodes a cgroup may
// use: by the lists of v1's devices controller, or by an eBPF program attached
// to a cgroup2 directory.
//
// It runs on the host. It knows no cgroup's place, and no default rules: plan
// composes the list, complete and in order.
//
// # Meaning of a list
//
// Without rules everything is allowed. Otherwise everything is denied at
// first; then, for each of read, write and mknod by itself, the last rule that
// matches the device and names that access decides. An open for reading and
// writing needs both. That is what v1's kernel code does with lists that it
// can express; [V1] refuses those which it would silently weaken.
//
// # No bpf library
//
// Programs are eight-byte instructions put together in program.go and loaded
// with bpf(2). github.com/cilium/ebpf, and its asm package alone, pull in btf,
// go/token, encoding/xml and compress/flate: 0.2 ms of initialisation more
// than x/sys/unix (0.30 against 0.09 ms, GODEBUG=inittrace=1) and 3 MB of
// binary, paid twice by every container. The tests use it to disassemble.
package devices
