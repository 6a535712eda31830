package runconf

import (
	"io/fs"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/hako-runtime/hako/libct/idmap"
)

// Map puts the container into a user namespace with these maps; without maps
// it does nothing.
func Map(spec *specs.Spec, uids, gids []idmap.Map) {
	if len(uids) == 0 && len(gids) == 0 {
		return
	}
	spec.Linux.UIDMappings, spec.Linux.GIDMappings = mappings(uids), mappings(gids)
	spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
}

func mappings(maps []idmap.Map) []specs.LinuxIDMapping {
	var all []specs.LinuxIDMapping
	for _, m := range maps {
		all = append(all, specs.LinuxIDMapping{ContainerID: m.ContainerID, HostID: m.HostID, Size: m.Size})
	}
	return all
}

// Rootless changes a mapped configuration into one that a user without
// privileges can run:
//
//   - the host's network, as nobody may configure another, with its
//     resolv.conf;
//   - the host's /sys, as sysfs can be mounted only by who owns the network;
//   - no supplementary groups and no mount options with ids, as one id is
//     mapped;
//   - no limits, as the cgroup is not the user's.
func Rootless(spec *specs.Spec) {
	spec.Linux.Namespaces = slices.DeleteFunc(spec.Linux.Namespaces, func(ns specs.LinuxNamespace) bool {
		return ns.Type == specs.NetworkNamespace
	})
	spec.Linux.Resources = nil
	spec.Process.User.AdditionalGids = nil
	mounts := slices.DeleteFunc(spec.Mounts, func(m specs.Mount) bool {
		return m.Destination == "/sys" || strings.HasPrefix(m.Destination, "/sys/")
	})
	for i := range mounts {
		mounts[i].Options = slices.DeleteFunc(mounts[i].Options, func(option string) bool {
			return strings.HasPrefix(option, "gid=") || strings.HasPrefix(option, "uid=")
		})
	}
	spec.Mounts = slices.Concat(mounts, []specs.Mount{
		specs.Mount{Destination: "/sys", Type: "bind", Source: "/sys", Options: []string{"rbind", "nosuid", "noexec", "nodev", "ro"}},
		specs.Mount{Destination: "/etc/resolv.conf", Type: "bind", Source: "/etc/resolv.conf", Options: []string{"rbind", "ro"}},
	})
}

// NewWithoutFiles is New for an image whose files are not at hand: HOME is
// not set, and known is false if the user is a name, which is taken for root.
func NewWithoutFiles(image *v1.Image) (spec *specs.Spec, known bool, err error) {
	plain := *image
	known = isNumeric(image.Config.User)
	if !known {
		plain.Config.User = ""
	}
	spec, err = New(&plain, noFiles{}, ".")
	if err != nil {
		return nil, known, err
	}
	if indexVariable(image.Config.Env, "HOME") < 0 {
		spec.Process.Env = slices.DeleteFunc(spec.Process.Env, func(entry string) bool { return strings.HasPrefix(entry, "HOME=") })
	}
	return spec, known, nil
}

// isNumeric says whether a user can be understood without files.
func isNumeric(user string) bool {
	for part := range strings.SplitSeq(user, ":") {
		if strings.Trim(part, "0123456789") != "" {
			return false
		}
	}
	return true
}

// noFiles is a root filesystem without any.
type noFiles struct{}

func (noFiles) ReadFile(unsafePath string, _ int64) ([]byte, error) {
	return nil, &fs.PathError{Op: "read", Path: unsafePath, Err: fs.ErrNotExist}
}
