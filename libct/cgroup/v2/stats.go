package v2

import (
	"github.com/hako-runtime/hako/libct/cgroup/stats"
	"github.com/hako-runtime/hako/libct/cgroup/tree"
)

// Stats fills in what the directory has files for. Those of a controller are
// there if it is enabled; cpu.stat and *.pressure are in every cgroup.
func (g *Group) Stats(s *stats.Stats) error {
	r := &tree.Reader{Dir: g.dir}
	for _, read := range [...]func(*tree.Reader, *stats.Stats){
		cpuStats, cpusetStats, memoryStats, pidsStats, ioStats, hugetlbStats,
	} {
		read(r, s)
	}
	return r.Err
}
