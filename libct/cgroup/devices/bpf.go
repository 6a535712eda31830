package devices

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// programName tells our programs from those of systemd and others.
const programName = "hako_devices"

// Attach makes the kernel enforce the rules in the cgroup2 directory dir and
// all below, in addition to what holds above. It replaces what an earlier
// Attach left there, without a moment in between in which neither holds; rules
// that allow everything only detach that. The program goes when the directory
// is removed.
//
// The error matches fs.ErrPermission where bpf(2) is not permitted: that needs
// CAP_SYS_ADMIN, or CAP_BPF and CAP_NET_ADMIN, in the first user namespace.
// Needs Linux 5.6 (BPF_F_REPLACE). Runs on the host.
func Attach(dir *os.File, rules []Rule) error {
	olds, err := attached(dir)
	if err != nil {
		return err
	}
	defer func() {
		for _, fd := range olds {
			unix.Close(fd)
		}
	}()
	replaced := 0
	if !allowEverything(rules) {
		old := -1
		if len(olds) > 0 {
			old, replaced = olds[0], 1
		}
		if err := attach(dir, rules, old); err != nil {
			return err
		}
	}
	for _, fd := range olds[replaced:] {
		if err := detach(dir, fd); err != nil {
			return err
		}
	}
	return nil
}

// AttachNew is [Attach] to a directory that has just been made: it saves
// looking for programs to replace.
func AttachNew(dir *os.File, rules []Rule) error {
	if allowEverything(rules) {
		return nil
	}
	return attach(dir, rules, -1)
}

// allowEverything tells whether no device is left that the rules deny.
func allowEverything(rules []Rule) bool {
	for i := len(rules) - 1; i >= 0; i-- {
		if !rules[i].Allow {
			return false
		}
		if rules[i].final() {
			return true
		}
	}
	return len(rules) == 0
}

func attach(dir *os.File, rules []Rule, replaceFD int) error {
	insns, err := compile(rules)
	if err != nil {
		return err
	}
	prog, err := loadNamed(insns, programName)
	if err != nil {
		return err
	}
	defer unix.Close(prog)
	return attachProgram(dir, prog, replaceFD)
}

// attachProgram adds prog, or puts it in the place of replaceFD if that is
// not negative.
func attachProgram(dir *os.File, prog, replaceFD int) error {
	attr := struct {
		targetFD, progFD, attachType, flags, replaceFD uint32
	}{
		targetFD: uint32(dir.Fd()), progFD: uint32(prog),
		attachType: unix.BPF_CGROUP_DEVICE, flags: unix.BPF_F_ALLOW_MULTI,
	}
	if replaceFD >= 0 {
		attr.flags |= unix.BPF_F_REPLACE
		attr.replaceFD = uint32(replaceFD)
	}
	_, err := bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return explain("BPF_PROG_ATTACH", err)
}

func detach(dir *os.File, prog int) error {
	attr := struct {
		targetFD, progFD, attachType, flags uint32
	}{targetFD: uint32(dir.Fd()), progFD: uint32(prog), attachType: unix.BPF_CGROUP_DEVICE}
	_, err := bpf(unix.BPF_PROG_DETACH, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return explain("BPF_PROG_DETACH", err)
}

// loadAttr is the start of union bpf_attr for BPF_PROG_LOAD.
type loadAttr struct {
	progType    uint32
	insnCount   uint32
	insns       uint64
	license     uint64
	logLevel    uint32
	logSize     uint32
	log         uint64
	kernVersion uint32
	flags       uint32
	name        [16]byte
}

// loadNamed loads a program and returns its descriptor, close-on-exec.
func loadNamed(insns []insn, name string) (int, error) {
	license := []byte("Apache-2.0\x00") // no helper is called that asks for another one
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&insns[0])
	pin.Pin(&license[0])
	attr := &loadAttr{
		progType:  unix.BPF_PROG_TYPE_CGROUP_DEVICE,
		insnCount: uint32(len(insns)),
		insns:     uint64(uintptr(unsafe.Pointer(&insns[0]))),
		license:   uint64(uintptr(unsafe.Pointer(&license[0]))),
	}
	copy(attr.name[:], name)
	fd, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(attr), unsafe.Sizeof(*attr))
	if err == nil || errors.Is(err, unix.EPERM) {
		return fd, explain("BPF_PROG_LOAD", err)
	}
	log := make([]byte, 64<<10)
	pin.Pin(&log[0])
	attr.logLevel, attr.logSize, attr.log = 1, uint32(len(log)), uint64(uintptr(unsafe.Pointer(&log[0])))
	fd, logErr := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(attr), unsafe.Sizeof(*attr))
	if logErr == nil {
		return fd, nil
	}
	if said := strings.TrimSpace(unix.ByteSliceToString(log)); said != "" {
		lines := strings.Split(said, "\n")
		err = fmt.Errorf("%w: %s", err, strings.Join(lines[max(0, len(lines)-3):], "; "))
	}
	return -1, explain("BPF_PROG_LOAD", err)
}

// attached returns descriptors of our programs at dir itself.
func attached(dir *os.File) ([]int, error) {
	ids := make([]uint32, 64) // the kernel's BPF_CGROUP_MAX_PROGS
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&ids[0])
	query := struct {
		targetFD, attachType, queryFlags, attachFlags uint32
		ids                                           uint64
		count, _                                      uint32
	}{
		targetFD: uint32(dir.Fd()), attachType: unix.BPF_CGROUP_DEVICE,
		ids: uint64(uintptr(unsafe.Pointer(&ids[0]))), count: uint32(len(ids)),
	}
	if _, err := bpf(unix.BPF_PROG_QUERY, unsafe.Pointer(&query), unsafe.Sizeof(query)); err != nil {
		return nil, explain("BPF_PROG_QUERY", err)
	}
	var ours []int
	for _, id := range ids[:query.count] {
		attr := struct{ id, next, openFlags uint32 }{id: id}
		fd, err := bpf(unix.BPF_PROG_GET_FD_BY_ID, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		name := ""
		if err == nil {
			name, err = nameOf(fd)
		}
		if err == nil && name == programName {
			ours = append(ours, fd)
			continue
		}
		if fd >= 0 {
			unix.Close(fd)
		}
		if err != nil {
			for _, fd := range ours {
				unix.Close(fd)
			}
			return nil, explain("BPF_PROG_GET_FD_BY_ID", err)
		}
	}
	return ours, nil
}

// nameOf reads struct bpf_prog_info, of which the name is at offset 64.
func nameOf(prog int) (string, error) {
	var info [80]byte
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&info[0])
	attr := struct {
		fd, length uint32
		info       uint64
	}{fd: uint32(prog), length: uint32(len(info)), info: uint64(uintptr(unsafe.Pointer(&info[0])))}
	if _, err := bpf(unix.BPF_OBJ_GET_INFO_BY_FD, unsafe.Pointer(&attr), unsafe.Sizeof(attr)); err != nil {
		return "", err
	}
	return unix.ByteSliceToString(info[64:80]), nil
}

// bpf calls bpf(2). Go's scheduler signals its threads, and the verifier
// answers EAGAIN when a signal is pending.
func bpf(cmd uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	for try := 0; ; try++ {
		r, _, errno := unix.Syscall(unix.SYS_BPF, cmd, uintptr(attr), size)
		switch {
		case errno == 0:
			return int(r), nil
		case errno == unix.EINTR || errno == unix.EAGAIN && try < 30:
			continue
		}
		return -1, errno
	}
}

func explain(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("device rules need CAP_BPF and CAP_NET_ADMIN in the first user namespace: %s: %w", op, err)
	case errors.Is(err, unix.ENOSYS):
		return fmt.Errorf("device rules need CONFIG_BPF_SYSCALL: %s: %w", op, errors.Join(err, errors.ErrUnsupported))
	}
	return fmt.Errorf("device rules: %s: %w", op, err)
}
