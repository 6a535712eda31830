package hooks

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pipe is the two ends of a pipe(2); a closed end is -1.
type pipe struct{ read, write int }

type pipes struct{ stdin, stdout, stderr pipe }

// openPipes makes close-on-exec pipes whose parent's side does not block.
func openPipes() (*pipes, error) {
	p := &pipes{stdin: pipe{-1, -1}, stdout: pipe{-1, -1}, stderr: pipe{-1, -1}}
	for _, one := range []*pipe{&p.stdin, &p.stdout, &p.stderr} {
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
			p.close()
			return nil, os.NewSyscallError("pipe2", err)
		}
		*one = pipe{read: fds[0], write: fds[1]}
	}
	for _, fd := range []int{p.stdin.write, p.stdout.read, p.stderr.read} {
		if err := unix.SetNonblock(fd, true); err != nil {
			p.close()
			return nil, os.NewSyscallError("fcntl", err)
		}
	}
	return p, nil
}

func (p *pipes) close() {
	p.closeChildSide()
	for _, fd := range []*int{&p.stdin.write, &p.stdout.read, &p.stderr.read} {
		closeFD(fd)
	}
}

func (p *pipes) closeChildSide() {
	for _, fd := range []*int{&p.stdin.read, &p.stdout.write, &p.stderr.write} {
		closeFD(fd)
	}
}

func closeFD(fd *int) {
	if *fd >= 0 {
		unix.Close(*fd)
		*fd = -1
	}
}

// serve writes the input and reads the output until the process ends, not
// until the pipes do: a hook may leave a daemon behind that holds them.
// inTime is false when the deadline came first.
func (p *pipes) serve(pidfd int, input []byte, deadline time.Time) (stdout, stderr []byte, inTime bool, err error) {
	for {
		fds := []unix.PollFd{
			{Fd: int32(pidfd), Events: unix.POLLIN},
			{Fd: int32(p.stdin.write), Events: unix.POLLOUT}, // poll ignores -1
			{Fd: int32(p.stdout.read), Events: unix.POLLIN},
			{Fd: int32(p.stderr.read), Events: unix.POLLIN},
		}
		timeoutMS, left := remaining(deadline)
		if !left {
			return stdout, stderr, false, nil
		}
		if _, err := unix.Poll(fds, timeoutMS); err == unix.EINTR {
			continue
		} else if err != nil {
			return stdout, stderr, true, os.NewSyscallError("poll", err)
		}
		if fds[1].Revents != 0 {
			input = feed(&p.stdin.write, input)
		}
		if fds[2].Revents != 0 {
			stdout = drain(&p.stdout.read, stdout)
		}
		if fds[3].Revents != 0 {
			stderr = drain(&p.stderr.read, stderr)
		}
		if fds[0].Revents != 0 {
			return drain(&p.stdout.read, stdout), drain(&p.stderr.read, stderr), true, nil
		}
	}
}

// remaining is the time to the deadline in poll's terms, rounded up.
func remaining(deadline time.Time) (milliseconds int, left bool) {
	if deadline.IsZero() {
		return -1, true
	}
	d := time.Until(deadline)
	if d <= 0 {
		return 0, false
	}
	const most = time.Hour
	return int((min(d, most) + time.Millisecond - 1) / time.Millisecond), true
}

// feed writes what fits and closes the pipe at the end, or when nobody reads:
// a hook need not be interested in the state.
func feed(fd *int, input []byte) []byte {
	for len(input) > 0 {
		n, err := unix.Write(*fd, input)
		if err == unix.EAGAIN {
			return input
		} else if err == unix.EINTR {
			continue
		} else if err != nil {
			break // EPIPE
		}
		input = input[n:]
	}
	closeFD(fd)
	return nil
}

// drain reads what is there, at most a pipe full so that a busy writer cannot
// hold up the deadline, keeps the last maxOutput bytes, and closes the pipe at
// its end.
func drain(fd *int, kept []byte) []byte {
	buf := make([]byte, 4096)
	for range 16 {
		if *fd < 0 {
			break
		}
		n, err := unix.Read(*fd, buf)
		if err == unix.EINTR {
			continue
		} else if err == unix.EAGAIN {
			break
		} else if n <= 0 {
			closeFD(fd)
			break
		}
		kept = append(kept, buf[:n]...)
		if excess := len(kept) - maxOutput; excess > 0 {
			kept = append(kept[:0], kept[excess:]...)
		}
	}
	return kept
}
