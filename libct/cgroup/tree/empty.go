package tree

import "fmt"

// constError is an error that costs nothing at start-up.
type constError string

func (e constError) Error() string { return string(e) }

// ErrNotEmpty is matched by [NotEmptyError].
const ErrNotEmpty constError = "cgroup is not empty"

// NotEmptyError says that a cgroup cannot be taken over.
type NotEmptyError struct {
	Path string // below the hierarchies' roots
	PIDs []int  // none if they are outside of the caller's pid namespace
}

func (e *NotEmptyError) Error() string {
	if len(e.PIDs) == 0 {
		return fmt.Sprintf("cgroup %s is not empty: processes of another pid namespace are in it", e.Path)
	}
	more := ""
	if len(e.PIDs) > 3 {
		more = " …"
	}
	return fmt.Sprintf("cgroup %s is not empty: processes in it: %d%s", e.Path, e.PIDs[:min(3, len(e.PIDs))], more)
}

// Is makes errors.Is(err, ErrNotEmpty) hold.
func (e *NotEmptyError) Is(target error) bool { return target == ErrNotEmpty }

// RefuseOccupied returns a [NotEmptyError] if a process is in dir or below.
func RefuseOccupied(dir, path string, cgroup2 bool) error {
	pids, err := Processes(dir)
	if err != nil {
		return err
	}
	occupied := len(pids) > 0
	if cgroup2 && !occupied { // processes of another pid namespace have no number here
		if occupied, err = Populated(dir); err != nil {
			return err
		}
	}
	if occupied {
		return &NotEmptyError{Path: path, PIDs: pids}
	}
	return nil
}
