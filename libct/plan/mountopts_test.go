package plan

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hako-runtime/hako/libct/rootfs"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// FuzzMountOptions: whatever the options of a mount are, each is interpreted
// once. One that hako knows never reaches the file system as data, none is
// lost, and no flag is both set and cleared.
func FuzzMountOptions(f *testing.F) {
	config, err := os.ReadFile("testdata/default.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, o := range []string{
		"ro\nnosuid\nnodev\nmode=755\nsize=64k", "rbind\nrro\nrw\nrslave", "noatime\nstrictatime\nrelatime", "remount\nbind\nro",
		`lowerdir=/a\,b:/c,upperdir=/d` + "\n" + `context="system_u:object_r:x:s0:c1,c2"`, "\n\n,\n,,\n\"\n\\\n\"a,", "ridmap\nsrc-nofollow\ntmpcopyup", "uid=4294967295\ngid=-1",
	} {
		f.Add(o, "tmpfs", "/data", false)
	}
	f.Add("bind", "", "../../proc", true)
	f.Add("ro", "proc", "/proc/../proc/", true)
	f.Fuzz(func(t *testing.T, lines, fsType, dest string, user bool) {
		options := strings.Split(lines, "\n")
		var m rootfs.Mount
		var data []string
		for _, o := range options {
			mountOption(&m, o)
			if !slices.Contains(KnownMountOptions(), o) {
				data = append(data, splitData(o)...)
			}
		}
		if !slices.Equal(m.Data, data) {
			t.Errorf("data %q, want %q", m.Data, data)
		}
		for _, o := range options {
			if got := strings.Join(splitData(o), ""); strings.ReplaceAll(got, ",", "") != strings.ReplaceAll(o, ",", "") {
				t.Errorf("%q became %q", o, splitData(o))
			}
		}
		for _, a := range []rootfs.Attr{m.Attr, m.RecAttr} {
			if both := a.Set & a.Clear &^ atimeField; both != 0 {
				t.Errorf("%q: flags %#x are set and cleared", options, both)
			}
			if a.Set&atimeField != 0 && a.Clear&atimeField != atimeField {
				t.Errorf("%q: %+v is EINVAL, mount_setattr(2)", options, a)
			}
		}
		spec, err := Decode(config)
		if err != nil {
			t.Fatal(err)
		}
		spec.Mounts = []specs.Mount{{Type: fsType, Source: "src", Destination: dest, Options: options}}
		if user {
			maps := []specs.LinuxIDMapping{{Size: 65536, HostID: 100000}}
			spec.Linux.UIDMappings, spec.Linux.GIDMappings = maps, maps
			spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		}
		p, _, err := New(spec, rootFacts, testOptions())
		checkError(t, err)
		if err != nil {
			return
		}
		got := p.Setup.Mounts[0]
		if !filepath.IsAbs(got.UnsafeDest) || path.Clean(got.UnsafeDest) != got.UnsafeDest {
			t.Errorf("destination %q", got.UnsafeDest)
		}
		if got.Kind == rootfs.KindBind && !filepath.IsAbs(got.Source) {
			t.Errorf("source %q", got.Source)
		}
		if got.Kind == rootfs.KindNew && got.UnsafeDest == "/proc" && got.FSType != "proc" {
			t.Errorf("%q covers /proc", got.FSType)
		}
	})
}
