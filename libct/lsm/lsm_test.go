package lsm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hako-runtime/hako/libct/host"
	"github.com/hako-runtime/hako/libct/safepath"
)

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestOnlyLoadedProfilesPass(t *testing.T) {
	list := filepath.Join(t.TempDir(), "profiles")
	text := "docker-default (enforce)\n/usr/bin/man (complain)\na profile (with blanks) (kill)\n"
	if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for profile, want := range map[string]string{
		"docker-default":          "",
		"/usr/bin/man":            "",
		"a profile (with blanks)": "",
		"unconfined":              "",
		"":                        "",
		":ns:profile":             "",
		"one//&two":               "",
		"docker":                  "apparmor profile docker is not loaded",
		"enforce":                 "apparmor profile enforce is not loaded",
	} {
		if got := message(checkLoaded(list, profile)); got != want {
			t.Errorf("%q: got %q, want %q", profile, got, want)
		}
	}
}

func TestAMissingListIsAnErrorWithTheProfile(t *testing.T) {
	err := checkLoaded(filepath.Join(t.TempDir(), "absent"), "p")
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "apparmor profile p: ") {
		t.Errorf("got %v", err)
	}
}

func TestOnlyContextsOfThePolicyPass(t *testing.T) {
	dir := t.TempDir()
	if err := checkContext(filepath.Join(dir, "absent"), ""); err != nil {
		t.Error(err)
	}
	err := checkContext(filepath.Join(dir, "absent"), "l")
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "selinux label l: ") {
		t.Errorf("got %v", err)
	}
	answers := filepath.Join(dir, "context")
	if err := os.WriteFile(answers, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkContext(answers, "a:b:c:s0"); err != nil {
		t.Error(err)
	}
	if asked, err := os.ReadFile(answers); err != nil || string(asked) != "a:b:c:s0" {
		t.Errorf("asked %q, %v", asked, err)
	}
	// EINVAL of any file whose writes are numbers stands for that of the kernel.
	if err := checkContext("/proc/self/oom_score_adj", "no number"); message(err) != "selinux label no number is not in the policy" {
		t.Errorf("got %v", err)
	}
}

func TestEmptyLabelsTouchNothing(t *testing.T) {
	if err := ApplyExec(nil, Labels{}); err != nil { // a nil handle would panic
		t.Error(err)
	}
	if err := ApplyKeyring(nil, Labels{}); err != nil {
		t.Error(err)
	}
}

func TestLabelsThatCannotBeAppliedAreErrors(t *testing.T) {
	facts, err := host.Probe()
	if err != nil {
		t.Fatal(err)
	}
	if facts.AppArmor || facts.SELinux {
		t.Skip("needs a kernel without AppArmor and SELinux: would change the test's own labels")
	}
	proc, err := safepath.OpenProc()
	if err != nil {
		t.Skip("needs /proc: ", err)
	}
	defer proc.Close()
	err = ApplyExec(proc, Labels{AppArmor: "docker-default"})
	if err == nil || !strings.HasPrefix(err.Error(), "apparmor failed to apply profile docker-default: ") {
		t.Errorf("apparmor: %v", err)
	}
	err = ApplyExec(proc, Labels{SELinux: "system_u:system_r:container_t:s0"})
	if err == nil || !strings.HasPrefix(err.Error(), "selinux label system_u:system_r:container_t:s0: ") {
		t.Errorf("selinux: %v", err)
	}
}
