package plan

import (
	"encoding/json"

	"github.com/hako-runtime/hako/libct/rootfs"
	"github.com/hako-runtime/hako/libct/timeline"
)

// Boot is what the host sends to the init stage, once, with descriptors.
//
//easyjson:json
type Boot struct {
	Plan *Plan `json:"plan"`
	// Files says what the descriptors are, in their order.
	Files []File `json:"files,omitempty"`
	// State is the state JSON for the hooks that init runs, complete but for
	// status and pid.
	State json.RawMessage `json:"state,omitempty"`
	// Foreground: hako copies the terminal to the user's, which adds the
	// carriage returns itself.
	Foreground bool `json:"foreground,omitempty"`
	Keyring    bool `json:"keyring,omitempty"` // join the container's session keyring
	Record     bool `json:"record,omitempty"`  // record a timeline
	Late       bool `json:"late,omitempty"`    // wait to be put into the cgroup, immediately before execve
	// What the host has not the privileges for, and init does in the
	// container's user namespace.
	OpenSources bool `json:"openSources,omitempty"` // open the sources of mounts
	AdjustOOM   bool `json:"adjustOOM,omitempty"`   // set the oom score
}

// File is the part that one descriptor plays.
type File struct {
	Role  Role `json:"role"`
	Index int  `json:"index,omitempty"` // place in Setup.Mounts or Setup.Devices
}

// Role is what a descriptor is for.
type Role string

// The roles.
const (
	FileRoot         = Role(rootfs.SourceRoot)   // the root file system, a detached mount
	FileMount        = Role(rootfs.SourceMount)  // the source of Setup.Mounts[Index], a detached mount
	FileDevice       = Role(rootfs.SourceDevice) // the node of Setup.Devices[Index], a detached mount
	FileConsole Role = "console"                 // a socket that wants the terminal
	FileStart   Role = "start"                   // the read end of the start FIFO
	FileResult  Role = "result"                  // the write end of the result FIFO
	FileNull         = Role(rootfs.SourceNull)   // the host's /dev/null, a detached mount, for masks
	FileCgroup       = Role(rootfs.SourceCgroup) // number Index of rootfs.OpenCgroupView, a detached mount
)

// Listener is the payload of wire.Seccomp.
//
//easyjson:json
type Listener struct {
	FD int `json:"fd"` // in init
}

// Report is what init tells besides success or failure.
//
//easyjson:json
type Report struct {
	Warnings []string        `json:"warnings,omitempty"`
	Spans    []timeline.Span `json:"spans,omitempty"`
}
