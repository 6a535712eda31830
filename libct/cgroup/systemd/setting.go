package systemd

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/godbus/dbus/v5"
)

// Setting is one property of a unit as a config gives it, in the annotation
// org.systemd.property.NAME. The value is in GVariant's text format.
type Setting struct {
	Name  string `json:"name"` // "TimeoutStopSec"
	Value string `json:"value"`
}

// Check tells whether [Setting.property] will succeed.
func (s Setting) Check() error {
	_, err := s.property()
	return err
}

// property is what systemd is told. Time spans are numbers of microseconds
// and called so on the bus; a name that ends in Sec is converted, as the name
// in unit files is.
func (s Setting) property() (Property, error) {
	if err := checkPropertyName(s.Name); err != nil {
		return Property{}, err
	}
	value, err := ParseValue(s.Value)
	if err != nil {
		return Property{}, err
	}
	base, ok := strings.CutSuffix(s.Name, "Sec")
	if !ok || strings.HasSuffix(base, "U") {
		return Property{Name: s.Name, Value: value}, nil
	}
	us, err := microseconds(value.Value())
	if err != nil {
		return Property{}, err
	}
	return Property{Name: base + "USec", Value: dbus.MakeVariant(us)}, nil
}

// checkPropertyName refuses what systemd could only refuse later, and what is
// not the config's to say.
func checkPropertyName(name string) error {
	switch name {
	case "PIDs", "PIDFDs":
		return errors.New("which processes are in the unit is hako's to say")
	case "Slice":
		return errors.New("the slice is said by linux.cgroupsPath")
	}
	if len(name) < 3 {
		return errors.New("is not the name of a property: it is too short")
	}
	for _, r := range name {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z') {
			return errors.New("is not the name of a property: those are of letters only")
		}
	}
	return nil
}

// microseconds converts a number of seconds of any type.
func microseconds(seconds any) (uint64, error) {
	var n float64
	switch v := seconds.(type) {
	case int16:
		n = float64(v)
	case int32:
		n = float64(v)
	case int64:
		n = float64(v)
	case byte:
		return uint64(v) * 1e6, nil
	case uint16:
		return uint64(v) * 1e6, nil
	case uint32:
		return uint64(v) * 1e6, nil
	case uint64:
		if v > math.MaxUint64/1_000_000 {
			return 0, fmt.Errorf("%d seconds are too many", v)
		}
		return v * 1e6, nil
	case float64:
		n = v
	default:
		return 0, errors.New("a number of seconds is needed")
	}
	us := n * 1e6
	if !(us >= 0 && us < 1<<64) { // NaN is neither
		return 0, fmt.Errorf("%v seconds are out of range", seconds)
	}
	return uint64(us), nil
}
