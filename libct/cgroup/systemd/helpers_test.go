package systemd

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/godbus/dbus/v5"
)

func text(v dbus.Variant) string { return fmt.Sprint(v.Value()) }

func encode(m *dbus.Message, w io.Writer) error { return m.EncodeTo(w, binary.LittleEndian) }

func ptr[T any](v T) *T { return &v }

// shown is "NAME=TEXT" of every property, in order.
func shown(list []Property) (all []string) {
	for _, p := range list {
		all = append(all, p.Name+"="+text(p.Value))
	}
	return all
}
