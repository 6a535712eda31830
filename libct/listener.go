package libct

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/hako-runtime/hako/libct/fastjson"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/wire"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// serveListener takes the listener of init's seccomp filter and gives it to the
// agent that the config names; config-linux.md#the-container-process-state.
func (l *launch) serveListener(payload []byte) error {
	if l.plan.SeccompAgent == nil {
		return errors.New("the init stage has a seccomp listener that there is no agent for")
	}
	var of plan.Listener
	if err := fastjson.Unmarshal(payload, &of); err != nil {
		return fmt.Errorf("listener of the init stage: %w", err)
	}
	listener, err := takeListener(l.child.Pid, of.FD)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := l.tellAgent(listener); err != nil {
		return fmt.Errorf("linux.seccomp.listenerPath %s: %w", l.plan.SeccompAgent.Path, err)
	}
	return l.conn.Send(wire.Go, nil)
}

// takeListener copies the descriptor out of our child. It must be what it is
// said to be: the agent will trust it.
func takeListener(pid, fd int) (*os.File, error) {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(pidfd)
	got, err := unix.PidfdGetfd(pidfd, fd, 0)
	if err != nil {
		return nil, fmt.Errorf("seccomp listener: %w", os.NewSyscallError("pidfd_getfd", err))
	}
	f := os.NewFile(uintptr(got), "seccomp listener")
	const kind = "anon_inode:seccomp notify"
	if name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(got)); err != nil || name != kind {
		f.Close()
		return nil, fmt.Errorf("descriptor %d of the init stage is %s, not a seccomp listener", fd, name)
	}
	return f, nil
}

// tellAgent sends one container process state over one connection.
func (l *launch) tellAgent(listener *os.File) error {
	agent := l.plan.SeccompAgent
	state, err := l.agentState()
	if err != nil {
		return err
	}
	message, err := json.Marshal(specs.ContainerProcessState{
		Version: specs.Version, Fds: []string{specs.SeccompFdName}, Pid: l.child.Pid, Metadata: agent.Metadata, State: state,
	})
	if err != nil {
		return err
	}
	socket, err := dialStream(agent.Path)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	rights := unix.UnixRights(int(listener.Fd()))
	for len(message) > 0 {
		n, err := unix.SendmsgN(socket, message, rights, nil, unix.MSG_NOSIGNAL)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("sendmsg", err)
		}
		message, rights = message[n:], nil // the descriptors go with the first part only
	}
	return nil
}

// agentState is the state of the container at this moment: for an exec, that
// of the one it is executed in.
func (l *launch) agentState() (state specs.State, err error) {
	if l.listening != nil {
		return l.listening()
	}
	p := l.plan
	return specs.State{
		Version: p.OCIVersion, ID: p.ID, Status: specs.StateCreating, Pid: l.child.Pid, Bundle: p.Bundle, Annotations: p.Annotations,
	}, nil
}

// agentState is the container that a process is executed in.
func (c *Container) agentState() (state specs.State, err error) {
	status, err := c.status()
	p := c.record.Plan
	return specs.State{
		Version: p.OCIVersion, ID: p.ID, Status: specs.ContainerState(status), Pid: c.record.Pid, Bundle: p.Bundle, Annotations: p.Annotations,
	}, err
}

// dialStream connects to a socket by a descriptor of it: its path may be
// longer than the 108 bytes of sun_path.
func dialStream(path string) (int, error) {
	target, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("open", err)
	}
	defer unix.Close(target)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(target)}); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("connect", err)
	}
	return fd, nil
}
