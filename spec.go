package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/urfave/cli/v3"
	"golang.org/x/sys/unix"
)

// specCommand describes spec.
func (a *app) specCommand() *cli.Command {
	return &cli.Command{
		Usage: "create a new specification file",
		Description: `Writes a config.json to start from: a shell in a read-only root filesystem
called rootfs, with few capabilities. An existing config.json is not touched.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "bundle", Aliases: []string{"b"}, Usage: "`DIR` to write config.json to (default: current directory)", TakesFile: true},
			&cli.BoolFlag{Name: "rootless", Usage: "write a config.json for a container of an unprivileged user"},
		},
		Action: a.spec,
	}
}

// spec runs spec.
func (a *app) spec(_ context.Context, c *cli.Command) error {
	if err := noArgs(c); err != nil {
		return err
	}
	s := defaultSpec(cgroup2Only())
	if c.Bool("rootless") {
		makeRootless(s, uint32(os.Geteuid()), uint32(os.Getegid()))
	}
	data, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	return writeNew(filepath.Join(c.String("bundle"), "config.json"), append(data, '\n'))
}

// writeNew writes a file that must not exist yet.
func writeNew(file string, data []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists already; remove it first", file)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// cgroup2Only tells whether all controllers are in the unified hierarchy.
func cgroup2Only() bool {
	var fs unix.Statfs_t
	return unix.Statfs("/sys/fs/cgroup", &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC
}

// defaultSpec is the specification that spec writes. The cgroup namespace is
// new only where cgroup2 makes its view complete.
func defaultSpec(cgroup2 bool) *specs.Spec {
	s := &specs.Spec{
		Version:  specs.Version,
		Process:  defaultProcess(),
		Root:     &specs.Root{Path: "rootfs", Readonly: true},
		Hostname: "hako",
		Mounts:   defaultMounts(),
		Linux: &specs.Linux{
			Resources:     &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}},
			Namespaces:    namespaces(specs.PIDNamespace, specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.MountNamespace),
			MaskedPaths:   maskedPaths(),
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	if cgroup2 {
		s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	return s
}

// maskedPaths tell or take more than a container needs.
func maskedPaths() []string {
	return []string{
		"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
	}
}

// defaultProcess is a shell. Nothing is ambient or inheritable: the process is
// root, and others shall not get capabilities from files (CVE-2022-29162).
func defaultProcess() *specs.Process {
	caps := []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}
	return &specs.Process{
		Terminal:        true,
		Args:            []string{"sh"},
		Env:             []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"},
		Cwd:             "/",
		NoNewPrivileges: true,
		Capabilities:    &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
		Rlimits:         []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1024, Soft: 1024}},
	}
}

// defaultMounts are the file systems of config-linux.md#default-filesystems
// and the cgroup view.
func defaultMounts() []specs.Mount {
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc"},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"nosuid", "noexec", "nodev", "relatime", "ro"}},
	}
}

// namespaces lists new namespaces.
func namespaces(types ...specs.LinuxNamespaceType) []specs.LinuxNamespace {
	var list []specs.LinuxNamespace
	for _, t := range types {
		list = append(list, specs.LinuxNamespace{Type: t})
	}
	return list
}

// makeRootless changes s to what an unprivileged user may do: a user namespace
// where the caller is root and nobody else exists, the host's network, and no
// limits.
func makeRootless(s *specs.Spec, hostUID, hostGID uint32) {
	s.Linux.Resources = nil
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: hostUID, Size: 1}}
	s.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: hostGID, Size: 1}}
	list := namespaces(specs.UserNamespace)
	for _, n := range s.Linux.Namespaces {
		if n.Type != specs.NetworkNamespace {
			list = append(list, n)
		}
	}
	s.Linux.Namespaces = list
	for i, m := range s.Mounts {
		switch m.Destination {
		case "/sys": // sysfs shows the network namespace, which is not ours
			s.Mounts[i].Type, s.Mounts[i].Source = "none", "/sys"
			s.Mounts[i].Options = []string{"rbind", "nosuid", "noexec", "nodev", "ro"}
		case "/dev/pts": // group 5 is not mapped
			s.Mounts[i].Options = []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}
		}
	}
}
