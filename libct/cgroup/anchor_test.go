package cgroup

import (
	"testing"

	"github.com/hako-runtime/hako/libct/cgroup/systemd"
	"github.com/hako-runtime/hako/libct/host"
)

// What an anchor says is enough to find the unit again.
func TestAnchor(t *testing.T) {
	mode := nativeLayout(t)
	for _, tt := range []struct {
		unit   *systemd.Unit
		path   string
		anchor string
		name   string
	}{
		{nil, "/a/b", string(mode), ""},
		{&systemd.Unit{Name: "a.scope"}, "/system.slice/a.scope", string(mode) + " systemd", "a.scope"},
		{&systemd.Unit{Name: "_a.scope", User: true}, "/u.slice/__a.scope", string(mode) + " systemd-user", "_a.scope"},
	} {
		spec := Spec{Path: tt.path, Unit: tt.unit}
		anchor := spec.Anchor(mode)
		if anchor != tt.anchor {
			t.Errorf("got anchor %q, want %q", anchor, tt.anchor)
		}
		g, err := OpenAnchored(anchor, tt.path)
		if err != nil {
			t.Fatal(err)
		}
		m, managed := g.(*managed)
		if managed != (tt.unit != nil) {
			t.Fatalf("%s: got %T", anchor, g)
		}
		if managed && (m.unit().Name != tt.name || m.unit().User != tt.unit.User) {
			t.Errorf("%s %s: got %+v", anchor, tt.path, m.unit())
		}
	}
	for _, bad := range []string{"", "v3", string(mode) + " ", string(mode) + " upstart"} {
		if g, err := OpenAnchored(bad, "/a"); err == nil {
			t.Errorf("%q: got %T", bad, g)
		}
	}
	if _, err := OpenAnchored(string(host.CgroupV2)+" systemd", "a"); err == nil {
		t.Error("a relative path")
	}
}
