// Package stats is what hako events prints: types whose JSON is that of
// `runc events`, which engines read. Nothing here reads a kernel file; the
// cgroup drivers and package rdt fill the types in.
//
// Times are in nanoseconds, sizes in bytes. A limit that is not set is the
// largest number that the file of the kernel can hold.
package stats

// Event is one line.
type Event struct {
	Type string `json:"type"` // [TypeStats] or [TypeOOM]
	ID   string `json:"id"`
	Data *Stats `json:"data,omitempty"`
}

// The types of events.
const (
	TypeStats = "stats"
	TypeOOM   = "oom" // a process of the container was, or is to be, killed for lack of memory
)

// Stats are the figures of one container.
type Stats struct {
	CPU               CPU                `json:"cpu"`
	CPUSet            CPUSet             `json:"cpuset"`
	Memory            Memory             `json:"memory"`
	Pids              Pids               `json:"pids"`
	BlockIO           BlockIO            `json:"blkio"`
	Hugetlb           map[string]Hugetlb `json:"hugetlb"` // by page size: "2MB"; never nil
	IntelRDT          IntelRDT           `json:"intel_rdt"`
	NetworkInterfaces []struct{}         `json:"network_interfaces"` // runc: always null here
}

// CPU is processor time.
type CPU struct {
	Usage      CPUUsage   `json:"usage"`
	Throttling Throttling `json:"throttling"`
	PSI        *PSI       `json:"psi,omitempty"`
}

// CPUUsage is in nanoseconds. The lists have an entry for each possible
// processor; cgroup v2 does not keep them.
type CPUUsage struct {
	Total        uint64   `json:"total,omitempty"`
	PerCPU       []uint64 `json:"percpu,omitempty"`
	PerCPUKernel []uint64 `json:"percpu_kernel,omitempty"`
	PerCPUUser   []uint64 `json:"percpu_user,omitempty"`
	Kernel       uint64   `json:"kernel"`
	User         uint64   `json:"user"`
}

// Throttling tells how often a quota held the container back.
type Throttling struct {
	Periods          uint64 `json:"periods,omitempty"`
	ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
	ThrottledTime    uint64 `json:"throttledTime,omitempty"` // ns
}

// PSI is pressure stall information; Documentation/accounting/psi.rst.
type PSI struct {
	Some Pressure `json:"some"`
	Full Pressure `json:"full"`
}

// Pressure is a share of time in percent, and the total in microseconds.
type Pressure struct {
	Avg10  float64 `json:"avg10"`
	Avg60  float64 `json:"avg60"`
	Avg300 float64 `json:"avg300"`
	Total  uint64  `json:"total"`
}

// CPUSet tells where the container may run; cpuset(7). The flags are v1's.
type CPUSet struct {
	CPUs                  []uint16 `json:"cpus,omitempty"`
	CPUExclusive          uint64   `json:"cpu_exclusive"`
	Mems                  []uint16 `json:"mems,omitempty"`
	MemHardwall           uint64   `json:"mem_hardwall"`
	MemExclusive          uint64   `json:"mem_exclusive"`
	MemoryMigrate         uint64   `json:"memory_migrate"`
	MemorySpreadPage      uint64   `json:"memory_spread_page"`
	MemorySpreadSlab      uint64   `json:"memory_spread_slab"`
	MemoryPressure        uint64   `json:"memory_pressure"`
	SchedLoadBalance      uint64   `json:"sched_load_balance"`
	SchedRelaxDomainLevel int64    `json:"sched_relax_domain_level"`
}

// Memory is what the container has charged. Swap is memory and swap together,
// as v1 counts it.
type Memory struct {
	Cache     uint64            `json:"cache,omitempty"`
	Usage     MemoryEntry       `json:"usage"`
	Swap      MemoryEntry       `json:"swap"`
	Kernel    MemoryEntry       `json:"kernel"`
	KernelTCP MemoryEntry       `json:"kernelTCP"`
	Raw       map[string]uint64 `json:"raw,omitempty"` // memory.stat
	PSI       *PSI              `json:"psi,omitempty"`
}

// MemoryEntry is one kind of memory.
type MemoryEntry struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"` // highest usage so far
	Failcnt uint64 `json:"failcnt"`       // how often the limit was met
}

// Pids counts tasks, threads included. No limit is 0.
type Pids struct {
	Current uint64 `json:"current,omitempty"`
	Limit   uint64 `json:"limit,omitempty"`
}

// BlockIO is by device, sub-cgroups included.
type BlockIO struct {
	IoServiceBytesRecursive []BlockIOEntry `json:"ioServiceBytesRecursive,omitempty"`
	IoServicedRecursive     []BlockIOEntry `json:"ioServicedRecursive,omitempty"`
	IoQueuedRecursive       []BlockIOEntry `json:"ioQueueRecursive,omitempty"` // the key is runc's
	IoServiceTimeRecursive  []BlockIOEntry `json:"ioServiceTimeRecursive,omitempty"`
	IoWaitTimeRecursive     []BlockIOEntry `json:"ioWaitTimeRecursive,omitempty"`
	IoMergedRecursive       []BlockIOEntry `json:"ioMergedRecursive,omitempty"`
	IoTimeRecursive         []BlockIOEntry `json:"ioTimeRecursive,omitempty"`
	SectorsRecursive        []BlockIOEntry `json:"sectorsRecursive,omitempty"`
	PSI                     *PSI           `json:"psi,omitempty"`
}

// BlockIOEntry is one figure of one device. Op is Read, Write, Sync, Async,
// Discard or Total; "" where the kernel does not tell them apart.
type BlockIOEntry struct {
	Major uint64 `json:"major,omitempty"`
	Minor uint64 `json:"minor,omitempty"`
	Op    string `json:"op,omitempty"`
	Value uint64 `json:"value,omitempty"`
}

// Hugetlb is one size of huge pages.
type Hugetlb struct {
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

// IntelRDT is what resctrl has to say; Documentation/filesystems/resctrl.rst.
// A schema is the line of the file schemata, "L3:0=fff;1=fff".
type IntelRDT struct {
	L3CacheInfo       *L3CacheInfo   `json:"l3_cache_info,omitempty"`
	L3CacheSchemaRoot string         `json:"l3_cache_schema_root,omitempty"`
	L3CacheSchema     string         `json:"l3_cache_schema,omitempty"`
	MemBwInfo         *MemBwInfo     `json:"mem_bw_info,omitempty"`
	MemBwSchemaRoot   string         `json:"mem_bw_schema_root,omitempty"`
	MemBwSchema       string         `json:"mem_bw_schema,omitempty"`
	MBMStats          []MBMNodeStats `json:"mbm_stats,omitempty"` // by cache, ascending
	CMTStats          []CMTNodeStats `json:"cmt_stats,omitempty"`
}

// L3CacheInfo is info/L3.
type L3CacheInfo struct {
	CbmMask    string `json:"cbm_mask,omitempty"`
	MinCbmBits uint64 `json:"min_cbm_bits,omitempty"`
	NumClosIDs uint64 `json:"num_closids,omitempty"`
}

// MemBwInfo is info/MB.
type MemBwInfo struct {
	BandwidthGran uint64 `json:"bandwidth_gran,omitempty"`
	DelayLinear   uint64 `json:"delay_linear,omitempty"`
	MinBandwidth  uint64 `json:"min_bandwidth,omitempty"`
	NumClosIDs    uint64 `json:"num_closids,omitempty"`
}

// MBMNodeStats is memory bandwidth monitoring: bytes so far.
type MBMNodeStats struct {
	TotalBytes uint64 `json:"mbm_total_bytes"`
	LocalBytes uint64 `json:"mbm_local_bytes"`
}

// CMTNodeStats is cache monitoring: bytes now.
type CMTNodeStats struct {
	LLCOccupancy uint64 `json:"llc_occupancy"`
}
