package libct

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// startTime is field 22 of /proc/PID/stat, by which a reused pid is told from
// the old one; proc_pid_stat(5). A zombie counts as gone, unless it is only the
// first thread that has ended, and others live on.
func startTime(pid int) (ticks uint64, err error) {
	path := "/proc/" + strconv.Itoa(pid) + "/stat"
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	data := make([]byte, 2048) // 52 numbers; one read(2) is one state of the process
	n, err := unix.Read(fd, data)
	if err != nil {
		return 0, &os.PathError{Op: "read", Path: path, Err: err}
	}
	data = data[:n]
	if ticks, err = parseStat(data); err != nil {
		return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	return ticks, nil
}

func parseStat(data []byte) (ticks uint64, err error) {
	// The name, in parentheses, may contain anything.
	i := bytes.LastIndexByte(data, ')')
	if i < 0 {
		return 0, errors.New("no name")
	}
	field := bytes.Fields(data[i+1:])
	if len(field) < 20 {
		return 0, fmt.Errorf("%d fields after the name", len(field))
	}
	// Field 20, num_threads, counts the first one until all have ended.
	if s := field[0][0]; (s == 'Z' || s == 'X') && (string(field[17]) == "0" || string(field[17]) == "1") {
		return 0, unix.ESRCH
	}
	return strconv.ParseUint(string(field[19]), 10, 64)
}

func alive(pid int, since uint64) bool {
	if pid <= 0 {
		return false
	}
	t, err := startTime(pid)
	return err == nil && t == since
}

// openPidfd opens the process that was started as pid at since, not one that
// has the same number by now. The error is [ErrNotRunning] if it is gone.
func openPidfd(pid int, since uint64) (*os.File, error) {
	if pid <= 0 {
		return nil, ErrNotRunning
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	if !alive(pid, since) {
		f.Close()
		return nil, ErrNotRunning
	}
	return f, nil
}

// waitGone waits until the process of pidfd has ended, at most for limit.
func waitGone(pidfd *os.File, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		left := time.Until(deadline).Milliseconds()
		if left <= 0 {
			return fmt.Errorf("process is still there %v after SIGKILL", limit)
		}
		fds := []unix.PollFd{{Fd: int32(pidfd.Fd()), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(left))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("poll", err)
		}
		if n > 0 {
			return nil
		}
	}
}

// wait reaps our child pid and returns its exit code, 128+n for signal n.
func wait(pid int) (code int, err error) {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, unix.WALL, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, os.NewSyscallError("wait4", err)
		}
		return exitCode(status), nil
	}
}

func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// writePidFile writes pid so that a reader sees nothing or all of it. It
// follows no link, and what had the name of the temporary file is replaced,
// never written to: a leftover, or something that somebody planted there.
func writePidFile(path string, pid int) error {
	if path == "" {
		return nil
	}
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	err := writeNew(tmp, strconv.Itoa(pid))
	if errors.Is(err, fs.ErrExist) && os.Remove(tmp) == nil {
		err = writeNew(tmp, strconv.Itoa(pid))
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("pid file: %w", err) // not ours to remove
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp) // best effort: the first error counts
		return fmt.Errorf("pid file: %w", err)
	}
	return nil
}

// writeNew makes the file path. The error matches [fs.ErrExist].
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
