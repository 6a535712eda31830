package systemd

import (
	sd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// Property is one property of a unit, as the manager is told.
type Property = sd.Property

func property(name string, value any) Property {
	return Property{Name: name, Value: dbus.MakeVariant(value)}
}
