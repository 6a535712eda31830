package runconf

import (
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// files is a root filesystem of two files; a missing key is a missing file.
type files map[string]string

var errNotRegular = errors.New("not a regular file")

func (f files) ReadFile(unsafePath string, maxBytes int64) ([]byte, error) {
	content, ok := f[unsafePath]
	switch {
	case !ok:
		return nil, fs.ErrNotExist
	case content == "FIFO":
		return nil, errNotRegular
	}
	return []byte(content), nil
}

const passwdFile = `root:x:0:0:root:/root:/bin/sh
# comment
broken:x
daemon:x:1:1::/usr/sbin:/usr/sbin/nologin
app:x:1000:2000:The app:/home/app:/bin/sh
app:x:1:1:a second app:/second:/bin/sh
1001:x:0:0:named like an id:/root:/bin/sh
-1:x:6:6::/minus:/bin/sh
negative:x:-1:-1::/:/bin/sh
huge:x:4294967295:0::/:/bin/sh
nohome:x:7:7:::
`

const groupFile = `root:x:0:
daemon:x:1:app,other
app:x:2000:
audio:x:29:other,app
audio2:x:29:app
1001:x:0:app
named:x:55:1000
broken
`

func TestLookupUser(t *testing.T) {
	rootfs := files{"/etc/passwd": passwdFile, "/etc/group": groupFile}
	fifo := files{"/etc/passwd": "FIFO", "/etc/group": "FIFO"}
	for _, test := range []struct {
		name, in string
		files    files
		uid, gid uint32
		groups   []uint32
		home     string
		wantErr  string
	}{
		{name: "empty is root", in: "", files: rootfs, home: "/root"},
		{name: "name, first line wins", in: "app", files: rootfs, uid: 1000, gid: 2000, groups: []uint32{1, 29, 0}, home: "/home/app"},
		{name: "uid with an account", in: "1000", files: rootfs, uid: 1000, gid: 2000, groups: []uint32{1, 29, 0}, home: "/home/app"},
		{name: "uid without an account", in: "4242", files: rootfs, uid: 4242, home: "/"},
		{name: "uid that is somebody's name", in: "1001", files: rootfs, uid: 1001, home: "/"},
		{name: "uid with zeros in front", in: "0001000", files: rootfs, uid: 1000, gid: 2000, groups: []uint32{1, 29, 0}, home: "/home/app"},
		{name: "name and group", in: "app:audio", files: rootfs, uid: 1000, gid: 29, home: "/home/app"},
		{name: "name and gid", in: "app:77", files: rootfs, uid: 1000, gid: 77, home: "/home/app"},
		{name: "uid and gid", in: "5:6", files: rootfs, uid: 5, gid: 6, home: "/"},
		{name: "gid that is some group's name", in: "5:1001", files: rootfs, uid: 5, gid: 1001, home: "/"},
		{name: "uid and group", in: "5:audio", files: rootfs, uid: 5, gid: 29, home: "/"},
		{name: "only a group", in: ":audio", files: rootfs, gid: 29, home: "/root"},
		{name: "group left empty", in: "app:", files: rootfs, uid: 1000, gid: 2000, groups: []uint32{1, 29, 0}, home: "/home/app"},
		{name: "no home", in: "nohome", files: rootfs, uid: 7, gid: 7, home: "/"},
		{name: "a name that looks like a number", in: "-1", files: rootfs, uid: 6, gid: 6, home: "/minus"},
		{name: "no files, root", in: "", files: files{}, home: "/"},
		{name: "no files, numbers", in: "5:6", files: files{}, uid: 5, gid: 6, home: "/"},
		{name: "no files, name", in: "app", files: files{}, wantErr: "no such user"},
		{name: "unknown name", in: "nobody", files: rootfs, wantErr: "no such user"},
		{name: "unknown group", in: "app:nogroup", files: rootfs, wantErr: "no such group"},
		{name: "uid -1", in: "4294967295", files: rootfs, wantErr: "out of range"},
		{name: "uid beyond 32 bits", in: "4294967296", files: rootfs, wantErr: "out of range"},
		{name: "gid beyond 64 bits", in: "5:99999999999999999999999", files: rootfs, wantErr: "out of range"},
		{name: "account with a negative uid", in: "negative", files: rootfs, wantErr: "no such user"},
		{name: "account with uid -1", in: "huge", files: rootfs, wantErr: "no such user"},
		{name: "comment", in: "# comment", files: rootfs, wantErr: "no such user"},
		{name: "passwd that is no file, name", in: "app", files: fifo, wantErr: "not a regular file"},
		{name: "passwd that is no file, numbers", in: "5:6", files: fifo, uid: 5, gid: 6, home: "/"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := lookupUser(test.in, test.files)
			if err != nil || test.wantErr != "" {
				if err == nil || test.wantErr == "" || !strings.Contains(err.Error(), test.wantErr) {
					t.Errorf("lookupUser(%q): %v, want an error with %q", test.in, err, test.wantErr)
				}
				return
			}
			want := specs.User{UID: test.uid, GID: test.gid, AdditionalGids: test.groups}
			if !reflect.DeepEqual(got.user, want) || got.home != test.home {
				t.Errorf("lookupUser(%q) = %+v, home %q; want %+v, %q", test.in, got.user, got.home, want, test.home)
			}
		})
	}
}

func linuxImage(config v1.ImageConfig) *v1.Image {
	return &v1.Image{Platform: v1.Platform{OS: "linux", Architecture: "amd64"}, Config: config}
}

func TestProcess(t *testing.T) {
	const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, test := range []struct {
		name    string
		config  v1.ImageConfig
		args    []string
		env     []string
		cwd     string
		wantErr string
	}{
		{"nothing", v1.ImageConfig{}, []string{"sh"}, []string{path, "TERM=xterm", "HOME=/"}, "/", ""},
		{"entrypoint and cmd", v1.ImageConfig{Entrypoint: []string{"a", "b"}, Cmd: []string{"c"}}, []string{"a", "b", "c"}, []string{path, "TERM=xterm", "HOME=/"}, "/", ""},
		{"only cmd", v1.ImageConfig{Cmd: []string{"c"}}, []string{"c"}, []string{path, "TERM=xterm", "HOME=/"}, "/", ""},
		{"environment over the defaults", v1.ImageConfig{Env: []string{"A=1", "PATH=/bin", "A=2=3", "HOME=/h", "B="}}, []string{"sh"}, []string{"PATH=/bin", "TERM=xterm", "A=2=3", "HOME=/h", "B="}, "/", ""},
		{"working directory as it is", v1.ImageConfig{WorkingDir: "/a/../b/"}, []string{"sh"}, []string{path, "TERM=xterm", "HOME=/"}, "/a/../b/", ""},
		{"relative working directory", v1.ImageConfig{WorkingDir: "../srv"}, []string{"sh"}, []string{path, "TERM=xterm", "HOME=/"}, "/srv", ""},
		{"environment without =", v1.ImageConfig{Env: []string{"A"}}, nil, nil, "", "NAME=VALUE"},
		{"environment without a name", v1.ImageConfig{Env: []string{"=A"}}, nil, nil, "", "NAME=VALUE"},
		{"NUL in an argument", v1.ImageConfig{Cmd: []string{"a\x00b"}}, nil, nil, "", "NUL"},
		{"NUL in a volume", v1.ImageConfig{Volumes: map[string]struct{}{"/a\x00": {}}}, nil, nil, "", "NUL"},
		{"volume over everything", v1.ImageConfig{Volumes: map[string]struct{}{"/a/..": {}}}, nil, nil, "", "would hide"},
		{"unknown user", v1.ImageConfig{User: "x"}, nil, nil, "", `user "x"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			spec, err := New(linuxImage(test.config), files{}, "rootfs")
			if err != nil || test.wantErr != "" {
				if err == nil || test.wantErr == "" || !strings.Contains(err.Error(), test.wantErr) {
					t.Errorf("New: %v, want an error with %q", err, test.wantErr)
				}
				return
			}
			p := spec.Process
			if !slices.Equal(p.Args, test.args) || !slices.Equal(p.Env, test.env) || p.Cwd != test.cwd {
				t.Errorf("args %q env %q cwd %q\nwant %q %q %q", p.Args, p.Env, p.Cwd, test.args, test.env, test.cwd)
			}
		})
	}
}

func TestVolumesAreTmpfsInOrder(t *testing.T) {
	spec, err := New(linuxImage(v1.ImageConfig{Volumes: map[string]struct{}{"/z": {}, "data/": {}, "/data": {}, "/a": {}}}), files{}, "rootfs")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range spec.Mounts[len(defaultMounts()):] {
		got = append(got, m.Destination)
		if m.Type != "tmpfs" || !slices.Contains(m.Options, "nosuid") {
			t.Errorf("volume %+v", m)
		}
	}
	if want := []string{"/a", "/data", "/z"}; !slices.Equal(got, want) {
		t.Errorf("volumes %q, want %q", got, want)
	}
}

func TestAnnotations(t *testing.T) {
	created := time.Date(2024, 5, 6, 7, 8, 9, 10, time.UTC)
	image := linuxImage(v1.ImageConfig{
		ExposedPorts: map[string]struct{}{"80/tcp": {}, "443/tcp": {}},
		StopSignal:   "SIGINT",
		Labels:       map[string]string{"a.label": "x", "org.opencontainers.image.author": "the label"},
	})
	image.Author, image.Created, image.Variant, image.OSVersion, image.OSFeatures = "the field", &created, "v3", "6.1", []string{"a", "b"}
	spec, err := New(image, files{}, "rootfs")
	want := map[string]string{
		"org.opencontainers.image.os":           "linux",
		"org.opencontainers.image.architecture": "amd64",
		"org.opencontainers.image.variant":      "v3",
		"org.opencontainers.image.os.version":   "6.1",
		"org.opencontainers.image.os.features":  "a,b",
		"org.opencontainers.image.author":       "the label",
		"org.opencontainers.image.created":      "2024-05-06T07:08:09.00000001Z",
		"org.opencontainers.image.stopSignal":   "SIGINT",
		"org.opencontainers.image.exposedPorts": "443/tcp,80/tcp",
		"a.label":                               "x",
	}
	if err != nil || !reflect.DeepEqual(spec.Annotations, want) {
		t.Errorf("annotations %v: %v\nwant %v", spec.Annotations, err, want)
	}
}

func TestDefaultsAreConfined(t *testing.T) {
	spec, err := New(linuxImage(v1.ImageConfig{}), files{}, "rootfs")
	if err != nil {
		t.Fatal(err)
	}
	c := spec.Process.Capabilities
	if !spec.Process.NoNewPrivileges || len(c.Inheritable)+len(c.Ambient) != 0 || len(c.Bounding) != 3 {
		t.Errorf("process %+v, capabilities %+v", spec.Process, c)
	}
	if len(spec.Linux.Namespaces) != 6 || spec.Root.Path != "rootfs" || spec.Version != "1.3.0" {
		t.Errorf("namespaces %v, root %v, version %s", spec.Linux.Namespaces, spec.Root, spec.Version)
	}
}

func TestOnlyLinux(t *testing.T) {
	image := linuxImage(v1.ImageConfig{})
	image.OS = "windows"
	if _, err := New(image, files{}, "rootfs"); err == nil || !strings.Contains(err.Error(), "want linux") {
		t.Errorf("New: %v", err)
	}
}

// FuzzLookupUser: whatever user and files say, a number stays that number.
func FuzzLookupUser(f *testing.F) {
	f.Add("app:audio", passwdFile, groupFile)
	f.Add("1001", passwdFile, groupFile)
	f.Add("", ":::::::\n:0:0:0", "::\n")
	f.Fuzz(func(t *testing.T, user, passwd, group string) {
		got, err := lookupUser(user, files{"/etc/passwd": passwd, "/etc/group": group})
		if err != nil {
			return
		}
		userPart, groupPart, _ := strings.Cut(user, ":")
		if id, numeric, _ := parseID(userPart); numeric && got.user.UID != id {
			t.Errorf("user %q became uid %d", user, got.user.UID)
		}
		if id, numeric, _ := parseID(groupPart); numeric && got.user.GID != id {
			t.Errorf("user %q became gid %d", user, got.user.GID)
		}
	})
}
