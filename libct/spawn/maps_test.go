package spawn

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hako-runtime/hako/libct/idmap"
	"golang.org/x/sys/unix"
)

func TestHelperArgs(t *testing.T) {
	got := helperArgs("newuidmap", 42, []idmap.Map{{ContainerID: 0, HostID: 1000, Size: 1}, {ContainerID: 1, HostID: 1 << 31, Size: 65536}})
	want := []string{"newuidmap", "42", "0", "1000", "1", "1", "2147483648", "65536"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// fakeHelper puts a script into a folder of its own.
func fakeHelper(t *testing.T, name, script string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFindHelper(t *testing.T) {
	dir := fakeHelper(t, "newuidmap", "")
	other := t.TempDir()
	if err := os.Mkdir(filepath.Join(other, "newuidmap"), 0o755); err != nil {
		t.Fatal(err)
	}
	plain := t.TempDir()
	if err := os.WriteFile(filepath.Join(plain, "newuidmap"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, c := range []struct{ name, path, want string }{
		{"behind a folder and a file that is not executable", other + ":" + plain + ":" + dir, dir + "/newuidmap"},
		{"not in a relative folder", ".:", ""},
		{"nowhere", other, ""},
	} {
		t.Setenv("PATH", c.path)
		got, err := findHelper("newuidmap")
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: got %q, %v", c.name, got, err)
		}
		if err != nil && !strings.Contains(err.Error(), "newuidmap: not found in $PATH") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// What a helper prints and how it ends becomes the error.
func TestHelperErrors(t *testing.T) {
	for _, c := range []struct{ name, script, want string }{
		{"success", "exit 0", ""},
		{"not allowed", "echo 'newgidmap: gid range [0-1) -> [0-1) not allowed' >&2; exit 1", "[0-1) not allowed (the range has to be the user's in /etc/subgid)"},
		{"powerless", "echo 'newgidmap: write to gid_map failed: Operation not permitted'; exit 1", "Operation not permitted (is the helper setuid root?)"},
		{"silent", "exit 3", "newgidmap: exit status 3"},
		{"killed", "kill -9 $$", "newgidmap was killed by signal 9"},
		{"environment", `[ -z "$SECRET" ] && [ "$PWD" = / ]`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("SECRET", "1")
			t.Setenv("PATH", fakeHelper(t, "newgidmap", c.script)+":/usr/bin:/bin")
			err := mapByHelper(1, groupIDs(), []idmap.Map{{Size: 2}})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if n, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err == nil && n > 0 {
		t.Error("a helper was not reaped")
	}
}
