package limits

import (
	"slices"
	"strconv"
)

// RoomForInit is how many tasks the init stage may be: Go's runtime starts
// threads, and dies where it cannot. All but one end when the process is
// executed.
const RoomForInit = 32

// Staged splits the limits of a new container: now holds while the init stage
// prepares it, later what is too narrow for that. later is nil if that is nothing.
func Staged(l *Limits) (now, later *Limits) {
	if l == nil {
		return nil, nil
	}
	tasks := l.Tasks != nil && *l.Tasks >= 0 && *l.Tasks < RoomForInit
	file := slices.IndexFunc(l.Unified, func(k UnifiedKey) bool {
		n, err := strconv.ParseUint(k.Value, 10, 64)
		return k.File == "pids.max" && err == nil && n < RoomForInit
	})
	if !tasks && file < 0 {
		return l, nil
	}
	first, second := *l, Limits{}
	if tasks {
		room := int64(RoomForInit)
		first.Tasks, second.Tasks = &room, l.Tasks
	}
	if file >= 0 {
		first.Unified = slices.Delete(slices.Clone(l.Unified), file, file+1)
		second.Unified = l.Unified[file : file+1]
	}
	return &first, &second
}

// MaxTasks is how many tasks l lets exist, [Unlimited] if it does not say.
func MaxTasks(l *Limits) int64 {
	most := int64(Unlimited)
	if l == nil {
		return most
	}
	if l.Tasks != nil {
		most = *l.Tasks
	}
	for _, k := range l.Unified { // written after all else
		if k.File != "pids.max" {
			continue
		}
		n, err := strconv.ParseInt(k.Value, 10, 64)
		if err != nil { // "max"
			n = Unlimited
		}
		most = n
	}
	return most
}
