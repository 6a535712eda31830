package stats

import (
	"encoding/json"
	"testing"
)

// The texts are of runc 1.1.15 and, for psi and monitoring, as its later
// versions write them: what is 0 is left out in some places and not in others.
func TestJSONIsThatOfRunc(t *testing.T) {
	psi := &PSI{Some: Pressure{Avg10: 1.5, Total: 3}}
	for _, tt := range []struct {
		name  string
		event Event
		want  string
	}{
		{"oom", Event{Type: TypeOOM, ID: "a"}, `{"type":"oom","id":"a"}`},
		{
			"nothing", Event{Type: TypeStats, ID: "a", Data: &Stats{Hugetlb: map[string]Hugetlb{}}},
			`{"type":"stats","id":"a","data":{"cpu":{"usage":{"kernel":0,"user":0},"throttling":{}},` +
				`"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0},` +
				`"memory":{"usage":{"limit":0,"failcnt":0},"swap":{"limit":0,"failcnt":0},"kernel":{"limit":0,"failcnt":0},"kernelTCP":{"limit":0,"failcnt":0}},` +
				`"pids":{},"blkio":{},"hugetlb":{},"intel_rdt":{},"network_interfaces":null}}`,
		},
		{
			"everything", Event{Type: TypeStats, ID: "a", Data: &Stats{
				CPU: CPU{
					Usage:      CPUUsage{Total: 9, PerCPU: []uint64{4, 5}, PerCPUKernel: []uint64{1, 0}, PerCPUUser: []uint64{0, 1}, Kernel: 2, User: 3},
					Throttling: Throttling{Periods: 1, ThrottledPeriods: 2, ThrottledTime: 3}, PSI: psi,
				},
				CPUSet: CPUSet{CPUs: []uint16{0, 1}, CPUExclusive: 1, Mems: []uint16{0}, MemHardwall: 2, MemExclusive: 3, MemoryMigrate: 4, MemorySpreadPage: 5, MemorySpreadSlab: 6, MemoryPressure: 7, SchedLoadBalance: 8, SchedRelaxDomainLevel: -1},
				Memory: Memory{
					Cache: 1, Usage: MemoryEntry{Limit: 2, Usage: 3, Max: 4, Failcnt: 5}, Swap: MemoryEntry{Limit: 6},
					Kernel: MemoryEntry{Limit: 7}, KernelTCP: MemoryEntry{Limit: 8}, Raw: map[string]uint64{"anon": 0}, PSI: psi,
				},
				Pids: Pids{Current: 1, Limit: 2},
				BlockIO: BlockIO{
					IoServiceBytesRecursive: []BlockIOEntry{{Major: 8, Minor: 1, Op: "Read", Value: 2}}, IoServicedRecursive: []BlockIOEntry{{}},
					IoQueuedRecursive: []BlockIOEntry{{}}, IoServiceTimeRecursive: []BlockIOEntry{{}}, IoWaitTimeRecursive: []BlockIOEntry{{}},
					IoMergedRecursive: []BlockIOEntry{{}}, IoTimeRecursive: []BlockIOEntry{{}}, SectorsRecursive: []BlockIOEntry{{}}, PSI: psi,
				},
				Hugetlb: map[string]Hugetlb{"2MB": {Usage: 1, Max: 2, Failcnt: 3}},
				IntelRDT: IntelRDT{
					L3CacheInfo: &L3CacheInfo{CbmMask: "f", MinCbmBits: 1, NumClosIDs: 2}, L3CacheSchemaRoot: "L3:0=f", L3CacheSchema: "L3:0=1",
					MemBwInfo: &MemBwInfo{BandwidthGran: 1, DelayLinear: 2, MinBandwidth: 3, NumClosIDs: 4}, MemBwSchemaRoot: "MB:0=100", MemBwSchema: "MB:0=10",
					MBMStats: []MBMNodeStats{{TotalBytes: 1}}, CMTStats: []CMTNodeStats{{LLCOccupancy: 0}},
				},
			}},
			`{"type":"stats","id":"a","data":{"cpu":{"usage":{"total":9,"percpu":[4,5],"percpu_kernel":[1,0],"percpu_user":[0,1],"kernel":2,"user":3},` +
				`"throttling":{"periods":1,"throttledPeriods":2,"throttledTime":3},"psi":{"some":{"avg10":1.5,"avg60":0,"avg300":0,"total":3},"full":{"avg10":0,"avg60":0,"avg300":0,"total":0}}},` +
				`"cpuset":{"cpus":[0,1],"cpu_exclusive":1,"mems":[0],"mem_hardwall":2,"mem_exclusive":3,"memory_migrate":4,"memory_spread_page":5,"memory_spread_slab":6,"memory_pressure":7,"sched_load_balance":8,"sched_relax_domain_level":-1},` +
				`"memory":{"cache":1,"usage":{"limit":2,"usage":3,"max":4,"failcnt":5},"swap":{"limit":6,"failcnt":0},"kernel":{"limit":7,"failcnt":0},"kernelTCP":{"limit":8,"failcnt":0},"raw":{"anon":0},"psi":{"some":{"avg10":1.5,"avg60":0,"avg300":0,"total":3},"full":{"avg10":0,"avg60":0,"avg300":0,"total":0}}},` +
				`"pids":{"current":1,"limit":2},` +
				`"blkio":{"ioServiceBytesRecursive":[{"major":8,"minor":1,"op":"Read","value":2}],"ioServicedRecursive":[{}],"ioQueueRecursive":[{}],"ioServiceTimeRecursive":[{}],"ioWaitTimeRecursive":[{}],"ioMergedRecursive":[{}],"ioTimeRecursive":[{}],"sectorsRecursive":[{}],"psi":{"some":{"avg10":1.5,"avg60":0,"avg300":0,"total":3},"full":{"avg10":0,"avg60":0,"avg300":0,"total":0}}},` +
				`"hugetlb":{"2MB":{"usage":1,"max":2,"failcnt":3}},` +
				`"intel_rdt":{"l3_cache_info":{"cbm_mask":"f","min_cbm_bits":1,"num_closids":2},"l3_cache_schema_root":"L3:0=f","l3_cache_schema":"L3:0=1","mem_bw_info":{"bandwidth_gran":1,"delay_linear":2,"min_bandwidth":3,"num_closids":4},"mem_bw_schema_root":"MB:0=100","mem_bw_schema":"MB:0=10","mbm_stats":[{"mbm_total_bytes":1,"mbm_local_bytes":0}],"cmt_stats":[{"llc_occupancy":0}]},` +
				`"network_interfaces":null}}`,
		},
	} {
		got, err := json.Marshal(tt.event)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %v\n got %s\nwant %s", tt.name, err, got, tt.want)
		}
	}
}
