package seccomp

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// sinceLibseccomp are calls that kernel headers have and libseccomp 2.5.4 does
// not, although it knows calls with higher numbers.
var sinceLibseccomp = []string{"map_shadow_stack", "riscv_hwprobe", "uprobe", "uretprobe"}

// Where an architecture has a call by its own number in libseccomp, it has the
// same number in our table, and nothing is missing.
func TestTablesAgreeWithLibseccomp(t *testing.T) {
	p := startPeer(t)
	v := p.version()
	for _, m := range machines()[:9] {
		for _, a := range m.arches {
			t.Run(shortName(a.name), func(t *testing.T) {
				theirs := p.table(shortName(a.name))
				if len(theirs) == 0 {
					t.Logf("libseccomp %v does not know the architecture", v)
					return
				}
				compareTables(t, numbers(m, &a), theirs)
			})
		}
	}
}

func numbers(m *Machine, a *arch) map[string]uint32 {
	all := map[string]uint32{}
	for row := range m.calls.ends {
		if n, ok := m.calls.number(row, a.column); ok {
			all[m.calls.name(row)] = a.number(n)
		}
	}
	return all
}

func compareTables(t *testing.T, ours, theirs map[string]uint32) {
	newest := uint32(0)
	for _, name := range slices.Sorted(maps.Keys(theirs)) {
		if n, ok := ours[name]; !ok || n != theirs[name] {
			t.Errorf("%s is %d in libseccomp; we have %d, %v", name, theirs[name], n, ok)
		}
		// x32 has calls of its own from 512 on, ARM far above the others.
		if n := theirs[name]; n < armPrivate || n >= x32Bit && n < x32Bit+512 {
			newest = max(newest, theirs[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(ours)) {
		if _, ok := theirs[name]; !ok && ours[name] <= newest && !slices.Contains(sinceLibseccomp, name) {
			t.Errorf("%s is %d here, and libseccomp does not know it", name, ours[name])
		}
	}
}

const armPrivate = 0x0f0000 // __ARM_NR_BASE: from here on calls are not numbered one after the other

func TestEveryNameIsFound(t *testing.T) {
	for _, m := range machines()[:9] {
		c := m.calls
		for _, from := range []int{0, len(c.ends) / 2, len(c.ends) - 1} {
			for row := range c.ends {
				look := finder{calls: c, at: from}
				if got := look.find(c.name(row)); got != row {
					t.Fatalf("%s from %s: row %d, want %d", c.name(row), c.name(from), got, row)
				}
				for _, absent := range []string{c.name(row) + "\x01", strings.TrimSuffix(c.name(row), c.name(row)[1:]) + "\x01", ""} {
					look := finder{calls: c, at: from}
					if got := look.find(absent); got != -1 {
						t.Fatalf("%q: row %d", absent, got)
					}
				}
			}
		}
		look := finder{calls: c} // as a profile is read
		for row := range c.ends {
			if got := look.find(c.name(row)); got != row {
				t.Fatalf("%s: row %d, want %d", c.name(row), got, row)
			}
		}
	}
}

func TestMuxedCallsAreSortedAndFound(t *testing.T) {
	for i := range muxedCalls {
		if m := muxedCall(muxedCalls[i].name); m != &muxedCalls[i] {
			t.Errorf("%s: %v", muxedCalls[i].name, m)
		}
		if through[muxedCalls[i].index()] != muxedCalls[i].through {
			t.Errorf("%s: wrong index", muxedCalls[i].name)
		}
	}
	for _, name := range []string{"", "a", "read", "zzz"} {
		if m := muxedCall(name); m != nil {
			t.Errorf("%q: %v", name, m)
		}
	}
}
