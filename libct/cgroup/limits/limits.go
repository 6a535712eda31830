// Package limits holds what a container may use, in kernel terms, and the
// conversions between the scales of cgroup v1 and v2.
//
// A leaf: plan composes [Limits] from linux.resources and has refused what is
// out of range or what the host's cgroup version cannot express; the drivers
// (v1, v2, systemd) turn them into control files and unit properties. Scales
// are those of cgroup v1, as in the runtime specification. It knows no file.
package limits

// Limits are what a container may use. What is nil or empty is not said: a new
// cgroup keeps the kernel's default, an update leaves it alone.
type Limits struct {
	Memory  *Memory      `json:"memory,omitempty"`
	CPU     *CPU         `json:"cpu,omitempty"`
	CPUSet  *CPUSet      `json:"cpuset,omitempty"`
	Tasks   *int64       `json:"tasks,omitempty"` // pids.limit; [Unlimited], or 0 and above
	BlockIO *BlockIO     `json:"blockIO,omitempty"`
	HugeTLB []HugeTLB    `json:"hugetlb,omitempty"`
	Network *Network     `json:"network,omitempty"` // v1 only
	RDMA    []RDMA       `json:"rdma,omitempty"`    // sorted by device
	Unified []UnifiedKey `json:"unified,omitempty"` // in the order in which they are written, after all else; v2 only
}

// Unlimited lifts a limit.
const Unlimited = -1

// Memory limits memory. Sizes are above 0, or [Unlimited].
type Memory struct {
	LimitBytes       *int64  `json:"limitBytes,omitempty"`
	TotalBytes       *int64  `json:"totalBytes,omitempty"` // memory and swap together, not below LimitBytes
	ReservationBytes *int64  `json:"reservationBytes,omitempty"`
	KernelBytes      *int64  `json:"kernelBytes,omitempty"`      // v1 only
	KernelTCPBytes   *int64  `json:"kernelTCPBytes,omitempty"`   // v1 only
	Swappiness       *uint64 `json:"swappiness,omitempty"`       // 0 … 100; v1 only
	DisableOOMKiller *bool   `json:"disableOOMKiller,omitempty"` // true is v1 only

	// CheckUsage refuses a LimitBytes below what is in use, which the kernel
	// does by itself on v1; on v2 it would end processes instead.
	CheckUsage bool `json:"checkUsage,omitempty"`
}

// CPU limits time of processors.
type CPU struct {
	Shares            *uint64 `json:"shares,omitempty"`            // [MinShares] … [MaxShares]; see [Weight]
	QuotaUS           *int64  `json:"quotaUS,omitempty"`           // in each period, above 0, or [Unlimited]
	PeriodUS          *uint64 `json:"periodUS,omitempty"`          // above 0
	BurstUS           *uint64 `json:"burstUS,omitempty"`           // 0: none
	RealtimeRuntimeUS *int64  `json:"realtimeRuntimeUS,omitempty"` // v1 only
	RealtimePeriodUS  *uint64 `json:"realtimePeriodUS,omitempty"`  // v1 only
	Idle              *bool   `json:"idle,omitempty"`              // SCHED_IDLE for the whole cgroup
}

// CPUSet says where processes may run and get memory, in the kernel's list
// format ("0-3,7"); cpuset(7). Empty: not said.
type CPUSet struct {
	CPUs string `json:"cpus,omitempty"`
	Mems string `json:"mems,omitempty"`
}

// BlockIO limits the use of block devices.
type BlockIO struct {
	Weight  *uint16        `json:"weight,omitempty"`  // [MinIOWeight] … [MaxIOWeight]; see [IOWeight]
	Weights []DeviceWeight `json:"weights,omitempty"` // by device
	Rates   []DeviceRate   `json:"rates,omitempty"`   // by device
}

// DeviceWeight overrides [BlockIO.Weight] for one device.
type DeviceWeight struct {
	Major  int64   `json:"major"`
	Minor  int64   `json:"minor"`
	Weight *uint16 `json:"weight,omitempty"` // 0 lifts it
}

// DeviceRate limits what can be read from and written to one device in a
// second. 0 lifts a limit.
type DeviceRate struct {
	Major     int64   `json:"major"`
	Minor     int64   `json:"minor"`
	ReadBPS   *uint64 `json:"readBPS,omitempty"`   // bytes
	WriteBPS  *uint64 `json:"writeBPS,omitempty"`  // bytes
	ReadIOPS  *uint64 `json:"readIOPS,omitempty"`  // operations
	WriteIOPS *uint64 `json:"writeIOPS,omitempty"` // operations
}

// HugeTLB limits huge pages of one size: reservations, where the kernel counts
// them (Linux 5.7), and use.
type HugeTLB struct {
	PageSize   string `json:"pageSize"` // as in the names of control files: "2MB", "1GB"
	LimitBytes uint64 `json:"limitBytes"`
}

// Network marks the packets that the container sends. v1 only.
type Network struct {
	ClassID    *uint32    `json:"classID,omitempty"`
	Priorities []Priority `json:"priorities,omitempty"`
}

// Priority is that of packets sent through one interface.
type Priority struct {
	Interface string `json:"interface"`
	Priority  uint32 `json:"priority"`
}

// RDMA limits what is used of one device.
type RDMA struct {
	Device     string  `json:"device"`
	HCAHandles *uint32 `json:"hcaHandles,omitempty"`
	HCAObjects *uint32 `json:"hcaObjects,omitempty"`
}

// UnifiedKey is one control file of cgroup v2 and what is written to it, one
// write(2) for each line.
type UnifiedKey struct {
	File  string `json:"file"` // "memory.high": no path, and no core file that the runtime depends on
	Value string `json:"value"`
}
