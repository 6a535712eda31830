package rdt

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fakeFS is a folder that looks like resctrl; the kernel is not there to fill
// new groups.
func fakeFS(t *testing.T) FS {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "tasks"), "")
	write(t, filepath.Join(dir, "schemata"), "    L3:0=7ff;1=7ff\n    MB:0=100;1=100\n")
	write(t, filepath.Join(dir, "info/MB/bandwidth_gran"), "10\n")
	write(t, filepath.Join(dir, "info/last_cmd_status"), "ok\n")
	if err := os.Mkdir(filepath.Join(dir, "mon_groups"), 0o755); err != nil {
		t.Fatal(err)
	}
	return FS{Dir: dir}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestWithoutResctrlTheErrorSaysWhere(t *testing.T) {
	f := FS{Dir: filepath.Join(t.TempDir(), "resctrl")}
	err := f.Available()
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasPrefix(err.Error(), "resctrl is not mounted at "+f.Dir+": ") {
		t.Errorf("got %v", err)
	}
	if err := f.Create(Group{ClosID: "c1", ID: "c1"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Create: %v", err)
	}
}

func TestOwnGroupIsMadeAndRemoved(t *testing.T) {
	f := fakeFS(t)
	g := Group{ClosID: "c1", ID: "c1", Schemata: []string{"L3:0=f", "MB:0=20"}}
	if err := f.Create(g); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(f.Dir, "c1/schemata")); got != "L3:0=f\nMB:0=20\n" {
		t.Errorf("schemata %q", got)
	}
	if err := f.Add(g, 42); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(f.Dir, "c1/tasks")); got != "42" {
		t.Errorf("tasks %q", got)
	}
	for _, name := range []string{"schemata", "tasks"} { // the kernel's files do not keep a folder
		os.Remove(filepath.Join(f.Dir, "c1", name))
	}
	if err := f.Remove(g); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(f.Dir, "c1")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the group is still there: %v", err)
	}
	if err := f.Remove(g); err != nil {
		t.Errorf("removing twice: %v", err)
	}
}

func TestOwnGroupMustNotExist(t *testing.T) {
	f := fakeFS(t)
	write(t, filepath.Join(f.Dir, "c1/tasks"), "")
	if err := f.Create(Group{ClosID: "c1", ID: "c1"}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
}

func TestNamedGroupWithoutSchemataMustExist(t *testing.T) {
	f := fakeFS(t)
	g := Group{ClosID: "gold", Explicit: true, ID: "c1"}
	if err := f.Create(g); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	write(t, filepath.Join(f.Dir, "gold/schemata"), "")
	if err := f.Create(g); err != nil {
		t.Errorf("present: %v", err)
	}
	if err := f.Remove(g); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(f.Dir, "gold")); err != nil {
		t.Error("a named group was removed")
	}
}

func TestNamedGroupIsComparedNotChanged(t *testing.T) {
	tests := []struct {
		name string
		want []string
		ok   bool
	}{
		{"the same", []string{"L3:0=7f0;1=1f", "MB:0=20;1=70"}, true},
		{"zeros, case, order", []string{"L3:1=1F;00=07f0"}, true},
		{"rounded as the kernel does", []string{"MB:0=15"}, true},
		{"a part", []string{"L3:1=1f"}, true},
		{"another mask", []string{"L3:0=7f0;1=ff"}, false},
		{"another bandwidth", []string{"MB:0=30"}, false},
		{"unknown resource", []string{"L2:0=f"}, false},
		{"unknown id", []string{"L3:2=f"}, false},
		{"no schema", []string{"nonsense"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := fakeFS(t)
			before := "    MB:0= 20;1= 70\n    L3:0=7f0;1=01f\n"
			write(t, filepath.Join(f.Dir, "gold/schemata"), before)
			err := f.Create(Group{ClosID: "gold", Explicit: true, ID: "c1", Schemata: tt.want})
			if (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
			if read(t, filepath.Join(f.Dir, "gold/schemata")) != before {
				t.Error("the schemata of a shared group were changed")
			}
		})
	}
}

func TestNamedGroupWithSchemataIsMade(t *testing.T) {
	f := fakeFS(t)
	if err := f.Create(Group{ClosID: "gold", Explicit: true, ID: "c1", Schemata: []string{"MB:0=20"}}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(f.Dir, "gold/schemata")); got != "MB:0=20\n" {
		t.Errorf("schemata %q", got)
	}
}

func TestSlashIsTheDefaultClass(t *testing.T) {
	f := fakeFS(t)
	g := Group{ClosID: "/", Explicit: true, ID: "c1"}
	if err := f.Create(g); err != nil {
		t.Fatal(err)
	}
	if err := f.Add(g, 7); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(f.Dir, "tasks")); got != "7" {
		t.Errorf("tasks %q", got)
	}
	g.Schemata = []string{"L3:0=1"}
	if err := f.Create(g); err == nil {
		t.Error("other schemata for the default class were accepted")
	}
}

func TestMonitoringGroupIsTheContainers(t *testing.T) {
	f := fakeFS(t)
	write(t, filepath.Join(f.Dir, "gold/schemata"), "")
	if err := os.Mkdir(filepath.Join(f.Dir, "gold/mon_groups"), 0o755); err != nil {
		t.Fatal(err)
	}
	g := Group{ClosID: "gold", Explicit: true, ID: "c1", Monitoring: true}
	if err := f.Create(g); err != nil {
		t.Fatal(err)
	}
	if err := f.Add(g, 9); err != nil {
		t.Fatal(err)
	}
	tasks := filepath.Join(f.Dir, "gold/mon_groups/c1/tasks")
	if read(t, tasks) != "9" || read(t, filepath.Join(f.Dir, "gold/tasks")) != "9" {
		t.Error("the process is not in both groups")
	}
	if err := f.Create(g); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a monitoring group of the same name: %v", err)
	}
	os.Remove(tasks)
	if err := f.Remove(g); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(tasks)); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the monitoring group is still there")
	}
}

func TestFailedMonitoringGroupTakesTheClassAlong(t *testing.T) {
	f := fakeFS(t)
	// Without the kernel a new class has no mon_groups: mkdir fails.
	err := f.Create(Group{ClosID: "c1", ID: "c1", Monitoring: true})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(f.Dir, "c1")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the class was left behind")
	}
}

func TestNamesStayInTheirFolder(t *testing.T) {
	f := fakeFS(t)
	for _, g := range []Group{
		{ClosID: ""}, {ClosID: "."}, {ClosID: ".."}, {ClosID: "a/b"}, {ClosID: "../x"}, {ClosID: "/"},
		{ClosID: "/x", Explicit: true}, {ClosID: "x\n", Explicit: true}, {ClosID: "info", Explicit: true},
		{ClosID: "a", ID: "../b", Monitoring: true}, {ClosID: "a", ID: "", Monitoring: true},
		{ClosID: "a", Schemata: []string{"L3:0=1\nMB:0=10"}},
	} {
		if err := f.Create(g); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Create(%+v) = %v", g, err)
		}
		if f.Add(g, 1) == nil || f.Remove(g) == nil {
			t.Errorf("Add or Remove accepted %+v", g)
		}
	}
}

func TestTheKernelsReasonIsQuoted(t *testing.T) {
	f := fakeFS(t)
	write(t, filepath.Join(f.Dir, "info/last_cmd_status"), "Mask 0 has non-consecutive 1-bits\n")
	err := f.Add(Group{ClosID: "absent", ID: "c1"}, 1)
	if err == nil || !strings.HasSuffix(err.Error(), "(Mask 0 has non-consecutive 1-bits)") {
		t.Errorf("got %v", err)
	}
}

func TestSchemataOfAnOwnClassAreChanged(t *testing.T) {
	f := fakeFS(t)
	write(t, filepath.Join(f.Dir, "c1/schemata"), "")
	if err := f.SetSchemata(Group{ClosID: "c1", ID: "c1", Schemata: []string{"MB:0=20"}}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, filepath.Join(f.Dir, "c1/schemata")); got != "MB:0=20\n" {
		t.Errorf("schemata %q", got)
	}
	write(t, filepath.Join(f.Dir, "gold/schemata"), "")
	if err := f.SetSchemata(Group{ClosID: "gold", Explicit: true, ID: "c1", Schemata: []string{"MB:0=20"}}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a shared class: %v", err)
	}
	if got := read(t, filepath.Join(f.Dir, "gold/schemata")); got != "" {
		t.Errorf("a shared class has now %q", got)
	}
}

// The kernel takes one thread a write; a file of ours keeps the last one.
func TestEveryThreadIsAdded(t *testing.T) {
	f := fakeFS(t)
	path := filepath.Join(f.Dir, "c1/tasks")
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	fifo, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer fifo.Close()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil || len(threads) < 2 {
		t.Fatal(len(threads), err)
	}
	if err := f.AddThreads(Group{ClosID: "c1", ID: "c1"}, os.Getpid()); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := fifo.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	for _, thread := range threads {
		if !strings.Contains(string(buf[:n]), thread.Name()) {
			t.Errorf("%s was not added: %q", thread.Name(), buf[:n])
		}
	}
	if err := f.AddThreads(Group{ClosID: "c1", ID: "c1"}, 1<<30); err != nil {
		t.Errorf("a process that has ended: %v", err)
	}
}
