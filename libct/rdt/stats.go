package rdt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct/cgroup/stats"
)

// Stats reads what resctrl tells of the group: schemata always, cache use and
// memory bandwidth if the container has a group for itself. What the machine
// does not have is left out.
func (fs FS) Stats(g Group) (stats.IntelRDT, error) {
	var s stats.IntelRDT
	if err := g.validate(); err != nil {
		return s, err
	}
	if err := fs.Available(); err != nil {
		return s, err
	}
	r := reader{}
	if mask := r.text(fs.dir(), "info/L3/cbm_mask"); mask != "" {
		s.L3CacheInfo = &stats.L3CacheInfo{
			CbmMask:    mask,
			MinCbmBits: r.number(fs.dir(), "info/L3/min_cbm_bits"),
			NumClosIDs: r.number(fs.dir(), "info/L3/num_closids"),
		}
	}
	if gran := r.text(fs.dir(), "info/MB/bandwidth_gran"); gran != "" {
		s.MemBwInfo = &stats.MemBwInfo{
			BandwidthGran: r.number(fs.dir(), "info/MB/bandwidth_gran"),
			DelayLinear:   r.number(fs.dir(), "info/MB/delay_linear"),
			MinBandwidth:  r.number(fs.dir(), "info/MB/min_bandwidth"),
			NumClosIDs:    r.number(fs.dir(), "info/MB/num_closids"),
		}
	}
	s.L3CacheSchemaRoot, s.MemBwSchemaRoot = r.schemata(fs.dir())
	s.L3CacheSchema, s.MemBwSchema = r.schemata(fs.class(g))
	if folder := fs.monitored(g); folder != "" {
		r.monitoring(folder, &s)
	}
	return s, r.err
}

// monitored is the folder whose figures are the container's alone; "" if it
// shares a class and has no monitoring group.
func (fs FS) monitored(g Group) string {
	switch {
	case g.Monitoring:
		return fs.monitor(g)
	case !g.Explicit:
		return fs.class(g)
	}
	return ""
}

// reader keeps the first error. A file that is not there is empty.
type reader struct {
	err error
}

func (r *reader) text(dir, name string) string {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && r.err == nil {
		r.err = err
	}
	return strings.TrimSpace(string(data))
}

func (r *reader) number(dir, name string) uint64 {
	text := r.text(dir, name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("%s: %w", filepath.Join(dir, name), err)
	}
	return n
}

// schemata finds the lines of cache and bandwidth. With code and data
// prioritisation there are two of the cache, L3CODE and L3DATA: both are told.
func (r *reader) schemata(dir string) (cache, bandwidth string) {
	for line := range strings.Lines(r.text(dir, "schemata")) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "L3") && cache != "":
			cache += "\n" + line
		case strings.HasPrefix(line, "L3"):
			cache = line
		case strings.HasPrefix(line, "MB:"):
			bandwidth = line
		}
	}
	return cache, bandwidth
}

// monitoring reads mon_data: a folder mon_L3_NN for each cache.
func (r *reader) monitoring(dir string, s *stats.IntelRDT) {
	caches, err := filepath.Glob(filepath.Join(dir, "mon_data", "mon_L3_*"))
	if err != nil && r.err == nil {
		r.err = err // of the pattern
	}
	slices.Sort(caches)
	for _, cache := range caches {
		if exists(cache, "mbm_total_bytes") || exists(cache, "mbm_local_bytes") {
			s.MBMStats = append(s.MBMStats, stats.MBMNodeStats{
				TotalBytes: r.counter(cache, "mbm_total_bytes"),
				LocalBytes: r.counter(cache, "mbm_local_bytes"),
			})
		}
		if exists(cache, "llc_occupancy") {
			s.CMTStats = append(s.CMTStats, stats.CMTNodeStats{LLCOccupancy: r.counter(cache, "llc_occupancy")})
		}
	}
}

// counter is 0 while the hardware has nothing to say: "Unavailable", "Error"
// and "Unassigned" are the kernel's words.
func (r *reader) counter(dir, name string) uint64 {
	text := r.text(dir, name)
	if text == "Unavailable" || text == "Error" || text == "Unassigned" {
		return 0
	}
	return r.number(dir, name)
}

func exists(dir, name string) bool {
	_, err := os.Stat(filepath.Join(dir, name))
	return err == nil
}
