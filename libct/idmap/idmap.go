// Package idmap holds user and group id mappings and makes the user
// namespaces that carry them for id-mapped mounts.
//
// A leaf: it knows neither config.json nor mounts.
package idmap

// Map is one line of /proc/PID/uid_map or gid_map; user_namespaces(7).
type Map struct {
	ContainerID uint32 `json:"containerID"`
	HostID      uint32 `json:"hostID"`
	Size        uint32 `json:"size"`
}
