package host

import "golang.org/x/sys/unix"

// IsOwnNamespace reports whether path leads to the namespace of the calling
// process that /proc/self/ns calls name. A path that cannot be looked up does
// not: whoever joins it gets the error. See namespaces(7).
func IsOwnNamespace(name, path string) bool {
	var theirs, ours unix.Stat_t
	return unix.Stat(path, &theirs) == nil && unix.Stat("/proc/self/ns/"+name, &ours) == nil &&
		theirs.Dev == ours.Dev && theirs.Ino == ours.Ino
}
