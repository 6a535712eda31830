package spawn

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// QuietMonitor lets the Go runtime's monitor thread oversleep by 20 ms. While a
// process works the monitor wakes up every 20 µs, which costs a start more
// context switches than all else together; what it watches for does not happen
// in the few milliseconds of a start. It is the first thread that the runtime
// starts, and threads are listed in the order of their start.
//
// Best effort: without it everything works, slower.
// See proc_pid_timerslack_ns(5).
func QuietMonitor() {
	tasks, err := unix.Open("/proc/self/task", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(tasks)
	var list [512]byte
	n, err := unix.Getdents(tasks, list[:])
	if err != nil {
		return
	}
	_, _, names := unix.ParseDirent(list[:n], 2, nil)
	if len(names) < 2 { // . and .. are left out
		return
	}
	fd, err := unix.Open("/proc/"+names[1]+"/timerslack_ns", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	_, _ = unix.Write(fd, []byte(strconv.Itoa(initTimerSlackNS)))
	unix.Close(fd)
}
