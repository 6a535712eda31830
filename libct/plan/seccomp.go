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

// KnownSeccompActions are the values of an action in linux.seccomp.
func KnownSeccompActions() []string {
	return []string{
		"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
		"SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP",
	}
}

// KnownSeccompOperators are the values of syscalls[].args[].op.
func KnownSeccompOperators() []string {
	return []string{
		"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE",
	}
}

// KnownSeccompFlags are the values of linux.seccomp.flags.
func KnownSeccompFlags() []string {
	return []string{
		"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
		"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
	}
}

// SeccompFlag is the kernel's value of one of [KnownSeccompFlags], 0 of others.
func SeccompFlag(name string) seccomp.Flag {
	switch name {
	case "SECCOMP_FILTER_FLAG_LOG":
		return seccomp.FlagLog
	case "SECCOMP_FILTER_FLAG_SPEC_ALLOW":
		return seccomp.FlagSpecAllow
	case "SECCOMP_FILTER_FLAG_TSYNC":
		return seccomp.FlagTsync
	case "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV":
		return seccomp.FlagWaitKillableRecv
	}
	return 0
}

// seccompAction is the kernel's action, without data.
func seccompAction(name specs.LinuxSeccompAction) (a seccomp.Action, ok bool) {
	switch name {
	case "SCMP_ACT_ALLOW":
		return seccomp.Allow, true
	case "SCMP_ACT_ERRNO":
		return seccomp.Errno, true
	case "SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD":
		return seccomp.KillThread, true
	case "SCMP_ACT_KILL_PROCESS":
		return seccomp.KillProcess, true
	case "SCMP_ACT_LOG":
		return seccomp.Log, true
	case "SCMP_ACT_NOTIFY":
		return seccomp.Notify, true
	case "SCMP_ACT_TRACE":
		return seccomp.Trace, true
	case "SCMP_ACT_TRAP":
		return seccomp.Trap, true
	}
	return 0, false
}

func seccompOperator(name specs.LinuxSeccompOperator) seccomp.Op {
	switch name {
	case "SCMP_CMP_EQ":
		return seccomp.Equal
	case "SCMP_CMP_GE":
		return seccomp.AtLeast
	case "SCMP_CMP_GT":
		return seccomp.Greater
	case "SCMP_CMP_LE":
		return seccomp.AtMost
	case "SCMP_CMP_LT":
		return seccomp.Less
	case "SCMP_CMP_MASKED_EQ":
		return seccomp.MaskedEqual
	case "SCMP_CMP_NE":
		return seccomp.NotEqual
	}
	return 0
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
	action, ok := seccompAction(name)
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
		op := seccompOperator(one.Op)
		if op == 0 {
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
