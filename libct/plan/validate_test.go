package plan

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hako-runtime/hako/libct/host"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestViolations(t *testing.T) {
	for group, rows := range map[string][]violation{
		"general": generalViolations, "namespaces": namespaceViolations, "filesystem": filesystemViolations,
		"resources": resourceViolations, "seccomp": seccompViolations, "process": processViolations,
	} {
		for _, tc := range rows {
			t.Run(group+"/"+tc.name, func(t *testing.T) {
				spec := load(t, "default")
				tc.mutate(spec)
				p, _, err := New(spec, rootFacts, testOptions())
				if p != nil {
					t.Error("there is a plan")
				}
				want(t, err, tc.path, tc.problem, tc.section)
			})
		}
	}
}

func want(t *testing.T, err error, path, problem, section string) {
	t.Helper()
	var invalid Invalid
	if !errors.As(err, &invalid) {
		t.Fatalf("error %v, want an Invalid", err)
	}
	found := slices.ContainsFunc(invalid, func(v Violation) bool {
		return v.Path == path && strings.Contains(v.Problem, problem) && strings.Contains(v.Section, section)
	})
	if !found {
		t.Errorf("got %v\nwant %s: …%s… (%s)", err, path, problem, section)
	}
}

// Every section that a check cites is a heading of the specification.
func TestSectionsExist(t *testing.T) {
	headings := map[string]bool{}
	for _, file := range []string{"config.md", "config-linux.md"} {
		for _, heading := range specHeadings(t, file) {
			headings[file+"#"+heading] = true
		}
	}
	for _, row := range slices.Concat(containerChecks[:], processChecks[:]) {
		if !headings[row.section] {
			t.Errorf("the specification has no %s", row.section)
		}
	}
}

func TestMessageIsOneLine(t *testing.T) {
	one := Invalid{{"config.json", "linux.namespaces[3].type", `unknown namespace "foo"`, "config-linux.md#namespaces"}}
	if got, want := one.Error(), `config.json: linux.namespaces[3].type: unknown namespace "foo" (config-linux.md#namespaces)`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	two := Invalid{one[0], {"config.json", "root", "is missing", "config.md#root"}}
	if got, want := two.Error(), "config.json: 2 problems: linux.namespaces[3].type: unknown namespace \"foo\" (config-linux.md#namespaces); root: is missing (config.md#root)"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestNumberOfViolationsIsBounded(t *testing.T) {
	spec := load(t, "default")
	spec.Process.Env = make([]string, 10000)
	spec.Process.Cwd = strings.Repeat("x\n", 10000)
	_, _, err := New(spec, rootFacts, testOptions())
	if err == nil || len(err.Error()) > 16<<10 || strings.Contains(err.Error(), "\n") {
		t.Errorf("%.300v", err)
	}
}

func TestOptions(t *testing.T) {
	for _, tc := range []struct {
		name   string
		mutate func(*Options)
		want   string
	}{
		{"id", func(o *Options) { o.ID = "a/b" }, "invalid container id format"},
		{"bundle", func(o *Options) { o.Bundle = "x" }, "not an absolute path"},
		{"descriptors", func(o *Options) { o.PreserveFDs = -1 }, "-1"},
		{"no pivot with a private root", func(o *Options) { o.NoPivot = true }, "not safe without pivot_root"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			spec, o := load(t, "default"), testOptions()
			spec.Linux.RootfsPropagation = "rprivate"
			tc.mutate(&o)
			if _, _, err := New(spec, rootFacts, o); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want …%s…", err, tc.want)
			}
		})
	}
}

func TestRootlessRules(t *testing.T) {
	facts := host.Facts{EUID: 1000, EGID: 1000, LastCap: 40, Bounding: 1<<41 - 1}
	_, _, err := New(load(t, "default"), facts, testOptions())
	want(t, err, "linux.namespaces", "needs a user namespace", "")

	spec := load(t, "rootless")
	spec.Process.User.AdditionalGids = []uint32{0}
	_, _, err = New(spec, facts, testOptions())
	want(t, err, "process.user.additionalGids", "setgroups is denied", "")

	spec = load(t, "rootless")
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace})
	spec.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {}}
	_, _, err = New(spec, facts, testOptions())
	want(t, err, "linux.netDevices", "needs root privileges", "")
}

// Where the cgroup of an unprivileged user is, if there is one.
func TestCgroupOfAnUnprivilegedUser(t *testing.T) {
	facts := host.Facts{EUID: 1000, EGID: 1000, LastCap: 40, Bounding: 1<<41 - 1, Cgroup: host.CgroupV2, CgroupDenied: true}
	delegated := facts
	delegated.CgroupParent = "/user.slice/x.scope"
	for _, tc := range []struct {
		name  string
		facts host.Facts
		given string
		want  string
	}{
		{"none", facts, "", ""},
		{"none, a relative one is asked for", facts, "a", "/a"},
		{"none, an absolute one is asked for", facts, "/a", "/a"},
		{"delegated", delegated, "", "/user.slice/x.scope/" + testOptions().ID},
		{"delegated, a relative one is asked for", delegated, "a/b", "/user.slice/x.scope/a/b"},
		{"delegated, one that leads out is asked for", delegated, "../../b", "/user.slice/x.scope/b"},
		{"delegated, an absolute one is asked for", delegated, "/a", "/a"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			spec := load(t, "rootless")
			spec.Linux.CgroupsPath = tc.given
			p, _, err := New(spec, tc.facts, testOptions())
			if err != nil {
				t.Fatal(err)
			}
			if p.Cgroup.Path != tc.want || p.Cgroup.Exists() != (tc.want != "") {
				t.Errorf("got %q, want %q", p.Cgroup.Path, tc.want)
			}
			limit := int64(7)
			spec.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &limit}}
			_, _, err = New(spec, tc.facts, testOptions())
			if refused := err != nil && strings.Contains(err.Error(), "takes a cgroup, and none is delegated"); refused != (tc.want == "") {
				t.Errorf("with a limit: %v", err)
			}
		})
	}
}

// Groups are frozen only where the user's own gid is all that is mapped.
func TestGroupsOfAnUnprivilegedUser(t *testing.T) {
	facts := host.Facts{EUID: 1000, EGID: 1000, LastCap: 40, Bounding: 1<<41 - 1}
	for _, tc := range []struct {
		name string
		gids []specs.LinuxIDMapping
		want bool
	}{
		{"the own", []specs.LinuxIDMapping{{HostID: 1000, Size: 1}}, true},
		{"another, by the helper", []specs.LinuxIDMapping{{HostID: 100000, Size: 1}}, false},
		{"a range", []specs.LinuxIDMapping{{HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 100000, Size: 9}}, false},
	} {
		spec := load(t, "rootless")
		spec.Linux.GIDMappings = tc.gids
		p, _, err := New(spec, facts, testOptions())
		if err != nil || p.Process.KeepGroups != tc.want {
			t.Errorf("%s: got %v, %v", tc.name, p.Process.KeepGroups, err)
		}
	}
}

// Docker's default denies a device that it has not allowed; that is no loss.
func TestDeviceRulesOfAnUnprivilegedUser(t *testing.T) {
	facts := host.Facts{EUID: 1000, EGID: 1000, LastCap: 40, Bounding: 1<<41 - 1}
	type rules = []specs.LinuxDeviceCgroup
	number := func(n int64) *int64 { return &n }
	none := specs.LinuxDeviceCgroup{Access: "rwm"}
	one := func(allow bool, access string) specs.LinuxDeviceCgroup {
		return specs.LinuxDeviceCgroup{Allow: allow, Type: "c", Major: number(10), Minor: number(229), Access: access}
	}
	class := specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: number(10), Access: "rwm"}
	for _, tc := range []struct {
		name  string
		rules rules
		want  bool
	}{
		{"none", nil, false},
		{"nothing is allowed", rules{none}, false},
		{"all is allowed", rules{{Allow: true, Access: "rwm"}}, false},
		{"nodes may be made", rules{none, {Allow: true, Type: "b", Access: "m"}}, false},
		{"a device is allowed", rules{none, one(true, "rw")}, false},
		{"a device is denied that was not allowed", rules{none, one(false, "rwm"), class}, false},
		{"all that was allowed is denied", rules{class, none}, false},
		{"making a node is denied", rules{class, one(false, "m")}, false},
		{"a device of an allowed class is denied", rules{none, class, one(false, "w")}, true},
		{"a class of an allowed device is denied", rules{one(true, "rw"), {Type: "c", Access: "rwm"}}, true},
		{"a device of all is denied", rules{{Allow: true, Access: "rwm"}, one(false, "rwm")}, true},
		{"writing to all is denied", rules{{Allow: true, Access: "rwm"}, {Access: "w"}}, true},
		{"a device is allowed to be read", rules{none, one(true, "rm")}, true},
		{"reading, after all of the class", rules{none, class, one(true, "r")}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			spec := load(t, "rootless")
			spec.Linux.Resources = &specs.LinuxResources{Devices: tc.rules}
			_, warnings, err := New(spec, facts, testOptions())
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Count(strings.Join(warnings, "\n"), "linux.resources.devices: not enforced") == 1; got != tc.want {
				t.Errorf("warned %v: %q", got, warnings)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	for _, tc := range []struct {
		name   string
		mutate func(*specs.Spec)
		facts  func(*host.Facts)
		want   string
	}{
		{"newer version", func(s *specs.Spec) { s.Version = "1.4.0-rc.1+x" }, nil, `ociVersion "1.4.0-rc.1+x" is newer`},
		{"unknown capability", func(s *specs.Spec) { s.Process.Capabilities.Bounding = []string{"CAP_X", "CAP_KILL", "CAP_X"} }, nil, `unknown or unavailable capabilities: "CAP_X"`},
		{"capability outside the bounding set", nil, func(f *host.Facts) { f.Bounding &^= 1 << unix.CAP_KILL }, `unknown or unavailable capabilities: "CAP_KILL"`},
		{"capability newer than the kernel", func(s *specs.Spec) { s.Process.Capabilities.Bounding = []string{"CAP_BPF"} }, func(f *host.Facts) { f.LastCap = 37 }, `"CAP_BPF"`},
		{"relative destination", func(s *specs.Spec) { s.Mounts[0].Destination = "proc" }, nil, `"proc" is relative`},
		{"mappings of a joined namespace", func(s *specs.Spec) {
			addUserNamespace(s)
			s.Linux.Namespaces[len(s.Linux.Namespaces)-1].Path = "/x"
		}, nil, "has its own"},
		{"cache schema", func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{L3CacheSchema: "x"} }, nil, "L3:"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			spec, facts := load(t, "default"), rootFacts
			if tc.mutate != nil {
				tc.mutate(spec)
			}
			if tc.facts != nil {
				tc.facts(&facts)
			}
			_, warnings, err := New(spec, facts, testOptions())
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(warnings, "\n"), tc.want) {
				t.Errorf("got %q, want …%s…", warnings, tc.want)
			}
		})
	}
}

func TestValidID(t *testing.T) {
	for _, id := range []string{"a", "web-1", "a.b_c+d", "..a", "0", strings.Repeat("x", 255), "_"} {
		if err := ValidID(id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, id := range []string{"", ".", "..", "-x", "a/b", "../x", "a b", "ä", "a\x00", "a\n", "a:b", "\xff", strings.Repeat("x", 256), "a%"} {
		err := ValidID(id)
		if err == nil || !strings.HasPrefix(err.Error(), "invalid container id format: ") || len(err.Error()) > 400 {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// specHeadings are the anchors GitHub gives to the headings of the document.
func specHeadings(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(specFile(t, file))
	if err != nil {
		t.Skip("the specification's text is not in the module cache: ", err)
	}
	var anchors []string
	for line := range strings.Lines(string(data)) {
		if !strings.HasPrefix(line, "#") {
			continue
		}
		_, title, _ := strings.Cut(line, "/>")
		if title == "" {
			_, title, _ = strings.Cut(strings.TrimLeft(line, "#"), " ")
		}
		title = strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case strings.ContainsRune("/().,", r):
				return -1
			}
			return r
		}, strings.ToLower(strings.TrimSpace(title)))
		anchors = append(anchors, title)
	}
	return anchors
}

func specFile(t *testing.T, file string) string {
	t.Helper()
	cache := os.Getenv("GOMODCACHE")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			t.Skip(err)
		}
		cache = home + "/go/pkg/mod"
	}
	return fmt.Sprintf("%s/github.com/opencontainers/runtime-spec@v%s/%s", cache, specs.Version, file)
}
