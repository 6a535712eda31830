package snapshot

import (
	"iter"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/bundle/paged"
)

// fewNames is how many names of a directory are held in memory.
const fewNames = 1 << 16

// namesMemory is what is in memory of more names, in bytes. Every directory on
// the way to the one that is walked may have as many.
const namesMemory = 512 << 10

// nameList are the names in a directory, sorted; some can be marked. Close it.
type nameList struct {
	few  []string
	kept []string   // of few, those that are marked
	many *paged.Map // all of more than a few; the value of the marked ones is 1
}

// listNames lists an open directory, without "." and "..".
func listNames(fd, few int) (_ *nameList, err error) {
	own, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("openat", err)
	}
	defer unix.Close(own)
	l := &nameList{}
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.Getdents(own, buf)
		if err != nil {
			l.close()
			return nil, os.NewSyscallError("getdents", err)
		}
		if n == 0 {
			break
		}
		_, _, l.few = unix.ParseDirent(buf[:n], -1, l.few)
		if len(l.few) > few {
			l.spill()
		}
	}
	slices.Sort(l.few)
	if l.many != nil {
		l.spill()
	}
	return l, l.err()
}

// spill moves names out of memory, sorted: so neighbours come at once.
func (l *nameList) spill() {
	if l.many == nil {
		l.many = paged.NewMap(1, namesMemory)
	}
	slices.Sort(l.few)
	for _, name := range l.few {
		l.many.Set([]byte(name), []byte{0})
	}
	clear(l.few)
	l.few = l.few[:0]
}

// all are the names; mark may be called meanwhile.
func (l *nameList) all() iter.Seq[string] {
	if l.many == nil {
		return slices.Values(l.few)
	}
	return l.withValue(0)
}

func (l *nameList) has(name string) bool {
	if l.many == nil {
		_, found := slices.BinarySearch(l.few, name)
		return found
	}
	var v [1]byte
	return l.many.Get([]byte(name), v[:])
}

// mark keeps a name for marked. Call it in the order of names.
func (l *nameList) mark(name string) {
	if l.many == nil {
		l.kept = append(l.kept, name)
		return
	}
	l.many.Set([]byte(name), []byte{1})
}

// marked are the marked names.
func (l *nameList) marked() iter.Seq[string] {
	if l.many == nil {
		return slices.Values(l.kept)
	}
	return l.withValue(1)
}

func (l *nameList) withValue(value byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		var v [1]byte
		var key, next []byte
		for {
			var ok bool
			if next, ok = l.many.Next(key, next, v[:]); !ok {
				return
			}
			key, next = next, key
			if v[0] == value && !yield(string(key)) {
				return
			}
		}
	}
}

// err is that of a file that was needed, and full for example.
func (l *nameList) err() error {
	if l.many == nil {
		return nil
	}
	return l.many.Err()
}

func (l *nameList) close() {
	if l.many != nil {
		l.many.Close()
	}
}
