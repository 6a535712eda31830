package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hako-runtime/hako/libct/host"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// planned composes the example config with a change, on a machine that has
// everything.
func planned(change func(*specs.Spec, *host.Facts, *plan.Options)) (*plan.Plan, []string, error) {
	spec := defaultSpec(true)
	facts := host.Facts{OwnInit: true, Cgroup: host.CgroupV2, LastCap: 63, Bounding: ^uint64(0), AppArmor: true, SELinux: true}
	o := plan.Options{ID: "c1", Bundle: "/bundle"}
	change(spec, &facts, &o)
	return plan.New(spec, facts, o)
}

// A claim of features is what plan does with such a config: a true one is
// accepted and in the plan, a false one is refused.
func TestFeaturesClaimWhatPlanDoes(t *testing.T) {
	f := implemented()
	linux := f.Linux
	type options = plan.Options
	for _, claim := range []struct {
		name    string
		claimed bool
		change  func(*specs.Spec, *host.Facts, *options)
		done    func(*plan.Plan) bool // nil: accepting is all
	}{
		{"cgroup.v1", *linux.Cgroup.V1, func(s *specs.Spec, facts *host.Facts, _ *options) {
			facts.Cgroup = host.CgroupV1
			s.Linux.CgroupsPath = "/x"
		}, func(p *plan.Plan) bool { return p.Cgroup.Path == "/x" }},
		{"cgroup.v2", *linux.Cgroup.V2, func(s *specs.Spec, _ *host.Facts, _ *options) {
			s.Linux.CgroupsPath = "/x"
		}, func(p *plan.Plan) bool { return p.Cgroup.Path == "/x" }},
		{"cgroup.systemd", *linux.Cgroup.Systemd, func(_ *specs.Spec, _ *host.Facts, o *options) {
			o.Systemd = true
		}, func(p *plan.Plan) bool { return p.Cgroup.Unit != nil && !p.Cgroup.Unit.User }},
		{"cgroup.systemdUser", *linux.Cgroup.SystemdUser, func(_ *specs.Spec, facts *host.Facts, o *options) {
			o.Systemd = true
			facts.OwnInit, facts.UserNamespace = false, true
		}, func(p *plan.Plan) bool { return p.Cgroup.Unit != nil && p.Cgroup.Unit.User }},
		{"cgroup.rdma", *linux.Cgroup.Rdma, func(s *specs.Spec, _ *host.Facts, _ *options) {
			s.Linux.Resources = &specs.LinuxResources{Rdma: map[string]specs.LinuxRdma{"mlx4_0": {HcaHandles: new(uint32(1))}}}
		}, nil},
		{"seccomp", *linux.Seccomp.Enabled, func(s *specs.Spec, _ *host.Facts, _ *options) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
		}, nil},
		{"apparmor", *linux.Apparmor.Enabled, func(s *specs.Spec, _ *host.Facts, _ *options) {
			s.Process.ApparmorProfile = "x"
		}, func(p *plan.Plan) bool { return p.Process.Labels.AppArmor == "x" }},
		{"selinux", *linux.Selinux.Enabled, func(s *specs.Spec, _ *host.Facts, _ *options) {
			s.Process.SelinuxLabel = "u:r:t:s0"
		}, func(p *plan.Plan) bool { return p.Process.Labels.SELinux == "u:r:t:s0" }},
		{"intelRdt", *linux.IntelRdt.Enabled, func(s *specs.Spec, _ *host.Facts, _ *options) {
			s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "gold"}
		}, func(p *plan.Plan) bool { return p.RDT.ClosID == "gold" }},
		{"intelRdt.schemata", *linux.IntelRdt.Schemata, func(s *specs.Spec, _ *host.Facts, _ *options) {
			s.Linux.IntelRdt = &specs.LinuxIntelRdt{Schemata: []string{"L2:0=1"}}
		}, func(p *plan.Plan) bool { return slices.Equal(p.RDT.Schemata, []string{"L2:0=1"}) }},
		{"intelRdt.monitoring", *linux.IntelRdt.Monitoring, func(s *specs.Spec, _ *host.Facts, _ *options) {
			s.Linux.IntelRdt = &specs.LinuxIntelRdt{EnableMonitoring: true}
		}, func(p *plan.Plan) bool { return p.RDT.Monitoring }},
		{"mountExtensions.idmap", *linux.MountExtensions.IDMap.Enabled, func(s *specs.Spec, _ *host.Facts, _ *options) {
			ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 1}}
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Type: "bind", Source: "/x", Options: []string{"bind"}, UIDMappings: ids, GIDMappings: ids})
		}, func(p *plan.Plan) bool { return p.Setup.Mounts[len(p.Setup.Mounts)-1].IDMap != nil }},
		{"netDevices", *linux.NetDevices.Enabled, func(s *specs.Spec, _ *host.Facts, _ *options) {
			s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth9": {Name: "eth0"}}
		}, func(p *plan.Plan) bool { return len(p.NetDevices) == 1 }},
		{"annotations", slices.Contains(f.PotentiallyUnsafeConfigAnnotations, "org.systemd.property."), func(s *specs.Spec, _ *host.Facts, o *options) {
			o.Systemd = true
			s.Annotations = map[string]string{"org.systemd.property.CollectMode": "'inactive'"}
		}, func(p *plan.Plan) bool { return len(p.Cgroup.Unit.Settings) == 1 }},
	} {
		p, _, err := planned(claim.change)
		if claim.claimed != (err == nil) {
			t.Errorf("%s: claimed: %v, but plan says: %v", claim.name, claim.claimed, err)
		} else if err == nil && claim.done != nil && !claim.done(p) {
			t.Errorf("%s: nothing of it is in the plan", claim.name)
		}
	}
}

// Each listed name is recognised, and one that is not listed is not.
func TestFeaturesListWhatPlanRecognises(t *testing.T) {
	f := implemented()
	for _, list := range []struct {
		name   string
		known  []string
		change func(s *specs.Spec, name string)
	}{
		{"namespaces", names(f.Linux.Namespaces), func(s *specs.Spec, name string) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.LinuxNamespaceType(name)})
			s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
			s.Linux.GIDMappings = s.Linux.UIDMappings
			if !slices.ContainsFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace }) {
				s.Linux.UIDMappings, s.Linux.GIDMappings = nil, nil
			}
			seen := map[specs.LinuxNamespaceType]bool{}
			s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
				defer func() { seen[n.Type] = true }()
				return seen[n.Type]
			})
		}},
		{"capabilities", f.Linux.Capabilities, func(s *specs.Spec, name string) {
			s.Process.Capabilities.Bounding = []string{name}
			s.Process.Capabilities.Effective, s.Process.Capabilities.Permitted = nil, nil
			s.Process.Capabilities.Inheritable, s.Process.Capabilities.Ambient = nil, nil
		}},
		{"memoryPolicy.modes", names(f.Linux.MemoryPolicy.Modes), func(s *specs.Spec, name string) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MemoryPolicyModeType(name), Nodes: "0"}
			if name == "MPOL_DEFAULT" || name == "MPOL_LOCAL" {
				s.Linux.MemoryPolicy.Nodes = ""
			}
		}},
		{"memoryPolicy.flags", names(f.Linux.MemoryPolicy.Flags), func(s *specs.Spec, name string) {
			s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0", Flags: []specs.MemoryPolicyFlagType{specs.MemoryPolicyFlagType(name)}}
		}},
		{"seccomp.actions", names(claimedSeccomp(f).Actions), func(s *specs.Spec, name string) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{
				DefaultAction: specs.ActAllow, ListenerPath: "/listener",
				Syscalls: []specs.LinuxSyscall{{Names: []string{"getppid"}, Action: specs.LinuxSeccompAction(name)}},
			}
		}},
		{"seccomp.operators", names(claimedSeccomp(f).Operators), func(s *specs.Spec, name string) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{
				Names: []string{"personality"}, Action: specs.ActErrno,
				Args: []specs.LinuxSeccompArg{{Value: 1, ValueTwo: 1, Op: specs.LinuxSeccompOperator(name)}},
			}}}
		}},
		{"seccomp.archs", names(claimedSeccomp(f).Archs), func(s *specs.Spec, name string) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{
				DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.Arch(name)},
				Syscalls: []specs.LinuxSyscall{{Names: []string{"getppid"}, Action: specs.ActErrno}},
			}
		}},
		{"seccomp.knownFlags", names(claimedSeccomp(f).KnownFlags), func(s *specs.Spec, name string) {
			s.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlag(name)}}
			if strings.Contains(name, "WAIT_KILLABLE") {
				s.Linux.Seccomp.ListenerPath = "/listener"
				s.Linux.Seccomp.Syscalls = []specs.LinuxSyscall{{Names: []string{"getppid"}, Action: specs.ActNotify}}
			}
		}},
	} {
		if len(list.known) == 0 && !(strings.HasPrefix(list.name, "seccomp") && !*f.Linux.Seccomp.Enabled) {
			t.Errorf("%s: the list is empty", list.name)
			continue
		}
		for _, name := range append(slices.Clone(list.known), "FOO_"+strings.ToUpper(list.name)) {
			_, warnings, err := planned(func(s *specs.Spec, _ *host.Facts, _ *plan.Options) { list.change(s, name) })
			listed := slices.Contains(list.known, name)
			if recognised := err == nil && !strings.Contains(strings.Join(warnings, "\n"), name); recognised != listed {
				t.Errorf("%s: %s: listed: %v, but plan says: %v %q", list.name, name, listed, err, warnings)
			}
		}
	}
}

func claimedSeccomp(f features.Features) features.Seccomp { return *f.Linux.Seccomp }

func names[T ~string](list []T) (plain []string) {
	for _, one := range list {
		plain = append(plain, fmt.Sprint(one))
	}
	return plain
}

// Every hook point that is listed is in the plan with its hook.
func TestFeaturesListTheHooks(t *testing.T) {
	hook := func(path string) []specs.Hook { return []specs.Hook{{Path: "/" + path}} }
	p, _, err := planned(func(s *specs.Spec, _ *host.Facts, _ *plan.Options) {
		s.Hooks = &specs.Hooks{
			Prestart:      hook("prestart"), //nolint:staticcheck // deprecated, but part of the specification
			CreateRuntime: hook("createRuntime"), CreateContainer: hook("createContainer"),
			StartContainer: hook("startContainer"), Poststart: hook("poststart"), Poststop: hook("poststop"),
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, list := range [...]struct {
		name string
		path string
	}{
		{"prestart", p.Hooks.Prestart[0].Path}, {"createRuntime", p.Hooks.CreateRuntime[0].Path},
		{"createContainer", p.Hooks.CreateContainer[0].Path}, {"startContainer", p.Hooks.StartContainer[0].Path},
		{"poststart", p.Hooks.Poststart[0].Path}, {"poststop", p.Hooks.Poststop[0].Path},
	} {
		if list.path == "/"+list.name {
			got = append(got, list.name)
		}
	}
	if !slices.Equal(got, implemented().Hooks) {
		t.Errorf("plan knows %q, features lists %q", got, implemented().Hooks)
	}
}
