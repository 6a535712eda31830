package v1

import (
	"fmt"
	"strings"

	"github.com/hako-runtime/hako/libct/cgroup/stats"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// Stats fills in what the mounted controllers tell, and leaves the rest alone.
func (g *Group) Stats(s *stats.Stats) error {
	for _, one := range [...]struct {
		controller string
		read       func(*tree.Reader, *stats.Stats)
	}{
		{"cpu", cpuStats},
		{"cpuacct", cpuacctStats},
		{"cpuset", cpusetStats},
		{"memory", memoryStats},
		{"pids", pidsStats},
		{"blkio", blkioStats},
		{"hugetlb", hugetlbStats},
	} {
		dir := g.With(one.controller)
		if dir == "" {
			continue
		}
		r := &tree.Reader{Dir: dir}
		one.read(r, s)
		if r.Err != nil {
			return r.Err
		}
	}
	return nil
}

// lines are those of a file; none if it is not there.
func lines(r *tree.Reader, name string) []string {
	text := r.Text(name)
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// fail keeps the first error in r.
func fail(r *tree.Reader, name string, err error) {
	if err != nil && r.Err == nil {
		r.Err = fmt.Errorf("%s/%s: %w", r.Dir, name, err)
	}
}
