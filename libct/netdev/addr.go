package netdev

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// address is one address of an interface: struct ifaddrmsg and what has to be
// said again to get the same one elsewhere.
type address struct {
	family    uint8
	prefixLen uint8
	flags     uint32
	attrs     []attr
}

// Flags of an address that somebody chose; all others are the kernel's state.
const chosenFlags = unix.IFA_F_HOMEADDRESS | unix.IFA_F_NODAD | unix.IFA_F_MANAGETEMPADDR |
	unix.IFA_F_NOPREFIXROUTE | unix.IFA_F_MCAUTOJOIN

// addresses lists the permanent addresses of global scope of an interface:
// those that have to follow it; runtime-spec config-linux.md#network-devices.
func (c *conn) addresses(index int32) ([]address, error) {
	answers, err := c.do(unix.RTM_GETADDR, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfAddrmsg))
	for try := 0; errors.Is(err, errDumpInterrupted) && try < 10; try++ {
		answers, err = c.do(unix.RTM_GETADDR, unix.NLM_F_DUMP, make([]byte, unix.SizeofIfAddrmsg))
	}
	if err != nil {
		return nil, err
	}
	var list []address
	for _, body := range answers {
		if len(body) < unix.SizeofIfAddrmsg || int32(binary.NativeEndian.Uint32(body[4:])) != index {
			continue
		}
		a := parseAddress(body)
		if body[3] == unix.RT_SCOPE_UNIVERSE && a.flags&unix.IFA_F_PERMANENT != 0 {
			list = append(list, a)
		}
	}
	return list, nil
}

func parseAddress(body []byte) address {
	a := address{family: body[0], prefixLen: body[1], flags: uint32(body[2])}
	for _, one := range parseAttrs(body[unix.SizeofIfAddrmsg:]) {
		switch one.kind {
		case unix.IFA_ADDRESS, unix.IFA_LOCAL, unix.IFA_BROADCAST, unix.IFA_RT_PRIORITY:
			a.attrs = append(a.attrs, one)
		case unix.IFA_FLAGS:
			if len(one.data) == 4 {
				a.flags = binary.NativeEndian.Uint32(one.data)
			}
		}
	}
	return a
}

// addAddress gives the address to an interface; one that is there is fine.
func (c *conn) addAddress(index int32, a address) error {
	body := []byte{a.family, a.prefixLen, 0, unix.RT_SCOPE_UNIVERSE}
	body = binary.NativeEndian.AppendUint32(body, uint32(index))
	for _, one := range a.attrs {
		body = one.appendTo(body)
	}
	if flags := a.flags & chosenFlags; flags != 0 {
		body = uint32Attr(unix.IFA_FLAGS, flags).appendTo(body)
	}
	_, err := c.do(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body)
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}
