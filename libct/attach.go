package libct

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"sync"

	"github.com/hako-runtime/hako/libct/console"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/relay"
	"golang.org/x/sys/unix"
)

// Run creates the container, starts it, and unless detached attends to it
// until it exits, deletes it and returns its exit code, 128+n for signal n.
func (r *Runtime) Run(id string, o RunOptions) (exitCode int, err error) {
	c := &creation{r: r, id: id, o: o.CreateOptions}
	var term *terminal
	if !o.Detach && o.ConsoleSocket == "" {
		c.makeConsole = func() (socket *os.File, err error) {
			if term, socket, err = newTerminal(); err == nil {
				term.fit(&c.plan.Process)
				c.foreground = true
			}
			return socket, err
		}
	}
	defer func() { term.close() }()
	if !o.Detach && !o.NoSubreaper {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return 0, os.NewSyscallError("prctl PR_SET_CHILD_SUBREAPER", err)
		}
	}
	ct, err := c.create()
	if err != nil {
		return 0, err
	}
	stop := func() {}
	if !o.Detach {
		// Before the program can run: nobody could know from outside when a
		// signal begins to reach it.
		if stop, err = relaySignals(ct.record.Pid); err != nil {
			ct.dir.Unlock()
			return 0, firstWith([]error{err, r.Delete(id, true)})
		}
	}
	defer stop()
	notify, err := ct.begin()
	ct.dir.Unlock()
	if err == nil && o.Detach {
		err = notify.forward(ct)
	}
	if err != nil {
		return 0, firstWith([]error{err, r.Delete(id, true)})
	}
	if o.Detach {
		return 0, nil
	}
	if notify.fd >= 0 {
		// Beside the terminal and the signals: it may never say that it is
		// ready. A manager that is gone is no reason to stop the container.
		go func() { _ = notify.forward(ct) }()
	}
	var code int
	err = r.Timeline.Step("attend", func() (err error) {
		code, err = attend(ct.record.Pid, term)
		return err
	})
	// A signal is for hako itself again: nobody has to wait for a poststop
	// hook that hangs.
	stop()
	if o.Keep {
		return code, err
	}
	return code, errors.Join(err, r.Timeline.Step("delete", ct.clear))
}

// clear deletes a container that this process has seen stop, unless somebody
// else has deleted it meanwhile.
func (c *Container) clear() error {
	err := c.dir.Lock()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer c.dir.Unlock()
	return c.remove()
}

// terminal is the user's end of a foreground process's terminal.
type terminal struct {
	socket *os.File // the master comes over it
	master *os.File
	tty    *os.File // the user's own terminal: standard input or /dev/tty
	undo   func() error
	ended  *os.File // the write end of a pipe, closed when the process has ended
	output sync.WaitGroup
}

// newTerminal prepares for a terminal; socket is for init.
func newTerminal() (t *terminal, socket *os.File, err error) {
	tty := os.Stdin
	if !console.IsTerminal(tty) {
		if tty, err = console.ControllingTerminal(); err != nil {
			return nil, nil, fmt.Errorf("process.terminal is true, but hako has no terminal to connect it to (use --console-socket): %w", err)
		}
	}
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	t = &terminal{socket: os.NewFile(uintptr(p[0]), "console"), tty: tty}
	return t, os.NewFile(uintptr(p[1]), "console"), nil
}

// fit gives a process the size of the user's terminal, before it can look; it
// goes before consoleSize, as with runc. Best effort, as in resize.
func (t *terminal) fit(p *plan.Process) {
	if rows, cols, err := console.Size(t.tty); err == nil && rows != 0 && cols != 0 {
		p.ConsoleRows, p.ConsoleCols = rows, cols
	}
}

// connect takes the master, makes the user's terminal raw and starts copying.
func (t *terminal) connect() (err error) {
	if t.master, err = console.Receive(t.socket); err != nil {
		return err
	}
	t.resize()
	if t.undo, err = console.MakeRaw(t.tty); err != nil {
		return err
	}
	go func() { _, _ = io.Copy(t.master, os.Stdin) }() // ends with the process
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	t.ended = os.NewFile(uintptr(p[1]), "pipe")
	t.output.Go(func() { t.copyOutput(os.NewFile(uintptr(p[0]), "pipe")) })
	return nil
}

// resize gives the container's terminal the size of the user's. Best effort:
// a terminal without a size is still one.
func (t *terminal) resize() {
	if rows, cols, err := console.Size(t.tty); err == nil && rows != 0 && cols != 0 {
		_ = console.SetSize(t.master, rows, cols)
	}
}

// close restores the user's terminal. A nil terminal is closed.
func (t *terminal) close() {
	if t == nil {
		return
	}
	if t.undo != nil {
		_ = t.undo() // nothing could be done about it
		t.undo = nil
	}
	t.socket.Close()
	if t.master != nil {
		t.master.Close()
	}
}

// relaySignals passes signals on to our child pid until stop, which may be
// called again.
func relaySignals(pid int) (stop func(), err error) {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	pidfd := os.NewFile(uintptr(fd), "pidfd")
	undo, err := relay.To(pidfd)
	if err != nil {
		pidfd.Close()
		return nil, err
	}
	return func() { undo(); pidfd.Close() }, nil
}

// attend serves the terminal of our child pid until it exits, and reaps what a
// subreaper inherits. It returns the exit code.
func attend(pid int, t *terminal) (code int, err error) {
	if t != nil {
		if err := t.connect(); err != nil {
			_ = unix.Kill(pid, unix.SIGKILL) // our own unreaped child
			_, _ = wait(pid)
			return 0, err
		}
		go t.follow()
	}
	for {
		var status unix.WaitStatus
		got, err := unix.Wait4(-1, &status, unix.WALL, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return 0, os.NewSyscallError("wait4", err)
		}
		if got != pid || !(status.Exited() || status.Signaled()) {
			continue
		}
		if t != nil {
			t.drain()
		}
		return exitCode(status), nil
	}
}

// follow keeps the size of the container's terminal that of the user's.
func (t *terminal) follow() {
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, unix.SIGWINCH)
	t.resize() // it may have changed since
	for range changed {
		t.resize()
	}
}

// drain waits for the last output.
func (t *terminal) drain() {
	t.ended.Close()
	t.output.Wait()
}

// copyOutput copies what the process prints until all slaves are closed, or,
// since a daemon inside may keep one, until the process has ended and nothing
// is left to read. The end of the pipe running says that it has ended.
func (t *terminal) copyOutput(running *os.File) {
	defer running.Close()
	buf := make([]byte, 32<<10)
	for last := false; ; {
		fds := []unix.PollFd{{Fd: int32(t.master.Fd()), Events: unix.POLLIN}, {Fd: int32(running.Fd()), Events: unix.POLLIN}}
		timeout := -1
		if last {
			fds, timeout = fds[:1], 0
		}
		n, err := unix.Poll(fds, timeout)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || n == 0:
			return
		case fds[0].Revents == 0:
			last = true // only what is there by now
			continue
		}
		got, err := t.master.Read(buf)
		if got > 0 {
			_, _ = os.Stdout.Write(buf[:got]) // nobody is left to tell
		}
		if err != nil {
			return // EIO: the last slave is closed
		}
	}
}

// dialConsole connects to --console-socket.
func dialConsole(path string) (*os.File, error) {
	if path == "" {
		return nil, errors.New("process.terminal is true: --console-socket is needed, or run in the foreground")
	}
	f, err := console.Dial(path)
	if err != nil {
		return nil, fmt.Errorf("--console-socket: %w", err)
	}
	return f, nil
}

// sendPidfd sends a pidfd of our child pid to --pidfd-socket.
func sendPidfd(path string, pid int) error {
	if path == "" {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(fd)
	socket, err := console.Dial(path)
	if err != nil {
		return fmt.Errorf("--pidfd-socket: %w", err)
	}
	defer socket.Close()
	if err := unix.Sendmsg(int(socket.Fd()), []byte("pidfd"), unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("--pidfd-socket: %w", os.NewSyscallError("sendmsg", err))
	}
	return nil
}
