// Package seccomp turns a profile into the classic BPF program that the kernel
// runs before each system call, and installs it. There is no C library behind
// it: what libseccomp decides about a call, the program decides too; where it
// does not, compile_test.go names the difference.
//
// Compiling runs on the host, installing in the container. The package knows
// the kernel's terms and the names of architectures and calls; what a
// config.json may say is plan's business.
package seccomp

// Action is the verdict on a call: one of SECCOMP_RET_*, with 16 bits of data.
// seccomp(2).
type Action uint32

// The actions. Errno and trace carry a number, [Action.With].
const (
	KillProcess Action = 0x80000000
	KillThread  Action = 0x00000000
	Trap        Action = 0x00030000
	Errno       Action = 0x00050000
	Notify      Action = 0x7fc00000
	Trace       Action = 0x7ff00000
	Log         Action = 0x7ffc0000
	Allow       Action = 0x7fff0000
)

// With returns the action with its data: what the call fails with, or what the
// tracer is told.
func (a Action) With(data uint16) Action { return a | Action(data) }

// Op compares an argument of a call.
type Op uint8

// The operators, all on unsigned numbers.
const (
	NotEqual Op = iota + 1
	Less
	AtMost
	Equal
	AtLeast
	Greater
	MaskedEqual // argument & Value == ValueTwo & Value
)

// Condition is met by some values of one argument. An architecture of 32 bits
// sees the low half of the argument and of the values.
type Condition struct {
	Arg             uint8 // 0 to 5
	Op              Op
	Value, ValueTwo uint64
}

// Rule says what happens to calls. All conditions must be met, and no two may
// be about the same argument.
//
// The rules for one call are alternatives. One without conditions beats those
// with; of several without, the first one holds; of several with conditions
// that are met, the first one.
type Rule struct {
	Calls      []string
	Action     Action
	Conditions []Condition
}

// Flag is one of SECCOMP_FILTER_FLAG_*.
type Flag uint32

// The flags. seccomp(2).
const (
	FlagTsync            Flag = 1 << 0
	FlagLog              Flag = 1 << 1
	FlagSpecAllow        Flag = 1 << 2
	flagNewListener      Flag = 1 << 3
	FlagWaitKillableRecv Flag = 1 << 5 // since Linux 5.19
)

// Profile is what a container may call.
type Profile struct {
	Default Action
	Arches  []Arch // beside the machine's own
	Flags   Flag
	Rules   []Rule
}

// Filter is a compiled profile.
type Filter struct {
	Program  []byte `json:"program"` // array of struct sock_filter
	Flags    Flag   `json:"flags,omitempty"`
	Listener bool   `json:"listener,omitempty"` // some calls are decided by whoever listens
}
