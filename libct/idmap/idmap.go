// Package idmap holds user and group id mappings and makes the user
// namespaces that carry them for id-mapped mounts.
//
// A leaf: it knows neither config.json nor mounts.
package idmap

import "strconv"

// Map is one line of /proc/PID/uid_map or gid_map; user_namespaces(7).
type Map struct {
	ContainerID uint32 `json:"containerID"`
	HostID      uint32 `json:"hostID"`
	Size        uint32 `json:"size"`
}

// Format returns the text to write to /proc/PID/uid_map or gid_map.
func Format(maps []Map) []byte {
	buf := make([]byte, 0, 24*len(maps))
	for _, m := range maps {
		buf = strconv.AppendUint(buf, uint64(m.ContainerID), 10)
		buf = append(buf, ' ')
		buf = strconv.AppendUint(buf, uint64(m.HostID), 10)
		buf = append(buf, ' ')
		buf = strconv.AppendUint(buf, uint64(m.Size), 10)
		buf = append(buf, '\n')
	}
	return buf
}

// HostID returns the host's id of containerID; false if it is not mapped.
func HostID(maps []Map, containerID uint32) (uint32, bool) {
	for _, m := range maps {
		if containerID >= m.ContainerID && containerID-m.ContainerID < m.Size {
			return add(m.HostID, containerID-m.ContainerID)
		}
	}
	return 0, false
}

// ContainerID returns the container's id of hostID; false if it is not mapped.
func ContainerID(maps []Map, hostID uint32) (uint32, bool) {
	for _, m := range maps {
		if hostID >= m.HostID && hostID-m.HostID < m.Size {
			return add(m.ContainerID, hostID-m.HostID)
		}
	}
	return 0, false
}

// add refuses ids beyond 32 bits, which a map that was never checked can name.
func add(base, offset uint32) (uint32, bool) {
	sum := base + offset
	return sum, sum >= base
}

// IsOnly reports whether maps maps hostID, that of the caller, and nothing
// else: what may be written without privileges; user_namespaces(7).
func IsOnly(maps []Map, hostID uint32) bool {
	return len(maps) == 1 && maps[0].HostID == hostID && maps[0].Size == 1
}
