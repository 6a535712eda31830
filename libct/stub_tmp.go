package libct

import (
	"errors"

	"golang.org/x/sys/unix"
)

var errSoon = errors.New("being written")

type Container struct{ ID string }

func (r *Runtime) Create(id string, o CreateOptions) (*Container, error) { return nil, errSoon }
func (r *Runtime) Run(id string, o RunOptions) (int, error)              { return 1, errSoon }
func (r *Runtime) Load(id string) (*Container, error)                    { return nil, errSoon }
func (r *Runtime) List() ([]State, error)                                { return nil, errSoon }
func (r *Runtime) Delete(id string, force bool) error                    { return errSoon }
func (c *Container) Start() error                                        { return errSoon }
func (c *Container) State() (State, error)                               { return State{}, errSoon }
func (c *Container) Exec(o ExecOptions) (int, error)                     { return 255, errSoon }
func (c *Container) Signal(sig unix.Signal, all bool) error              { return errSoon }
func (c *Container) Pause() error                                        { return errSoon }
func (c *Container) Resume() error                                       { return errSoon }
func (c *Container) Processes() ([]int, error)                           { return nil, errSoon }
