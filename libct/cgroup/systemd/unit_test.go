package systemd

import (
	"strings"
	"testing"
)

func TestNew(t *testing.T) {
	for _, tt := range []struct {
		given, id          string
		user               bool
		name, slice, where string
	}{
		{"", "web", false, "hako-web.scope", "system.slice", "/system.slice/hako-web.scope"},
		{"", "web", true, "hako-web.scope", "user.slice", "/user.slice/hako-web.scope"},
		{"", "a+b", false, `hako-a\x2bb.scope`, "system.slice", `/system.slice/hako-a\x2bb.scope`},
		{"", "_x", false, "hako-_x.scope", "system.slice", "/system.slice/hako-_x.scope"},
		{":docker:5", "web", false, "docker-5.scope", "system.slice", "/system.slice/docker-5.scope"},
		{"-:p:n", "web", false, "p-n.scope", "-.slice", "/p-n.scope"},
		{"-.slice:p:n", "web", false, "p-n.scope", "-.slice", "/p-n.scope"},
		{"a.slice::n", "web", false, "-n.scope", "a.slice", "/a.slice/-n.scope"},
		{"machine.slice:libpod:0f", "web", false, "libpod-0f.scope", "machine.slice", "/machine.slice/libpod-0f.scope"},
		{"a-b-c.slice:p:n", "web", true, "p-n.scope", "a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice/p-n.scope"},
		{"::a-b.slice", "web", false, "a-b.slice", "a.slice", "/a.slice/a-b.slice"},
		{"a.slice:ignored:a-b.slice", "web", false, "a-b.slice", "a.slice", "/a.slice/a-b.slice"},
		{"-::a.slice", "web", false, "a.slice", "-.slice", "/a.slice"},
		{"memory.slice:_p:n", "web", false, "_p-n.scope", "memory.slice", "/_memory.slice/__p-n.scope"},
		{":cgroup.x:n", "web", false, "cgroup.x-n.scope", "system.slice", "/system.slice/_cgroup.x-n.scope"},
	} {
		u, err := New(tt.given, tt.id, tt.user)
		if err != nil {
			t.Errorf("%q: %v", tt.given, err)
			continue
		}
		if u.Name != tt.name || u.Slice != tt.slice || u.User != tt.user || u.Path("/") != tt.where {
			t.Errorf("%q: got %+v in %s", tt.given, u, u.Path("/"))
		}
		if got := u.Path("/user.slice/u.service"); got != "/user.slice/u.service"+tt.where {
			t.Errorf("%q: below another root: %s", tt.given, got)
		}
		if got := NameOf(u.Path("/")); got != tt.name {
			t.Errorf("%q: the name of %s is %s", tt.given, u.Path("/"), got)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct{ given, want string }{
		{"/a/b", "is not slice:prefix:name"},
		{"a.slice:b", "is not slice:prefix:name"},
		{"a.slice:b:c:d", "is not slice:prefix:name"},
		{"a.slice:b:", "has no name"},
		{"a:b:c", `does not end in ".slice"`},
		{".slice:b:c", `does not end in ".slice"`},
		{"a.slice/a-b.slice:b:c", "has a slash"},
		{"a--b.slice:b:c", "empty part"},
		{"-a.slice:b:c", "empty part"},
		{"a-.slice:b:c", "empty part"},
		{"a b.slice:b:c", `" " is not allowed`},
		{"a.slice:b:c/d", `"/" is not allowed`},
		{"a.slice:b:c@d", `"@" is not allowed`},
		{"a.slice:b:c\nd", "is not allowed"},
		{"a.slice:b:..\x00", "is not allowed"},
		{"a.slice:b:" + strings.Repeat("c", 248), "longer than 255"},
		{"::-.slice", "is the root"},
		{"system.slice::a-b.slice", "its name says so"},
		{"::a--b.slice", "empty part"},
	} {
		if u, err := New(tt.given, "web", false); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.40q: got %+v, %v, want …%s…", tt.given, u, err, tt.want)
		}
	}
}

func TestNewTakesTheLongestName(t *testing.T) {
	u, err := New("a.slice:b:"+strings.Repeat("c", 247), "web", false)
	if err != nil || len(u.Name) != nameMax {
		t.Error(u, err)
	}
}
