package systemd

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"strings"
)

// Unit is the unit that holds one container.
type Unit struct {
	Name        string    `json:"name"`               // "hako-ID.scope", or "NAME.slice"
	Slice       string    `json:"slice"`              // its parent: "system.slice"; "-.slice" is the root
	User        bool      `json:"user,omitempty"`     // of the caller's own manager
	Description string    `json:"description"`        // what systemctl shows
	Settings    []Setting `json:"settings,omitempty"` // beside what hako sets, and in the place of it
}

// The slices that containers are put into if nothing is said; as runc has it.
const (
	systemSlice = "system.slice"
	userSlice   = "user.slice"
	rootSlice   = "-.slice"
)

// nameMax is the length of a unit's name; systemd.unit(5).
const nameMax = 255

// prefix is that of scopes if cgroupsPath is empty.
const prefix = "hako"

// New names the unit of the container id by cgroupsPath, which is
// slice:prefix:name, or empty: then it is ":hako:ID". An empty slice stands
// for system.slice, or user.slice with the user's manager; "-" for the root.
//
// The unit is PREFIX-NAME.scope in the slice. A NAME that ends in ".slice" is
// the unit itself, whose place is in its name: a-b.slice is in a.slice.
func New(cgroupsPath, id string, user bool) (*Unit, error) {
	parts := strings.Split(cgroupsPath, ":")
	if cgroupsPath == "" {
		parts = []string{"", prefix, escape(id)}
	}
	if len(parts) != 3 {
		return nil, fmt.Errorf("%q is not slice:prefix:name, which --systemd-cgroup needs", cgroupsPath)
	}
	u := &Unit{User: user, Description: "hako container " + id}
	if name := parts[2]; strings.HasSuffix(name, ".slice") {
		u.Name = name
		if err := checkSlice(name); err != nil {
			return nil, err
		}
		if name == rootSlice {
			return nil, errors.New("-.slice is the root, which holds every process")
		}
		u.Slice = parentSlice(name)
		if given := parts[0]; given != "" && given != u.Slice && given+".slice" != u.Slice {
			return nil, fmt.Errorf("slice %q is in %s, not in %q: its name says so", name, u.Slice, given)
		}
		return u, nil
	}
	u.Slice = parts[0]
	switch {
	case u.Slice == "" && user:
		u.Slice = userSlice
	case u.Slice == "":
		u.Slice = systemSlice
	case u.Slice == "-":
		u.Slice = rootSlice
	}
	if err := checkSlice(u.Slice); err != nil {
		return nil, err
	}
	if parts[2] == "" {
		return nil, fmt.Errorf("%q has no name in slice:prefix:name", cgroupsPath)
	}
	u.Name = parts[1] + "-" + parts[2] + ".scope"
	return u, checkName(u.Name)
}

// IsSlice tells whether the unit takes no process when it is started.
func (u *Unit) IsSlice() bool { return strings.HasSuffix(u.Name, ".slice") }

// Path is the cgroup of the unit below managerRoot, the cgroup that its
// manager has. It is clean and has a leading "/".
func (u *Unit) Path(managerRoot string) string {
	return path.Join("/", managerRoot, slicePath(u.Slice), cgroupName(u.Name))
}

// NameOf is the reverse of [Unit.Path]: the unit's name.
func NameOf(cgroup string) string { return strings.TrimPrefix(path.Base(cgroup), "_") }

// Command is what a message can tell the user to type: the tool, and whose
// manager it is to ask.
func (u *Unit) command(tool string) string {
	if u.User {
		return tool + " --user"
	}
	return tool
}

// checkName holds what systemd's unit_name_is_valid wants.
func checkName(name string) error {
	if len(name) > nameMax {
		return fmt.Errorf("unit name %.40q… is longer than %d characters", name, nameMax)
	}
	if i := strings.IndexFunc(name, func(r rune) bool { return !validInName(r) }); i >= 0 {
		return fmt.Errorf("unit name %q: %q is not allowed: letters, digits and : - _ . are", name, name[i:i+1])
	}
	return nil
}

// validInName leaves out "@", of templates, and "\", of escapes, which a
// container has no use for; escape's own come later.
func validInName(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(`:-_.\`, r)
}

// escape turns what a container's id may have and a unit's name may not into
// C-style escapes; systemd.unit(5), "String Escaping for Inclusion in Unit Names".
func escape(id string) string { return strings.ReplaceAll(id, "+", `\x2b`) }

func checkSlice(name string) error {
	if name == rootSlice {
		return nil
	}
	base, ok := strings.CutSuffix(name, ".slice")
	switch {
	case strings.Contains(name, "/"):
		return fmt.Errorf("slice %q has a slash: parents are in the name, a-b.slice is in a.slice", name)
	case !ok || base == "":
		return fmt.Errorf(`slice %q does not end in ".slice"`, name)
	case strings.HasPrefix(base, "-") || strings.HasSuffix(base, "-") || strings.Contains(base, "--"):
		return fmt.Errorf("slice %q has an empty part between dashes", name)
	}
	return checkName(name)
}

// parentSlice of a-b.slice is a.slice.
func parentSlice(name string) string {
	base := strings.TrimSuffix(name, ".slice")
	i := strings.LastIndex(base, "-")
	if i < 0 {
		return rootSlice
	}
	return base[:i] + ".slice"
}

// slicePath is the cgroup of a slice: that of a-b.slice is a.slice/a-b.slice;
// systemd.slice(5).
func slicePath(name string) string {
	if name == rootSlice {
		return ""
	}
	return path.Join(slicePath(parentSlice(name)), cgroupName(name))
}

// cgroupName is the directory of a unit. systemd puts "_" before names that
// the kernel could have for a control file; cg_escape in its cgroup-util.c.
func cgroupName(unit string) string {
	i := strings.LastIndex(unit, ".")
	switch controller := unit[:max(i, 0)]; cmp.Or(controller, ".") {
	case "cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids",
		"bpf-firewall", "bpf-devices", "bpf-foreign", "bpf-socket-bind", "bpf-restrict-network-interfaces", "bpf-bind-network-interface":
		return "_" + unit
	}
	if strings.HasPrefix(unit, "_") || strings.HasPrefix(unit, ".") || strings.HasPrefix(unit, "cgroup.") {
		return "_" + unit
	}
	return unit
}
