package plan

import (
	"slices"
	"testing"

	"github.com/hako-runtime/hako/libct/cgroup/systemd"
	"github.com/hako-runtime/hako/libct/host"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// systemdPlan plans with --systemd-cgroup.
func systemdPlan(t *testing.T, facts host.Facts, mutate func(*specs.Spec)) (*Plan, error) {
	t.Helper()
	spec, o := load(t, "default"), testOptions()
	o.Systemd = true
	mutate(spec)
	p, _, err := New(spec, facts, o)
	return p, err
}

func ownInit() host.Facts {
	facts := rootFacts
	facts.OwnInit = true
	return facts
}

func TestSystemdUnit(t *testing.T) {
	p, err := systemdPlan(t, ownInit(), func(s *specs.Spec) {
		s.Linux.CgroupsPath = "machine.slice:libpod:1"
		s.Annotations = map[string]string{
			"org.systemd.property.TimeoutStopSec": "5", "org.systemd.property.After": "['a.service']", "other": "soon",
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	u := p.Cgroup.Unit
	want := []systemd.Setting{{Name: "After", Value: "['a.service']"}, {Name: "TimeoutStopSec", Value: "5"}}
	if u == nil || u.Name != "libpod-1.scope" || u.Slice != "machine.slice" || u.User || !slices.Equal(u.Settings, want) || p.Cgroup.Path != "" {
		t.Errorf("got %+v, path %q", u, p.Cgroup.Path)
	}
}

func TestSystemdUnitOfAUser(t *testing.T) {
	facts := rootFacts // in a user namespace that is not that of pid 1, for example
	facts.Cgroup = host.CgroupV2
	p, err := systemdPlan(t, facts, func(s *specs.Spec) { s.Linux.CgroupsPath = "" })
	if err != nil {
		t.Fatal(err)
	}
	if u := p.Cgroup.Unit; u == nil || !u.User || u.Slice != "user.slice" {
		t.Errorf("got %+v", u)
	}
	facts.Cgroup = host.CgroupHybrid
	_, err = systemdPlan(t, facts, func(s *specs.Spec) { s.Linux.CgroupsPath = "" })
	want(t, err, "linux.cgroupsPath", "without root needs cgroup v2", "config-linux.md#cgroups-path")
}

func TestSystemdRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		mutate  func(*specs.Spec)
		path    string
		problem string
	}{
		{"a path", func(s *specs.Spec) { s.Linux.CgroupsPath = "/a" }, "linux.cgroupsPath", "is not slice:prefix:name"},
		{"a setting without a value", func(s *specs.Spec) { s.Annotations = map[string]string{"org.systemd.property.After": ""} },
			`annotations["org.systemd.property.After"]`, "is not a GVariant"},
		{"a setting without a name", func(s *specs.Spec) { s.Annotations = map[string]string{"org.systemd.property.": "1"} },
			`annotations["org.systemd.property."]`, "is not the name of a property"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := systemdPlan(t, ownInit(), tt.mutate)
			want(t, err, tt.path, tt.problem, "config-linux.md#cgroups-path")
		})
	}
}

// Without --systemd-cgroup the annotations mean nothing to hako.
func TestSettingsWithoutSystemd(t *testing.T) {
	spec := load(t, "default")
	spec.Annotations = map[string]string{"org.systemd.property.After": "?"}
	p, _, err := New(spec, ownInit(), testOptions())
	if err != nil || p.Cgroup.Unit != nil {
		t.Error(err)
	}
}
