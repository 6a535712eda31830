package cgroup

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/devices"
	"github.com/hako-runtime/hako/libct/host"
)

// BenchmarkOpenCreateRemove is a container's share of cgroup work on this
// host's layout. For v2 on a hybrid host run it in a private mount namespace
// with only cgroup2 at /sys/fs/cgroup.
func BenchmarkOpenCreateRemove(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("not root")
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(base, &fs); err != nil {
		b.Skip("no cgroups: ", err)
	}
	mode := host.CgroupHybrid
	if fs.Type == unix.CGROUP2_SUPER_MAGIC {
		mode = host.CgroupV2
	}
	usual := []devices.Rule{
		{Type: 'a', Major: -1, Minor: -1, Read: true, Write: true, Mknod: true},
		{Type: 'c', Major: -1, Minor: -1, Mknod: true, Allow: true},
		{Type: 'b', Major: -1, Minor: -1, Mknod: true, Allow: true},
	}
	for _, n := range [][2]int64{{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 2}, {136, -1}} {
		usual = append(usual, devices.Rule{Type: 'c', Major: n[0], Minor: n[1], Read: true, Write: true, Mknod: true, Allow: true})
	}
	for name, rules := range map[string][]devices.Rule{"bare": nil, "devices": usual} {
		b.Run(string(mode)+"/"+name, func(b *testing.B) {
			path := fmt.Sprintf("/hako-bench-%d-%s", os.Getpid(), name)
			for b.Loop() {
				g, err := Open(Spec{Path: path, Devices: rules}, mode)
				if err == nil {
					err = createLimited(g)
				}
				if err == nil {
					err = g.Remove()
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
