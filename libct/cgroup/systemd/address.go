package systemd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Where the managers are reached; sd_bus_open_system(3), sd_bus_open_user(3).
const (
	systemAddress  = "unix:path=/run/dbus/system_bus_socket"
	privateAddress = "unix:path=/run/systemd/private" // the manager itself, without a bus; root only
)

// busAddress is that of the bus on which the manager is.
func busAddress(user bool) (string, error) {
	if !user {
		return cmp.Or(os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"), systemAddress), nil
	}
	if address := os.Getenv("DBUS_SESSION_BUS_ADDRESS"); address != "" {
		return address, nil
	}
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		return "", errors.New("neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set: --systemd-cgroup without root needs a user session with systemd; see loginctl enable-linger")
	}
	return "unix:path=" + dir + "/bus", nil
}

// dial connects to the first address of a list that answers, as a D-Bus
// address is read in the specification's "Server Addresses". Only sockets of
// this machine are of use: systemd asks the kernel who is calling.
func dial(ctx context.Context, addresses string) (net.Conn, error) {
	var errs []error
	for address := range strings.SplitSeq(addresses, ";") {
		name, err := socketName(address)
		if err == nil {
			var conn net.Conn
			if conn, err = new(net.Dialer).DialContext(ctx, "unix", name); err == nil {
				return conn, nil
			}
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// socketName is the name of the socket in unix:path=… or unix:abstract=…
func socketName(address string) (string, error) {
	transport, keys, _ := strings.Cut(address, ":")
	if transport != "unix" {
		return "", fmt.Errorf("D-Bus address %q: only unix: is supported", address)
	}
	for pair := range strings.SplitSeq(keys, ",") {
		key, value, _ := strings.Cut(pair, "=")
		value, err := url.PathUnescape(value)
		switch {
		case err != nil || value == "":
		case key == "path":
			return value, nil
		case key == "abstract":
			return "@" + value, nil
		}
	}
	return "", fmt.Errorf("D-Bus address %q: has neither path nor abstract", address)
}

// isMissing tells that nobody listens there.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED)
}
