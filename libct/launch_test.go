package libct

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/hako-runtime/hako/libct/fastjson"
	"github.com/hako-runtime/hako/libct/hooks"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/spawn"
	"github.com/hako-runtime/hako/libct/wire"
	"golang.org/x/sys/unix"
)

func TestInitLearnsNothingThatIsOnlyTheHosts(t *testing.T) {
	secret := []hooks.Hook{{Path: "/secret", Args: []string{"/secret"}, Env: []string{"TOKEN=secret"}}}
	own := []hooks.Hook{{Path: "/own"}}
	p := &plan.Plan{
		ID: "web", Bundle: "/secret", Annotations: map[string]string{"secret": "secret"},
		Namespaces: spawn.Namespaces{New: unix.CLONE_NEWPID, Join: []spawn.Join{{Flag: unix.CLONE_NEWUSER, Path: "/secret"}}},
		Hooks: hooks.Set{
			Prestart: secret, CreateRuntime: secret, CreateContainer: own, StartContainer: own, Poststart: secret, Poststop: secret,
		},
		Setup: &plan.Setup{Hostname: "web"},
	}
	p.Cgroup.Path = "/secret"
	part := initsPart(p)
	data, err := fastjson.Marshal(&plan.Boot{Plan: part})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "secret") {
		t.Errorf("init learns %s", data)
	}
	if part.ID != "web" || part.Setup != p.Setup || len(part.Hooks.CreateContainer) != 1 || len(part.Hooks.StartContainer) != 1 {
		t.Errorf("init lacks something: %s", data)
	}
	if !part.Namespaces.Has(unix.CLONE_NEWUSER) || part.Namespaces.New != unix.CLONE_NEWPID {
		t.Errorf("init does not know its namespaces: %+v", part.Namespaces)
	}
	for name, set := range map[string]hooks.Set{"prestart": {Prestart: secret}, "createRuntime": {CreateRuntime: secret}} {
		part := initsPart(&plan.Plan{Hooks: set})
		if len(part.Hooks.Prestart)+len(part.Hooks.CreateRuntime) == 0 {
			t.Errorf("init does not ask for the %s hooks", name)
		}
	}
	if h := initsPart(&plan.Plan{Hooks: hooks.Set{Poststop: secret}}).Hooks; len(h.Prestart)+len(h.CreateRuntime) != 0 {
		t.Error("init asks for hooks that there are none of")
	}
}

// serving runs serve against what speak says as the init stage.
func serving(t *testing.T, l *launch, speak func(init *wire.Conn)) error {
	t.Helper()
	conn, theirs, err := wire.Pair()
	if err != nil {
		t.Fatal(err)
	}
	pid, err := unix.FcntlInt(theirs.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	init, err := wire.Inherited(pid)
	if err != nil {
		t.Fatal(err)
	}
	l.r, l.plan, l.conn, l.child = &Runtime{Warn: func(string) {}}, &plan.Plan{}, conn, &spawn.Process{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, _, _, err := init.Receive(); err == nil {
			speak(init)
		}
	}()
	err = l.serve()
	conn.Close()
	<-done
	init.Close()
	return err
}

func TestInitCannotMakeTheHostDoAnythingTwice(t *testing.T) {
	ran := 0
	l := &launch{hooks: func(int) error { ran++; return nil }}
	err := serving(t, l, func(init *wire.Conn) {
		for range 3 {
			if init.Send(wire.Hooks, nil) != nil {
				return
			}
			if _, _, _, err := init.Receive(); err != nil {
				return
			}
		}
	})
	if ran != 1 || err == nil || err.Error() != "second hooks message from the init stage" {
		t.Errorf("hooks ran %d times, error %v", ran, err)
	}
	warnings := 0
	l = &launch{}
	err = serving(t, l, func(init *wire.Conn) {
		for init.Send(wire.Report, &plan.Report{Warnings: []string{"x"}}) == nil {
			warnings++
		}
	})
	if err == nil || err.Error() != "second report message from the init stage" {
		t.Errorf("after %d reports: %v", warnings, err)
	}
}

func TestMessagesThatInitMaySend(t *testing.T) {
	failure := wire.NewFailure("step", &os.PathError{Op: "open", Path: "/x", Err: unix.EACCES})
	for _, c := range []struct {
		name string
		kind wire.Kind
		body fastjson.Marshaler
		want string // "": ready
		is   error
	}{
		{"ready", wire.Ready, nil, "", nil},
		{"failure", wire.Fail, failure, "step: open /x: permission denied", unix.EACCES},
		{"failure without text", wire.Fail, nil, "failure of the init stage: ", nil},
		{"hooks that there are none of", wire.Hooks, nil, "the init stage asks for hooks that there are none of", nil},
		{"a plan", wire.Plan, nil, "plan message from the init stage", nil},
		{"go", wire.Go, nil, "go message from the init stage", nil},
		{"unknown", 77, nil, "kind 77 message from the init stage", nil},
		{"a report that is none", wire.Report, nil, "report of the init stage: ", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := serving(t, &launch{}, func(init *wire.Conn) { _ = init.Send(c.kind, c.body) })
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}

func TestSubCgroup(t *testing.T) {
	for _, c := range []struct{ name, table, top, want string }{
		{"itself", "0::/web\n", "/web", "."},
		{"below", "0::/web/a b/c\n", "/web", "a b/c"},
		{"hybrid", "12:pids:/web\n1:name=systemd:/web\n0::/web/x\n", "/web", "x"},
		{"beside", "0::/web2\n", "/web", ""},
		{"above", "0::/\n", "/web", ""},
		{"outside our cgroup namespace", "0::/../web\n", "/web", ""},
		{"dots", "0::/web/../db\n", "/web", ""},
		{"only v1", "1:pids:/web\n", "/web", ""},
		{"empty", "", "/web", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := subCgroup(c.table, c.top)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
}

func TestTheHostsSysfsStandsInWhereTheNetworkIsNotTheContainers(t *testing.T) {
	user := []spawn.Join{{Flag: unix.CLONE_NEWUSER}}
	for _, c := range []struct {
		name string
		n    spawn.Namespaces
		want bool
	}{
		{"the host's network", spawn.Namespaces{}, false},
		{"new user, the host's network", spawn.Namespaces{New: unix.CLONE_NEWUSER}, true},
		{"new user, new network", spawn.Namespaces{New: unix.CLONE_NEWUSER | unix.CLONE_NEWNET}, false},
		{"joined user, the host's network", spawn.Namespaces{Join: user}, true},
		{"joined user, joined network", spawn.Namespaces{Join: append(user, spawn.Join{Flag: unix.CLONE_NEWNET})}, true},
		{"joined user, new network", spawn.Namespaces{New: unix.CLONE_NEWNET, Join: user}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			cr := &creation{launch: launch{}}
			cr.plan = &plan.Plan{Namespaces: c.n, Setup: &plan.Setup{}}
			if got := cr.wanted().HostSysfs; got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
