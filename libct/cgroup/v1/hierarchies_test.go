package v1

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// TestFoldersCalledOtherwise mounts existing hierarchies under odd names, in
// a mount namespace of its own.
func TestFoldersCalledOtherwise(t *testing.T) {
	if os.Getenv("HAKO_TEST_ODD_NAMES") == "" {
		if os.Getuid() != 0 {
			t.Skip("not root")
		}
		for _, name := range []string{"systemd", "cpu", "pids"} {
			var st unix.Statfs_t
			if unix.Statfs("/sys/fs/cgroup/"+name, &st) != nil || st.Type != unix.CGROUP_SUPER_MAGIC {
				t.Skip("no v1 hierarchy is mounted: ", name)
			}
		}
		base := t.TempDir()
		cmd := exec.Command("unshare", "-m", "sh", "-ec", `mount --make-rprivate /; mount -t tmpfs tmpfs "$B"; cd "$B"
			mkdir odd cpu counter plain; ln -s cpu processor; touch file
			mount --bind /sys/fs/cgroup/systemd odd
			mount --bind /sys/fs/cgroup/cpu cpu
			mount --bind /sys/fs/cgroup/pids counter
			exec "$@"`, "sh", os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "HAKO_TEST_ODD_NAMES="+base, "B="+base)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	base := os.Getenv("HAKO_TEST_ODD_NAMES")
	found, err := Hierarchies(base)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, h := range found {
		got += fmt.Sprintln(h.Name, h.FSType, h.Options, h.Links)
	}
	want := "counter cgroup [pids] []\ncpu cgroup [cpu] [processor]\nodd cgroup [none name=systemd] []\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestNothingMounted(t *testing.T) {
	if _, err := Hierarchies(t.TempDir()); err == nil {
		t.Error("found hierarchies in an empty folder")
	}
}
