package systemd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"
)

// fakeManager answers on a real bus as systemd does. It knows one unit.
type fakeManager struct {
	conn *dbus.Conn

	mu      sync.Mutex
	calls   []string
	started []Property
	exists  int    // so often the unit is there already
	result  string // of jobs; "": never done
	absent  bool   // no unit to stop
	jobs    int
}

func (f *fakeManager) said(format string, args ...any) {
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
}

func (f *fakeManager) end(unit string) dbus.ObjectPath {
	f.jobs++
	job := dbus.ObjectPath(fmt.Sprintf("/org/freedesktop/systemd1/job/%d", f.jobs))
	if f.result != "" {
		// Before the reply, the worst case; and another job's end.
		for _, j := range []dbus.ObjectPath{"/org/freedesktop/systemd1/job/99999", job} {
			_ = f.conn.Emit("/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager.JobRemoved", uint32(f.jobs), j, unit, f.result)
		}
	}
	return job
}

func (f *fakeManager) StartTransientUnit(name, mode string, properties []Property, _ []struct {
	Name string
	List []Property
}) (dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said("start %s %s", name, mode)
	if f.exists > 0 {
		f.exists--
		return "", dbus.NewError("org.freedesktop.systemd1.UnitExists", []any{"Unit " + name + " was already loaded or has a fragment file."})
	}
	f.started = properties
	return f.end(name), nil
}

func (f *fakeManager) StopUnit(name, mode string) (dbus.ObjectPath, *dbus.Error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said("stop %s %s", name, mode)
	if f.absent {
		return "", dbus.NewError("org.freedesktop.systemd1.NoSuchUnit", []any{"Unit " + name + " not loaded."})
	}
	return f.end(name), nil
}

func (f *fakeManager) ResetFailedUnit(name string) *dbus.Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said("reset %s", name)
	if f.absent {
		return dbus.NewError("org.freedesktop.systemd1.NoSuchUnit", []any{"Unit " + name + " not loaded."})
	}
	return nil
}

func (f *fakeManager) SetUnitProperties(name string, runtime bool, properties []Property) *dbus.Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said("set %s %v %s", name, runtime, strings.Join(shown(properties), " "))
	return nil
}

func (f *fakeManager) AttachProcessesToUnit(name, sub string, pids []uint32) *dbus.Error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said("attach %s %q %v", name, sub, pids)
	return dbus.NewError("org.freedesktop.DBus.Error.AccessDenied", []any{"no"})
}

// Get of org.freedesktop.DBus.Properties.
func (f *fakeManager) Get(iface, name string) (dbus.Variant, *dbus.Error) {
	switch name {
	case "ControlGroup":
		return dbus.MakeVariant("/user.slice/u.service"), nil
	case "Version":
		return dbus.MakeVariant("257.13-1~deb13u1"), nil
	}
	return dbus.MakeVariant(1), nil
}

// bus starts a dbus-daemon with a manager on it. Both environments lead there.
func bus(t *testing.T, f *fakeManager) {
	t.Helper()
	daemon, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("dbus-daemon is not installed")
	}
	path := t.TempDir() + "/bus"
	cmd := exec.Command(daemon, "--session", "--nofork", "--nopidfile", "--address=unix:path="+path, "--print-address=1")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line := make([]byte, 200)
	if _, err := out.Read(line); err != nil { // it listens now
		t.Fatal(err)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+path)
	t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path="+path)
	if f.conn, err = dbus.Connect("unix:path=" + path); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.conn.Close() })
	const object = "/org/freedesktop/systemd1"
	for _, iface := range []string{"org.freedesktop.systemd1.Manager", "org.freedesktop.DBus.Properties"} {
		if err := f.conn.Export(f, object, iface); err != nil {
			t.Fatal(err)
		}
	}
	if reply, err := f.conn.RequestName("org.freedesktop.systemd1", 0); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
}

func connect(t *testing.T, user bool) *Manager {
	t.Helper()
	m, err := Connect(user)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

var scope = Unit{Name: "hako-a.scope", Slice: "a.slice", Description: "d", Settings: []Setting{{"TimeoutStopSec", "5"}}}

func TestStartIsOneCall(t *testing.T) {
	f := &fakeManager{result: "done"}
	bus(t, f)
	if err := connect(t, false).Start(&scope, 42, []Property{property("TasksMax", uint64(7))}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"start hako-a.scope replace"}; !slices.Equal(f.calls, want) {
		t.Errorf("calls: %q", f.calls)
	}
	want := []string{"Description=d", "DefaultDependencies=false", "CollectMode=inactive-or-failed", "Slice=a.slice", "Delegate=true", "PIDs=[42]", "TasksMax=7", "TimeoutStopUSec=5000000"}
	if got := shown(f.started); !slices.Equal(got, want) {
		t.Errorf("properties: %q", got)
	}
}

func TestASliceIsStartedWithoutAProcess(t *testing.T) {
	f := &fakeManager{result: "done"}
	bus(t, f)
	if err := connect(t, true).Start(&Unit{Name: "a-b.slice", Slice: "a.slice", User: true}, 0, nil); err != nil {
		t.Fatal(err)
	}
	want := []string{"Description=", "DefaultDependencies=false", "CollectMode=inactive-or-failed", "Wants=[a.slice]"}
	if got := shown(f.started); !slices.Equal(got, want) {
		t.Errorf("properties: %q", got)
	}
}

func TestAFailedUnitOfThatNameIsForgotten(t *testing.T) {
	f := &fakeManager{result: "done", exists: 1}
	bus(t, f)
	if err := connect(t, false).Start(&scope, 42, nil); err != nil {
		t.Fatal(err)
	}
	if want := []string{"start hako-a.scope replace", "reset hako-a.scope", "start hako-a.scope replace"}; !slices.Equal(f.calls, want) {
		t.Errorf("calls: %q", f.calls)
	}
}

func TestATakenNameIsAClearError(t *testing.T) {
	f := &fakeManager{result: "done", exists: 5}
	bus(t, f)
	err := connect(t, false).Start(&scope, 42, nil)
	if !errors.Is(err, unix.EEXIST) || !strings.Contains(err.Error(), "its name is taken: systemctl status hako-a.scope") {
		t.Error(err)
	}
	if len(f.calls) != 3 {
		t.Errorf("calls: %q", f.calls)
	}
}

func TestAJobThatFailsTellsWhereToLook(t *testing.T) {
	f := &fakeManager{result: "failed"}
	bus(t, f)
	u := scope
	u.User = true
	err := connect(t, true).Start(&u, 42, nil)
	if err == nil || !strings.HasSuffix(err.Error(), `start: the job's result is "failed": look at journalctl --user -u hako-a.scope`) {
		t.Error(err)
	}
}

func TestAJobThatNeverEndsTimesOut(t *testing.T) {
	f := &fakeManager{}
	bus(t, f)
	m := connect(t, false)
	ctx, cancel := context.WithTimeout(m.ctx, 100*time.Millisecond)
	defer cancel()
	err := m.job(ctx, &scope, "start", func(done chan<- string) (int, error) {
		return m.api.StartTransientUnitContext(ctx, scope.Name, "replace", nil, done)
	})
	if len(f.calls) != 1 {
		t.Errorf("calls: %q", f.calls)
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "not done within 30s: look at systemctl list-jobs, systemctl status hako-a.scope") {
		t.Error(err)
	}
}

func TestABusThatGoesAwayIsNotWaitedFor(t *testing.T) {
	f := &fakeManager{}
	bus(t, f)
	m := connect(t, false)
	began := time.Now()
	time.AfterFunc(50*time.Millisecond, func() { _ = m.bus.Close() })
	if err := m.Stop(&scope); err == nil || !strings.Contains(err.Error(), "closed the connection") || time.Since(began) > 5*time.Second {
		t.Error(err, time.Since(began))
	}
}

func TestStopForgets(t *testing.T) {
	f := &fakeManager{result: "done"}
	bus(t, f)
	m := connect(t, false)
	if err := m.Stop(&scope); err != nil {
		t.Fatal(err)
	}
	f.absent = true
	if err := m.Stop(&scope); err != nil {
		t.Error("a unit that is not there: ", err)
	}
	if want := []string{"stop hako-a.scope replace", "reset hako-a.scope", "stop hako-a.scope replace", "reset hako-a.scope"}; !slices.Equal(f.calls, want) {
		t.Errorf("calls: %q", f.calls)
	}
}

func TestSetIsForThisBootOnly(t *testing.T) {
	f := &fakeManager{}
	bus(t, f)
	m := connect(t, false)
	if err := m.Set(&scope, nil); err != nil || len(f.calls) != 0 {
		t.Error("nothing: ", f.calls, err)
	}
	if err := m.Set(&scope, []Property{property("TasksMax", uint64(9))}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"set hako-a.scope true TasksMax=9"}; !slices.Equal(f.calls, want) {
		t.Errorf("calls: %q", f.calls)
	}
}

func TestAttachRefused(t *testing.T) {
	f := &fakeManager{}
	bus(t, f)
	if err := connect(t, false).Attach(&scope, 7); !errors.Is(err, os.ErrPermission) {
		t.Error(err)
	}
	if want := []string{`attach hako-a.scope "" [7]`}; !slices.Equal(f.calls, want) {
		t.Errorf("calls: %q", f.calls)
	}
}

func TestRootAndVersion(t *testing.T) {
	bus(t, &fakeManager{})
	m := connect(t, true)
	if root, err := m.Root(); root != "/user.slice/u.service" || err != nil {
		t.Error(root, err)
	}
	if version, err := m.Version(); version != 257 || err != nil {
		t.Error(version, err)
	}
	if _, err := m.property("Other"); err == nil {
		t.Error("a number is not a text")
	}
}

// A process in a user namespace has other numbers than the bus sees.
func TestConnectInAUserNamespace(t *testing.T) {
	if os.Getenv("SYSTEMD_TEST_CHILD") != "" {
		m := connect(t, true)
		if _, err := m.Root(); err != nil {
			t.Error(err)
		}
		return
	}
	if os.Getuid() != 0 {
		t.Skip("not root")
	}
	bus(t, &fakeManager{})
	cmd := exec.Command("unshare", "--user", "--map-user=4321", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "SYSTEMD_TEST_CHILD=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestNobodyIsThere(t *testing.T) {
	for _, user := range []bool{false, true} {
		t.Setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/missing")
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/missing")
		if m, err := Connect(user); !IsUnreachable(err) || !strings.Contains(err.Error(), "unix:path=/missing") {
			t.Error(m, err)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	f := &fakeManager{result: "done"}
	bus(t, f)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			u := Unit{Name: fmt.Sprintf("hako-%d.scope", i), Slice: "a.slice"}
			m, err := Connect(false)
			if err == nil {
				err = m.Start(&u, 1, nil)
				m.Close()
			}
			if err != nil {
				t.Error(i, err)
			}
		})
	}
	all.Wait()
}
