package spawn

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"unsafe"

	"github.com/hako-runtime/hako/libct/quiet"
	"golang.org/x/sys/unix"
)

// cloneArgs is struct clone_args; clone(2).
type cloneArgs struct {
	flags, pidFD, childTID, parentTID, exitSignal     uint64
	stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

// defaultTimerSlackNS is what the first process of the machine has, and what
// the program gets, whatever hako's caller had.
const defaultTimerSlackNS = 50_000

// sigset is the kernel's sigset_t, and sigSetMask SIG_SETMASK, on all
// architectures that there is a rawClone3 for.
type sigset uint64

const sigSetMask = 2

type joinArg struct{ fd, flags uintptr }

// childArgs is all that the raw child reads.
type childArgs struct {
	first, second cloneArgs
	twoSteps      bool
	wait          bool
	visible       bool // the host's user has to reach our id maps in /proc
	becomeRoot    bool
	joined        uint64  // CLONE_NEW* of all joins
	bornIn        uintptr // pidfd of whose pid namespace the child is born in; 0: ours
	ownPid        uintptr // our own pid namespace
	joinFailed    bool    // entering bornIn failed
	unshareEarly  uintptr // CLONE_NEWUSER and CLONE_NEWTIME, if there are two steps
	joins         [9]joinArg
	njoins        int
	timensPath    *byte
	timens        []byte
	goFD          uintptr
	goWriteFD     uintptr
	reportFD      uintptr
	exeFD         uintptr
	wireFD        uintptr
	wireTo        int
	argv, envv    []*byte
	empty         *byte
	signals       sigset // blocked by the caller, before the runtime blocks all
}

// report is what the raw child writes: a step with an errno or a value.
type report struct {
	Step  uint32
	Index uint32
	Errno uint32
	Value uint32
}

// Steps of the raw child, for reports.
const (
	stepReadyForMaps = iota + 1
	stepCloned
	stepDumpable
	stepJoin
	stepUnshare
	stepWait
	stepTimeOffsets
	stepBecomeRoot
	stepClone
	stepWire
	stepExec
)

func (m report) err() error {
	texts := [...]string{
		stepDumpable:    "become non-dumpable: prctl",
		stepJoin:        "join namespace: setns",
		stepUnshare:     "new user or time namespace: unshare",
		stepWait:        "wait for the host",
		stepTimeOffsets: "linux.timeOffsets: write /proc/self/timens_offsets",
		stepBecomeRoot:  "become root of the user namespace (is container id 0 mapped?): setresuid",
		stepClone:       "clone into the namespaces",
		stepWire:        "place descriptors",
		stepExec:        "execute the init stage: execveat",
	}
	if int(m.Step) >= len(texts) || texts[m.Step] == "" {
		return fmt.Errorf("unexpected report of the init stage: step %d", m.Step)
	}
	if m.Step == stepJoin {
		name, file := nsName(uint64(m.Value))
		if file == "" { // several at once, of a Target
			return fmt.Errorf("join the namespaces of the container: %w", os.NewSyscallError("setns", syscall.Errno(m.Errno)))
		}
		return fmt.Errorf("join %s namespace: %w", name, os.NewSyscallError("setns", syscall.Errno(m.Errno)))
	}
	return fmt.Errorf("%s: %w", texts[m.Step], syscall.Errno(m.Errno))
}

// Go's runtime keeps these two for exactly this use; runtime/proc.go,
// go.dev/issue/67401.

//go:linkname runtimeBeforeFork syscall.runtime_BeforeFork
func runtimeBeforeFork()

//go:linkname runtimeAfterFork syscall.runtime_AfterFork
func runtimeAfterFork()

// rawClone3 is clone3(2): the child's pid, 0 in the child, or minus an errno.
// It may be called with CLONE_VM, which is why it is not a syscall.RawSyscall:
// the child must not disturb the frames that the parent returns through.
//
//go:noescape
func rawClone3(args *cloneArgs, size uintptr) (result uintptr)

// clone starts the child and returns its pid.
func clone(a *childArgs) (pid int, errno syscall.Errno) {
	if a.bornIn != 0 || a.joined&unix.CLONE_NEWPID != 0 {
		defer hideArguments()()
	}
	if _, _, e := syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, 0, 0, uintptr(unsafe.Pointer(&a.signals)), unsafe.Sizeof(a.signals), 0, 0); e != 0 {
		return 0, e
	}
	syscall.ForkLock.Lock()
	result := fork(a)
	runtimeAfterFork()
	syscall.ForkLock.Unlock()
	if result > ^uintptr(4095) {
		return 0, syscall.Errno(-result)
	}
	return int(result), 0
}

// hideArguments blanks /proc/self/cmdline until the returned function is
// called. A child copies it, and until it executes everybody in a pid namespace
// that it is born into could read it: paths of the host, exec --env. (One that
// shared our memory would show them for as long as a reader has it open.)
//
// os.Args lie where the kernel put them, so that is what is blanked; nothing
// else runs meanwhile. proc_pid_cmdline(5), PR_SET_MM would take privileges.
func hideArguments() (restore func()) {
	size := 0
	first := uintptr(unsafe.Pointer(unsafe.StringData(os.Args[0])))
	for _, arg := range os.Args {
		if arg != "" && uintptr(unsafe.Pointer(unsafe.StringData(arg))) != first+uintptr(size) {
			return func() {} // somebody has changed os.Args
		}
		size += len(arg) + 1
	}
	arguments := unsafe.Slice(unsafe.StringData(os.Args[0]), size)
	saved := bytes.Clone(arguments)
	clear(arguments)
	return func() { copy(arguments, saved) }
}

// fork returns in the parent only. As the child may share its memory, the
// parent must leave this frame at once and the child must never leave it.
//
// Between BeforeFork and execve only system calls and no-split functions are
// possible: no allocation, no stack growth, no locks. Everything the child
// needs is in a. See syscall.forkAndExecInChild1.
//
//go:noinline
//go:norace
//go:nocheckptr
func fork(a *childArgs) (result uintptr) {
	runtimeBeforeFork()
	// The child's default is what this thread has now.
	syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, defaultTimerSlackNS, 0, 0, 0, 0)
	if a.visible {
		// The child's default again: hako may be non-dumpable since an earlier
		// clone, or because its file cannot be read.
		syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1, 0, 0, 0, 0)
	}
	if a.bornIn != 0 {
		// The child is visible inside before it can do anything about that.
		syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0, 0, 0)
		if _, _, e := syscall.RawSyscall(unix.SYS_SETNS, a.bornIn, unix.CLONE_NEWPID, 0); e != 0 {
			a.joinFailed = true
			return -uintptr(e)
		}
	}
	result = rawClone3(&a.first, unsafe.Sizeof(a.first))
	if result != 0 {
		if a.bornIn != 0 {
			// For this thread's next children; entering one's own is always allowed.
			syscall.RawSyscall(unix.SYS_SETNS, a.ownPid, unix.CLONE_NEWPID, 0)
		}
		return result
	}
	child(a)
	return 0 // not reached
}

// child runs in the new process.
//
//go:nosplit
//go:norace
//go:nocheckptr
func child(a *childArgs) {
	// Before anything is joined: what is inside must not ptrace us
	// (the class of CVE-2016-9962). Where memory is shared, hako itself stays
	// so as well; it has nothing to show to anybody either. awaitHost makes up
	// for one that is born dumpable, alone in a new user namespace.
	if !a.visible || a.twoSteps {
		setDumpable(a, 0)
	}
	// Only now: there are no handlers any more, CLONE_CLEAR_SIGHAND.
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, sigSetMask, uintptr(unsafe.Pointer(&a.signals)), 0, unsafe.Sizeof(a.signals), 0, 0)
	if a.goWriteFD != 0 {
		syscall.RawSyscall(unix.SYS_CLOSE, a.goWriteFD, 0, 0)
	}
	if a.twoSteps {
		intermediate(a)
	} else {
		joinAll(a)
		awaitHost(a)
		becomeRoot(a)
	}
	if _, _, e := syscall.RawSyscall(unix.SYS_DUP3, a.wireFD, uintptr(a.wireTo), 0); e != 0 {
		fail(a, stepWire, 0, e, 0)
	}
	// Whatever the caller of hako left open must not reach the container.
	if _, _, e := syscall.RawSyscall(unix.SYS_CLOSE_RANGE, uintptr(a.wireTo+1), ^uintptr(0)>>33, unix.CLOSE_RANGE_CLOEXEC); e != 0 {
		fail(a, stepWire, 1, e, 0)
	}
	// The Go runtime's monitor thread wakes up every 20 µs while the init stage
	// works, for nothing; threads inherit this slack from their creator.
	// Init gives it back before it executes the program. PR_SET_TIMERSLACK(2const).
	syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_TIMERSLACK, quiet.SlackNS, 0, 0, 0, 0)
	_, _, e := syscall.RawSyscall6(unix.SYS_EXECVEAT, a.exeFD, uintptr(unsafe.Pointer(a.empty)),
		uintptr(unsafe.Pointer(&a.argv[0])), uintptr(unsafe.Pointer(&a.envv[0])), unix.AT_EMPTY_PATH, 0)
	fail(a, stepExec, 0, e, 0)
}

// intermediate is the first of two children: it joins, makes the user and the
// time namespace, and clones the second, a child of the host like itself.
// Only the second returns.
//
//go:nosplit
//go:norace
//go:nocheckptr
func intermediate(a *childArgs) {
	joinAll(a)
	if user := a.unshareEarly & unix.CLONE_NEWUSER; user != 0 {
		if _, _, e := syscall.RawSyscall(unix.SYS_UNSHARE, user, 0, 0); e != 0 {
			fail(a, stepUnshare, 0, e, 0)
		}
	}
	if a.visible {
		setDumpable(a, 1)
	}
	if a.wait {
		send(a, stepReadyForMaps, 0, 0, 0)
	}
	awaitHost(a)
	becomeRoot(a)
	if time := a.unshareEarly & unix.CLONE_NEWTIME; time != 0 {
		if _, _, e := syscall.RawSyscall(unix.SYS_UNSHARE, time, 0, 0); e != 0 {
			fail(a, stepUnshare, 1, e, 0)
		}
		writeTimeOffsets(a)
	}
	r, _, e := syscall.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&a.second)), unsafe.Sizeof(a.second), 0)
	if e != 0 {
		fail(a, stepClone, 0, e, 0)
	}
	if r == 0 {
		return
	}
	send(a, stepCloned, 0, 0, uint32(r))
	exit(0)
}

//go:nosplit
//go:norace
func joinAll(a *childArgs) {
	if a.joined&unix.CLONE_NEWUSER != 0 {
		// The namespace may deny it, and then our groups would be inside.
		syscall.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)
	}
	for i := 0; i < a.njoins; i++ {
		j := &a.joins[i]
		if j.flags == 0 {
			continue
		}
		if _, _, e := syscall.RawSyscall(unix.SYS_SETNS, j.fd, j.flags, 0); e != 0 {
			fail(a, stepJoin, uint32(i), e, uint32(j.flags))
		}
	}
}

//go:nosplit
//go:norace
func awaitHost(a *childArgs) {
	if !a.wait {
		return
	}
	var b [1]byte
	for {
		n, _, e := syscall.RawSyscall(unix.SYS_READ, a.goFD, uintptr(unsafe.Pointer(&b)), 1)
		if e == syscall.EINTR {
			continue
		}
		if e != 0 {
			fail(a, stepWait, 0, e, 0)
		}
		if n == 0 { // the host is gone
			exit(1)
		}
		break
	}
	if a.visible {
		setDumpable(a, 0)
	}
}

//go:nosplit
//go:norace
func setDumpable(a *childArgs, value uintptr) {
	if _, _, e := syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, value, 0, 0, 0, 0); e != 0 {
		fail(a, stepDumpable, 0, e, 0)
	}
}

// becomeRoot takes ids that the user namespace maps: files made from now on
// belong to the container's root.
//
//go:nosplit
//go:norace
func becomeRoot(a *childArgs) {
	if !a.becomeRoot {
		return
	}
	// Denied in a user namespace that an unprivileged process mapped.
	syscall.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)
	if _, _, e := syscall.RawSyscall(unix.SYS_SETRESGID, 0, 0, 0); e != 0 {
		fail(a, stepBecomeRoot, 1, e, 0)
	}
	if _, _, e := syscall.RawSyscall(unix.SYS_SETRESUID, 0, 0, 0); e != 0 {
		fail(a, stepBecomeRoot, 0, e, 0)
	}
	// A change of ids makes a process dumpable as fs.suid_dumpable says.
	syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0, 0, 0)
}

// writeTimeOffsets must come before the first process enters the time
// namespace; time_namespaces(7).
//
//go:nosplit
//go:norace
//go:nocheckptr
func writeTimeOffsets(a *childArgs) {
	if len(a.timens) == 0 {
		return
	}
	// The file of a process that is not dumpable belongs to the host's root,
	// which a user namespace has no power over. We are in no pid namespace of
	// the container's, so nothing inside can see us meanwhile.
	syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 1, 0, 0, 0, 0)
	at := unix.AT_FDCWD
	fd, _, e := syscall.RawSyscall6(unix.SYS_OPENAT, uintptr(at), uintptr(unsafe.Pointer(a.timensPath)), unix.O_WRONLY|unix.O_CLOEXEC, 0, 0, 0)
	syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0, 0, 0)
	if e != 0 {
		fail(a, stepTimeOffsets, 0, e, 0)
	}
	if _, _, e := syscall.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(&a.timens[0])), uintptr(len(a.timens))); e != 0 {
		fail(a, stepTimeOffsets, 1, e, 0)
	}
	syscall.RawSyscall(unix.SYS_CLOSE, fd, 0, 0)
}

//go:nosplit
//go:norace
func send(a *childArgs, step, index uint32, e syscall.Errno, value uint32) {
	m := report{step, index, uint32(e), value}
	syscall.RawSyscall(unix.SYS_WRITE, a.reportFD, uintptr(unsafe.Pointer(&m)), unsafe.Sizeof(m))
}

//go:nosplit
//go:norace
func fail(a *childArgs, step, index uint32, e syscall.Errno, value uint32) {
	send(a, step, index, e, value)
	exit(1)
}

//go:nosplit
//go:norace
func exit(code uintptr) {
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, code, 0, 0)
	}
}
