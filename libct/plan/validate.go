package plan

import (
	"fmt"
	"strconv"
	"strings"
)

// Violation is one way in which a config breaks the runtime specification or
// asks for what this machine or this version of hako cannot do.
type Violation struct {
	File    string // "config.json", or "exec" for a process executed in a running container
	Path    string // "linux.namespaces[3].type"
	Problem string // `unknown namespace "foo"`
	Section string // "config-linux.md#namespaces"
}

// Invalid is every violation of one config, in the order of the checks.
type Invalid []Violation

// Error is one line; it names the file once.
func (v Invalid) Error() string {
	var b strings.Builder
	for i, one := range v {
		if i == 0 {
			b.WriteString(one.File + ": ")
			if len(v) > 1 {
				b.WriteString(strconv.Itoa(len(v)) + " problems: ")
			}
		} else {
			b.WriteString("; ")
		}
		b.WriteString(one.Path + ": " + one.Problem + " (" + one.Section + ")")
	}
	return b.String()
}

// check is one row: the part of the specification it answers for, and the
// function that refuses what is wrong there and fills in the plan otherwise.
type check struct {
	section string
	run     func(*composer)
}

// containerChecks is the table of contents of this package. Namespaces come
// first: half of the other rows ask which ones there are.
var containerChecks = [...]check{
	{"config.md#specification-version", (*composer).version},
	{"config.md#platform-specific-configuration", (*composer).platform},
	{"config-linux.md#namespaces", (*composer).namespaces},
	{"config-linux.md#user-namespace-mappings", (*composer).userMappings},
	{"config-linux.md#offset-for-time-namespace", (*composer).timeOffsets},
	{"config.md#root", (*composer).root},
	{"config-linux.md#rootfs-mount-propagation", (*composer).propagation},
	{"config.md#mounts", (*composer).mounts},
	{"config-linux.md#mount-label", (*composer).mountLabel},
	{"config-linux.md#masked-paths", (*composer).maskedPaths},
	{"config-linux.md#readonly-paths", (*composer).readonlyPaths},
	{"config-linux.md#default-devices", (*composer).defaultDevices},
	{"config-linux.md#devices", (*composer).devices},
	{"config-linux.md#network-devices", (*composer).netDevices},
	{"config-linux.md#cgroups-path", (*composer).cgroupsPath},
	{"config-linux.md#cgroup-ownership", (*composer).cgroupOwner},
	{"config-linux.md#allowed-device-list", (*composer).deviceRules},
	{"config-linux.md#intelrdt", (*composer).intelRdt},
	{"config-linux.md#sysctl", (*composer).sysctls},
	{"config-linux.md#seccomp", (*composer).seccomp},
	{"config.md#hostname", (*composer).hostname},
	{"config.md#domainname", (*composer).domainname},
	{"config.md#posix-platform-hooks", (*composer).hooks},
	{"config.md#annotations", (*composer).annotations},
	{"config-linux.md#memory-policy", (*composer).memoryPolicy},
	{"config-linux.md#personality", (*composer).personality},
}

// processChecks serve the container's process and every exec.
var processChecks = [...]check{
	{"config.md#process", (*composer).program},
	{"config.md#process", (*composer).terminal},
	{"config.md#posix-platform-user", (*composer).user},
	{"config.md#linux-process", (*composer).capabilities},
	{"config.md#posix-process", (*composer).rlimits},
	{"config.md#linux-process", (*composer).oomScore},
	{"config.md#linux-process", (*composer).labels},
	{"config.md#linux-process", (*composer).scheduler},
	{"config.md#linux-process", (*composer).ioPriority},
	{"config.md#linux-process", (*composer).affinity},
}

func (c *composer) run(checks []check) {
	for _, row := range checks {
		c.section = row.section
		row.run(c)
	}
}

// refuse records a violation; path and args are fmt's.
func (c *composer) refuse(problem, path string, args ...any) {
	if len(c.invalid) == maxViolations {
		return
	}
	c.invalid = append(c.invalid, Violation{
		File: c.file, Path: short(fmt.Sprintf(path, args...)), Problem: short(problem), Section: c.section,
	})
}

// debug tells what is no reason to warn.
func (c *composer) debug(format string, args ...any) {
	if c.options.Debug != nil {
		c.options.Debug(short(fmt.Sprintf(format, args...)))
	}
}

// maxViolations bounds the message: enough to repair a config, too few to
// flood a log.
const maxViolations = 32

func (c *composer) warn(format string, args ...any) {
	if len(c.warnings) < maxViolations {
		c.warnings = append(c.warnings, fmt.Sprintf(format, args...))
	}
}

// quote is strconv.Quote, short of flooding.
func quote(s string) string {
	if text := short(s); len(text) < len(s) {
		return strconv.Quote(strings.TrimSuffix(text, "…")) + "…"
	}
	return strconv.Quote(s)
}

// short cuts what a config can make as long as it likes.
func short(s string) string {
	const most = 200
	if len(s) <= 2*most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

const (
	missing     = "is missing"
	notAbsolute = " is not an absolute path"
)
