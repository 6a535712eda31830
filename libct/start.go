package libct

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/hako-runtime/hako/libct/hooks"
	"github.com/hako-runtime/hako/libct/wire"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Start lets the waiting process execute its program, and returns when it has.
//
// Errors match [ErrRunning] and [ErrNotRunning]; a program that cannot be
// executed is an error too. See runtime-spec runtime.md#start.
func (c *Container) Start() error {
	if err := c.lock(); err != nil {
		return err
	}
	defer c.dir.Unlock()
	status, err := c.status()
	if err != nil {
		return err
	}
	switch status {
	case Created:
	case Stopped:
		return fmt.Errorf("cannot start a container that has stopped: %w", ErrNotRunning)
	case Paused:
		return ErrPaused
	default:
		return fmt.Errorf("container is already running")
	}
	notify, err := c.listenNotify()
	if err != nil {
		return err
	}
	if err := c.r.Timeline.Step("let init execute", c.handOver); err != nil {
		notify.close()
		return err
	}
	// From here on others may kill or delete; hooks may ask for the state.
	c.dir.Unlock()
	c.afterHooks("poststart", c.record.Plan.Hooks.Poststart, specs.StateRunning, c.record.Pid)
	return notify.forward(c)
}

// handOver writes the byte and reads what becomes of it.
func (c *Container) handOver() error {
	start, result, err := c.dir.OpenStart()
	if errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("its process is gone: %w", ErrNotRunning)
	}
	if err != nil {
		return err
	}
	defer result.Close()
	if _, err := start.Write([]byte{1}); err != nil {
		start.Close()
		return err
	}
	start.Close()
	if err := unix.SetNonblock(int(result.Fd()), false); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	data, err := io.ReadAll(io.LimitReader(result, 1<<20))
	if err != nil {
		return err
	}
	if len(data) == 0 {
		return nil // closed by execve, or by a death that the next state shows
	}
	return wire.ReadFailure(data)
}

// afterHooks runs hooks whose failure is only a warning;
// runtime-spec runtime.md#lifecycle.
func (c *Container) afterHooks(point string, hs []hooks.Hook, status specs.ContainerState, pid int) {
	if len(hs) == 0 {
		return
	}
	p := c.record.Plan
	state, err := json.Marshal(specs.State{
		Version: p.OCIVersion, ID: p.ID, Status: status, Pid: pid, Bundle: p.Bundle, Annotations: p.Annotations,
	})
	if err != nil {
		c.r.Warn(err.Error())
		return
	}
	hooks.RunAll(point, hs, state, func(err error) { c.r.Warn(err.Error()) })
}
