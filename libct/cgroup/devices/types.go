package devices

// Rule allows or denies access to device nodes;
// runtime-spec config-linux.md#allowed-device-list.
type Rule struct {
	Allow bool  `json:"allow"`
	Type  byte  `json:"type"`  // 'c', 'b' or 'a' (both)
	Major int64 `json:"major"` // -1: any
	Minor int64 `json:"minor"` // -1: any
	Read  bool  `json:"read,omitempty"`
	Write bool  `json:"write,omitempty"`
	Mknod bool  `json:"mknod,omitempty"`
}
