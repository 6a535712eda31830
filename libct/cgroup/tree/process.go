package tree

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Add moves a process, with all threads, into the cgroup that is open as dir.
func Add(dir *os.File, pid int) error {
	var err error
	for range 5 {
		err = WriteAt(dir, "cgroup.procs", strconv.Itoa(pid))
		if !errors.Is(err, unix.EINVAL) {
			return Explain(dir, err)
		}
		// EINVAL: v1's cpu controller refuses a task that has not run yet
		// (TASK_NEW); cpu_cgroup_can_attach before Linux 5.16.
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// Processes lists the processes in dirs and below, ascending, each once.
// Those outside of the caller's pid namespace have no number and are left out.
func Processes(dirs ...string) ([]int, error) {
	var pids []int
	for _, dir := range dirs {
		err := Walk(dir, func(d *os.File) error {
			found, err := processesIn(d)
			pids = append(pids, found...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids), nil
}

// CountTasks counts the threads in the cgroup2 subtree.
func CountTasks(dir string) (n uint64, err error) {
	err = Walk(dir, func(d *os.File) error {
		f, err := open(int(d.Fd()), "cgroup.threads", unix.O_RDONLY)
		if err != nil {
			return err
		}
		defer f.Close()
		text, err := ReadFile(f)
		n += uint64(strings.Count(text, "\n"))
		return err
	})
	return n, err
}

func processesIn(d *os.File) ([]int, error) {
	f, err := open(int(d.Fd()), "cgroup.procs", unix.O_RDONLY)
	if err != nil {
		return nil, ignoreGone(err)
	}
	defer f.Close()
	text, err := ReadFile(f)
	// EOPNOTSUPP: threaded; the processes are listed in the parent, cgroups(7).
	if errors.Is(err, unix.EOPNOTSUPP) || IsGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var pids []int
	for line := range strings.FieldsSeq(text) {
		pid, err := strconv.Atoi(line)
		if err != nil {
			return nil, fmt.Errorf("%s/cgroup.procs: %w", d.Name(), err)
		}
		if pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// Signal sends sig to all processes in dirs and below, until a pass finds
// none that it has not been sent to: a process that forks meanwhile does not
// save its child. It gives up after a hundred passes.
func Signal(sig unix.Signal, dirs ...string) error {
	reached := map[int]bool{}
	for range 100 {
		pids, err := Processes(dirs...)
		if err != nil {
			return err
		}
		fresh := slices.DeleteFunc(pids, func(pid int) bool { return reached[pid] })
		if len(fresh) == 0 {
			return nil
		}
		for batch := range slices.Chunk(fresh, 256) { // below the usual 1024 descriptors
			if err := signalBatch(sig, batch, dirs); err != nil {
				return err
			}
		}
		for _, pid := range fresh {
			reached[pid] = true
		}
	}
	return fmt.Errorf("signal %d: new processes keep appearing: %w", sig, unix.EAGAIN)
}

// signalBatch never hits a stranger that was given the number of a process
// that has just ended: it holds descriptors first, then looks again which of
// the numbers are in the cgroup. A descriptor whose number is still there is
// either that member, or of a process that has ended.
func signalBatch(sig unix.Signal, pids []int, dirs []string) error {
	held := make(map[int]int, len(pids))
	defer func() {
		for _, fd := range held {
			unix.Close(fd)
		}
	}()
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		switch {
		case err == nil:
			held[pid] = fd
		case !errors.Is(err, unix.ESRCH):
			return fmt.Errorf("process %d: %w", pid, os.NewSyscallError("pidfd_open", err))
		}
	}
	members, err := Processes(dirs...)
	if err != nil {
		return err
	}
	var errs []error
	for _, pid := range members {
		fd, ok := held[pid]
		if !ok {
			continue
		}
		if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			errs = append(errs, fmt.Errorf("process %d: %w", pid, os.NewSyscallError("pidfd_send_signal", err)))
		}
	}
	return errors.Join(errs...)
}
