package paged

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// A map is what Go's is, sorted, whether its pages are on disk or in memory.
func TestMapIsAMap(t *testing.T) {
	for _, memory := range []int{0, 1 << 30} {
		for name, draw := range map[string]func(*rand.Rand, int) string{
			"in order":  func(_ *rand.Rand, i int) string { return fmt.Sprintf("%08d", i) },
			"backwards": func(_ *rand.Rand, i int) string { return fmt.Sprintf("%08d", 1<<20-i) },
			"any": func(r *rand.Rand, _ int) string {
				return strings.Repeat(string(byte(r.IntN(256))), r.IntN(20)) + fmt.Sprint(r.IntN(5000))
			},
			"long": func(r *rand.Rand, _ int) string {
				return strings.Repeat(fmt.Sprint(r.IntN(5000)), MaxKey)[:MaxKey-r.IntN(2)*r.IntN(MaxKey)]
			},
		} {
			t.Run(fmt.Sprint(name, memory), func(t *testing.T) {
				m := NewMap(8, memory)
				defer m.Close()
				against(t, m, rand.New(rand.NewPCG(5, uint64(memory))), draw)
				if memory == 0 && m.pages.file == nil || memory != 0 && m.pages.file != nil {
					t.Errorf("%d bytes of memory: file %v", memory, m.pages.file)
				}
				if frames := len(m.pages.where); memory == 0 && frames > minimum {
					t.Errorf("%d pages in memory", frames)
				}
				if m.Err() != nil {
					t.Error(m.Err())
				}
			})
		}
	}
}

// against does the same to m and to a map of Go.
func against(t *testing.T, m *Map, random *rand.Rand, draw func(*rand.Rand, int) string) {
	t.Helper()
	model := map[string]uint64{}
	var value [8]byte
	for i := range 20_000 {
		key := draw(random, i)
		switch random.IntN(8) {
		case 0:
			if i > 10 {
				key = draw(random, i-random.IntN(10))
			}
			delete(model, key)
			m.Delete([]byte(key))
		case 1:
			want, ok := model[key]
			if got := m.Get([]byte(key), value[:]); got != ok || ok && binary.BigEndian.Uint64(value[:]) != want {
				t.Fatalf("Get %q: %x, %v, want %x, %v", key, value, got, want, ok)
			}
		default:
			model[key] = random.Uint64()
			m.Set([]byte(key), binary.BigEndian.AppendUint64(nil, model[key]))
		}
	}
	equal(t, m, model)
	for _, key := range slices.Sorted(maps.Keys(model)) { // whole pages become empty
		if random.IntN(50) != 0 {
			delete(model, key)
			m.Delete([]byte(key))
		}
	}
	equal(t, m, model)
}

func equal(t *testing.T, m *Map, model map[string]uint64) {
	t.Helper()
	var value [8]byte
	var next []byte
	keys := slices.Sorted(maps.Keys(model))
	if len(keys) > 0 && keys[0] == "" {
		keys = keys[1:] // nothing is less
	}
	key := []byte(nil)
	for i := 0; ; i++ {
		var ok bool
		if next, ok = m.Next(key, next, value[:]); !ok {
			if i != len(keys) {
				t.Fatalf("%d keys, want %d", i, len(keys))
			}
			return
		}
		if i >= len(keys) || string(next) != keys[i] || binary.BigEndian.Uint64(value[:]) != model[keys[i]] {
			t.Fatalf("key %d is %q, %x", i, next, value)
		}
		key = append(key[:0], next...)
	}
}

// Names of a million paths, of a thousand directories, in the order of a tar.
func TestKeysInOrderFillPages(t *testing.T) {
	m := NewMap(17, 0)
	defer m.Close()
	bytesOfKeys := 0
	for i := range 100_000 {
		key := binary.BigEndian.AppendUint32(nil, uint32(i/1000))
		key = fmt.Appendf(key, "file-%06d", i)
		m.Set(key, make([]byte, 17))
		bytesOfKeys += len(key) + 17
	}
	if most := bytesOfKeys * 13 / 10 / pageSize; int(m.pages.count) > most {
		t.Errorf("%d pages, want at most %d", m.pages.count, most)
	}
}

func TestLogGivesBackWhatItGot(t *testing.T) {
	for _, memory := range []int{0, 1 << 30} {
		l := NewLog(memory)
		defer l.Close()
		random := rand.New(rand.NewPCG(7, 8))
		var all []byte
		for range 2000 {
			b := make([]byte, random.IntN(3)*random.IntN(pageSize))
			for i := range b {
				b[i] = byte(random.Uint32())
			}
			if l.Size() != int64(len(all)) {
				t.Fatalf("size %d, want %d", l.Size(), len(all))
			}
			l.Append(b)
			all = append(all, b...)
		}
		for range 5000 {
			at := random.IntN(len(all))
			b := make([]byte, random.IntN(min(3*pageSize, len(all)-at)))
			if l.Read(b, int64(at)); !bytes.Equal(b, all[at:at+len(b)]) {
				t.Fatalf("%d bytes at %d differ", len(b), at)
			}
		}
		if l.Err() != nil || (l.pages.file == nil) != (memory != 0) {
			t.Errorf("%v, file %v", l.Err(), l.pages.file)
		}
	}
}

// The file has no name, so nothing is left behind however the process ends.
func TestFileHasNoName(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	l := NewLog(0)
	defer l.Close()
	l.Append(make([]byte, 1<<20))
	if l.pages.file == nil {
		t.Fatal("nothing is on disk")
	}
	if names, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(names) != 0 {
		t.Errorf("%v, %v", names, err)
	}
}

// After an error of the file everything ends, with anything as a result, and
// the error is told.
func TestErrorsOfTheFileStay(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, *pages){
		"no folder for it": func(t *testing.T, _ *pages) { t.Setenv("TMPDIR", "/nonexistent") },
		"closed":           func(_ *testing.T, p *pages) { p.file.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(9, 10))
			key := func() []byte { return fmt.Appendf(nil, "%0200d", random.IntN(1<<20)) }
			m, l := NewMap(4, 0), NewLog(0)
			defer m.Close()
			defer l.Close()
			fill := func(n int) {
				for range n {
					m.Set(key(), []byte("1234"))
					l.Append(key())
				}
			}
			if name != "no folder for it" {
				fill(5000)
			}
			spoil(t, m.pages)
			spoil(t, l.pages)
			fill(5000)
			var value [4]byte
			var next []byte
			for range 5000 {
				m.Delete(key())
				m.Get(key(), value[:])
				next, _ = m.Next(key(), next, value[:])
				l.Read(make([]byte, 300), random.Int64N(l.Size()-300))
			}
			for _, err := range []error{m.Err(), l.Err()} {
				if err == nil || name == "closed" && !errors.Is(err, os.ErrClosed) {
					t.Errorf("error %v", err)
				}
			}
		})
	}
}
