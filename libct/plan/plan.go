// Package plan turns config.json and the facts of a host into what the kernel
// will be told. It is the only interpreter of the runtime specification: what
// is behind it works on kernel terms, and what it lets pass is meant to work.
//
// It runs on the host and, but for [ReadConfig] and [ReadProcess], does no
// I/O. validate.go is its table of contents: one row for each part of the
// specification, which refuses what is wrong and fills in its part of the
// [Plan]. All violations of a config are reported at once.
package plan

import (
	"github.com/hako-runtime/hako/libct/caps"
	"github.com/hako-runtime/hako/libct/cgroup"
	"github.com/hako-runtime/hako/libct/hooks"
	"github.com/hako-runtime/hako/libct/lsm"
	"github.com/hako-runtime/hako/libct/netdev"
	"github.com/hako-runtime/hako/libct/proc"
	"github.com/hako-runtime/hako/libct/rdt"
	"github.com/hako-runtime/hako/libct/rootfs"
	"github.com/hako-runtime/hako/libct/seccomp"
	"github.com/hako-runtime/hako/libct/spawn"
)

// Plan is what the kernel will be told for one container. It is sent to the
// init stage, saved in the state folder, and read by all later commands.
//
//easyjson:json
type Plan struct {
	ID           string            `json:"id"`
	OCIVersion   string            `json:"ociVersion"`
	Bundle       string            `json:"bundle"` // absolute host path
	Annotations  map[string]string `json:"annotations,omitempty"`
	Namespaces   spawn.Namespaces  `json:"namespaces"`
	Cgroup       cgroup.Spec       `json:"cgroup"`
	RDT          *rdt.Group        `json:"rdt,omitempty"`
	NetDevices   []netdev.Device   `json:"netDevices,omitempty"`
	Hooks        hooks.Set         `json:"hooks"`
	SeccompAgent *SeccompAgent     `json:"seccompAgent,omitempty"` // nil: no call is decided by a listener
	Setup        *Setup            `json:"setup,omitempty"`        // nil when executing in a running container
	Process      Process           `json:"process"`
}

// Setup is what the init stage does once, before the process can be started.
type Setup struct {
	Root       rootfs.Root         `json:"root"`
	Mounts     []rootfs.Mount      `json:"mounts,omitempty"`
	CgroupView *rootfs.CgroupMount `json:"cgroupView,omitempty"` // filled in by the host when a KindCgroup mount asks for it
	Devices    []rootfs.Device     `json:"devices,omitempty"`    // default ones first
	HostDev    bool                `json:"hostDev,omitempty"`    // /dev is a bind mount: it comes with its nodes and links, make none
	Restrict   rootfs.Restrict     `json:"restrict"`
	Sysctls    []Sysctl            `json:"sysctls,omitempty"` // sorted by name
	Hostname   string              `json:"hostname,omitempty"`
	Domainname string              `json:"domainname,omitempty"`
	Loopback   bool                `json:"loopback,omitempty"` // the network namespace is new: bring lo up
	NewKeyring bool                `json:"newKeyring,omitempty"`
}

// Sysctl is one line of /proc/sys; File is the name with slashes.
type Sysctl struct {
	Name  string `json:"name"` // as in config.json, for messages
	File  string `json:"file"` // "net/ipv4/ip_forward"
	Value string `json:"value"`
}

// Process is the program and everything it inherits from nobody but the config.
type Process struct {
	Args            []string           `json:"args"`
	Env             []string           `json:"env"` // without duplicates; HOME may be missing, then init looks it up
	Cwd             string             `json:"cwd"`
	UID             uint32             `json:"uid"`
	GID             uint32             `json:"gid"`
	AdditionalGIDs  []uint32           `json:"additionalGids,omitempty"`
	KeepGroups      bool               `json:"keepGroups,omitempty"` // setgroups is denied in this user namespace
	Umask           uint32             `json:"umask"`
	Caps            caps.Sets          `json:"caps"`
	Rlimits         []proc.Rlimit      `json:"rlimits,omitempty"`
	NoNewPrivileges bool               `json:"noNewPrivileges,omitempty"`
	OOMScoreAdj     *int               `json:"oomScoreAdj,omitempty"`
	Scheduler       *proc.Scheduler    `json:"scheduler,omitempty"`
	IOPriority      *proc.IOPriority   `json:"ioPriority,omitempty"`
	MemoryPolicy    *proc.MemoryPolicy `json:"memoryPolicy,omitempty"`
	Personality     *uint32            `json:"personality,omitempty"`     // argument of personality(2)
	AffinityInitial proc.CPUSet        `json:"affinityInitial,omitempty"` // exec only: before the cgroup is joined
	AffinityFinal   proc.CPUSet        `json:"affinityFinal,omitempty"`   // exec only: when in the cgroup
	Labels          lsm.Labels         `json:"labels"`
	Seccomp         *seccomp.Filter    `json:"seccomp,omitempty"`
	Terminal        bool               `json:"terminal,omitempty"`
	ConsoleRows     uint16             `json:"consoleRows,omitempty"`
	ConsoleCols     uint16             `json:"consoleCols,omitempty"`
	PreserveFDs     int                `json:"preserveFDs,omitempty"` // descriptors 3 … 3+n-1 reach the process
	ListenFDs       int                `json:"listenFDs,omitempty"`   // of these, the first n by systemd's protocol
}
