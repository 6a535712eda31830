package limits

import (
	"slices"
	"strconv"
)

// roomForInit is how many tasks the init stage may be: Go's runtime starts
// threads, and dies where it cannot. All but one end when the process is
// executed.
const roomForInit = 32

// Staged splits the limits of a new container: now holds while the init stage
// prepares it, later what is too narrow for that. later is nil if that is nothing.
func Staged(l *Limits) (now, later *Limits) {
	if l == nil {
		return nil, nil
	}
	tasks := l.Tasks != nil && *l.Tasks >= 0 && *l.Tasks < roomForInit
	file := slices.IndexFunc(l.Unified, func(k UnifiedKey) bool {
		n, err := strconv.ParseUint(k.Value, 10, 64)
		return k.File == "pids.max" && err == nil && n < roomForInit
	})
	if !tasks && file < 0 {
		return l, nil
	}
	first, second := *l, Limits{}
	if tasks {
		room := int64(roomForInit)
		first.Tasks, second.Tasks = &room, l.Tasks
	}
	if file >= 0 {
		first.Unified = slices.Delete(slices.Clone(l.Unified), file, file+1)
		second.Unified = l.Unified[file : file+1]
	}
	return &first, &second
}
