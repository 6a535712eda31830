package host

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// runInUserNamespace repeats the calling test in a new user namespace that
// denies setgroups(2).
func runInUserNamespace(t *testing.T) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "HOST_TEST_CHILD=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:                 unix.CLONE_NEWUSER,
		UidMappings:                []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}},
		GidMappings:                []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}},
		GidMappingsEnableSetgroups: false,
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		t.Skip("user namespaces are not available: ", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
