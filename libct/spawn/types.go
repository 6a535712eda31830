package spawn

import "github.com/hako-runtime/hako/libct/idmap"

// Namespaces says which namespaces the new process is born into.
// A flag is in New or in Join, never in both.
type Namespaces struct {
	New         uint64       `json:"new,omitempty"` // CLONE_NEW* flags to create
	Join        []Join       `json:"join,omitempty"`
	UIDMap      []idmap.Map  `json:"uidMap,omitempty"` // of a new user namespace
	GIDMap      []idmap.Map  `json:"gidMap,omitempty"`
	TimeOffsets []TimeOffset `json:"timeOffsets,omitempty"` // of a new time namespace
}

// Join names one existing namespace by its path on the host.
type Join struct {
	Flag uint64 `json:"flag"` // one CLONE_NEW* flag
	Path string `json:"path"`
}

// TimeOffset is one line of /proc/PID/timens_offsets; time_namespaces(7).
type TimeOffset struct {
	Clock string `json:"clock"` // "monotonic" or "boottime"
	Secs  int64  `json:"secs"`
	Nanos uint32 `json:"nanos"`
}

// Has reports whether the process is in a namespace of its own of the type of
// flag, new or joined.
func (n *Namespaces) Has(flag uint64) bool {
	for _, j := range n.Join {
		if j.Flag == flag {
			return true
		}
	}
	return n.New&flag != 0
}
