// Package spawn makes the one process that becomes the init stage: clone,
// setns, id maps, cgroup, re-execution of hako's own protected binary.
//
// Runs on the host. It is the only place with code that runs between clone
// and execve. It knows nothing of plans and roots; what the new process does
// after execve is package initproc's.
package spawn

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Child describes the process to make.
type Child struct {
	Exe         *os.File // from [Self]
	Args        []string // Args[0] is what ps shows
	Env         []string
	Namespaces  Namespaces
	Target      *Target  // execute in the namespaces of a running process
	Cgroup      *os.File // cgroup v2 directory to be born in; may be nil
	Wire        *os.File // becomes descriptor 3+PreserveFDs
	PreserveFDs int      // descriptors 3 … 3+n-1 stay as the caller has them
}

// Target is a running process whose namespaces are joined in one setns(2).
type Target struct {
	PidFD *os.File
	Flags uint64 // CLONE_NEW* of the namespaces that differ from ours
}

// Process is the started init stage, a child of the caller.
type Process struct {
	Pid    int
	report *os.File // raw child → host: step and errno; end of file at execve
	reaped bool     // Pid may belong to anybody by now
	status unix.WaitStatus
}

// Start clones, joins and executes. On return the child exists; whether its
// execve succeeded is told by [Process.Failure] when the wire breaks.
//
// Errors name the step, for example "join network namespace".
// Runs on the host.
func Start(c Child) (*Process, error) {
	a, files, err := prepare(c)
	defer func() { closeAll(files) }()
	if err != nil {
		return nil, err
	}
	report, reportW, err := pipeAbove(a.wireTo)
	if err != nil {
		return nil, err
	}
	a.reportFD = reportW.Fd()
	p := &Process{report: report}
	var goW *os.File
	if a.wait {
		var goR *os.File
		if goR, goW, err = pipeAbove(a.wireTo); err != nil {
			closeAll([]*os.File{report, reportW})
			return nil, err
		}
		defer goW.Close()
		files = append(files, goR)
		a.goFD = goR.Fd()
		// Only the host may hold the write end, or its death goes unnoticed.
		a.goWriteFD = goW.Fd()
	}

	restoreNofile()
	pid, errno := clone(a)
	reportW.Close()
	runtime.KeepAlive(a)
	runtime.KeepAlive(files)
	if errno != 0 {
		report.Close()
		return nil, cloneError(c, a, errno)
	}
	p.Pid = pid
	if err := p.serve(c, a, goW); err != nil {
		p.abandon()
		return nil, err
	}
	return p, nil
}

// serve does the host's part until the final process exists.
func (p *Process) serve(c Child, a *childArgs, goW *os.File) error {
	if a.wait {
		if a.twoSteps {
			// The first child says when its user namespace exists.
			if err := p.expect(stepReadyForMaps); err != nil {
				return err
			}
		}
		if err := writeMaps(p.Pid, c.Namespaces); err != nil {
			return err
		}
		if _, err := goW.Write([]byte{1}); err != nil {
			return p.explain(err)
		}
	}
	if !a.twoSteps {
		return nil
	}
	m, err := p.read()
	if err != nil {
		return err
	}
	if m.Step != stepCloned {
		return m.err()
	}
	first := p.Pid
	p.Pid = int(m.Value)
	reap(first)
	return nil
}

// Failure returns what the raw child reported before it could execute, or nil.
// It may be called once, when the process is known to be gone or executing.
func (p *Process) Failure() error {
	defer p.report.Close()
	m, err := p.read()
	if err != nil {
		return nil //nolint:nilerr // end of file: execve succeeded or the child was killed
	}
	return m.err()
}

// Release closes the host's descriptors of p.
func (p *Process) Release() { p.report.Close() }

// End kills the process if it has not ended by itself within grace, reaps it
// and tells how it ended. It may be called again: a number that has been given
// back is never signalled.
func (p *Process) End(grace time.Duration) unix.WaitStatus {
	if p.reaped {
		return p.status
	}
	// Until we reap it the number is our child's, dead or alive.
	if grace <= 0 || !ends(p.Pid, grace) {
		_ = unix.Kill(p.Pid, unix.SIGKILL) // gone is as good
	}
	p.status = reap(p.Pid)
	p.reaped = true
	return p.status
}

// ends waits for our child pid to end, without reaping it.
func ends(pid int, limit time.Duration) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	deadline := time.Now().Add(limit)
	for {
		left := int(time.Until(deadline).Milliseconds())
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, max(left, 0))
		if !errors.Is(err, unix.EINTR) {
			return n > 0
		}
	}
}

func (p *Process) abandon() {
	p.End(0)
	p.report.Close()
}

func (p *Process) expect(step uint32) error {
	m, err := p.read()
	if err != nil {
		return err
	}
	if m.Step != step {
		return m.err()
	}
	return nil
}

func (p *Process) explain(err error) error {
	if m, e := p.read(); e == nil {
		return m.err()
	}
	return err
}

func (p *Process) read() (m report, err error) {
	var buf [unsafe.Sizeof(report{})]byte
	if _, err := io.ReadFull(p.report, buf[:]); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the init stage ended before it could execute")
		}
		return m, err
	}
	return *(*report)(unsafe.Pointer(&buf)), nil
}

func reap(pid int) (status unix.WaitStatus) {
	for {
		if _, err := unix.Wait4(pid, &status, unix.WALL, nil); !errors.Is(err, unix.EINTR) {
			return status
		}
	}
}

func cloneError(c Child, a *childArgs, errno syscall.Errno) error {
	if a.joinFailed {
		return fmt.Errorf("join pid namespace: %w", os.NewSyscallError("setns", errno))
	}
	err := os.NewSyscallError("clone3", errno)
	if errno == unix.ENOSPC {
		return fmt.Errorf("%w (limit of namespaces, see /proc/sys/user/max_*_namespaces)", err)
	}
	if errno == unix.EPERM && unix.Geteuid() != 0 {
		return fmt.Errorf("%w (are user namespaces open to unprivileged users? see kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)", err)
	}
	if errno == unix.EACCES && c.Cgroup != nil {
		return fmt.Errorf("%w (into cgroup %s: the caller's cgroup has to be beneath the same delegated one)", err, c.Cgroup.Name())
	}
	if errno == unix.EINVAL && c.Cgroup != nil {
		return fmt.Errorf("%w (a namespace type that this kernel lacks?)", err)
	}
	return err
}

// restoreNofile undoes what the Go runtime did to the soft RLIMIT_NOFILE at
// start-up, so that the container inherits the caller's. The only public way
// is an execve that fails: package syscall restores the limit just before it.
func restoreNofile() { _ = syscall.Exec("", nil, nil) }

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// pipeAbove makes a close-on-exec pipe whose descriptors are above min, so
// that they survive the placing of the wire.
func pipeAbove(min int) (r, w *os.File, err error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	for i := range p {
		if p[i] > min {
			continue
		}
		n, err := unix.FcntlInt(uintptr(p[i]), unix.F_DUPFD_CLOEXEC, min+1)
		unix.Close(p[i])
		if err != nil {
			unix.Close(p[1-i])
			return nil, nil, os.NewSyscallError("fcntl", err)
		}
		p[i] = n
	}
	return os.NewFile(uintptr(p[0]), "pipe"), os.NewFile(uintptr(p[1]), "pipe"), nil
}

// dupAbove returns a descriptor for f that is above min.
func dupAbove(f *os.File, min int) (*os.File, error) {
	n, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, min+1)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(n), f.Name()), nil
}
