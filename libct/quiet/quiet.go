// Package quiet lets the Go runtime's monitor thread oversleep by 20 ms.
//
// While a process works the monitor wakes up every 20 µs, which costs a start
// more context switches than all else together; what it watches for does not
// happen in the few milliseconds of a start. Nothing but an import of this
// package is needed; as it imports so little it is initialized before almost
// everything else.
//
// A leaf. Best effort: without it everything works, slower.
package quiet

import (
	"syscall"
	"unsafe"
)

// SlackNS is the slack of the monitor's timers. The raw child of package spawn
// gives it to the whole init stage, until that executes the program.
const SlackNS = 20_000_000

const slackText = "20000000"

func init() {
	const getTimerSlack = 30 // PR_GET_TIMERSLACK(2const)
	if slack, _, _ := syscall.RawSyscall(syscall.SYS_PRCTL, getTimerSlack, 0, 0); slack >= SlackNS {
		return // so has the monitor, from the thread that started it
	}
	monitor := firstThread()
	if monitor == "" {
		return
	}
	fd, err := syscall.Open("/proc/"+monitor+"/timerslack_ns", syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	_, _ = syscall.Write(fd, []byte(slackText)) // best effort
	_ = syscall.Close(fd)
}

// firstThread is the number of the first thread that the runtime has started,
// the monitor: /proc lists threads in the order of their start.
func firstThread() string {
	tasks, err := syscall.Open("/proc/self/task", syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer func() { _ = syscall.Close(tasks) }()
	var list [512]byte
	n, err := syscall.ReadDirent(tasks, list[:])
	if err != nil {
		return ""
	}
	const monitorAt = 3 // after ".", ".." and the main thread
	const header = unsafe.Offsetof(syscall.Dirent{}.Name)
	for at, rest := 0, list[:n]; uintptr(len(rest)) > header; at++ {
		entry := (*syscall.Dirent)(unsafe.Pointer(&rest[0]))
		if int(entry.Reclen) > len(rest) || uintptr(entry.Reclen) <= header {
			return ""
		}
		if at == monitorAt {
			name := rest[header:entry.Reclen]
			for i, c := range name {
				if c == 0 {
					return string(name[:i])
				}
			}
			return ""
		}
		rest = rest[entry.Reclen:]
	}
	return ""
}
