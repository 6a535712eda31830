package cgroup

import (
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/hako-runtime/hako/libct/cgroup/v1"
	"github.com/hako-runtime/hako/libct/host"
)

// Own lists the mounted hierarchies, and by their names the directories of the
// calling process's cgroup; the root of what is mounted, where that cgroup is
// not to be seen. proc_pid_cgroup(5).
func Own(mode host.CgroupMode) (hierarchies []Hierarchy, paths map[string]string, err error) {
	switch mode {
	case host.CgroupV2:
		hierarchies = (*pure)(nil).Hierarchies()
	case host.CgroupV1, host.CgroupHybrid:
		if hierarchies, err = v1.Hierarchies(base); err != nil {
			return nil, nil, err
		}
	}
	table, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, nil, err
	}
	paths = make(map[string]string, len(hierarchies))
	for _, h := range hierarchies {
		paths[h.Name] = h.Mountpoint
		dir := filepath.Join(h.Mountpoint, ownPath(string(table), controllers(h)))
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			paths[h.Name] = dir
		}
	}
	return hierarchies, paths, nil
}

// controllers is the second field of the table for h.
func controllers(h Hierarchy) string {
	if h.FSType == "cgroup2" {
		return ""
	}
	return strings.TrimPrefix(strings.Join(h.Options, ","), "none,")
}

// ownPath is "/" if the table does not say, or leads out of our namespace.
func ownPath(table, controllers string) string {
	for line := range strings.Lines(table) {
		_, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		if list, own, ok := strings.Cut(rest, ":"); ok && list == controllers {
			return path.Clean("/" + own)
		}
	}
	return "/"
}
