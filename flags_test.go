package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"
)

// runcFlags are the options of runc 1.1.5 and, behind +, of later releases
// (1.5); = marks those that are followed by a value.
var runcFlags = map[string]string{
	"":           "debug log= log-format= root= criu= systemd-cgroup rootless=",
	"checkpoint": "image-path= work-path= parent-path= leave-running tcp-established ext-unix-sk shell-job lazy-pages status-fd= page-server= file-locks pre-dump manage-cgroups-mode= empty-ns= auto-dedup",
	"create":     "bundle=,b console-socket= pid-file= no-pivot no-new-keyring preserve-fds= +pidfd-socket=",
	"delete":     "force,f",
	"events":     "interval= stats",
	"exec":       "console-socket= cwd= env=,e tty,t user=,u additional-gids=,g process=,p detach,d pid-file= process-label= apparmor= no-new-privs cap=,c preserve-fds= cgroup= ignore-paused +pidfd-socket=",
	"features":   "",
	"kill":       "all,a",
	"list":       "format=,f quiet,q",
	"pause":      "",
	"ps":         "format=,f",
	"restore":    "console-socket= image-path= work-path= tcp-established ext-unix-sk shell-job file-locks manage-cgroups-mode= bundle=,b detach,d pid-file= no-subreaper no-pivot empty-ns= auto-dedup lazy-pages lsm-profile= lsm-mount-context=",
	"resume":     "",
	"run":        "bundle=,b console-socket= detach,d keep pid-file= no-subreaper no-pivot no-new-keyring preserve-fds= +pidfd-socket=",
	"spec":       "bundle=,b rootless",
	"start":      "",
	"state":      "",
	"update":     "resources=,r blkio-weight= cpu-period= cpu-quota= cpu-share= cpu-rt-period= cpu-rt-runtime= cpuset-cpus= cpuset-mems= memory= memory-reservation= memory-swap= pids-limit= l3-cache-schema= mem-bw-schema= +kernel-memory= +kernel-memory-tcp= +cpu-burst= +cpu-idle=",
}

func TestEveryFlagOfRuncIsUnderstood(t *testing.T) {
	for name, list := range runcFlags {
		flags := globalFlags()
		if name != "" {
			flags = command(t, name).Flags
		}
		for word := range strings.FieldsSeq(list) {
			long, short, _ := strings.Cut(strings.TrimPrefix(word, "+"), ",")
			long, takesValue := strings.CutSuffix(long, "=")
			i := slices.IndexFunc(flags, func(f cli.Flag) bool { return f.Names()[0] == long })
			if i < 0 {
				t.Errorf("%s: --%s is missing", name, long)
				continue
			}
			if short != "" && !slices.Contains(flags[i].Names(), short) {
				t.Errorf("%s: --%s has no -%s", name, long, short)
			}
			if doc := flags[i].(cli.DocGenerationFlag); doc.TakesValue() != takesValue {
				t.Errorf("%s: --%s takes a value: %v", name, long, doc.TakesValue())
			}
		}
	}
	for _, e := range new(app).commands() {
		if _, ok := runcFlags[e.name]; !ok && e.name != "completion" && e.name != "check" {
			t.Errorf("%s is not a command of runc", e.name)
		}
	}
}

func TestFlagsMayFollowTheID(t *testing.T) {
	for _, args := range [][]string{
		{"delete", "none", "--force"},
		{"delete", "--force", "none"},
		{"delete", "-f", "none", "other"},
	} {
		if out, stderr, code := hako(append([]string{"--root", t.TempDir()}, args...)...); code != 0 || out != "" || stderr != "" {
			t.Errorf("%q: %d %q %q", args, code, out, stderr)
		}
	}
}
