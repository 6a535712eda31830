package lsm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hako-runtime/hako/libct/safepath"
)

func TestLabelsForAModuleThatIsOffAreRefused(t *testing.T) {
	tests := []struct {
		name              string
		labels            Labels
		appArmor, selinux bool
		want              string
	}{
		{"no labels", Labels{}, false, false, ""},
		{"both on", Labels{AppArmor: "p", SELinux: "c"}, true, true, ""},
		{"apparmor off", Labels{AppArmor: "p"}, false, true, "apparmor profile is specified in config, but apparmor is disabled or not supported"},
		{"selinux off", Labels{SELinux: "c"}, true, false, "selinux label is specified in config, but selinux is disabled or not supported"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.labels.Check(tt.appArmor, tt.selinux)
			if got := message(err); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

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

func TestEmptyLabelsTouchNothing(t *testing.T) {
	if err := ApplyExec(nil, Labels{}); err != nil { // a nil handle would panic
		t.Error(err)
	}
	if err := ApplyKeyring(nil, Labels{}); err != nil {
		t.Error(err)
	}
}

func TestLabelsThatCannotBeAppliedAreErrors(t *testing.T) {
	if AppArmorEnabled() || SELinuxEnabled() {
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
