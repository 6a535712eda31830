package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Permissions that [JoinSessionKeyring] can add; keyctl_setperm(3).
const (
	KeyNoChange    uint32 = 0
	KeyUserSearch  uint32 = 0x0008_0000 // for a container without a user namespace
	KeyOtherSearch uint32 = 0x0000_0008 // for one with: its ids do not own the keyring
)

// JoinSessionKeyring replaces the calling thread's session keyring, which it
// got from the runtime's caller, by the one called name, made if necessary.
// addPerm makes it searchable for the container's processes; executing in a
// running container passes [KeyNoChange], the keyring exists.
//
// The error matches [errors.ErrUnsupported] where keyrings do not exist
// (CONFIG_KEYS, or a filter that answers ENOSYS); a caller warns and goes on:
// there is nothing to inherit. Everything else is final, EPERM too: going on
// would leave the caller's keys inside. Runs in the container, on the locked
// thread. session-keyring(7).
func JoinSessionKeyring(name string, addPerm uint32) error {
	ring, err := unix.KeyctlJoinSessionKeyring(name)
	if err != nil {
		return keyctlError("JOIN_SESSION_KEYRING", err)
	}
	if addPerm == KeyNoChange {
		return nil
	}
	description, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, ring)
	if err != nil {
		return keyctlError("DESCRIBE", err)
	}
	perm, err := keyPermissions(description)
	if err != nil {
		return err
	}
	if err := unix.KeyctlSetperm(ring, perm|addPerm); err != nil {
		return keyctlError("SETPERM", err)
	}
	return nil
}

// keyPermissions reads "keyring;UID;GID;PERM;NAME"; keyctl_describe(3).
func keyPermissions(description string) (uint32, error) {
	fields := strings.SplitN(description, ";", 5)
	if len(fields) < 5 {
		return 0, fmt.Errorf("keyctl DESCRIBE: %q has not five fields", description)
	}
	perm, err := strconv.ParseUint(fields[3], 16, 32)
	if err != nil {
		return 0, fmt.Errorf("keyctl DESCRIBE: %q: permissions: %w", description, err)
	}
	return uint32(perm), nil
}

func keyctlError(op string, err error) error {
	wrapped := os.NewSyscallError("keyctl "+op, err)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w (--no-new-keyring keeps the caller's)", wrapped)
	}
	return wrapped
}
