// Package lsm tells AppArmor and SELinux what the container's program may be.
//
// The init stage writes the labels, through a handle that is verified to be
// procfs: a label written to a file of the image would be no label
// (CVE-2019-16884, CVE-2019-19921). The host checks them beforehand. Mount
// labels are the mounts' business.
package lsm

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/hako-runtime/hako/libct/safepath"
	"golang.org/x/sys/unix"
)

// appArmorProfiles lists what the kernel has loaded; seLinuxContext takes a
// context that the kernel's policy has.
const (
	appArmorProfiles = "/sys/kernel/security/apparmor/profiles"
	seLinuxContext   = "/sys/fs/selinux/context"
)

// CheckLoaded refuses a profile the kernel does not have, before anything of
// the container exists. Where the list may not be read (rootless), and for
// stacks of profiles and profiles of other namespaces, the kernel decides
// later. Runs on the host. apparmor(7).
func CheckLoaded(profile string) error {
	return checkLoaded(appArmorProfiles, profile)
}

func checkLoaded(listPath, profile string) error {
	if profile == "" || profile == "unconfined" || strings.HasPrefix(profile, ":") || strings.Contains(profile, "//&") {
		return nil
	}
	list, err := os.Open(listPath)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	} else if err != nil {
		return fmt.Errorf("apparmor profile %s: %w", profile, err)
	}
	defer list.Close()
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		if name, ok := profileName(lines.Text()); ok && name == profile {
			return nil
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("apparmor profile %s: %w", profile, err)
	}
	return fmt.Errorf("apparmor profile %s is not loaded", profile)
}

// profileName takes the mode off "NAME (enforce)"; a name may hold blanks.
func profileName(line string) (string, bool) {
	end := strings.LastIndex(line, " (")
	if end < 0 || !strings.HasSuffix(line, ")") {
		return "", false
	}
	return line[:end], true
}

// CheckContext refuses a SELinux context that the loaded policy does not know,
// before anything of the container exists. Where we may not ask, the kernel
// decides later. Runs on the host. security_check_context(3).
func CheckContext(label string) error {
	return checkContext(seLinuxContext, label)
}

func checkContext(askPath, label string) error {
	if label == "" {
		return nil
	}
	ask, err := os.OpenFile(askPath, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	} else if err != nil {
		return fmt.Errorf("selinux label %s: %w", label, err)
	}
	defer ask.Close()
	// One write is one question.
	_, err = unix.Write(int(ask.Fd()), []byte(label))
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("selinux label %s is not in the policy", label)
	} else if err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("selinux label %s: %w", label, err)
	}
	return nil
}

// ApplyExec makes the next execve(2) of the calling thread change to the
// labels; empty ones change nothing. What it executes as a child in between has
// them too: so it comes after the host's hooks and those of createContainer, and
// before those of startContainer, whose programs are the image's.
//
// Runs in the container, late: after the root is entered, before
// no_new_privs and the seccomp filter can be in the way. proc_pid_attr(5).
func ApplyExec(p *safepath.Proc, l Labels) error {
	if l.AppArmor != "" {
		// attr/apparmor since Linux 5.8: attr/exec is whichever module comes first.
		if err := p.WriteFile("thread-self/attr/apparmor/exec", []byte("exec "+l.AppArmor)); err != nil {
			return fmt.Errorf("apparmor failed to apply profile %s: %w", l.AppArmor, err)
		}
	}
	if l.SELinux != "" {
		if err := p.WriteFile("thread-self/attr/exec", []byte(l.SELinux)); err != nil {
			return fmt.Errorf("selinux label %s: %w", l.SELinux, err)
		}
	}
	return nil
}

// ApplyKeyring gives the SELinux label to the keys the calling thread makes.
// Runs in the container, before the session keyring is made. proc_pid_attr(5).
func ApplyKeyring(p *safepath.Proc, l Labels) error {
	if l.SELinux == "" {
		return nil
	}
	err := p.WriteFile("thread-self/attr/keycreate", []byte(l.SELinux))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // no CONFIG_KEYS: there are no keys to label
		return fmt.Errorf("selinux label %s for keys: %w", l.SELinux, err)
	}
	return nil
}
