package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/cgroup/devices"
	"github.com/hako-runtime/hako/libct/cgroup/limits"
	"github.com/hako-runtime/hako/libct/host"
)

func TestPathIsBelowTheRoot(t *testing.T) {
	for _, c := range []struct {
		name, path string
		ok         bool
	}{
		{"leaf", "/a", true},
		{"nested", "/a/b/c", true},
		{"dots in a name", "/a..b/...", true},
		{"root", "/", false},
		{"relative", "a", false},
		{"parent", "/../a", false},
		{"parent inside", "/a/../../b", false},
		{"parent last", "/a/..", false},
		{"double slash", "//a", false},
		{"trailing slash", "/a/", false},
		{"NUL", "/a\x00b", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(Spec{Path: c.path}, host.CgroupV2)
			if (err == nil) != c.ok {
				t.Error(err)
			}
			if err != nil && !errors.Is(err, unix.EINVAL) {
				t.Error("does not match EINVAL: ", err)
			}
		})
	}
}

func TestAddPlacesInEveryHierarchy(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		path := testPath(t)
		removeParents(t, openGroup(t, mode, path+"/b/c"), path)
		g := newGroup(t, mode, path+"/b/c")
		cmd := start(t, g, "sleep 60")
		memberships, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(memberships)) {
			if mode == host.CgroupV1 && strings.HasPrefix(line, "0::") {
				continue // not mounted in this view
			}
			if mode == host.CgroupV2 && !strings.HasPrefix(line, "0::") {
				continue
			}
			if !strings.HasSuffix(strings.TrimSpace(line), ":"+path+"/b/c") {
				t.Error("not placed: ", line)
			}
		}
		if pids, err := g.Processes(); err != nil || !slices.Contains(pids, cmd.Process.Pid) {
			t.Error(pids, err)
		}
		if dir, err := g.Dir(); mode != host.CgroupV2 && (dir != nil || err != nil) {
			t.Error("v1 has a directory to clone into: ", dir, err)
		}
	})
}

// removeParents registers the removal of what Remove leaves, up to top. It
// comes before newGroup: cleanups run in reverse order.
func removeParents(t *testing.T, g Group, top string) {
	t.Cleanup(func() {
		for _, dir := range g.Paths() {
			for dir = filepath.Dir(dir); strings.Contains(dir, top); dir = filepath.Dir(dir) {
				if err := os.Remove(dir); err != nil {
					t.Error(err)
				}
			}
		}
	})
}

func TestBornInside(t *testing.T) {
	inLayout(t, host.CgroupV2, func(t *testing.T, mode host.CgroupMode) {
		g := newGroup(t, mode, testPath(t))
		dir, err := g.Dir()
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		cmd := exec.Command("cat", "/proc/self/cgroup")
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
		out, err := cmd.Output()
		if err != nil || !strings.Contains(string(out), "0::"+testPath(t)+"\n") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func TestCreateTakesOverOnlyWhatIsEmpty(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		path := testPath(t)
		g := newGroup(t, mode, path)
		if err := g.Freeze(); err != nil {
			t.Fatal(err)
		}
		if err := g.Create(); err != nil {
			t.Error("empty: ", err)
		}
		if frozen, err := g.Frozen(); frozen || err != nil {
			t.Error("taken over frozen: ", err)
		}
		mkdirEverywhere(t, g, "sub")
		cmd := start(t, g, "sleep 60")
		if err := g.AddTo("sub", cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
		err := g.Create()
		want := fmt.Sprintf("cgroup %s is not empty: ", path)
		if !errors.Is(err, ErrNotEmpty) || !strings.HasPrefix(err.Error(), want) {
			t.Error("with a process below: ", err)
		}
		if !g.Exists() {
			t.Error("the refused Create removed somebody's cgroup")
		}
	})
}

func TestFailedCreateLeavesNothing(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		path := testPath(t)
		g := openGroup(t, mode, path+"/b/c", devices.Rule{Type: 'x', Major: -1, Minor: -1, Read: true})
		if err := createLimited(g); !errors.Is(err, unix.EINVAL) {
			t.Error(err)
		}
		for _, dir := range openGroup(t, mode, path).Paths() {
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Error("left: ", dir)
			}
		}
		missing := openGroup(t, mode, path)
		if missing.Exists() {
			t.Error("exists")
		}
		if pids, err := missing.Processes(); len(pids) > 0 || err != nil {
			t.Error(pids, err)
		}
		if frozen, err := missing.Frozen(); frozen || err != nil {
			t.Error(frozen, err)
		}
		for _, sig := range []unix.Signal{unix.SIGTERM, unix.SIGKILL} {
			if err := missing.Kill(sig); err != nil {
				t.Error(err)
			}
		}
		if err := missing.Remove(); err != nil {
			t.Error(err)
		}
	})
}

// Fifty shells that do nothing but fork.
const forkBomb = `for i in $(seq 50); do (while :; do (:) & wait; done) & done; wait`

func TestKillEndsForkBombs(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		g := newGroup(t, mode, testPath(t))
		cmd := start(t, g, forkBomb)
		eventually(t, "fifty processes", func() bool {
			pids, _ := g.Processes()
			return len(pids) >= 50
		})
		if err := g.Kill(unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
		if g.Exists() {
			t.Error("still there")
		}
	})
}

func TestKillReachesFrozenProcesses(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		path := testPath(t)
		g := newGroup(t, mode, path)
		mkdirEverywhere(t, g, "sub")
		cmd := start(t, g, "sleep 60")
		if err := g.AddTo("sub", cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
		// The container froze a part of itself, then the whole was frozen.
		if err := openGroup(t, mode, path+"/sub").Freeze(); err != nil {
			t.Fatal(err)
		}
		if err := g.Freeze(); err != nil {
			t.Fatal(err)
		}
		if err := g.Kill(unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			t.Fatal("survives")
		}
	})
}

func TestKillSendsOtherSignalsToAll(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		g := newGroup(t, mode, testPath(t))
		mkdirEverywhere(t, g, "sub/sub")
		var all []*exec.Cmd
		for _, sub := range []string{".", "sub", "sub/sub"} {
			cmd := start(t, g, "trap 'exit 7' USR1; echo ready; while :; do sleep 0.01; done")
			if err := g.AddTo(sub, cmd.Process.Pid); err != nil {
				t.Fatal(err)
			}
			all = append(all, cmd)
		}
		eventually(t, "the traps are set", func() bool {
			return !slices.ContainsFunc(all, func(c *exec.Cmd) bool { return !catches(c.Process.Pid, unix.SIGUSR1) })
		})
		if err := g.Kill(unix.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		for _, cmd := range all {
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != 7 {
				t.Error("exit status ", code)
			}
		}
	})
}

// catches reads SigCgt of proc_pid_status(5).
func catches(pid int, sig unix.Signal) bool {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut(string(status), "SigCgt:\t")
	mask, _ := strconv.ParseUint(strings.SplitN(rest, "\n", 2)[0], 16, 64)
	return mask&(1<<(sig-1)) != 0
}

func TestFreezeStopsAndThawContinues(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		path := testPath(t)
		g := newGroup(t, mode, path)
		cmd := start(t, g, "while :; do :; done")
		ticks := func() string { // utime of proc_pid_stat(5)
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}
			return strings.Fields(string(stat))[13]
		}
		first := ticks()
		eventually(t, "it runs", func() bool { return ticks() != first })
		for range 3 {
			if err := g.Freeze(); err != nil {
				t.Fatal(err)
			}
			if frozen, err := g.Frozen(); !frozen || err != nil {
				t.Error("not frozen: ", err)
			}
			stopped := ticks()
			time.Sleep(60 * time.Millisecond)
			if now := ticks(); now != stopped {
				t.Errorf("ran while frozen: %s, then %s ticks", stopped, now)
			}
			if err := g.Thaw(); err != nil {
				t.Fatal(err)
			}
			if frozen, err := g.Frozen(); frozen || err != nil {
				t.Error("still frozen: ", err)
			}
			eventually(t, "it runs again", func() bool { return ticks() != stopped })
		}
		if err := g.Thaw(); err != nil {
			t.Error("thawing what is not frozen: ", err)
		}
	})
}

func TestFrozenIsNotWhatAParentDoes(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		parent := newGroup(t, mode, testPath(t))
		child := newGroup(t, mode, testPath(t)+"/child")
		if err := parent.Freeze(); err != nil {
			t.Fatal(err)
		}
		if frozen, err := child.Frozen(); frozen || err != nil {
			t.Error(frozen, err)
		}
	})
}

func TestFreezeForkBomb(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		g := newGroup(t, mode, testPath(t))
		start(t, g, forkBomb)
		eventually(t, "fifty processes", func() bool {
			pids, _ := g.Processes()
			return len(pids) >= 50
		})
		if err := g.Freeze(); err != nil {
			t.Fatal(err)
		}
		before, err := g.Processes()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		after, err := g.Processes()
		if err != nil || !slices.Equal(before, after) {
			t.Error("changed while frozen: ", before, after, err)
		}
	})
}

func TestRemoveTakesNestedCgroupsAndLeavesParents(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		path := testPath(t)
		parent := newGroup(t, mode, path)
		g := newGroup(t, mode, path+"/leaf")
		deep := strings.TrimSuffix(strings.Repeat("deep/", 20), "/")
		for _, dir := range g.Paths() {
			for _, sub := range []string{deep, "b/c", "b/d", "init.scope"} {
				if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := g.Remove(); err != nil {
			t.Fatal(err)
		}
		if g.Exists() || !parent.Exists() {
			t.Error("leaf exists: ", g.Exists(), ", parent exists: ", parent.Exists())
		}
		if err := g.Remove(); err != nil {
			t.Error("missing: ", err)
		}
	})
}

func TestRemoveIsBoundedAndNamesWhoIsLeft(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		g := newGroup(t, mode, testPath(t))
		start(t, g, "sleep 60")
		began := time.Now()
		err := g.(*group).driver.Remove(began.Add(50 * time.Millisecond))
		if !errors.Is(err, unix.EBUSY) {
			t.Error(err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Error("took ", took)
		}
	})
}

func TestAddToStaysBeneath(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		path := testPath(t)
		removeParents(t, openGroup(t, mode, path+"/own"), path)
		g := newGroup(t, mode, path+"/own")
		outside := newGroup(t, mode, path+"/other")
		mkdirEverywhere(t, g, "sub/sub")
		cmd := start(t, g, "sleep 60")
		for _, sub := range []string{"..", "../other", "sub/../../other", "/..", "memory:../other", "sub/..", "missing"} {
			if err := g.AddTo(sub, cmd.Process.Pid); err == nil {
				t.Errorf("%q was accepted", sub)
			}
		}
		if pids, err := outside.Processes(); len(pids) > 0 || err != nil {
			t.Error(pids, err)
		}
		for _, c := range [][2]string{{"/sub/sub", "/own/sub/sub"}, {"sub", "/own/sub"}, {".", "/own"}, {"", "/own"}} {
			sub, want := c[0], c[1]
			if err := g.AddTo(sub, cmd.Process.Pid); err != nil {
				t.Errorf("%q: %v", sub, err)
			}
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", cmd.Process.Pid))
			if !strings.Contains(string(text), ":"+path+want+"\n") {
				t.Errorf("%q:\n%s", sub, text)
			}
		}
		testAddToControllers(t, mode, g, cmd.Process.Pid)
	})
}

func testAddToControllers(t *testing.T, mode host.CgroupMode, g Group, pid int) {
	t.Helper()
	err := g.AddTo("memory,pids:sub", pid)
	if mode == host.CgroupV2 {
		if !errors.Is(err, unix.EINVAL) {
			t.Error("v2 accepted controllers: ", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	for line := range strings.Lines(string(text)) {
		moved := strings.HasSuffix(line, "/own/sub\n")
		if want := strings.Contains(line, ":memory:") || strings.Contains(line, ":pids:"); moved != want {
			t.Error(line)
		}
	}
	for _, bad := range []string{"nonsense:sub", "none:sub", ":sub", "memory,:sub"} {
		if err := g.AddTo(bad, pid); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// onlyZero is the shape of a usual list: nothing, all mknod of blocks, one device.
var onlyZero = []devices.Rule{
	{Type: 'a', Major: -1, Minor: -1, Read: true, Write: true, Mknod: true},
	{Type: 'b', Major: -1, Minor: -1, Mknod: true, Allow: true},
	{Type: 'c', Major: 1, Minor: 5, Read: true, Write: true, Mknod: true, Allow: true},
	{Type: 'c', Major: 1, Minor: 7, Write: true, Allow: true},
}

func TestDeviceRulesHold(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		g := newGroup(t, mode, testPath(t), onlyZero...)
		dir := t.TempDir()
		for _, c := range []struct {
			name, script string
			want         bool
		}{
			{"read an allowed device", ": </dev/zero", true},
			{"read and write an allowed device", ": <>/dev/zero", true},
			{"read a denied device", ": </dev/null", false},
			{"write a denied device", ": >/dev/null", false},
			{"write where only that is allowed", "printf '' >/dev/full", true},
			{"read where only writing is allowed", ": </dev/full", false},
			{"mknod of an allowed device", "mknod " + dir + "/zero c 1 5", true},
			{"mknod of a denied device", "mknod " + dir + "/null c 1 3", false},
			{"mknod of any block device", "mknod " + dir + "/blk b 7 200", true},
			{"open of a block device", ": <" + dir + "/blk", false},
			{"a FIFO is no device", "mkfifo " + dir + "/fifo", true},
		} {
			t.Run(c.name, func(t *testing.T) {
				// "(" keeps sh alive when a redirection fails.
				err := start(t, g, "("+c.script+") 2>&-").Wait()
				if (err == nil) != c.want {
					t.Error(err)
				}
			})
		}
	})
}

func TestReusedCgroupGetsTheNewRules(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		newGroup(t, mode, testPath(t), onlyZero...)
		all := devices.Rule{Type: 'a', Major: -1, Minor: -1, Read: true, Write: true, Mknod: true, Allow: true}
		g := newGroup(t, mode, testPath(t), all)
		if err := start(t, g, ": <>/dev/null").Wait(); err != nil {
			t.Error("the rules of the first Create still hold: ", err)
		}
	})
}

// sampleLimits are limits of which every host that is tested on has the
// controllers, and an update.
func sampleLimits(t *testing.T, mode host.CgroupMode) (few, more *limits.Limits) {
	few, more = &limits.Limits{}, &limits.Limits{}
	g := openGroup(t, mode, "/x")
	if dir, _ := find(g, "hugetlb"); dir != "" {
		few.HugeTLB, more.HugeTLB = hugePages(0).HugeTLB, hugePages(2*mib).HugeTLB
	}
	if dir, _ := find(g, "pids"); dir != "" {
		few.Tasks, more.Tasks = ptr[int64](3), ptr[int64](50)
	}
	if dir, _ := find(g, "memory"); dir != "" {
		few.Memory, more.Memory = memory(64*mib, 64*mib).Memory, memory(80*mib, 90*mib).Memory
	}
	return few, more
}

func TestTwoHundredAtOnce(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		path := testPath(t)
		few, more := sampleLimits(t, mode)
		var all sync.WaitGroup
		for i := range 200 {
			// Ten shared parents; every fifth start fails and takes its
			// parents away beneath the others.
			rules := slices.Clone(onlyZero)
			if i%5 == 0 {
				rules = append(rules, devices.Rule{Type: 'x'})
			}
			g, err := Open(Spec{Path: fmt.Sprintf("%s/p%d/q/c%d", path, i%10, i), Devices: rules, Limits: few}, mode)
			if err != nil {
				t.Fatal(err)
			}
			all.Go(func() {
				err := createLimited(g)
				if (err != nil) != (i%5 == 0) {
					t.Errorf("create %d: %v", i, err)
				}
				if err == nil && !g.Exists() {
					t.Errorf("create %d made nothing", i)
				}
				if err == nil {
					if err := g.Update(more, nil); err != nil {
						t.Errorf("update %d: %v", i, err)
					}
				}
				if err := g.Remove(); err != nil {
					t.Errorf("remove %d: %v", i, err)
				}
			})
		}
		all.Wait()
		top := openGroup(t, mode, path)
		for _, dir := range top.Paths() {
			if left, _ := filepath.Glob(dir + "/p*/q/c*[0-9]"); len(left) > 0 {
				t.Error("left: ", left)
			}
		}
		if err := top.Remove(); err != nil {
			t.Error(err)
		}
	})
}

func TestHierarchiesAreWhatIsMounted(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		g, err := Open(Spec{Path: "/x"}, mode)
		if err != nil {
			t.Fatal(err)
		}
		hierarchies := g.Hierarchies()
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for line := range strings.Lines(string(mounts)) {
			left, right, _ := strings.Cut(line, " - ")
			point, fstype := strings.Fields(left)[4], strings.Fields(right)[0]
			if !strings.HasPrefix(fstype, "cgroup") {
				continue
			}
			count++
			options := strings.Split(strings.Fields(right)[2], ",")
			i := slices.IndexFunc(hierarchies, func(h Hierarchy) bool { return h.Mountpoint == point && h.FSType == fstype })
			if i < 0 {
				t.Error("missing: ", point)
				continue
			}
			for _, o := range hierarchies[i].Options {
				if o != "none" && !slices.Contains(options, o) {
					t.Errorf("%s: option %s, mounted with %v", point, o, options)
				}
			}
			if fstype == "cgroup" && len(hierarchies[i].Options) == 0 {
				t.Error("no options: ", point)
			}
		}
		if count != len(hierarchies) {
			t.Errorf("%d mounted, found %v", count, hierarchies)
		}
	})
}

func TestClearEndsWhatIsLeft(t *testing.T) {
	everyLayout(t, func(t *testing.T, mode host.CgroupMode) {
		g := newGroup(t, mode, testPath(t))
		mkdirEverywhere(t, g, "sub")
		cmd := start(t, g, "sleep 60")
		if err := g.AddTo("sub", cmd.Process.Pid); err != nil {
			t.Fatal(err)
		}
		gone := make(chan error, 1)
		go func() { gone <- cmd.Wait() }() // a zombie still counts
		if err := g.Clear(); err != nil || g.Exists() {
			t.Errorf("%v, exists %v", err, g.Exists())
		}
		if err := <-gone; err == nil {
			t.Error("the process ended by itself")
		}
		if err := g.Clear(); err != nil {
			t.Error("again: ", err)
		}
	})
}
