// Package netdev brings network interfaces into a container: the loopback
// device is switched on, devices of the host are moved in.
//
// It configures nothing beyond that; addresses are kept, not invented.
package netdev

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// LoopbackUp switches "lo" on. Runs in the container, in a new network
// namespace. netdevice(7).
func LoopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) { // a kernel without IPv4
		fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		return fmt.Errorf("lo: %w", os.NewSyscallError("socket", err))
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request); err != nil {
		return fmt.Errorf("lo: %w", os.NewSyscallError("ioctl SIOCGIFFLAGS", err))
	}
	request.SetUint16(request.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("lo: %w", os.NewSyscallError("ioctl SIOCSIFFLAGS", err))
	}
	return nil
}

// Move moves the devices from the caller's network namespace to netns, in
// their order: renamed where asked for ("eth%d" lets the kernel number it),
// with their permanent addresses of global scope, and switched on.
//
// A name that exists in the container is an error. On an error the devices
// moved before are brought back as they were, as far as the kernel lets us.
// They are not brought back when the container ends: that is the kernel's,
// network_namespaces(7). Errors begin with the device's name, not with the
// config's key. Runs on the host, with CAP_NET_ADMIN on both sides.
// See runtime-spec config-linux.md#network-devices.
func Move(devs []Device, netns *os.File) error {
	if len(devs) == 0 {
		return nil
	}
	m, err := openMover(netns)
	if err != nil {
		return err
	}
	defer m.close()
	var moved []movedDevice
	for _, dev := range devs {
		one, err := m.move(dev)
		if err == nil {
			moved = append(moved, one)
			continue
		}
		err = fmt.Errorf("%s: %w", dev.Host, err)
		for i := len(moved) - 1; i >= 0; i-- {
			if backErr := m.moveBack(moved[i]); backErr != nil {
				err = fmt.Errorf("%w; %s was left in the container: %w", err, moved[i].host.name, backErr)
			}
		}
		return err
	}
	return nil
}

// mover talks to both namespaces.
type mover struct {
	host, container     *conn
	hostNS, containerNS *os.File
}

// movedDevice remembers how a device was.
type movedDevice struct {
	host      link
	index     int32 // in the container
	addresses []address
}

func openMover(netns *os.File) (m *mover, err error) {
	m = &mover{containerNS: netns}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if m.host, err = dial(); err != nil {
		return m, err
	}
	return m, m.dialContainer()
}

func (m *mover) close() {
	if m.host != nil {
		m.host.close()
	}
	if m.container != nil {
		m.container.close()
	}
	if m.hostNS != nil {
		m.hostNS.Close()
	}
}

// dialContainer makes a socket in the container's namespace: a thread goes
// there and comes back. One that cannot come back stays locked to its
// goroutine and ends with it.
func (m *mover) dialContainer() error {
	result := make(chan error)
	go func() { result <- m.dialOnThread() }()
	return <-result
}

func (m *mover) dialOnThread() (err error) {
	runtime.LockOSThread()
	m.hostNS, err = os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	if err := unix.Setns(int(m.containerNS.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return os.NewSyscallError("setns", err)
	}
	m.container, err = dial()
	if backErr := unix.Setns(int(m.hostNS.Fd()), unix.CLONE_NEWNET); backErr != nil {
		return os.NewSyscallError("setns", backErr)
	}
	runtime.UnlockOSThread()
	return err
}

// move brings one device in, or leaves it as it was.
func (m *mover) move(dev Device) (movedDevice, error) {
	was, err := m.inspect(dev)
	if err != nil {
		return was, err
	}
	name, template := dev.Container, isTemplate(dev.Container)
	if template {
		name = m.temporaryName(was.host)
	}
	if err := m.host.moveTo(was.host.index, m.containerNS.Fd(), name); err != nil {
		return was, m.undo(was, fmt.Errorf("move: %w", err), name)
	}
	in, err := m.container.linkByName(name)
	if err != nil {
		return was, m.undo(was, fmt.Errorf("%s in the container: %w", name, err), name)
	}
	was.index = in.index
	if err := m.finish(was, dev.Container, template); err != nil {
		return was, m.undo(was, err, name)
	}
	return was, nil
}

// inspect looks before anything changes.
func (m *mover) inspect(dev Device) (was movedDevice, err error) {
	if !isDeviceName(dev.Container) {
		return was, fmt.Errorf("name %q: %w", dev.Container, unix.EINVAL)
	}
	if was.host, err = m.host.linkByName(dev.Host); err != nil {
		return was, err
	}
	if was.host.name != dev.Host { // dev.Host is an alternative name
		return was, fmt.Errorf("the device is called %s: %w", was.host.name, unix.ENODEV)
	}
	if !isTemplate(dev.Container) {
		if _, err := m.container.linkByName(dev.Container); err == nil {
			return was, fmt.Errorf("%s exists in the container: %w", dev.Container, unix.EEXIST)
		}
	}
	// Before the device goes down: that takes the IPv6 addresses.
	if was.addresses, err = m.host.addresses(was.host.index); err != nil {
		return was, fmt.Errorf("addresses: %w", err)
	}
	return was, nil
}

func isTemplate(name string) bool { return strings.HasSuffix(name, "%d") }

// isDeviceName is dev_valid_name of the kernel, which looks only after the move.
func isDeviceName(name string) bool {
	const ifNameSize = unix.IFNAMSIZ - 1
	return name != "" && name != "." && name != ".." && len(name) <= ifNameSize &&
		!strings.ContainsAny(name, "/: \t\n\v\f\r\x00") &&
		!strings.Contains(strings.TrimSuffix(name, "%d"), "%")
}

// finish gives a device in the container its final name, addresses and state.
func (m *mover) finish(d movedDevice, name string, rename bool) error {
	if rename {
		if err := m.container.setLink(d.index, 0, 0, stringAttr(unix.IFLA_IFNAME, name)); err != nil {
			return fmt.Errorf("rename to %s: %w", name, err)
		}
	}
	if err := addAll(m.container, d.index, d.addresses); err != nil {
		return err
	}
	if err := m.container.setUp(d.index); err != nil {
		return fmt.Errorf("switch on: %w", err)
	}
	return nil
}

// temporaryName is under which a device with a template for its name arrives:
// only so can it be found again. At most 15 bytes, and nobody's.
func (m *mover) temporaryName(l link) string {
	for n := 0; ; n++ {
		name := fmt.Sprintf("hako%x.%x", l.index, n)
		if _, err := m.container.linkByName(name); err != nil {
			return name
		}
	}
}

// undo brings a device back after cause. A refused move may have happened by
// half, because the kernel renames last: then it has its old name or arrivedAs.
func (m *mover) undo(d movedDevice, cause error, arrivedAs string) error {
	if l, err := m.host.linkByName(d.host.name); err == nil && l.index == d.host.index {
		return cause // it never left
	}
	for _, name := range []string{arrivedAs, d.host.name} {
		if d.index != 0 {
			break
		}
		if l, err := m.container.linkByName(name); err == nil {
			d.index = l.index
		}
	}
	if err := m.moveBack(d); err != nil {
		return fmt.Errorf("%w; it was left in the container: %w", cause, err)
	}
	return cause
}

// moveBack returns a device to the host under its name, with its addresses,
// switched on if it was.
func (m *mover) moveBack(d movedDevice) error {
	if err := m.container.moveTo(d.index, m.hostNS.Fd(), d.host.name); err != nil {
		return err
	}
	back, err := m.host.linkByName(d.host.name)
	if err != nil {
		return err
	}
	if err := addAll(m.host, back.index, d.addresses); err != nil {
		return err
	}
	if d.host.flags&unix.IFF_UP == 0 {
		return nil
	}
	return m.host.setUp(back.index)
}

func addAll(c *conn, index int32, addresses []address) error {
	for _, a := range addresses {
		if err := c.addAddress(index, a); err != nil {
			return fmt.Errorf("address: %w", err)
		}
	}
	return nil
}
