package libct

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/hako-runtime/hako/libct/hooks"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/proc"
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
	notify, err := c.begin()
	if err != nil {
		return err
	}
	return notify.forward(c)
}

// begin is Start of a container that is locked and known to be created. The
// caller has to let notify forward, which takes until the program is ready.
func (c *Container) begin() (notify *notifyProxy, err error) {
	if notify, err = c.listenNotify(); err != nil {
		return nil, err
	}
	if err := c.r.Timeline.Step("let init execute", c.handOver); err != nil {
		notify.close()
		return nil, err
	}
	// From here on others may kill or delete; hooks may ask for the state.
	c.dir.Unlock()
	if err := c.poststart(); err != nil {
		notify.close()
		return nil, err
	}
	return notify, nil
}

// poststart runs the hooks after the start. A failure stops the container;
// runtime-spec runtime.md#lifecycle, step 9.
func (c *Container) poststart() error {
	hs := c.record.Plan.Hooks.Poststart
	if len(hs) == 0 {
		return nil
	}
	if err := proc.SealDescriptors(); err != nil {
		return err
	}
	state, err := hookState(c.record.Plan, specs.StateRunning, c.record.Pid)
	if err != nil {
		return err
	}
	if err := hooks.Run("poststart", hs, state); err != nil {
		return firstWith([]error{err, c.kill()})
	}
	return nil
}

// hookState is the state JSON that hooks read; runtime-spec runtime.md#state.
func hookState(p *plan.Plan, status specs.ContainerState, pid int) ([]byte, error) {
	return json.Marshal(specs.State{
		Version: p.OCIVersion, ID: p.ID, Status: status, Pid: pid, Bundle: p.Bundle, Annotations: p.Annotations,
	})
}

// handOver writes the byte and reads what becomes of it. The error matches
// [ErrNotRunning] if init was gone before it took the byte.
func (c *Container) handOver() error {
	start, result, err := c.dir.OpenStart()
	if errors.Is(err, unix.ENXIO) {
		return initGone()
	}
	if err != nil {
		return err
	}
	defer result.Close()
	defer start.Close()
	if _, err := start.Write([]byte{1}); errors.Is(err, unix.EPIPE) {
		return initGone()
	} else if err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(result, 1<<20))
	if err != nil {
		return err
	}
	if len(data) > 0 {
		return wire.ReadFailure(data)
	}
	// Closed by execve, by a death that the next state shows, or by a death
	// before init has read: then the byte is still there.
	if left, err := unix.IoctlGetInt(int(start.Fd()), unix.TIOCINQ); err != nil || left > 0 {
		return initGone()
	}
	return nil
}

func initGone() error { return fmt.Errorf("its process is gone: %w", ErrNotRunning) }
