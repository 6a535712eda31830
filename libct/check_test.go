package libct

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hako-runtime/hako/libct/rootfs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// strong is a config without a finding: what each test weakens.
func strong(t *testing.T) *specs.Spec {
	t.Helper()
	data, err := os.ReadFile("plan/testdata/default.json")
	if err != nil {
		t.Fatal(err)
	}
	spec := new(specs.Spec)
	if err := json.Unmarshal(data, spec); err != nil {
		t.Fatal(err)
	}
	spec.Linux.Resources = &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}}
	spec.Process.Args = []string{"prog"}
	spec.Process.NoNewPrivileges = true
	spec.Process.Capabilities.Ambient = nil
	return spec
}

// checkBundle writes the config into a bundle with the program /bin/prog.
func checkBundle(t *testing.T, spec *specs.Spec) *CheckResult {
	t.Helper()
	dir := t.TempDir()
	data, err := json.Marshal(spec)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600)
	}
	if err == nil {
		err = os.MkdirAll(filepath.Join(dir, "rootfs/bin"), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "rootfs/bin/prog"), nil, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	result, err := (&Runtime{Root: filepath.Join(dir, "state")}).Check(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
		t.Error("the check made a state folder")
	}
	return result
}

// news are the findings that a strong config does not have, as "id path".
func news(r *CheckResult, known []string) (ids []string) {
	for _, f := range r.Findings {
		if id := strings.TrimSpace(f.ID + " " + f.Path); !slices.Contains(known, id) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

func TestCheckFinds(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: the config is not for a rootless container")
	}
	// A profile, a label and a limit depend on the host.
	known := news(checkBundle(t, strong(t)), nil)
	for _, id := range known {
		if !strings.HasPrefix(id, "no-") || strings.HasPrefix(id, "no-program") {
			t.Errorf("a strong config has %s: %+v", id, checkBundle(t, strong(t)).Findings)
		}
	}
	add := func(s *specs.Spec, names ...string) {
		c := s.Process.Capabilities
		c.Bounding, c.Permitted = append(c.Bounding, names...), append(c.Permitted, names...)
	}
	drop := func(s *specs.Spec, kind specs.LinuxNamespaceType) {
		s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
	}
	bind := func(s *specs.Spec, source string, options ...string) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/data", Source: source, Options: append([]string{"bind"}, options...)})
	}
	last := len(strong(t).Mounts)
	row := func(property string) string { return mountPath(rootfs.Mount{Index: last}, property) }
	minus := -1000
	for _, tc := range []struct {
		name   string
		change func(*specs.Spec)
		want   []string
	}{
		{"nothing", func(*specs.Spec) {}, nil},
		{"admin", func(s *specs.Spec) { add(s, "CAP_SYS_ADMIN") }, []string{"admin-without-user-namespace process.capabilities"}},
		{"admin in a user namespace", func(s *specs.Spec) {
			add(s, "CAP_SYS_ADMIN", "CAP_SYS_MODULE")
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
			s.Linux.GIDMappings = s.Linux.UIDMappings
		}, nil},
		{"ptrace", func(s *specs.Spec) { add(s, "CAP_SYS_PTRACE") }, []string{"dangerous-capability process.capabilities.bounding"}},
		{"inheritable", func(s *specs.Spec) {
			add(s, "CAP_CHOWN")
			s.Process.Capabilities.Inheritable = []string{"CAP_CHOWN"}
		}, []string{"inheritable-capabilities process.capabilities.inheritable"}},
		{"new privileges", func(s *specs.Spec) { s.Process.NoNewPrivileges = false }, []string{"new-privileges process.noNewPrivileges"}},
		{"host pid", func(s *specs.Spec) { drop(s, specs.PIDNamespace) }, []string{"host-namespace linux.namespaces"}},
		{"host network by path", func(s *specs.Spec) {
			drop(s, specs.NetworkNamespace)
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: "/proc/self/ns/net"})
		}, []string{"host-namespace linux.namespaces"}},
		{"writable sysfs", func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs"})
		}, []string{"writable-sys " + row("options")}},
		{"unmasked", func(s *specs.Spec) { s.Linux.MaskedPaths = nil }, []string{"unmasked-path linux.maskedPaths"}},
		{"writable proc", func(s *specs.Spec) { s.Linux.ReadonlyPaths = nil }, []string{"writable-proc linux.readonlyPaths"}},
		{"host root, read-only", func(s *specs.Spec) { bind(s, "/", "ro") }, []string{"host-path " + row("source")}},
		{"host usr, read-only", func(s *specs.Spec) { bind(s, "/usr", "ro") }, nil},
		{"host usr", func(s *specs.Spec) { bind(s, "/usr") }, []string{"host-path " + row("source")}},
		{"missing source", func(s *specs.Spec) { bind(s, "/nonexistent/docker.sock") },
			[]string{"no-mount-source " + row("source"), "engine-socket " + row("source")}},
		{"all devices", func(s *specs.Spec) {
			s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
		}, []string{"device-access linux.resources.devices"}},
		{"all devices, then none", func(s *specs.Spec) {
			s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}, {Access: "rwm"}}
		}, nil},
		{"a block device", func(s *specs.Spec) {
			eight, zero := int64(8), int64(0)
			s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, specs.LinuxDeviceCgroup{Allow: true, Type: "b", Major: &eight, Minor: &zero, Access: "r"})
		}, []string{"device-access linux.resources.devices"}},
		{"shared", func(s *specs.Spec) { s.Linux.RootfsPropagation = "rshared" }, []string{"shared-propagation linux.rootfsPropagation"}},
		{"protected from the OOM killer", func(s *specs.Spec) { s.Process.OOMScoreAdj = &minus }, []string{"oom-protected process.oomScoreAdj"}},
		{"unknown capability", func(s *specs.Spec) { add(s, "CAP_FOO") }, []string{"ignored"}},
		{"no program", func(s *specs.Spec) { s.Process.Args = []string{"/bin/missing"} }, []string{"no-program process.args[0]"}},
		{"no program in PATH", func(s *specs.Spec) { s.Process.Args = []string{"missing"} }, []string{"no-program process.args[0]"}},
		{"a program that a mount may bring", func(s *specs.Spec) {
			s.Process.Args = []string{"/data/missing"}
			bind(s, t.TempDir())
		}, nil},
		{"no root", func(s *specs.Spec) { s.Root.Path = "/nonexistent" }, []string{"no-rootfs root.path"}},
		{"no namespace", func(s *specs.Spec) { s.Linux.Namespaces[0].Path = "/nonexistent" }, []string{"no-namespace linux.namespaces"}},
		{"no hook", func(s *specs.Spec) { s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/nonexistent"}}} }, []string{"no-hook hooks.poststop[0].path"}},
		{"against the specification", func(s *specs.Spec) { s.Process.Cwd = "x"; s.Version = "" },
			[]string{"invalid-config ociVersion", "invalid-config process.cwd"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			spec := strong(t)
			tc.change(spec)
			if got := news(checkBundle(t, spec), known); !slices.Equal(got, tc.want) {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestCheckOfNoBundle(t *testing.T) {
	result, err := new(Runtime).Check(t.TempDir())
	if err != nil || result.Errors() != 1 || result.Findings[0].ID != "unreadable-config" {
		t.Errorf("%+v, %v", result, err)
	}
}

func TestManualListsEveryWeakness(t *testing.T) {
	page, err := os.ReadFile("../docs/man/hako-check.8")
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, w := range weakTable() {
		if seen[w.id] || !strings.Contains(string(page), "\n.I "+w.id+"\n") {
			t.Errorf("%s is twice in the table, or not in hako-check.8", w.id)
		}
		seen[w.id] = true
	}
}

func TestLimitsAndProfilesEndTheWarning(t *testing.T) {
	limit, none := int64(100), int64(-1)
	linux := func(l *specs.Linux) *checking { return &checking{creation: creation{spec: &specs.Spec{Linux: l}}} }
	for _, tc := range []struct {
		name string
		find func(*checking) []place
		c    *checking
		want int
	}{
		{"no limit", noPidsLimit, linux(nil), 1},
		{"pids", noPidsLimit, linux(&specs.Linux{Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}}), 0},
		{"pids -1", noPidsLimit, linux(&specs.Linux{Resources: &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &none}}}), 1},
		{"unified", noPidsLimit, linux(&specs.Linux{Resources: &specs.LinuxResources{Unified: map[string]string{"pids.max": "7"}}}), 0},
		{"no profile", noSeccomp, linux(nil), 1},
		{"an empty profile", noSeccomp, linux(&specs.Linux{Seccomp: new(specs.LinuxSeccomp)}), 1},
		{"a profile", noSeccomp, linux(&specs.Linux{Seccomp: &specs.LinuxSeccomp{DefaultAction: specs.ActErrno}}), 0},
	} {
		if got := tc.find(tc.c); len(got) != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
