// Package host probes what this machine and the calling process offer.
//
// A leaf. It reads /proc and /sys and asks the kernel; it changes nothing.
package host

// Facts is what plan needs to know of the host. Plain data, so that tests
// can describe any machine.
type Facts struct {
	EUID          int        `json:"euid"`
	EGID          int        `json:"egid"`
	UserNamespace bool       `json:"userNamespace"` // hako itself runs in a user namespace that is not the first
	OwnInit       bool       `json:"ownInit"`       // hako is root of the user namespace that pid 1 is in: the machine's manager takes orders
	Cgroup        CgroupMode `json:"cgroup"`
	LastCap       int        `json:"lastCap"`  // highest capability the kernel knows
	Bounding      uint64     `json:"bounding"` // hako's own bounding set
	AppArmor      bool       `json:"appArmor"` // enabled in the running kernel
	SELinux       bool       `json:"selinux"`
	// SetgroupsDenied: hako's own user namespace denies setgroups(2), which
	// the namespaces below inherit; user_namespaces(7).
	SetgroupsDenied bool `json:"setgroupsDenied,omitempty"`

	// CgroupDenied: hako may not make cgroups at the roots of the hierarchies.
	// CgroupParent is the cgroup2 directory below the root where it may
	// nevertheless; "" if nothing has been delegated to it. See [Facts.ProbeDelegation].
	CgroupDenied bool   `json:"cgroupDenied,omitempty"`
	CgroupParent string `json:"cgroupParent,omitempty"`
}

// CgroupMode is how the control group hierarchies are mounted; cgroups(7).
type CgroupMode string

// The layouts of /sys/fs/cgroup.
const (
	CgroupNone   CgroupMode = "" // not mounted
	CgroupV1     CgroupMode = "v1"
	CgroupHybrid CgroupMode = "hybrid" // v1 controllers and an empty cgroup2 at …/unified
	CgroupV2     CgroupMode = "v2"
)
