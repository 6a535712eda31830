package cgroup

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/host"
)

// Without a cgroup a container can be made and removed, and whatever needs one
// says that there is none.
func TestNoCgroup(t *testing.T) {
	for _, mode := range []host.CgroupMode{host.CgroupV2, host.CgroupHybrid, host.CgroupNone} {
		g, err := Open(Spec{}, mode)
		if err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{
			"Create": g.Create(), "Limit": g.Limit(), "Add": g.Add(1), "Thaw": g.Thaw(), "Clear": g.Clear(),
			"Remove": g.Remove(), "Discard": g.Discard(),
		} {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, processes := g.Processes()
		_, stats := g.Stats()
		_, oom := g.WatchOOM()
		for name, err := range map[string]error{
			"AddTo": g.AddTo("x", 1), "Kill": g.Kill(unix.SIGTERM), "Freeze": g.Freeze(), "Update": g.Update(nil, nil),
			"Processes": processes, "Stats": stats, "WatchOOM": oom,
		} {
			if !errors.Is(err, ErrNone) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if frozen, err := g.Frozen(); frozen || err != nil || g.Exists() {
			t.Errorf("frozen %v, %v; exists %v", frozen, err, g.Exists())
		}
	}
}

func TestOwnPath(t *testing.T) {
	const table = "12:cpu,cpuacct:/user/a b\n3:name=systemd:/s\n0::/u\n"
	for _, c := range []struct {
		name string
		h    Hierarchy
		want string
	}{
		{"co-mounted", Hierarchy{FSType: "cgroup", Options: []string{"cpu", "cpuacct"}}, "/user/a b"},
		{"named", Hierarchy{FSType: "cgroup", Options: []string{"none", "name=systemd"}}, "/s"},
		{"unified", Hierarchy{FSType: "cgroup2"}, "/u"},
		{"unknown", Hierarchy{FSType: "cgroup", Options: []string{"pids"}}, "/"},
	} {
		if got := ownPath(table, controllers(c.h)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
	if got := ownPath("0::/../x\n", ""); got != "/x" {
		t.Errorf("outside: got %q: it must stay below the mount", got)
	}
}
