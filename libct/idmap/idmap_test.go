package idmap

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestFormat(t *testing.T) {
	got := string(Format([]Map{{0, 1000, 1}, {1, 100000, 65536}, {math.MaxUint32, 7, 1}}))
	want := "0 1000 1\n1 100000 65536\n4294967295 7 1\n"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLookup(t *testing.T) {
	maps := []Map{{0, 1000, 1}, {10, 100000, 5}, {4294967290, 4294967290, 10}}
	for _, c := range []struct {
		name            string
		container, host uint32
		ok              bool
	}{
		{"first", 0, 1000, true},
		{"start of a range", 10, 100000, true},
		{"end of a range", 14, 100004, true},
		{"behind a range", 15, 100005, false},
		{"between ranges", 1, 1001, false},
		{"a range beyond 32 bits", 4294967295, 4294967295, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := HostID(maps, c.container); ok != c.ok || ok && got != c.host {
				t.Errorf("HostID: %d, %v", got, ok)
			}
			if got, ok := ContainerID(maps, c.host); ok != c.ok || ok && got != c.container {
				t.Errorf("ContainerID: %d, %v", got, ok)
			}
		})
	}
	if _, ok := HostID([]Map{{0, math.MaxUint32, 2}}, 1); ok {
		t.Error("an id wrapped around")
	}
}

func TestUserNSCarriesTheMaps(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: user namespace with a range of ids")
	}
	before := children(t)
	f, err := UserNS([]Map{{0, 5000, 10}}, []Map{{0, 6000, 10}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var ns syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &ns); err != nil || ns.Type != 0x6e736673 { // NSFS_MAGIC
		t.Errorf("not a namespace: %#x, %v", ns.Type, err)
	}
	if after := children(t); after != before {
		t.Errorf("%d children before, %d after", before, after)
	}
	// What a file looks like through an id-mapped mount is tested in rootfs.
}

func TestUserNSRefusedMaps(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: user namespace with a range of ids")
	}
	before := children(t)
	f, err := UserNS([]Map{{0, 0, 10}, {5, 100, 10}}, []Map{{0, 0, 1}})
	if !errors.Is(err, syscall.EINVAL) {
		t.Errorf("overlapping maps: %v, %v", f, err)
	}
	if after := children(t); after != before {
		t.Errorf("%d children before, %d after", before, after)
	}
}

// children counts our child processes, dead ones too.
func children(t *testing.T) (n int) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(tasks) == 0 {
		t.Skip("needs CONFIG_PROC_CHILDREN")
	}
	for _, task := range tasks {
		data, err := os.ReadFile(task)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		n += len(data)
	}
	return n
}
