package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// timeout bounds each thing that systemd is asked for.
const timeout = 30 * time.Second

// Manager is one conversation with a manager of units. There is no polling:
// the end of a job is a signal.
type Manager struct {
	bus  *dbus.Conn
	api  *sd.Conn
	ctx  context.Context // ends with the connection
	stop context.CancelFunc
}

// errNoManager is matched by [Connect]'s error if nobody listens at the
// manager's address.
var errNoManager = errors.New("no manager of systemd units can be reached")

// IsUnreachable tells that err comes of a manager that is not there.
func IsUnreachable(err error) bool { return errors.Is(err, errNoManager) }

// Connect begins a conversation with the system's manager, or the calling
// user's. The caller closes it.
func Connect(user bool) (*Manager, error) {
	address, err := busAddress(user)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoManager, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &Manager{ctx: ctx, stop: stop}
	err = m.connect(address, true)
	if isMissing(err) && !user && unix.Geteuid() == 0 && address == systemAddress {
		// No bus is installed, or not running yet: as systemctl(1) does.
		if m.connect(privateAddress, false) == nil {
			return m, nil
		}
	}
	if err == nil {
		return m, nil
	}
	stop()
	err = fmt.Errorf("D-Bus %s: %w", address, err)
	if isMissing(err) {
		return nil, fmt.Errorf("%w: is systemd running here, and dbus? %w", errNoManager, err)
	}
	return nil, err
}

// connect makes one connection do for go-systemd, which wants two: calls and
// signals would only block each other if it called while it handles signals,
// which it does for subscribers, of whom we are none.
func (m *Manager) connect(address string, isBus bool) error {
	ctx, cancel := m.within()
	defer cancel()
	conn, err := dial(ctx, address)
	if err != nil {
		return err
	}
	if m.bus, err = dbus.NewConn(conn, dbus.WithContext(m.ctx)); err != nil {
		conn.Close()
		return err
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline) // Auth takes no context
	// EXTERNAL without a name: whoever the socket's credentials say. In a user
	// namespace our own numbers would be wrong there.
	if err = m.bus.Auth([]dbus.Auth{dbus.AuthExternal("")}); err == nil && isBus {
		err = m.bus.Hello()
	}
	if err == nil {
		m.api, err = sd.NewConnection(func() (*dbus.Conn, error) { return m.bus, nil })
	}
	if err != nil {
		_ = m.bus.Close()
		return err
	}
	return conn.SetDeadline(time.Time{})
}

// within is the time for one call and what it has to wait for.
func (m *Manager) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(m.ctx, timeout)
}

// Close ends the conversation.
func (m *Manager) Close() {
	m.api.Close()
	m.stop()
}

// Root is the cgroup below which the manager makes those of its units.
func (m *Manager) Root() (string, error) {
	root, err := m.property("ControlGroup")
	return path.Join("/", root), err
}

// Version is the number of systemd's version.
func (m *Manager) Version() (int, error) {
	text, err := m.property("Version") // "257.13-1~deb13u1", "v246.16-1"
	if err != nil {
		return 0, err
	}
	digits := strings.TrimPrefix(text, "v")
	if i := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		digits = digits[:i]
	}
	n, err := strconv.Atoi(digits)
	if err != nil {
		return 0, fmt.Errorf("systemd version %q: %w", text, err)
	}
	return n, nil
}

func (m *Manager) property(name string) (string, error) {
	const iface = "org.freedesktop.systemd1.Manager"
	var value dbus.Variant
	ctx, cancel := m.within()
	defer cancel()
	err := m.object().CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", 0, iface, name).Store(&value)
	if err != nil {
		return "", fmt.Errorf("systemd's property %s: %w", name, err)
	}
	text, ok := value.Value().(string)
	if !ok {
		return "", fmt.Errorf("systemd's property %s is %s", name, value)
	}
	return text, nil
}

func (m *Manager) object() dbus.BusObject {
	return m.bus.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1")
}

// Start makes the unit and starts it, with the process in it if pid is not 0;
// a slice has none. It returns when the process is there and the properties
// are in force. A failed unit of the same name is forgotten first.
//
// The error matches [unix.EEXIST] if the name is taken, and [unix.ESRCH] if
// the process has ended.
func (m *Manager) Start(u *Unit, pid int, limits []Property) error {
	list, err := u.properties(pid, limits)
	if err != nil {
		return err
	}
	ctx, cancel := m.within()
	defer cancel()
	start := func() error {
		return m.job(ctx, u, "start", func(done chan<- string) (int, error) {
			return m.api.StartTransientUnitContext(ctx, u.Name, "replace", list, done)
		})
	}
	err = start()
	if errors.Is(err, unix.EEXIST) && m.api.ResetFailedUnitContext(ctx, u.Name) == nil {
		err = start()
	}
	if errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("%w: its name is taken: %s", err, u.command("systemctl")+" status "+u.Name)
	}
	return err
}

// properties is all that the unit is started with; settings come last, so
// that they count.
func (u *Unit) properties(pid int, limits []Property) ([]Property, error) {
	list := []Property{
		property("Description", u.Description),
		// It is not in the way of a shutdown, nor of what is stopped there.
		property("DefaultDependencies", false),
		// Forget the unit also when it failed, by a process that ran out of memory.
		property("CollectMode", "inactive-or-failed"),
	}
	if u.IsSlice() {
		list = append(list, property("Wants", []string{u.Slice}))
	} else {
		list = append(list, property("Slice", u.Slice), property("Delegate", true))
	}
	if pid != 0 {
		list = append(list, property("PIDs", []uint32{uint32(pid)}))
	}
	list = append(list, limits...)
	for _, s := range u.Settings {
		p, err := s.property()
		if err != nil {
			return nil, fmt.Errorf("org.systemd.property.%s: %w", s.Name, err)
		}
		list = append(list, p)
	}
	return list, nil
}

// Stop stops the unit and forgets it, also if it failed. One that is not
// there is success. Processes in it get SIGTERM, and SIGKILL after a while:
// the caller has killed them.
func (m *Manager) Stop(u *Unit) error {
	ctx, cancel := m.within()
	defer cancel()
	err := m.job(ctx, u, "stop", func(done chan<- string) (int, error) {
		return m.api.StopUnitContext(ctx, u.Name, "replace", done)
	})
	if isNoUnit(err) {
		err = nil
	}
	if err != nil {
		return err
	}
	if err := m.api.ResetFailedUnitContext(ctx, u.Name); err != nil && !isNoUnit(err) {
		return u.explain("reset", err)
	}
	return nil
}

// Set changes properties of a running unit until the next boot, and returns
// when they are in force.
func (m *Manager) Set(u *Unit, list []Property) error {
	if len(list) == 0 {
		return nil
	}
	ctx, cancel := m.within()
	defer cancel()
	if err := m.api.SetUnitPropertiesContext(ctx, u.Name, true, list...); err != nil {
		return u.explain("set properties", err)
	}
	// The answer comes before systemd has written the control files, which it
	// does between two messages.
	err := m.object().CallWithContext(ctx, "org.freedesktop.DBus.Peer.Ping", 0).Store()
	return u.explain("set properties", err)
}

// Attach moves a process into the unit's cgroup, where the caller may not: out
// of a session's cgroup, which is not the user's manager's.
func (m *Manager) Attach(u *Unit, pid int) error {
	ctx, cancel := m.within()
	defer cancel()
	err := m.object().CallWithContext(ctx, "org.freedesktop.systemd1.Manager.AttachProcessesToUnit", 0,
		u.Name, "", []uint32{uint32(pid)}).Store()
	return u.explain("attach process "+strconv.Itoa(pid), err)
}

// job has the manager do something and waits until it says that it is done.
func (m *Manager) job(ctx context.Context, u *Unit, verb string, begin func(done chan<- string) (int, error)) error {
	done := make(chan string, 1)
	if _, err := begin(done); err != nil {
		return u.explain(verb, err)
	}
	select {
	case result := <-done:
		if result == "done" {
			return nil
		}
		return fmt.Errorf("systemd unit %s: %s: the job's result is %q: look at %s -u %s", u.Name, verb, result, u.command("journalctl"), u.Name)
	case <-m.bus.Context().Done():
		return u.explain(verb, context.Canceled)
	case <-ctx.Done():
		return u.explain(verb, ctx.Err())
	}
}

// explain words an error of the manager for whoever called hako.
func (u *Unit) explain(verb string, err error) error {
	var failure dbus.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("systemd unit %s: %s: not done within %v: look at %s, %s status %s: %w",
			u.Name, verb, timeout, u.command("systemctl")+" list-jobs", u.command("systemctl"), u.Name, os.ErrDeadlineExceeded)
	case errors.Is(err, context.Canceled) || errors.Is(err, dbus.ErrClosed):
		return fmt.Errorf("systemd unit %s: %s: the manager has closed the connection: %w", u.Name, verb, err)
	case errors.As(err, &failure):
		if cause := causeOf(failure.Name); cause != nil {
			return fmt.Errorf("systemd unit %s: %s: %w: %w", u.Name, verb, failure, cause)
		}
	}
	return fmt.Errorf("systemd unit %s: %s: %w", u.Name, verb, err)
}

// causeOf gives names of errors on the bus the numbers that callers know.
func causeOf(name string) error {
	switch name {
	case "org.freedesktop.systemd1.UnitExists":
		return unix.EEXIST
	case "org.freedesktop.systemd1.NoSuchProcess", "org.freedesktop.DBus.Error.UnixProcessIdUnknown":
		return unix.ESRCH
	case "org.freedesktop.DBus.Error.AccessDenied", "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired":
		return unix.EACCES
	}
	return nil
}

func isNoUnit(err error) bool {
	var failure dbus.Error
	return errors.As(err, &failure) && failure.Name == "org.freedesktop.systemd1.NoSuchUnit"
}
