package plan

import (
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
