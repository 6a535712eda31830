package tree

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Setting is what one control file shall say.
type Setting struct {
	File  string
	Value string
	New   bool // a new cgroup has this value anyway
}

// AnyOrder writes settings that bound each other, such as a limit of memory
// and one of memory with swap. The kernel answers EINVAL to the one that
// contradicts the old value of another; it is written again after those.
func AnyOrder(write func(Setting) error, settings ...Setting) error {
	for len(settings) > 0 {
		var refused []Setting
		var first error
		for _, s := range settings {
			err := write(s)
			switch {
			case err == nil:
				continue
			case !errors.Is(err, unix.EINVAL):
				return err
			case first == nil:
				first = err
			}
			refused = append(refused, s)
		}
		if len(refused) == len(settings) {
			return first
		}
		settings = refused
	}
	return nil
}
