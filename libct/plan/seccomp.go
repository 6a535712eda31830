package plan

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hako-runtime/hako/libct/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// SeccompAgent is who decides about calls whose action is SCMP_ACT_NOTIFY. It
// is the host's business: init never sees it.
type SeccompAgent struct {
	Path     string `json:"path"` // of its socket on the host
	Metadata string `json:"metadata,omitempty"`
}

// seccompName is a word of linux.seccomp and what it stands for.
type seccompName[T any] struct {
	name  string
	value T
}

// The words, sorted. Actions are without data.
var (
	seccompActions = [...]seccompName[seccomp.Action]{
		{"SCMP_ACT_ALLOW", seccomp.Allow},
		{"SCMP_ACT_ERRNO", seccomp.Errno},
		{"SCMP_ACT_KILL", seccomp.KillThread},
		{"SCMP_ACT_KILL_PROCESS", seccomp.KillProcess},
		{"SCMP_ACT_KILL_THREAD", seccomp.KillThread},
		{"SCMP_ACT_LOG", seccomp.Log},
		{"SCMP_ACT_NOTIFY", seccomp.Notify},
		{"SCMP_ACT_TRACE", seccomp.Trace},
		{"SCMP_ACT_TRAP", seccomp.Trap},
	}
	seccompOperators = [...]seccompName[seccomp.Op]{
		{"SCMP_CMP_EQ", seccomp.Equal},
		{"SCMP_CMP_GE", seccomp.AtLeast},
		{"SCMP_CMP_GT", seccomp.Greater},
		{"SCMP_CMP_LE", seccomp.AtMost},
		{"SCMP_CMP_LT", seccomp.Less},
		{"SCMP_CMP_MASKED_EQ", seccomp.MaskedEqual},
		{"SCMP_CMP_NE", seccomp.NotEqual},
	}
	seccompFlags = [...]seccompName[seccomp.Flag]{
		{"SECCOMP_FILTER_FLAG_LOG", seccomp.FlagLog},
		{"SECCOMP_FILTER_FLAG_SPEC_ALLOW", seccomp.FlagSpecAllow},
		{"SECCOMP_FILTER_FLAG_TSYNC", seccomp.FlagTsync},
		{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", seccomp.FlagWaitKillableRecv},
	}
)

// KnownSeccompActions are the values of an action in linux.seccomp.
func KnownSeccompActions() []string { return seccompNames(seccompActions[:]) }

// KnownSeccompOperators are the values of syscalls[].args[].op.
func KnownSeccompOperators() []string { return seccompNames(seccompOperators[:]) }

// KnownSeccompFlags are the values of linux.seccomp.flags.
func KnownSeccompFlags() []string { return seccompNames(seccompFlags[:]) }

// SeccompFlag is the kernel's value of one of [KnownSeccompFlags], 0 of others.
func SeccompFlag(name string) seccomp.Flag {
	flag, _ := seccompValue(seccompFlags[:], name)
	return flag
}

func seccompNames[T any](table []seccompName[T]) []string {
	names := make([]string, len(table))
	for i := range table {
		names[i] = table[i].name
	}
	return names
}

func seccompValue[T any](table []seccompName[T], name string) (value T, ok bool) {
	for i := range table {
		if table[i].name == name {
			return table[i].value, true
		}
	}
	return value, false
}

// seccomp compiles the profile. One without action and calls is none, as in
// runc.
func (c *composer) seccomp() {
	spec := c.linux.Seccomp
	if spec == nil || spec.DefaultAction == "" && len(spec.Syscalls) == 0 {
		return
	}
	before := len(c.invalid)
	profile := &seccomp.Profile{Flags: seccomp.FlagSpecAllow}
	profile.Default = c.seccompVerdict(spec.DefaultAction, spec.DefaultErrnoRet, "linux.seccomp.defaultAction", "linux.seccomp.defaultErrnoRet")
	if profile.Default == seccomp.Notify {
		// Nobody listens yet when the start's own calls come.
		c.refuse("SCMP_ACT_NOTIFY cannot be used as default action", "linux.seccomp.defaultAction")
	}
	known := seccomp.KnownArches()
	for i, name := range spec.Architectures {
		if !slices.Contains(known, seccomp.Arch(name)) {
			c.refuse(unknownName("architecture", string(name), archNames(known)), "linux.seccomp.architectures[%d]", i)
		}
		profile.Arches = append(profile.Arches, seccomp.Arch(name))
	}
	// As in runc, which wants the mitigation only where it is asked for:
	// absent is not the same as empty.
	if spec.Flags != nil {
		profile.Flags = 0
	}
	for i, name := range spec.Flags {
		flag := SeccompFlag(string(name))
		if flag == 0 {
			c.refuse(unknownName("flag", string(name), KnownSeccompFlags()), "linux.seccomp.flags[%d]", i)
		}
		profile.Flags |= flag
	}
	for i := range spec.Syscalls {
		profile.Rules = append(profile.Rules, c.seccompRules(&spec.Syscalls[i], "linux.seccomp.syscalls["+strconv.Itoa(i)+"]")...)
	}
	if spec.ListenerMetadata != "" && spec.ListenerPath == "" {
		c.refuse("needs listenerPath", "linux.seccomp.listenerMetadata")
	}
	if len(c.invalid) == before {
		c.compileSeccomp(profile)
	}
}

func archNames(list []seccomp.Arch) (names []string) {
	for _, one := range list {
		names = append(names, string(one))
	}
	return names
}

func (c *composer) compileSeccomp(profile *seccomp.Profile) {
	filter, unknown, err := seccomp.Compile(profile, seccomp.Native())
	if err != nil {
		c.refuse(err.Error(), "linux.seccomp")
		return
	}
	if len(unknown) > 0 {
		c.debug("linux.seccomp: ignoring calls that this machine does not have: %s", strings.Join(unknown, " "))
	}
	c.plan.Process.Seccomp = filter
	if !filter.Listener {
		return
	}
	spec := c.linux.Seccomp
	if spec.ListenerPath == "" {
		c.refuse("is missing: SCMP_ACT_NOTIFY needs it", "linux.seccomp.listenerPath")
		return
	}
	path := spec.ListenerPath
	if !filepath.IsAbs(path) {
		path = filepath.Join(c.options.Bundle, path) // where create is, when it resolves one
	}
	c.plan.SeccompAgent = &SeccompAgent{Path: path, Metadata: spec.ListenerMetadata}
}

// seccompVerdict is an action with its number, EPERM if there is none.
func (c *composer) seccompVerdict(name specs.LinuxSeccompAction, errno *uint, path, errnoPath string) seccomp.Action {
	action, ok := seccompValue(seccompActions[:], string(name))
	switch {
	case name == "":
		c.refuse(missing, "%s", path)
		return 0
	case !ok:
		c.refuse(unknownName("action", string(name), KnownSeccompActions()), "%s", path)
		return 0
	case action != seccomp.Errno && action != seccomp.Trace:
		if errno != nil {
			c.refuse(string(name)+" has no errno", "%s", errnoPath)
		}
		return action
	}
	number := uint(unix.EPERM)
	if errno != nil {
		number = *errno
	}
	// The kernel cuts higher ones off: MAX_ERRNO; a tracer may get any.
	most := uint(1<<16 - 1)
	if action == seccomp.Errno {
		most = 4095
	}
	if number > most {
		c.refuse(fmt.Sprintf("%d is above %d", number, most), "%s", errnoPath)
		return 0
	}
	return action.With(uint16(number))
}

// seccompRules converts one entry. Conditions on different arguments must all
// be met; if two are about the same argument, each is a rule of its own, as in
// runc and crun, whose users' profiles mean it so.
func (c *composer) seccompRules(spec *specs.LinuxSyscall, path string) []seccomp.Rule {
	action := c.seccompVerdict(spec.Action, spec.ErrnoRet, path+".action", path+".errnoRet")
	if len(spec.Names) == 0 {
		c.refuse(missing, "%s.names", path)
	}
	for i, name := range spec.Names {
		switch {
		case name == "":
			c.refuse("is empty", "%s.names[%d]", path, i)
		case name == "write" && action == seccomp.Notify:
			// init hands the listener over with it.
			c.refuse("SCMP_ACT_NOTIFY cannot be used for the write syscall", "%s.names[%d]", path, i)
		}
	}
	rule := seccomp.Rule{Calls: spec.Names, Action: action}
	var used [6]bool
	alternatives := false
	for i, one := range spec.Args {
		op, ok := seccompValue(seccompOperators[:], string(one.Op))
		if !ok {
			c.refuse(unknownName("operator", string(one.Op), KnownSeccompOperators()), "%s.args[%d].op", path, i)
		}
		if one.Index >= uint(len(used)) {
			c.refuse(fmt.Sprintf("%d is not a number from 0 to 5", one.Index), "%s.args[%d].index", path, i)
			continue
		}
		alternatives = alternatives || used[one.Index]
		used[one.Index] = true
		rule.Conditions = append(rule.Conditions, seccomp.Condition{Arg: uint8(one.Index), Op: op, Value: one.Value, ValueTwo: one.ValueTwo})
	}
	if !alternatives {
		return []seccomp.Rule{rule}
	}
	rules := make([]seccomp.Rule, len(rule.Conditions))
	for i, one := range rule.Conditions {
		rules[i] = seccomp.Rule{Calls: rule.Calls, Action: action, Conditions: []seccomp.Condition{one}}
	}
	return rules
}
