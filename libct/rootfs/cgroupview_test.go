package rootfs

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// cgroupDirs makes a cgroup for the test in hierarchies that this host has.
func cgroupDirs(t *testing.T) []CgroupHierarchy {
	t.Helper()
	var found []CgroupHierarchy
	for _, h := range []CgroupHierarchy{
		{Name: "pids", FSType: "cgroup", Options: []string{"pids"}},
		{Name: "systemd", FSType: "cgroup", Options: []string{"none", "name=systemd"}},
		{Name: "unified", FSType: "cgroup2"},
	} {
		base := "/sys/fs/cgroup/" + h.Name
		if _, err := os.Stat(base + "/cgroup.procs"); err != nil {
			continue
		}
		h.Path = base + "/hako-rootfs-test"
		h.Links = []string{h.Name + "-link"}
		must(t, os.MkdirAll(h.Path, 0o755))
		t.Cleanup(func() { _ = os.Remove(h.Path) })
		found = append(found, h)
	}
	if len(found) == 0 {
		t.Skip("needs a hybrid cgroup layout")
	}
	return found
}

func TestCgroupView(t *testing.T) {
	for _, c := range []struct {
		name       string
		namespaced bool
	}{{"bound", false}, {"in a cgroup namespace", true}} {
		t.Run(c.name, func(t *testing.T) {
			if os.Geteuid() != 0 {
				t.Skip("needs root: cgroups")
			}
			if os.Getenv(insideEnv) == "" {
				cgroupDirs(t) // removes them in the end
			}
			attr := &syscall.SysProcAttr{Cloneflags: newAll}
			inside(t, attr, nil, func(t *testing.T) { cgroupBody(t, c.namespaced) })
		})
	}
}

func cgroupBody(t *testing.T, namespaced bool) {
	hs := cgroupDirs(t)
	for _, h := range hs {
		must(t, os.WriteFile(h.Path+"/cgroup.procs", []byte("0"), 0))
		defer func() { _ = os.WriteFile(h.Path+"/../cgroup.procs", []byte("0"), 0) }()
	}
	if namespaced {
		runtime.LockOSThread() // a cgroup namespace belongs to a thread
		must(t, unix.Unshare(unix.CLONE_NEWCGROUP))
	}
	b := newBox(t)
	b.mt.View = &CgroupMount{Namespaced: namespaced, Hierarchies: hs}
	rows := []Mount{
		{UnsafeDest: "/sys/fs/cgroup", Kind: KindCgroup, Attr: Attr{Set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID}},
		{UnsafeDest: "/second", Kind: KindCgroup},
	}
	var err error
	b.mt.Cgroups, err = OpenCgroupView(b.mt.View, rows)
	must(t, err)
	must(t, b.mount(rows...))
	for _, h := range hs { // the second row is writable
		must(t, os.Mkdir(b.path("/second/"+h.Name+"/sub"), 0o755))
		must(t, os.Remove(h.Path+"/sub"))
	}
	for _, h := range hs {
		dir := b.path("/sys/fs/cgroup/" + h.Name)
		procs, err := os.ReadFile(dir + "/cgroup.procs")
		must(t, err)
		if !slices.Contains(strings.Fields(string(procs)), "1") {
			t.Errorf("%s shows another cgroup: %q", h.Name, procs)
		}
		if err := os.Mkdir(dir+"/sub", 0o755); !errors.Is(err, unix.EROFS) {
			t.Errorf("%s is writable: %v", h.Name, err)
		}
		if got, _ := os.Readlink(dir + "-link"); got != h.Name {
			t.Errorf("link of %s: %q", h.Name, got)
		}
	}
	if err := os.Mkdir(b.path("/sys/fs/cgroup/x"), 0o755); !errors.Is(err, unix.EROFS) {
		t.Errorf("the tmpfs is writable: %v", err)
	}
	if i := slices.IndexFunc(hs, func(h CgroupHierarchy) bool { return h.FSType == "cgroup2" }); i >= 0 {
		pure := hs[i]
		pure.Name = ""
		b.mt.View = &CgroupMount{Namespaced: namespaced, Hierarchies: []CgroupHierarchy{pure}}
		row := Mount{UnsafeDest: "/pure", Kind: KindCgroup}
		b.mt.Cgroups, err = OpenCgroupView(b.mt.View, []Mount{row})
		must(t, err)
		must(t, b.mount(row))
		must(t, os.Mkdir(b.path("/pure/sub"), 0o755))
		must(t, os.Remove(pure.Path+"/sub"))
	}
}
