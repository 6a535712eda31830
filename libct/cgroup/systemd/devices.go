package systemd

import "fmt"

// Device is a set of device nodes and what may be done with them.
type Device struct {
	Type   byte   // 'c' or 'b'
	Major  int64  // -1: any
	Minor  int64  // -1: any
	Access string // some of "rwm"
}

// deviceAccess is an entry of DeviceAllow: a(ss).
type deviceAccess struct {
	Node   string
	Access string
}

// Devices let systemd allow these devices and no others: the same as hako's
// own rules, or more where it cannot say them. It enforces its list in
// addition to ours on v2; on v1 both are one list, which systemd writes again
// when it likes. Without a list (nil) it allows everything.
func Devices(list []Device) []Property {
	if list == nil {
		return []Property{property("DevicePolicy", "auto"), property("DeviceAllow", []deviceAccess{})}
	}
	entries := []deviceAccess{}
	for _, d := range list {
		entries = append(entries, deviceAccess{d.node(), d.Access})
	}
	return []Property{
		property("DevicePolicy", "strict"),
		property("DeviceAllow", []deviceAccess{}), // an empty list clears
		property("DeviceAllow", entries),
	}
}

// node names the devices as systemd.resource-control(5) does. A number after
// "char-" is taken for the major number itself (systemd 240), so that nothing
// has to be looked up in /proc/devices. Of one minor number for all major
// ones there is no name.
func (d Device) node() string {
	class := "char"
	if d.Type == 'b' {
		class = "block"
	}
	switch {
	case d.Major < 0:
		return class + "-*"
	case d.Minor < 0:
		return fmt.Sprintf("%s-%d", class, d.Major)
	}
	return fmt.Sprintf("/dev/%s/%d:%d", class, d.Major, d.Minor)
}
