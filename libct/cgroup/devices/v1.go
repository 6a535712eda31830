package devices

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// Command is one write to a control file of v1's devices controller.
type Command struct {
	File string // "devices.deny" or "devices.allow"
	Line string
}

// V1 translates rules for v1's devices controller. The first command resets
// what the cgroup inherited or was told before.
//
// The controller holds a default and exceptions from it, and ignores in
// silence an exception from an exception, such as denying one device of a
// major number that is allowed: V1 refuses those.
// Documentation/admin-guide/cgroup-v1/devices.rst, security/device_cgroup.c.
func V1(rules []Rule) ([]Command, error) {
	if len(rules) == 0 {
		return nil, nil
	}
	l := &list{}
	for i, r := range rules {
		if err := r.check(); err != nil {
			return nil, fmt.Errorf("device rule %d: %w", i, err)
		}
		if err := l.apply(r); err != nil {
			return nil, fmt.Errorf("device rule %d: %w", i, err)
		}
	}
	l.merge()
	return l.commands(), nil
}

// Allowed lists what the rules allow, for whoever enforces a list of that
// beside them, and asks that one entry covers all the access of an open. It
// allows the same or more: where a rule is an exception from an exception, or
// neither of two contains the other. everything tells that all devices are
// allowed, but for exceptions.
func Allowed(rules []Rule) (allowed []Rule, everything bool) {
	l := &list{}
	for _, r := range rules {
		_ = l.apply(r) // an error is an exception that takes nothing away
	}
	if l.allow || len(rules) == 0 {
		return nil, true
	}
	for _, e := range l.exceptions {
		merged := e
		for _, other := range l.exceptions {
			if e.overlaps(other) && !e.covers(other) {
				merged.include(other)
			}
		}
		allowed = append(allowed, merged)
	}
	return allowed, false
}

// Letters are the access that the rule is about, as in "rwm".
func (r Rule) Letters() string {
	letters := ""
	for _, a := range [...]struct {
		set    bool
		letter string
	}{{r.Read, "r"}, {r.Write, "w"}, {r.Mknod, "m"}} {
		if a.set {
			letters += a.letter
		}
	}
	return letters
}

// list is the state of the controller that the rules ask for.
type list struct {
	allow      bool // by default
	exceptions []Rule
}

func (l *list) apply(r Rule) error {
	if r.access() == 0 {
		return nil
	}
	if r.final() {
		*l = list{allow: r.Allow}
		return nil
	}
	if r.Type == 'a' {
		// The kernel takes any line that starts with "a" for all devices.
		for _, kind := range []byte{'b', 'c'} {
			r.Type = kind
			if err := l.apply(r); err != nil {
				return err
			}
		}
		return nil
	}
	if r.Allow != l.allow {
		l.add(r)
		return nil
	}
	return l.cut(r)
}

func (l *list) add(r Rule) {
	for i := range l.exceptions {
		if e := &l.exceptions[i]; e.covers(r) && r.covers(*e) {
			e.include(r)
			return
		}
	}
	l.exceptions = append(l.exceptions, r)
}

// cut takes r's access from the exceptions that r covers.
func (l *list) cut(r Rule) error {
	kept := l.exceptions[:0:0]
	for _, e := range l.exceptions {
		switch {
		case e.access()&r.access() == 0 || !e.overlaps(r):
		case r.covers(e):
			e.Read, e.Write, e.Mknod = e.Read && !r.Read, e.Write && !r.Write, e.Mknod && !r.Mknod
			if e.access() == 0 {
				continue
			}
		default:
			return fmt.Errorf("%s within %s: cgroup v1 has no exceptions from exceptions; order the rules so that neither contains the other: %w",
				r.line(), e.line(), unix.EINVAL)
		}
		kept = append(kept, e)
	}
	l.exceptions = kept
	return nil
}

// merge gives every allowed device the access of the wider rules too: the
// controller asks that a single one covers all the access of an open.
func (l *list) merge() {
	if l.allow {
		return
	}
	for i := range l.exceptions {
		for _, wider := range l.exceptions {
			if wider.covers(l.exceptions[i]) {
				l.exceptions[i].include(wider)
			}
		}
	}
}

func (l *list) commands() []Command {
	first, rest := "devices.deny", "devices.allow"
	if l.allow {
		first, rest = rest, first
	}
	commands := []Command{{File: first, Line: "a"}}
	for _, e := range l.exceptions {
		commands = append(commands, Command{File: rest, Line: e.line()})
	}
	return commands
}

func (r *Rule) include(other Rule) {
	r.Read, r.Write, r.Mknod = r.Read || other.Read, r.Write || other.Write, r.Mknod || other.Mknod
}

// covers tells whether r matches every device that other matches; neither is
// of type 'a'.
func (r Rule) covers(other Rule) bool {
	return r.Type == other.Type &&
		(r.Major < 0 || r.Major == other.Major) && (r.Minor < 0 || r.Minor == other.Minor)
}

func (r Rule) overlaps(other Rule) bool {
	return r.Type == other.Type &&
		(r.Major < 0 || other.Major < 0 || r.Major == other.Major) &&
		(r.Minor < 0 || other.Minor < 0 || r.Minor == other.Minor)
}

// line is the rule as the controller wants it: "c 1:3 rwm".
func (r Rule) line() string {
	number := func(n int64) string {
		if n < 0 {
			return "*"
		}
		return strconv.FormatInt(n, 10)
	}
	return string(r.Type) + " " + number(r.Major) + ":" + number(r.Minor) + " " + r.Letters()
}
