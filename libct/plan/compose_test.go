package plan

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hako-runtime/hako/libct/cgroup/devices"
	"github.com/hako-runtime/hako/libct/host"
	"github.com/hako-runtime/hako/libct/rootfs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func compose(t *testing.T, facts host.Facts, mutate func(*specs.Spec)) *Plan {
	t.Helper()
	spec := load(t, "default")
	mutate(spec)
	p, _, err := New(spec, facts, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Every option of the specification's table is interpreted.
func TestKnowsEveryMountOption(t *testing.T) {
	text, err := os.ReadFile(specFile(t, "config.md"))
	if err != nil {
		t.Skip("the specification's text is not in the module cache: ", err)
	}
	known, found := KnownMountOptions(), 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) != 3 || !strings.HasPrefix(line, " `") {
			continue
		}
		found++
		name := strings.TrimSpace(strings.Trim(strings.TrimSpace(cells[0]), "`"))
		if !slices.Contains(known, name) {
			t.Errorf("%s is not known", name)
		}
	}
	if found < 60 {
		t.Errorf("%d options found in the table", found)
	}
	if len(slices.Compact(slices.Clone(known))) != len(known) {
		t.Error("an option is there twice")
	}
}

// The last of two contradicting options wins.
func TestMountOptionsInOrder(t *testing.T) {
	const atime = unix.MOUNT_ATTR__ATIME
	for _, tc := range []struct {
		options string
		attr    rootfs.Attr
		rec     rootfs.Attr
		super   uint64
		data    []string
	}{
		{"ro", rootfs.Attr{Set: unix.MOUNT_ATTR_RDONLY}, rootfs.Attr{}, unix.MS_RDONLY, nil},
		{"ro rw", rootfs.Attr{Clear: unix.MOUNT_ATTR_RDONLY}, rootfs.Attr{}, 0, nil},
		{"nosuid suid nosuid", rootfs.Attr{Set: unix.MOUNT_ATTR_NOSUID}, rootfs.Attr{}, 0, nil},
		{"noatime strictatime", rootfs.Attr{Set: unix.MOUNT_ATTR_STRICTATIME, Clear: atime}, rootfs.Attr{}, 0, nil},
		{"noatime atime", rootfs.Attr{Clear: atime}, rootfs.Attr{}, 0, nil},
		{"noatime nodiratime", rootfs.Attr{Set: unix.MOUNT_ATTR_NOATIME | unix.MOUNT_ATTR_NODIRATIME, Clear: atime}, rootfs.Attr{}, 0, nil},
		{"rro rnoatime rrw", rootfs.Attr{}, rootfs.Attr{Set: unix.MOUNT_ATTR_NOATIME, Clear: atime | unix.MOUNT_ATTR_RDONLY}, 0, nil},
		{"sync dirsync async", rootfs.Attr{}, rootfs.Attr{}, unix.MS_DIRSYNC, nil},
		{"defaults size=1k,mode=7 x", rootfs.Attr{}, rootfs.Attr{}, 0, []string{"size=1k", "mode=7", "x"}},
		{`context="a,b",ro lowerdir=/a\,b,`, rootfs.Attr{}, rootfs.Attr{}, 0, []string{`context="a,b"`, "ro", `lowerdir=/a\,b`}},
		{`a\`, rootfs.Attr{}, rootfs.Attr{}, 0, []string{`a\`}},
		{`,a\`, rootfs.Attr{}, rootfs.Attr{}, 0, []string{`a\`}},
	} {
		p := compose(t, rootFacts, func(s *specs.Spec) {
			lastMount(s, specs.Mount{Destination: "/x", Type: "tmpfs", Options: strings.Fields(tc.options)})
		})
		m := p.Setup.Mounts[0]
		if m.Attr != tc.attr || m.RecAttr != tc.rec || m.SuperFlags != tc.super || !slices.Equal(m.Data, tc.data) {
			t.Errorf("%s: attr %+v, rec %+v, super %#x, data %q", tc.options, m.Attr, m.RecAttr, m.SuperFlags, m.Data)
		}
	}
}

func TestKindOfMount(t *testing.T) {
	for _, tc := range []struct {
		mount specs.Mount
		kind  rootfs.Kind
		from  string
	}{
		{specs.Mount{Source: "a/../b", Options: []string{"bind"}}, rootfs.KindBind, "/bundles/web/b"},
		{specs.Mount{Source: "/a/", Type: "bind"}, rootfs.KindBind, "/a"},
		{specs.Mount{Source: "/a", Type: "cgroup", Options: []string{"rbind"}}, rootfs.KindBind, "/a"},
		{specs.Mount{Source: "cgroup", Type: "cgroup2"}, rootfs.KindCgroup, "cgroup"},
		{specs.Mount{Source: "x", Type: "tmpfs"}, rootfs.KindNew, "x"},
		{specs.Mount{Source: "x", Type: "tmpfs", Options: []string{"remount"}}, rootfs.KindRemount, ""},
		{specs.Mount{Options: []string{"remount", "bind", "ro"}}, rootfs.KindRemount, ""},
	} {
		tc.mount.Destination = "/x"
		p := compose(t, rootFacts, func(s *specs.Spec) { lastMount(s, tc.mount) })
		if m := p.Setup.Mounts[0]; m.Kind != tc.kind || m.Source != tc.from {
			t.Errorf("%+v: %s from %q", tc.mount, m.Kind, m.Source)
		}
	}
}

func TestWayIntoTheRoot(t *testing.T) {
	p := compose(t, rootFacts, func(s *specs.Spec) {
		dropNamespace(s, specs.MountNamespace)
		s.Mounts, s.Root.Readonly, s.Linux.MaskedPaths, s.Linux.ReadonlyPaths = nil, false, nil, nil
	})
	if p.Setup.Root.Enter != rootfs.EnterChroot {
		t.Errorf("without a mount namespace: %s", p.Setup.Root.Enter)
	}
	o := testOptions()
	o.NoPivot = true
	p, _, err := New(load(t, "default"), rootFacts, o)
	if err != nil || p.Setup.Root.Enter != rootfs.EnterMove {
		t.Errorf("--no-pivot: %+v, %v", p, err)
	}
}

func TestOwnNamespaceIsNoneAtAll(t *testing.T) {
	spec := load(t, "default")
	for i, ns := range spec.Linux.Namespaces {
		if ns.Type == specs.MountNamespace {
			spec.Linux.Namespaces[i].Path = "/proc/self/ns/mnt"
		}
	}
	options := testOptions()
	options.OwnNamespaces = []specs.LinuxNamespaceType{specs.MountNamespace}
	_, _, err := New(spec, rootFacts, options)
	if err == nil || !strings.Contains(err.Error(), "mounts: needs a mount namespace") {
		t.Errorf("got %v", err)
	}
}

func TestDevicesOfABoundDev(t *testing.T) {
	p := compose(t, rootFacts, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/dev/", Source: "/dev", Options: []string{"rbind"}})
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229}, {Path: "/opt/pipe", Type: "p"}}
	})
	if !p.Setup.HostDev || len(p.Setup.Devices) != 1 || p.Setup.Devices[0].UnsafePath != "/opt/pipe" {
		t.Errorf("%v %+v", p.Setup.HostDev, p.Setup.Devices)
	}
}

func TestDevicesAreBoundInAUserNamespace(t *testing.T) {
	inside := rootFacts
	inside.UserNamespace = true
	for name, p := range map[string]*Plan{
		"new":    compose(t, rootFacts, addUserNamespace),
		"hako's": compose(t, inside, func(*specs.Spec) {}),
		"to joined": compose(t, rootFacts, func(s *specs.Spec) {
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "user", Path: "/x"})
		}),
	} {
		for _, d := range p.Setup.Devices {
			if !d.Bind {
				t.Errorf("%s: %+v", name, d)
			}
		}
	}
}

// decide is what the device controller does with rules: the last one that
// matches wins.
func decide(rules []devices.Rule, kind byte, major, minor int64) (read, mknod bool) {
	for _, r := range rules {
		if (r.Type == 'a' || r.Type == kind) && (r.Major == anyNumber || r.Major == major) && (r.Minor == anyNumber || r.Minor == minor) {
			if r.Read {
				read = r.Allow
			}
			if r.Mknod {
				mknod = r.Allow
			}
		}
	}
	return read, mknod
}

func TestAllowedDevices(t *testing.T) {
	fuse := []specs.LinuxDevice{{Path: "/dev/fuse", Type: "c", Major: 10, Minor: 229}}
	rule := func(allow bool, kind, access string, numbers ...int64) specs.LinuxDeviceCgroup {
		r := specs.LinuxDeviceCgroup{Allow: allow, Type: kind, Access: access}
		if len(numbers) == 2 {
			r.Major, r.Minor = &numbers[0], &numbers[1]
		}
		return r
	}
	for _, tc := range []struct {
		name         string
		rules        []specs.LinuxDeviceCgroup
		kind         byte
		major, minor int64
		read         bool
	}{
		{"nothing but the default without rules", nil, 'b', 8, 0, false},
		{"a listed device without rules", nil, 'c', 10, 229, true},
		{"a default one in spite of the rules", []specs.LinuxDeviceCgroup{rule(false, "a", "rwm")}, 'c', 1, 3, true},
		{"a listed device that the rules deny", []specs.LinuxDeviceCgroup{rule(false, "", "rwm")}, 'c', 10, 229, false},
		{"a listed device that the rules narrow", []specs.LinuxDeviceCgroup{rule(false, "", "rwm"), rule(true, "c", "w", 10, 229)}, 'c', 10, 229, false},
		{"everything", []specs.LinuxDeviceCgroup{rule(true, "a", "rwm")}, 'b', 8, 0, true},
		{"type a with numbers: that device", []specs.LinuxDeviceCgroup{rule(true, "a", "r", 8, 0)}, 'b', 8, 0, true},
		{"type a with numbers: no other", []specs.LinuxDeviceCgroup{rule(true, "a", "rwm", 8, 0)}, 'b', 8, 1, false},
		{"the console of the host", nil, 'c', 5, 1, false},
	} {
		p := compose(t, rootFacts, func(s *specs.Spec) {
			s.Linux.Devices = fuse
			s.Linux.Resources = &specs.LinuxResources{Devices: tc.rules}
		})
		read, mknod := decide(p.Cgroup.Devices, tc.kind, tc.major, tc.minor)
		if read != tc.read || !mknod {
			t.Errorf("%s: read %v, mknod %v", tc.name, read, mknod)
		}
		for _, r := range p.Cgroup.Devices {
			if r.Type == 'a' && (r.Major != anyNumber || r.Minor != anyNumber || !r.Read || !r.Write || !r.Mknod) {
				t.Errorf("%s: %+v means everything on cgroup v1", tc.name, r)
			}
		}
	}
}

func TestCgroupPathStaysBelowTheRoot(t *testing.T) {
	for given, want := range map[string]string{
		"": "/web", "a": "/a", "/a/b/": "/a/b", "../../a": "/a", "/../a/../../b": "/b", "a//./b": "/a/b", "/x:y:z": "/x:y:z",
	} {
		p := compose(t, rootFacts, func(s *specs.Spec) { s.Linux.CgroupsPath = given })
		if p.Cgroup.Path != want {
			t.Errorf("%q became %q, want %q", given, p.Cgroup.Path, want)
		}
	}
}

// Version 1.3 of the specification made 0 a limit; Podman 4.3 writes it, with
// version 1.0.2-dev, for --pids-limit=-1.
func TestPidsLimitOfZero(t *testing.T) {
	for _, tc := range []struct {
		version string
		limits  bool
	}{{"1.0.2-dev", false}, {"1.2.1", false}, {"1.3.0", true}} {
		p := compose(t, rootFacts, func(s *specs.Spec) {
			s.Version = tc.version
			s.Linux.Resources.Pids = &specs.LinuxPids{Limit: ptr(int64(0))}
		})
		if l := p.Cgroup.Limits; (l != nil) != tc.limits || l != nil && *l.Tasks != 0 {
			t.Errorf("%s: %+v", tc.version, l)
		}
	}
}

func TestLimitsThatLimitNothing(t *testing.T) {
	compose(t, rootFacts, func(s *specs.Spec) {
		s.Linux.Resources = &specs.LinuxResources{
			Memory:  &specs.LinuxMemory{Limit: ptr(int64(-1)), Swap: ptr(int64(0)), DisableOOMKiller: ptr(false), CheckBeforeUpdate: ptr(true)},
			CPU:     &specs.LinuxCPU{Shares: ptr(uint64(1024)), Quota: ptr(int64(-1)), Idle: ptr(int64(0))},
			Pids:    &specs.LinuxPids{Limit: ptr(int64(-1))},
			BlockIO: &specs.LinuxBlockIO{Weight: ptr(uint16(0))},
			Network: &specs.LinuxNetwork{},
		}
		s.Linux.Seccomp = new(specs.LinuxSeccomp)
		s.Process.ApparmorProfile = "unconfined"
	})
}

// In a user namespace the bounding set starts full, whatever hako's is.
func TestCapabilitiesInAUserNamespace(t *testing.T) {
	facts := rootFacts
	facts.Bounding = 0
	p := compose(t, facts, addUserNamespace)
	if p.Process.Caps.Bounding == 0 {
		t.Error("the bounding set of the host was applied")
	}
}

func TestEffectiveIsWithinPermitted(t *testing.T) {
	p := compose(t, rootFacts, func(s *specs.Spec) {
		s.Process.Capabilities = &specs.LinuxCapabilities{Effective: []string{"CAP_KILL"}, Inheritable: []string{"CAP_KILL"}, Ambient: []string{"CAP_KILL"}}
	})
	if c := p.Process.Caps; c.Effective|c.Inheritable|c.Ambient != 0 {
		t.Errorf("%+v", c)
	}
	p = compose(t, rootFacts, func(s *specs.Spec) { s.Process.Capabilities = nil })
	if c := p.Process.Caps; c.Bounding|c.Permitted != 0 {
		t.Errorf("without capabilities: %+v", c)
	}
}

// --cap never makes inheritable what the container has not (CVE-2022-29162).
func TestExecCapabilitiesAreNotInheritable(t *testing.T) {
	container := compose(t, rootFacts, func(s *specs.Spec) { s.Process.Capabilities.Inheritable, s.Process.Capabilities.Ambient = nil, nil })
	p, _, err := Exec(container, &specs.Process{Args: []string{"x"}, Cwd: "/"}, rootFacts, ExecOptions{AddCaps: []string{"CAP_SYS_PTRACE"}})
	if err != nil {
		t.Fatal(err)
	}
	const bit = 1 << unix.CAP_SYS_PTRACE
	c := p.Process.Caps
	if c.Inheritable != 0 || c.Ambient != 0 || c.Bounding&c.Effective&c.Permitted&bit == 0 {
		t.Errorf("%+v", c)
	}
}

func TestExecRefuses(t *testing.T) {
	container := compose(t, rootFacts, addUserNamespace)
	_, _, err := Exec(container, &specs.Process{Cwd: "x", User: specs.User{UID: 10}}, rootFacts, ExecOptions{})
	want(t, err, "process.args", "is empty", "config.md#process")
	want(t, err, "process.cwd", "not an absolute path", "")
	want(t, err, "process.user.uid", "10 is not mapped", "")
	if !strings.HasPrefix(err.Error(), "exec: 3 problems: ") {
		t.Error(err)
	}
}

func TestExecKeepsAffinity(t *testing.T) {
	container := compose(t, rootFacts, func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "1"} })
	if container.Process.AffinityInitial != nil {
		t.Error("the container's own process got the affinity of exec")
	}
	process := &specs.Process{Args: []string{"x"}, Cwd: "/", ExecCPUAffinity: &specs.CPUAffinity{Initial: "1", Final: "0,2"}}
	p, _, err := Exec(container, process, rootFacts, ExecOptions{})
	if err != nil || p.Process.AffinityInitial.String() != "1" || p.Process.AffinityFinal.String() != "0,2" {
		t.Errorf("%+v, %v", p, err)
	}
}

// New leaves the spec as it is: libct saves it.
func TestNewDoesNotChangeTheSpec(t *testing.T) {
	spec := load(t, "everything")
	c := goldenCases()["everything"]
	for range 2 {
		if _, _, err := New(spec, c.facts, c.options); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(spec.Process.Env, load(t, "everything").Process.Env) {
		t.Errorf("env is %q", spec.Process.Env)
	}
}
