package spawn

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// QuietMonitor lets the Go runtime's monitor thread, and whatever other
// threads there are, oversleep by 20 ms. While a process works the monitor
// wakes up every 20 µs, which costs a start more context switches than all
// else together; what it watches for does not happen in the few milliseconds
// of a start. The calling thread, whose slack a hook would inherit, is left
// alone.
//
// Best effort: without it everything works, slower.
// See proc_pid_timerslack_ns(5).
func QuietMonitor() {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return
	}
	self := strconv.Itoa(unix.Gettid())
	for _, e := range entries {
		if e.Name() == self {
			continue
		}
		fd, err := unix.Open("/proc/"+e.Name()+"/timerslack_ns", unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue
		}
		_, _ = unix.Write(fd, []byte(strconv.Itoa(initTimerSlackNS)))
		unix.Close(fd)
	}
}
