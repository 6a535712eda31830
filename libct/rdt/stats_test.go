package rdt

import (
	"errors"
	"io/fs"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/hako-runtime/hako/libct/cgroup/stats"
)

// monitoredFS is a machine with two caches that are monitored.
func monitoredFS(t *testing.T) FS {
	f := fakeFS(t)
	for name, text := range map[string]string{
		"info/L3/cbm_mask": "7ff", "info/L3/min_cbm_bits": "1", "info/L3/num_closids": "16",
		"info/MB/bandwidth_gran": "10", "info/MB/delay_linear": "1", "info/MB/min_bandwidth": "5", "info/MB/num_closids": "8",
		"c1/schemata": "    MB:0=20;1=70\n    L3:0=f;1=1f\n",
	} {
		write(t, filepath.Join(f.Dir, name), text+"\n")
	}
	for _, group := range []string{"", "c1", "c1/mon_groups/c1"} {
		monitor(t, filepath.Join(f.Dir, group), "mon_L3_00", map[string]string{"llc_occupancy": "1" + group[:min(1, len(group))], "mbm_total_bytes": "2", "mbm_local_bytes": "3"})
		monitor(t, filepath.Join(f.Dir, group), "mon_L3_01", map[string]string{"llc_occupancy": "4", "mbm_total_bytes": "5", "mbm_local_bytes": "Unavailable"})
	}
	monitor(t, filepath.Join(f.Dir, "c1"), "mon_L3_00", map[string]string{"llc_occupancy": "10", "mbm_total_bytes": "20", "mbm_local_bytes": "30"})
	monitor(t, filepath.Join(f.Dir, "c1/mon_groups/c1"), "mon_L3_00", map[string]string{"llc_occupancy": "100", "mbm_total_bytes": "200", "mbm_local_bytes": "300"})
	return f
}

func monitor(t *testing.T, group, cache string, files map[string]string) {
	for name, text := range files {
		write(t, filepath.Join(group, "mon_data", cache, name), text+"\n")
	}
}

func TestStats(t *testing.T) {
	f := monitoredFS(t)
	all := stats.IntelRDT{
		L3CacheInfo:       &stats.L3CacheInfo{CbmMask: "7ff", MinCbmBits: 1, NumClosIDs: 16},
		L3CacheSchemaRoot: "L3:0=7ff;1=7ff",
		L3CacheSchema:     "L3:0=f;1=1f",
		MemBwInfo:         &stats.MemBwInfo{BandwidthGran: 10, DelayLinear: 1, MinBandwidth: 5, NumClosIDs: 8},
		MemBwSchemaRoot:   "MB:0=100;1=100",
		MemBwSchema:       "MB:0=20;1=70",
	}
	for _, tt := range []struct {
		name  string
		group Group
		mbm   []stats.MBMNodeStats
		cmt   []stats.CMTNodeStats
	}{
		{
			"the container's own class", Group{ClosID: "c1", ID: "c1"},
			[]stats.MBMNodeStats{{TotalBytes: 20, LocalBytes: 30}, {TotalBytes: 5}},
			[]stats.CMTNodeStats{{LLCOccupancy: 10}, {LLCOccupancy: 4}},
		},
		{
			"a monitoring group", Group{ClosID: "c1", Explicit: true, ID: "c1", Monitoring: true},
			[]stats.MBMNodeStats{{TotalBytes: 200, LocalBytes: 300}, {TotalBytes: 5}},
			[]stats.CMTNodeStats{{LLCOccupancy: 100}, {LLCOccupancy: 4}},
		},
		{"a shared class", Group{ClosID: "c1", Explicit: true, ID: "c1"}, nil, nil},
	} {
		got, err := f.Stats(tt.group)
		if err != nil {
			t.Fatal(err)
		}
		want := all
		want.MBMStats, want.CMTStats = tt.mbm, tt.cmt
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", tt.name, got, want)
		}
	}
}

func TestStatsWithoutResctrl(t *testing.T) {
	f := FS{Dir: filepath.Join(t.TempDir(), "resctrl")}
	if _, err := f.Stats(Group{ClosID: "c1", ID: "c1"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestStatsWithCodeAndDataPrioritised(t *testing.T) {
	f := fakeFS(t)
	write(t, filepath.Join(f.Dir, "c1/schemata"), "L3DATA:0=f\nL3CODE:0=7\n")
	got, err := f.Stats(Group{ClosID: "c1", ID: "c1"})
	if err != nil || got.L3CacheSchema != "L3DATA:0=f\nL3CODE:0=7" || got.L3CacheInfo != nil {
		t.Errorf("%+v, %v", got, err)
	}
}
