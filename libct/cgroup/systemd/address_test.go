package systemd

import (
	"context"
	"net"
	"strings"
	"testing"
)

func TestSocketName(t *testing.T) {
	for _, tt := range []struct{ address, want, err string }{
		{"unix:path=/run/bus", "/run/bus", ""},
		{"unix:guid=0f,path=/run/a%2cb%20c", "/run/a,b c", ""},
		{"unix:abstract=/tmp/x,guid=1", "@/tmp/x", ""},
		{"tcp:host=localhost,port=1", "", "only unix: is supported"},
		{"unixexec:path=/bin/sh", "", "only unix: is supported"},
		{"unix:", "", "neither path nor abstract"},
		{"unix:path=", "", "neither path nor abstract"},
		{"", "", "only unix: is supported"},
	} {
		got, err := socketName(tt.address)
		if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%q: got %q, %v", tt.address, got, err)
		}
	}
}

func TestDialTakesTheFirstThatAnswers(t *testing.T) {
	path := t.TempDir() + "/bus"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := dial(context.Background(), "unix:path=/missing;tcp:host=x;unix:path="+path)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if _, err := dial(context.Background(), "unix:path=/missing"); !isMissing(err) {
		t.Error(err)
	}
}

func TestBusAddress(t *testing.T) {
	for _, tt := range []struct {
		name                 string
		user                 bool
		system, session, dir string
		want, err            string
	}{
		{"system", false, "", "unix:path=/s", "/d", systemAddress, ""},
		{"another system bus", false, "unix:path=/x", "", "", "unix:path=/x", ""},
		{"session", true, "unix:path=/x", "unix:path=/s", "/d", "unix:path=/s", ""},
		{"runtime directory", true, "", "", "/d", "unix:path=/d/bus", ""},
		{"no session", true, "", "", "", "", "loginctl enable-linger"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", tt.system)
			t.Setenv("DBUS_SESSION_BUS_ADDRESS", tt.session)
			t.Setenv("XDG_RUNTIME_DIR", tt.dir)
			got, err := busAddress(tt.user)
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}
