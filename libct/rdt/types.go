package rdt

// Group is a resctrl class of service;
// runtime-spec config-linux.md#intelrdt, Documentation/filesystems/resctrl.rst.
type Group struct {
	ClosID     string   `json:"closID"`             // folder below /sys/fs/resctrl; plan fills in the container's id
	Explicit   bool     `json:"explicit,omitempty"` // closID was given: the folder is shared and never removed
	Schemata   []string `json:"schemata,omitempty"` // whole lines
	Monitoring bool     `json:"monitoring,omitempty"`
	ID         string   `json:"id"` // container id, names the monitoring group
}
