package proc

// Rlimit is one resource limit; getrlimit(2).
type Rlimit struct {
	Resource int    `json:"resource"` // RLIMIT_*
	Soft     uint64 `json:"soft"`
	Hard     uint64 `json:"hard"`
}

// Scheduler is struct sched_attr without its size; sched_setattr(2).
type Scheduler struct {
	Policy   uint32 `json:"policy"`
	Flags    uint64 `json:"flags,omitempty"`
	Nice     int32  `json:"nice,omitempty"`
	Priority uint32 `json:"priority,omitempty"`
	Runtime  uint64 `json:"runtime,omitempty"` // ns
	Deadline uint64 `json:"deadline,omitempty"`
	Period   uint64 `json:"period,omitempty"`
}

// IOPriority is the argument of ioprio_set(2).
type IOPriority struct {
	Class int `json:"class"` // IOPRIO_CLASS_*
	Level int `json:"level"` // 0 (highest) … 7
}

// MemoryPolicy is the argument of set_mempolicy(2).
type MemoryPolicy struct {
	Mode  uint32   `json:"mode"`            // MPOL_*, or'ed with MPOL_F_* flags
	Nodes []uint64 `json:"nodes,omitempty"` // bit mask, 64 nodes a word
}

// CPUSet is a bit mask of processors, 64 a word; sched_setaffinity(2).
type CPUSet []uint64
