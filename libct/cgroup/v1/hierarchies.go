package v1

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// Hierarchies lists what is mounted in the folders of base, by name.
//
// It asks the folders, not the mount table, which has a line for each mount
// of each container on the host: /proc/self/cgroup knows the controllers, and
// by convention a folder is called after them. Only a folder called otherwise
// is looked up in mountinfo.
func Hierarchies(base string) ([]tree.Hierarchy, error) {
	entries, err := os.ReadDir(base)
	if err != nil {
		return nil, err
	}
	known, err := knownOptions()
	if err != nil {
		return nil, err
	}
	var found []tree.Hierarchy
	links := map[string][]string{}
	for _, e := range entries {
		name := e.Name()
		if e.Type()&os.ModeSymlink != 0 {
			if target, err := os.Readlink(filepath.Join(base, name)); err == nil {
				links[filepath.Base(target)] = append(links[filepath.Base(target)], name)
			}
			continue
		}
		h, err := hierarchy(filepath.Join(base, name), known)
		if err != nil {
			return nil, err
		}
		if h != nil {
			found = append(found, *h)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: no cgroup hierarchy is mounted here: %w", base, errors.ErrUnsupported)
	}
	for i := range found {
		found[i].Links = links[found[i].Name]
	}
	return found, nil
}

// hierarchy describes dir, or returns nil if it is no cgroup file system.
func hierarchy(dir string, known map[string][]string) (*tree.Hierarchy, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return nil, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	h := &tree.Hierarchy{Name: filepath.Base(dir), Mountpoint: dir}
	switch fs.Type {
	case unix.CGROUP2_SUPER_MAGIC:
		h.FSType = "cgroup2"
		return h, nil
	case unix.CGROUP_SUPER_MAGIC:
		h.FSType = "cgroup"
	default:
		return nil, nil
	}
	var ok bool
	if h.Options, ok = known[sortedNames(h.Name)]; ok {
		return h, nil
	}
	var err error
	h.Options, err = mountedOptions(dir, known)
	return h, err
}

// knownOptions reads the hierarchies of /proc/self/cgroup: mount options by
// what the folder is usually called, its controllers in sorted order.
func knownOptions() (map[string][]string, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	known := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(line, ":", 3) // ID:CONTROLLERS:PATH; cgroups(7)
		if len(fields) != 3 || fields[1] == "" {
			continue
		}
		if name, ok := strings.CutPrefix(fields[1], "name="); ok {
			known[sortedNames(name)] = []string{"none", fields[1]}
			continue
		}
		known[sortedNames(fields[1])] = strings.Split(fields[1], ",")
	}
	return known, nil
}

func sortedNames(list string) string {
	if !strings.Contains(list, ",") {
		return list
	}
	names := strings.Split(list, ",")
	slices.Sort(names)
	return strings.Join(names, ",")
}

// mountedOptions reads them from the mount table.
func mountedOptions(dir string, known map[string][]string) ([]string, error) {
	mounts, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(dir))
	if err != nil || len(mounts) == 0 {
		return nil, errors.Join(err, fmt.Errorf("%s: not in /proc/self/mountinfo", dir))
	}
	var options []string
	for option := range strings.SplitSeq(mounts[0].VFSOptions, ",") {
		if _, name, ok := strings.Cut(option, "name="); ok {
			options = append(options, known[sortedNames(name)]...)
		} else if slices.ContainsFunc(allOptions(known), func(c string) bool { return c == option }) {
			options = append(options, option)
		}
	}
	return options, nil
}

func allOptions(known map[string][]string) []string {
	var all []string
	for _, options := range known {
		all = append(all, options...)
	}
	return all
}
