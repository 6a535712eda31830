package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hako-runtime/hako/libct"
)

func someStates() []libct.State {
	created := time.Date(2026, 1, 2, 3, 4, 5, 600, time.UTC)
	return []libct.State{
		{OCIVersion: "1.3.0", ID: "web", Pid: 42, Status: libct.Running, Bundle: "/srv/web", Rootfs: "/srv/web/rootfs", Created: created,
			Annotations: map[string]string{"a": "<b>"}, Owner: "root"},
		{OCIVersion: "1.3.0", ID: "a-rather-long-name", Status: libct.Stopped, Bundle: "/b", Rootfs: "/b/rootfs", Created: created, Owner: "root"},
	}
}

func TestListTable(t *testing.T) {
	var b bytes.Buffer
	if err := listTable(&b, someStates()); err != nil {
		t.Fatal(err)
	}
	want := `ID                   PID         STATUS      BUNDLE      CREATED                        OWNER
web                  42          running     /srv/web    2026-01-02T03:04:05.0000006Z   root
a-rather-long-name   0           stopped     /b          2026-01-02T03:04:05.0000006Z   root
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestListJSONKeysAreInRuncsOrder(t *testing.T) {
	var b bytes.Buffer
	if err := listJSON(&b, someStates()[:1]); err != nil {
		t.Fatal(err)
	}
	want := `[{"ociVersion":"1.3.0","id":"web","pid":42,"status":"running","bundle":"/srv/web","rootfs":"/srv/web/rootfs","created":"2026-01-02T03:04:05.0000006Z","annotations":{"a":"<b>"},"owner":"root"}]
`
	if b.String() != want {
		t.Errorf("got  %swant %s", b.String(), want)
	}
}

func TestListQuiet(t *testing.T) {
	var b bytes.Buffer
	if err := listIDs(&b, someStates()); err != nil || b.String() != "web\na-rather-long-name\n" {
		t.Errorf("%v %q", err, b.String())
	}
}

func TestListOfAMissingRoot(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	_, stderr, code := hako("--root", dir, "list")
	if code != 1 || stderr != "hako list: stat "+dir+": no such file or directory\n" {
		t.Errorf("explicit root: %d %q", code, stderr)
	}
	a := &app{rt: libct.Runtime{Root: dir}}
	if states, err := a.containers(false); err != nil || len(states) != 0 {
		t.Errorf("default root: %v %v", states, err)
	}
	var b bytes.Buffer
	if err := listJSON(&b, nil); err != nil || b.String() != "[]\n" {
		t.Errorf("%v %q", err, b.String())
	}
}

func TestListEmptyRoot(t *testing.T) {
	out, stderr, code := hako("--root", t.TempDir(), "list")
	if code != 0 || stderr != "" || !strings.HasPrefix(out, "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n") {
		t.Errorf("%d %q %q", code, out, stderr)
	}
}
