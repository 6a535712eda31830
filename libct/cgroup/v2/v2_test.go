package v2

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestKillWithoutCgroupKill runs what kernels before Linux 5.14 need.
func TestKillWithoutCgroupKill(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("not root")
	}
	root := "/sys/fs/cgroup"
	var st unix.Statfs_t
	if unix.Statfs(root, &st) != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		root += "/unified"
	}
	if unix.Statfs(root, &st) != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		t.Skip("no cgroup2 hierarchy is mounted")
	}
	g := New(root, fmt.Sprintf("/hako-test-v2-%d", os.Getpid()))
	if _, fresh, err := g.Make(); err != nil || !fresh {
		t.Fatal(fresh, err)
	}
	defer func() {
		if err := g.Remove(time.Now().Add(5 * time.Second)); err != nil {
			t.Error(err)
		}
	}()
	cmd := exec.Command("sh", "-c", "read go; for i in $(seq 20); do (while :; do (:) & wait; done) & done; wait")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	if err := g.Add(cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	in.Close()
	time.Sleep(20 * time.Millisecond)
	if err := g.killFrozen(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !cmd.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
		t.Error("not killed: ", err)
	}
}

func TestMakeRefusesAnythingButCgroup2(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := New(dir, "/a").Make(); err == nil {
		t.Error("accepted ", dir)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Error("made ", entries)
	}
}
