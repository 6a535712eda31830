package initproc

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/quick"
	"unicode/utf8"

	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/safepath"
	"golang.org/x/sys/unix"
)

func TestHomeOfAUser(t *testing.T) {
	for _, c := range []struct {
		name, passwd string
		uid          uint32
		want         string
	}{
		{"found", "root:x:0:0:root:/root:/bin/sh\nu:x:7:7::/home/u:/bin/sh\n", 7, "/home/u"},
		{"the first one counts", "a:x:7:7::/a:\nb:x:7:7::/b:\n", 7, "/a"},
		{"without a last newline", "u:x:7:7::/home/u", 7, "/home/u"},
		{"unknown", "root:x:0:0:root:/root:/bin/sh\n", 7, "/"},
		{"empty", "", 0, "/"},
		{"a name that is a number is no uid", "7:x:0:0::/evil:\n", 7, "/"},
		{"a gid is no uid", "u:x:0:7::/evil:\n", 7, "/"},
		{"leading zeros are another uid", "u:x:07:7::/evil:\n", 7, "/"},
		{"spaces are another uid", "u:x: 7:7::/evil:\n", 7, "/"},
		{"-1 is not the largest", "u:x:-1:7::/evil:\n", 4294967295, "/"},
		{"the largest", "u:x:4294967294:7::/h:\n", 4294967294, "/h"},
		{"relative", "u:x:7:7::home:/bin/sh\n", 7, "/"},
		{"none", "u:x:7:7:::/bin/sh\n", 7, "/"},
		{"NUL", "u:x:7:7::/a\x00b:/bin/sh\n", 7, "/"},
		{"cut", "u:x:7:7:\n", 7, "/"},
		{"comment", "#u:x:7\n\n+::::::\nu:x:7:7::/h:\n", 7, "/h"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := homeIn(c.passwd, c.uid); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func FuzzHomeIn(f *testing.F) {
	for _, s := range []string{"root:x:0:0:root:/root:/bin/sh\n", "u:x:7:7::/h", "7:::::", ":\n::7:::/x:", "\x00", strings.Repeat(":", 99)} {
		f.Add(s, uint32(7))
	}
	f.Fuzz(func(t *testing.T, passwd string, uid uint32) {
		home := homeIn(passwd, uid)
		if !strings.HasPrefix(home, "/") || strings.ContainsAny(home, "\x00\n:") {
			t.Errorf("%q", home) // neither a path nor one environment entry
		}
		if home != "/" && !strings.Contains(passwd, home) {
			t.Errorf("%q is made up", home)
		}
	})
}

// TestHomeComesFromAFileInTheRoot and from nothing else: an image may put
// anything at /etc/passwd.
func TestHomeComesFromAFileInTheRoot(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "passwd")
	must(t, os.WriteFile(outside, []byte("u:x:7:7::/outside:\n"), 0o600))
	for _, c := range []struct {
		name string
		put  func(root string) error
		want string
	}{
		{"file", func(r string) error { return os.WriteFile(r+"/etc/passwd", []byte("u:x:7:7::/h:\n"), 0o600) }, "/h"},
		{"missing", func(string) error { return nil }, "/"},
		{"link out of the root", func(r string) error { return os.Symlink(outside, r+"/etc/passwd") }, "/"},
		{"FIFO", func(r string) error { return unix.Mkfifo(r+"/etc/passwd", 0o600) }, "/"},
		{"folder", func(r string) error { return os.Mkdir(r+"/etc/passwd", 0o700) }, "/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.Mkdir(dir+"/etc", 0o755))
			must(t, c.put(dir))
			root, err := safepath.OpenRoot(dir)
			must(t, err)
			if got := (&stage{root: root}).home(7); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestLookupFindsTheLast(t *testing.T) {
	env := []string{"A=1", "AB=2", "A=3", "EMPTY=", "odd", "=x"}
	for name, want := range map[string]string{"A": "3", "AB": "2", "EMPTY": ""} {
		if got, ok := lookup(env, name); !ok || got != want {
			t.Errorf("%s: %q, %v; want %q", name, got, ok, want)
		}
	}
	for _, name := range []string{"B", "odd", "a"} {
		if got, ok := lookup(env, name); ok {
			t.Errorf("%s: %q", name, got)
		}
	}
	found := func(name, value string) bool {
		got, ok := lookup([]string{name + "=" + value}, name)
		return strings.Contains(name, "=") || ok && got == value
	}
	if err := quick.Check(found, nil); err != nil {
		t.Error(err)
	}
}

const userEnv = "HAKO_INITPROC_TEST_DIR"

// TestFindProgram runs as a user who is not root, for whom permissions count.
func TestFindProgram(t *testing.T) {
	if dir := os.Getenv(userEnv); dir != "" {
		findAsUser(t, dir)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: to become another user")
	}
	dir, err := os.MkdirTemp("", "hako-initproc") // t.TempDir's parent is closed to others
	must(t, err)
	defer os.RemoveAll(dir)
	must(t, os.Chmod(dir, 0o755))
	for name, mode := range map[string]os.FileMode{
		"a/prog": 0o755, "b/prog": 0o755, "b/only": 0o755, "a/data": 0o644, "b/data": 0o755, "a/denied": 0o644,
		"closed/prog": 0o755, "closed/secret": 0o755, "a/root": 0o700, "b/unreadable": 0o111,
	} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600))
		must(t, os.Chmod(filepath.Join(dir, name), mode))
	}
	must(t, os.Mkdir(dir+"/a/only", 0o755))
	must(t, os.Symlink("prog", dir+"/a/link"))
	must(t, os.Symlink("loop", dir+"/a/loop"))
	must(t, os.Symlink("nowhere", dir+"/a/dangling"))
	must(t, os.Chmod(dir+"/closed", 0o700))
	exe := filepath.Join(dir, "test")
	self, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	must(t, os.WriteFile(exe, self, 0o755))
	must(t, os.Chmod(exe, 0o755))
	cmd := exec.Command(exe, "-test.run=^TestFindProgram$", "-test.v")
	cmd.Env = []string{userEnv + "=" + dir}
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestFindProgram") {
		t.Errorf("%v\n%s", err, out)
	}
}

func findAsUser(t *testing.T, dir string) {
	a, b, closed := dir+"/a", dir+"/b", dir+"/closed"
	for _, c := range []struct {
		name, arg string
		path      string // "-": not set
		want      string // beneath dir; "" is an error
		is        error
	}{
		{"first in PATH", "prog", a + ":" + b, "a/prog", nil},
		{"second in PATH", "only", a + ":" + b, "b/only", nil}, // a/only is a folder
		{"not executable, but a later one is", "data", a + ":" + b, "b/data", nil},
		{"behind a closed folder", "prog", closed + ":" + b, "b/prog", nil},
		{"not executable", "denied", a + ":" + b, "", unix.EACCES},
		{"only root's", "root", a, "", unix.EACCES},
		{"only in a closed folder", "secret", closed, "", unix.EACCES},
		{"executable, not readable", "unreadable", b, "b/unreadable", nil},
		{"by a link", "link", a, "a/link", nil},
		{"by a dangling link", "dangling", a, "", errNotFound},
		{"by a loop", "loop", a, "", errNotFound},
		{"missing", "none", a + ":" + b, "", errNotFound},
		{"relative folders do not count", "prog", "a::.:b", "", errNotFound},
		{"empty PATH", "prog", "", "", errNotFound},
		{"no PATH", "none", "-", "", errNotFound},
		{"absolute", a + "/prog", "", "a/prog", nil},
		{"absolute folder", a + "/only", "", "", unix.EISDIR},
		{"absolute, missing", a + "/none", "", "", unix.ENOENT},
		{"absolute, not executable", a + "/data", "", "", unix.EACCES},
		{"a file for a folder", a + "/prog/x", "", "", unix.ENOTDIR},
		{"a loop", a + "/loop", "", "", unix.ELOOP},
		{"too long", "/" + strings.Repeat("x", 300), "", "", unix.ENAMETOOLONG},
		{"empty", "", a, "", errNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &stage{plan: &plan.Plan{Process: plan.Process{Args: []string{c.arg}}}}
			if c.path != "-" {
				s.env = []string{"PATH=/nonexistent", "PATH=" + c.path}
			}
			err := s.findProgram()
			if (err == nil) != (c.want != "") || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v, want %v", err, c.is)
			}
			if err == nil && s.program != filepath.Join(dir, c.want) {
				t.Errorf("found %s, want %s", s.program, c.want)
			}
		})
	}
	// A name with a slash is relative to the working directory.
	s := &stage{plan: &plan.Plan{Process: plan.Process{Args: []string{"a/prog"}}}}
	if err := s.findProgram(); err != nil || s.program != "a/prog" {
		t.Errorf("%q, %v", s.program, err)
	}
}

func TestPasswdIsReadAsBytes(t *testing.T) {
	if got := homeIn("u:x:7:7::/h\xff:\n", 7); got != "/h\xff" || utf8.ValidString(got) {
		t.Errorf("%q: a path is bytes", got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
