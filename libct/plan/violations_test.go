package plan

import (
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// violation is one row: what breaks the default config, and where the error
// says so.
type violation struct {
	name    string
	mutate  func(s *specs.Spec)
	path    string
	problem string // part of it
	section string // part of it
}

func ptr[T any](v T) *T { return &v }

func dropNamespace(s *specs.Spec, kind specs.LinuxNamespaceType) {
	s.Linux.Namespaces = slices.DeleteFunc(s.Linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == kind })
}

func addUserNamespace(s *specs.Spec) {
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 10}}
	s.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 1000, Size: 10}}
}

func lastMount(s *specs.Spec, m specs.Mount) { s.Mounts = []specs.Mount{m} }

var generalViolations = []violation{
	{"no version", func(s *specs.Spec) { s.Version = "" }, "ociVersion", "is missing", "config.md#specification-version"},
	{"version with two numbers", func(s *specs.Spec) { s.Version = "1.0" }, "ociVersion", "not a semantic version", ""},
	{"version with a leading zero", func(s *specs.Spec) { s.Version = "1.02.0" }, "ociVersion", "not a semantic version", ""},
	{"version 2", func(s *specs.Spec) { s.Version = "2.0.0" }, "ociVersion", "not supported", ""},
	{"version 0", func(s *specs.Spec) { s.Version = "0.1.0" }, "ociVersion", "not supported", ""},
	{"windows", func(s *specs.Spec) { s.Windows = new(specs.Windows) }, "windows", "not for Linux", "platform-specific"},
	{"solaris", func(s *specs.Spec) { s.Solaris = new(specs.Solaris) }, "solaris", "not for Linux", ""},
	{"vm", func(s *specs.Spec) { s.VM = new(specs.VM) }, "vm", "not for Linux", ""},
	{"zos", func(s *specs.Spec) { s.ZOS = new(specs.ZOS) }, "zos", "not for Linux", ""},
	{"freebsd", func(s *specs.Spec) { s.FreeBSD = new(specs.FreeBSD) }, "freebsd", "not for Linux", ""},
	{"no root", func(s *specs.Spec) { s.Root = nil }, "root", "is missing", "config.md#root"},
	{"no root path", func(s *specs.Spec) { s.Root.Path = "" }, "root.path", "is missing", ""},
	{"empty annotation key", func(s *specs.Spec) { s.Annotations = map[string]string{"": "x"} }, "annotations", "key is empty", "config.md#annotations"},
	{"hostname without uts namespace", func(s *specs.Spec) { dropNamespace(s, specs.UTSNamespace) }, "hostname", "needs a uts namespace", "config.md#hostname"},
	{"long hostname", func(s *specs.Spec) { s.Hostname = strings.Repeat("a", 65) }, "hostname", "longer than 64", ""},
	{"long domainname", func(s *specs.Spec) { s.Domainname = strings.Repeat("a", 65) }, "domainname", "longer than 64", "config.md#domainname"},
	{"relative hook", func(s *specs.Spec) { s.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "x"}}} }, "hooks.poststop[0].path", `"x" is not an absolute path`, "config.md#posix-platform-hooks"},
	{"hook timeout of 0", func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/x", Timeout: ptr(0)}}}
	}, "hooks.createRuntime[0].timeout", "is not above 0", ""},
	{"hook environment", func(s *specs.Spec) {
		s.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/x"}, {Path: "/x", Env: []string{"A=1", "B"}}}}
	}, "hooks.startContainer[1].env[1]", "NAME=value", ""},
}

// profile breaks a profile that is right otherwise.
func profile(mutate func(s *specs.LinuxSeccomp)) func(*specs.Spec) {
	return func(s *specs.Spec) {
		s.Linux.Seccomp = &specs.LinuxSeccomp{
			DefaultAction: specs.ActErrno,
			Syscalls: []specs.LinuxSyscall{
				{Names: []string{"read", "write"}, Action: specs.ActAllow},
				{Names: []string{"clone"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 0, Op: specs.OpEqualTo, Value: 1}}},
			},
		}
		mutate(s.Linux.Seccomp)
	}
}

var seccompViolations = []violation{
	{"no default action", profile(func(s *specs.LinuxSeccomp) { s.DefaultAction = "" }), "linux.seccomp.defaultAction", "is missing", "config-linux.md#seccomp"},
	{"unknown default action", profile(func(s *specs.LinuxSeccomp) { s.DefaultAction = "SCMP_ACT_NO" }), "linux.seccomp.defaultAction", `unknown action "SCMP_ACT_NO"`, ""},
	{"notify by default", profile(func(s *specs.LinuxSeccomp) { s.DefaultAction = specs.ActNotify }), "linux.seccomp.defaultAction", "cannot be used as default action", ""},
	{"errno of an action without", profile(func(s *specs.LinuxSeccomp) { s.DefaultAction, s.DefaultErrnoRet = specs.ActKill, ptr(uint(1)) }), "linux.seccomp.defaultErrnoRet", "SCMP_ACT_KILL has no errno", ""},
	{"large errno", profile(func(s *specs.LinuxSeccomp) { s.DefaultErrnoRet = ptr(uint(4096)) }), "linux.seccomp.defaultErrnoRet", "4096 is above 4095", ""},
	{"large number for a tracer", profile(func(s *specs.LinuxSeccomp) {
		s.Syscalls[0].Action, s.Syscalls[0].ErrnoRet = specs.ActTrace, ptr(uint(1<<16))
	}), "linux.seccomp.syscalls[0].errnoRet", "65536 is above 65535", ""},
	{"unknown architecture", profile(func(s *specs.LinuxSeccomp) { s.Architectures = []specs.Arch{specs.ArchX86, "SCMP_ARCH_PDP11"} }), "linux.seccomp.architectures[1]", `unknown architecture "SCMP_ARCH_PDP11"`, ""},
	{"unknown flag", profile(func(s *specs.LinuxSeccomp) { s.Flags = []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_NEW_LISTENER"} }), "linux.seccomp.flags[0]", `unknown flag "SECCOMP_FILTER_FLAG_NEW_LISTENER"`, ""},
	{"metadata without a listener", profile(func(s *specs.LinuxSeccomp) { s.ListenerMetadata = "x" }), "linux.seccomp.listenerMetadata", "needs listenerPath", ""},
	{"notify without a listener", profile(func(s *specs.LinuxSeccomp) { s.Syscalls[1].Action = specs.ActNotify }), "linux.seccomp.listenerPath", "is missing", ""},
	{"notify of write", profile(func(s *specs.LinuxSeccomp) { s.ListenerPath, s.Syscalls[0].Action = "/x", specs.ActNotify }), "linux.seccomp.syscalls[0].names[1]", "SCMP_ACT_NOTIFY cannot be used for the write syscall", ""},
	{"no names", profile(func(s *specs.LinuxSeccomp) { s.Syscalls[1].Names = nil }), "linux.seccomp.syscalls[1].names", "is missing", ""},
	{"an empty name", profile(func(s *specs.LinuxSeccomp) { s.Syscalls[0].Names[1] = "" }), "linux.seccomp.syscalls[0].names[1]", "is empty", ""},
	{"unknown action", profile(func(s *specs.LinuxSeccomp) { s.Syscalls[1].Action = "allow" }), "linux.seccomp.syscalls[1].action", `unknown action "allow"`, ""},
	{"no action", profile(func(s *specs.LinuxSeccomp) { s.Syscalls[1].Action = "" }), "linux.seccomp.syscalls[1].action", "is missing", ""},
	{"seventh argument", profile(func(s *specs.LinuxSeccomp) { s.Syscalls[1].Args[0].Index = 6 }), "linux.seccomp.syscalls[1].args[0].index", "6 is not a number from 0 to 5", ""},
	{"unknown operator", profile(func(s *specs.LinuxSeccomp) { s.Syscalls[1].Args[0].Op = "==" }), "linux.seccomp.syscalls[1].args[0].op", `unknown operator "=="`, ""},
	{"more than the kernel takes", profile(func(s *specs.LinuxSeccomp) {
		for i := range uint64(3000) {
			s.Syscalls = append(s.Syscalls, specs.LinuxSyscall{Names: []string{"ioctl"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 1, Op: specs.OpEqualTo, Value: i << 31}}})
		}
	}), "linux.seccomp", "limit of 4096 instructions", ""},
}

var namespaceViolations = []violation{
	{"unknown", func(s *specs.Spec) { s.Linux.Namespaces[3].Type = "foo" }, "linux.namespaces[3].type", `unknown namespace "foo"`, "config-linux.md#namespaces"},
	{"duplicate", func(s *specs.Spec) { s.Linux.Namespaces[3].Type = "pid" }, "linux.namespaces[3].type", `duplicate namespace "pid"`, ""},
	{"relative path", func(s *specs.Spec) { s.Linux.Namespaces[0].Path = "x" }, "linux.namespaces[0].path", `"x" is not an absolute path`, ""},
	{"user without uid mapping", func(s *specs.Spec) { addUserNamespace(s); s.Linux.UIDMappings = nil }, "linux.uidMappings", "needs a mapping", "config-linux.md#user-namespace-mappings"},
	{"user without gid mapping", func(s *specs.Spec) { addUserNamespace(s); s.Linux.GIDMappings = nil }, "linux.gidMappings", "needs a mapping", ""},
	{"mapping without user", func(s *specs.Spec) { s.Linux.UIDMappings = []specs.LinuxIDMapping{{Size: 1}} }, "linux.uidMappings, linux.gidMappings", "need a user namespace", ""},
	{"mapping of size 0", func(s *specs.Spec) { addUserNamespace(s); s.Linux.UIDMappings[0].Size = 0 }, "linux.uidMappings[0].size", "is 0", ""},
	{"mapping beyond the last id", func(s *specs.Spec) { addUserNamespace(s); s.Linux.GIDMappings[0].HostID = 1<<32 - 10 }, "linux.gidMappings[0]", "ids above", ""},
	{"overlapping container ids", func(s *specs.Spec) {
		addUserNamespace(s)
		s.Linux.UIDMappings = append(s.Linux.UIDMappings, specs.LinuxIDMapping{ContainerID: 9, HostID: 5000, Size: 1})
	}, "linux.uidMappings[1]", "container ids overlap those of [0]", ""},
	{"overlapping host ids", func(s *specs.Spec) {
		addUserNamespace(s)
		s.Linux.GIDMappings = append(s.Linux.GIDMappings, specs.LinuxIDMapping{ContainerID: 90, HostID: 995, Size: 6})
	}, "linux.gidMappings[1]", "host ids overlap those of [0]", ""},
	{"too many mappings", func(s *specs.Spec) { addUserNamespace(s); s.Linux.UIDMappings = make([]specs.LinuxIDMapping, 341) }, "linux.uidMappings", "341 mappings", ""},
	{"offsets without time namespace", func(s *specs.Spec) {
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1}}
	}, "linux.timeOffsets", "needs a new time namespace", "config-linux.md#offset-for-time-namespace"},
	{"offsets of a joined time namespace", func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "time", Path: "/x"})
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1}}
	}, "linux.timeOffsets", "needs a new time namespace", ""},
	{"unknown clock", func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "time"})
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"wall": {Secs: 1}}
	}, `linux.timeOffsets["wall"]`, "unknown clock", ""},
	{"a second of nanoseconds", func(s *specs.Spec) {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: "time"})
		s.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"monotonic": {Nanosecs: 1e9}}
	}, "linux.timeOffsets.monotonic.nanosecs", "a second or more", ""},
	{"network devices of the host", func(s *specs.Spec) {
		dropNamespace(s, specs.NetworkNamespace)
		s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"eth0": {}}
	}, "linux.netDevices", "needs a network namespace", "config-linux.md#network-devices"},
	{"network device with a slash", func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"a/b": {}} }, `linux.netDevices["a/b"]`, "is not the name", ""},
	{"network device with a long name", func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"a234567890123456": {}} }, `linux.netDevices["a234567890123456"]`, "is not the name", ""},
	{"network device renamed ..", func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"a": {Name: ".."}} }, `linux.netDevices["a"].name`, `".." is not the name`, ""},
	{"network device with % inside", func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"a": {Name: "a%dx"}} }, `linux.netDevices["a"].name`, `is not the name`, ""},
	{"two network devices with one name", func(s *specs.Spec) { s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"a": {}, "b": {Name: "a"}} }, `linux.netDevices["b"].name`, `two devices become "a"`, ""},
	{"sysctl of the host", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.pid_max": "1"} }, `linux.sysctl["kernel.pid_max"]`, `sysctl "kernel.pid_max" is not in a separate kernel namespace`, "config-linux.md#sysctl"},
	{"sysctl with a longer name", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.shmmaximum": "1"} }, `linux.sysctl["kernel.shmmaximum"]`, `not in a separate`, ""},
	{"sysctl of a folder", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net": "1"} }, `linux.sysctl["net"]`, `not in a separate`, ""},
	{"sysctl hostname", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.hostname": "x"} }, `linux.sysctl["kernel.hostname"]`, `"hostname" field`, ""},
	{"sysctl and domainname", func(s *specs.Spec) {
		s.Domainname = "x"
		s.Linux.Sysctl = map[string]string{"kernel.domainname": "x"}
	}, `linux.sysctl["kernel.domainname"]`, `"domainname" field`, ""},
	{"sysctl that leaves", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net/../kernel/pid_max": "x"} }, `linux.sysctl["net/../kernel/pid_max"]`, `not the name of a kernel parameter`, ""},
	{"sysctl that leaves, with dots", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.//.kernel": "x"} }, `linux.sysctl["net.//.kernel"]`, `not the name of a kernel parameter`, ""},
	{"absolute sysctl", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"/net/x": "x"} }, `linux.sysctl["/net/x"]`, `not the name of a kernel parameter`, ""},
	{"the same sysctl twice", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.x": "1", "net/x": "2"} }, `linux.sysctl["net/x"]`, `same parameter`, ""},
	{"sysctl of the host's network", func(s *specs.Spec) {
		dropNamespace(s, specs.NetworkNamespace)
		s.Linux.Sysctl = map[string]string{"net.x": "1"}
	}, `linux.sysctl["net.x"]`, `not allowed in the host's network namespace`, ""},
	{"ucounts without a user namespace", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"user.max_user_namespaces": "1"} }, `linux.sysctl["user.max_user_namespaces"]`, `host's user namespace`, ""},
}

var filesystemViolations = []violation{
	{"read-only root without mount namespace", func(s *specs.Spec) { dropNamespace(s, specs.MountNamespace) }, "root.readonly", "needs a mount namespace", "config.md#root"},
	{"mounts without mount namespace", func(s *specs.Spec) { dropNamespace(s, specs.MountNamespace) }, "mounts", "needs a mount namespace", "config.md#mounts"},
	{"masked paths without mount namespace", func(s *specs.Spec) { dropNamespace(s, specs.MountNamespace) }, "linux.maskedPaths", "needs a mount namespace", "config-linux.md#masked-paths"},
	{"read-only paths without mount namespace", func(s *specs.Spec) { dropNamespace(s, specs.MountNamespace) }, "linux.readonlyPaths", "needs a mount namespace", "config-linux.md#readonly-paths"},
	{"propagation without mount namespace", func(s *specs.Spec) {
		dropNamespace(s, specs.MountNamespace)
		s.Linux.RootfsPropagation = "shared"
	}, "linux.rootfsPropagation", "needs a mount namespace", ""},
	{"unknown propagation", func(s *specs.Spec) { s.Linux.RootfsPropagation = "ro" }, "linux.rootfsPropagation", `"ro" is none of`, "config-linux.md#rootfs-mount-propagation"},
	{"no destination", func(s *specs.Spec) { lastMount(s, specs.Mount{Type: "tmpfs"}) }, "mounts[0].destination", "is missing", ""},
	{"no type", func(s *specs.Spec) { lastMount(s, specs.Mount{Destination: "/x", Source: "/x"}) }, "mounts[0].type", `needs the option "bind" or "rbind"`, ""},
	{"type none without bind", func(s *specs.Spec) { lastMount(s, specs.Mount{Destination: "/x", Source: "/x", Type: "none"}) }, "mounts[0].type", `needs the option "bind"`, ""},
	{"bind without source", func(s *specs.Spec) { lastMount(s, specs.Mount{Destination: "/x", Options: []string{"bind"}}) }, "mounts[0].source", "is missing", ""},
	{"bind with data", func(s *specs.Spec) {
		lastMount(s, specs.Mount{Destination: "/x", Source: "/x", Options: []string{"bind", "size=1k"}})
	}, "mounts[0].options", `"size=1k" is unknown`, ""},
	{"tmpcopyup of a bind", func(s *specs.Spec) {
		lastMount(s, specs.Mount{Destination: "/x", Source: "/x", Options: []string{"bind", "tmpcopyup"}})
	}, "mounts[0].options", "tmpcopyup needs a tmpfs", ""},
	{"another file system at /proc", func(s *specs.Spec) { lastMount(s, specs.Mount{Destination: "/x/../proc", Type: "tmpfs"}) }, "mounts[0].destination", "only a proc file system", ""},
	{"gid option not mapped", func(s *specs.Spec) {
		addUserNamespace(s)
		lastMount(s, specs.Mount{Destination: "/x", Type: "devpts", Options: []string{"gid=10"}})
	}, "mounts[0].options", `"gid=10" is not mapped`, ""},
	{"id-mapped file system", func(s *specs.Spec) {
		addUserNamespace(s)
		lastMount(s, specs.Mount{Destination: "/x", Type: "tmpfs", Options: []string{"idmap"}})
	}, "mounts[0].options", "only bind mounts", ""},
	{"idmap without any mapping", func(s *specs.Spec) {
		lastMount(s, specs.Mount{Destination: "/x", Source: "/x", Options: []string{"rbind", "ridmap"}})
	}, "mounts[0].options", "needs a user namespace", ""},
	{"uid mapping alone", func(s *specs.Spec) {
		lastMount(s, specs.Mount{Destination: "/x", Source: "/x", Options: []string{"bind"}, UIDMappings: []specs.LinuxIDMapping{{Size: 1}}})
	}, "mounts[0].gidMappings", "is missing", ""},
	{"gid mapping alone", func(s *specs.Spec) {
		lastMount(s, specs.Mount{Destination: "/x", Source: "/x", Options: []string{"bind"}, GIDMappings: []specs.LinuxIDMapping{{Size: 1}}})
	}, "mounts[0].uidMappings", "is missing", ""},
	{"bad mount mapping", func(s *specs.Spec) {
		lastMount(s, specs.Mount{Destination: "/x", Source: "/x", Options: []string{"bind"}, GIDMappings: []specs.LinuxIDMapping{{}}, UIDMappings: []specs.LinuxIDMapping{{Size: 1}}})
	}, "mounts[0].gidMappings[0].size", "is 0", ""},
	{"mount label", func(s *specs.Spec) { s.Linux.MountLabel = "x" }, "linux.mountLabel", "selinux is disabled", "config-linux.md#mount-label"},
	{"relative masked path", func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/a", "proc"} }, "linux.maskedPaths[1]", "not an absolute path", ""},
	{"masked root", func(s *specs.Spec) { s.Linux.MaskedPaths = []string{"/a/.."} }, "linux.maskedPaths[0]", "below /", ""},
	{"relative read-only path", func(s *specs.Spec) { s.Linux.ReadonlyPaths = []string{"proc"} }, "linux.readonlyPaths[0]", "not an absolute path", ""},
	{"relative device", func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "dev/x", Type: "c"}} }, "linux.devices[0].path", "not an absolute path", "config-linux.md#devices"},
	{"device type", func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "d"}} }, "linux.devices[0].type", `"d" is none of`, ""},
	{"negative major", func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "c", Major: -1}} }, "linux.devices[0].major", `-1 is not a number from 0 to 4095`, ""},
	{"large minor", func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "b", Minor: 1 << 20}}
	}, "linux.devices[0].minor", `is not a number`, ""},
	{"two devices at one path", func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/x", Type: "b"}, {Path: "/dev/x", Type: "c"}}
	}, "linux.devices[1].path", "described twice", ""},
	{"pipe of an unmapped user", func(s *specs.Spec) {
		addUserNamespace(s)
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/x", Type: "p", UID: ptr(uint32(10))}}
	}, "linux.devices[0].uid", "10 is not mapped", ""},
	{"device of nobody", func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/x", Type: "c", GID: ptr(uint32(1<<32 - 1))}}
	}, "linux.devices[0].gid", "4294967295", ""},
}

var resourceViolations = []violation{
	{"rule without access", func(s *specs.Spec) { s.Linux.Resources.Devices[0].Access = "" }, "linux.resources.devices[0].access", "is empty", "config-linux.md#allowed-device-list"},
	{"rule with odd access", func(s *specs.Spec) { s.Linux.Resources.Devices[0].Access = "rx" }, "linux.resources.devices[0].access", `"rx" is not made of`, ""},
	{"rule with odd type", func(s *specs.Spec) { s.Linux.Resources.Devices[0].Type = "p" }, "linux.resources.devices[0].type", `"p" is none of`, ""},
	{"rule with a negative number", func(s *specs.Spec) { s.Linux.Resources.Devices[0].Minor = ptr(int64(-2)) }, "linux.resources.devices[0].minor", "-2 is not", ""},
	{"systemd's cgroup path", func(s *specs.Spec) { s.Linux.CgroupsPath = "a.slice:b:c" }, "linux.cgroupsPath", "--systemd-cgroup", "config-linux.md#cgroups-path"},
	{"root cgroup", func(s *specs.Spec) { s.Linux.CgroupsPath = "a/.." }, "linux.cgroupsPath", "is the root", ""},
	{"cgroup with a line break", func(s *specs.Spec) { s.Linux.CgroupsPath = "a\nb" }, "linux.cgroupsPath", "line break", ""},
	{"class of service with a slash", func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "a/b"} }, "linux.intelRdt.closID", `"a/b" is not the name`, "config-linux.md#intelrdt"},
	{"class of service ..", func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: ".."} }, "linux.intelRdt.closID", `".." is not the name`, ""},
	{"bandwidth schema", func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{MemBwSchema: "x"} }, "linux.intelRdt.memBwSchema", "MB:", ""},
	{"schema of two lines", func(s *specs.Spec) { s.Linux.IntelRdt = &specs.LinuxIntelRdt{Schemata: []string{"a\nb"}} }, "linux.intelRdt", "line break", ""},
	{"memory policy", func(s *specs.Spec) { s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: "x"} }, "linux.memoryPolicy.mode", "unknown mode", "config-linux.md#memory-policy"},
	{"memory policy without nodes", func(s *specs.Spec) { s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind} }, "linux.memoryPolicy.nodes", "needs at least one", ""},
	{"memory policy with nodes", func(s *specs.Spec) {
		s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolLocal, Nodes: "1"}
	}, "linux.memoryPolicy.nodes", "takes none", ""},
	{"memory nodes", func(s *specs.Spec) {
		s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "1-"}
	}, "linux.memoryPolicy.nodes", "want a number", ""},
	{"memory policy flag", func(s *specs.Spec) {
		s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "1", Flags: []specs.MemoryPolicyFlagType{"x"}}
	}, "linux.memoryPolicy.flags[0]", "unknown flag", ""},
	{"memory policy flags", func(s *specs.Spec) {
		s.Linux.MemoryPolicy = &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "1", Flags: []specs.MemoryPolicyFlagType{specs.MpolFRelativeNodes, specs.MpolFStaticNodes}}
	}, "linux.memoryPolicy.flags", "exclude each other", ""},
	{"personality", func(s *specs.Spec) { s.Linux.Personality = &specs.LinuxPersonality{Domain: "x"} }, "linux.personality.domain", "unknown domain", "config-linux.md#personality"},
	{"personality flag", func(s *specs.Spec) {
		s.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux, Flags: []specs.LinuxPersonalityFlag{"x"}}
	}, "linux.personality.flags", "there are none", ""},
}

func scheduler(x specs.Scheduler) func(*specs.Spec) {
	return func(s *specs.Spec) { s.Process.Scheduler = &x }
}

var processViolations = []violation{
	{"no process", func(s *specs.Spec) { s.Process = nil }, "process", "is missing", "config.md#process"},
	{"no args", func(s *specs.Spec) { s.Process.Args = nil }, "process.args", "is empty", ""},
	{"empty program", func(s *specs.Spec) { s.Process.Args = []string{""} }, "process.args[0]", "is empty", ""},
	{"no cwd", func(s *specs.Spec) { s.Process.Cwd = "" }, "process.cwd", "is missing", ""},
	{"relative cwd", func(s *specs.Spec) { s.Process.Cwd = "x" }, "process.cwd", `"x" is not an absolute path`, ""},
	{"command line", func(s *specs.Spec) { s.Process.CommandLine = "x" }, "process.commandLine", "not for Linux", ""},
	{"environment without =", func(s *specs.Spec) { s.Process.Env = []string{"A=1", "B"} }, "process.env[1]", "NAME=value", ""},
	{"environment without name", func(s *specs.Spec) { s.Process.Env = []string{"=1"} }, "process.env[0]", "NAME=value", ""},
	{"console height", func(s *specs.Spec) { s.Process.Terminal = true; s.Process.ConsoleSize = &specs.Box{Height: 1 << 16} }, "process.consoleSize.height", "above 65535", ""},
	{"console width", func(s *specs.Spec) { s.Process.Terminal = true; s.Process.ConsoleSize = &specs.Box{Width: 1 << 16} }, "process.consoleSize.width", "above 65535", ""},
	{"user name", func(s *specs.Spec) { s.Process.User.Username = "x" }, "process.user.username", "not for Linux", "config.md#posix-platform-user"},
	{"uid -1", func(s *specs.Spec) { s.Process.User.UID = 1<<32 - 1 }, "process.user.uid", "4294967295 is not an id", ""},
	{"gid -1", func(s *specs.Spec) { s.Process.User.GID = 1<<32 - 1 }, "process.user.gid", "4294967295 is not an id", ""},
	{"uid not mapped", func(s *specs.Spec) { addUserNamespace(s); s.Process.User.UID = 10 }, "process.user.uid", "10 is not mapped", ""},
	{"gid not mapped", func(s *specs.Spec) { addUserNamespace(s); s.Process.User.GID = 10 }, "process.user.gid", "10 is not mapped", ""},
	{"group not mapped", func(s *specs.Spec) { addUserNamespace(s); s.Process.User.AdditionalGids = []uint32{9, 10} }, "process.user.additionalGids[1]", "10 is not mapped", ""},
	{"umask", func(s *specs.Spec) { s.Process.User.Umask = ptr(uint32(0o1000)) }, "process.user.umask", "01000 is above 0777", ""},
	{"unknown limit", func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_X"}} }, "process.rlimits[0].type", `unknown limit "RLIMIT_X"`, "config.md#posix-process"},
	{"duplicate limit", func(s *specs.Spec) {
		s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CPU"}, {Type: "RLIMIT_CPU"}}
	}, "process.rlimits[1].type", `duplicate limit "RLIMIT_CPU"`, ""},
	{"soft above hard", func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CPU", Soft: 1}} }, "process.rlimits[0]", `soft is above hard`, ""},
	{"oom score", func(s *specs.Spec) { s.Process.OOMScoreAdj = ptr(-1001) }, "process.oomScoreAdj", "-1001", "config.md#linux-process"},
	{"AppArmor", func(s *specs.Spec) { s.Process.ApparmorProfile = "x" }, "process.apparmorProfile", "apparmor: config provided but apparmor not supported", ""},
	{"SELinux", func(s *specs.Spec) { s.Process.SelinuxLabel = "x" }, "process.selinuxLabel", "selinux label is specified in config, but selinux is disabled", ""},
	{"policy", scheduler(specs.Scheduler{Policy: "x"}), "process.scheduler.policy", "unknown policy", ""},
	{"scheduler flag", scheduler(specs.Scheduler{Policy: specs.SchedOther, Flags: []specs.LinuxSchedulerFlag{"x"}}), "process.scheduler.flags[0]", "unknown flag", ""},
	{"nice", scheduler(specs.Scheduler{Policy: specs.SchedOther, Nice: 20}), "process.scheduler.nice", "20 is not", ""},
	{"priority 0", scheduler(specs.Scheduler{Policy: specs.SchedRR}), "process.scheduler.priority", "0 is not a number from 1 to 99", ""},
	{"priority of other", scheduler(specs.Scheduler{Policy: specs.SchedBatch, Priority: 1}), "process.scheduler.priority", "only SCHED_FIFO", ""},
	{"runtime of other", scheduler(specs.Scheduler{Policy: specs.SchedOther, Runtime: 1}), "process.scheduler", "for SCHED_DEADLINE", ""},
	{"short runtime", scheduler(specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 1023}), "process.scheduler.runtime", "below 1024", ""},
	{"runtime above deadline", scheduler(specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 2000, Deadline: 1999}), "process.scheduler.runtime", "above deadline", ""},
	{"deadline above period", scheduler(specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 2000, Deadline: 2001, Period: 2000}), "process.scheduler.deadline", "above period", ""},
	{"endless period", scheduler(specs.Scheduler{Policy: specs.SchedDeadline, Runtime: 2000, Deadline: 2001, Period: 1 << 63}), "process.scheduler", "above 2^63", ""},
	{"I/O class", func(s *specs.Spec) { s.Process.IOPriority = &specs.LinuxIOPriority{Class: "x"} }, "process.ioPriority.class", "unknown class", ""},
	{"I/O priority", func(s *specs.Spec) {
		s.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 8}
	}, "process.ioPriority.priority", "8 is not", ""},
	{"initial affinity", func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Initial: "x"} }, "process.execCPUAffinity.initial", "want a number", ""},
	{"final affinity", func(s *specs.Spec) { s.Process.ExecCPUAffinity = &specs.CPUAffinity{Final: "3-1"} }, "process.execCPUAffinity.final", "backwards", ""},
}
