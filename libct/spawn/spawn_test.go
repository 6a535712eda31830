package spawn

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hako-runtime/hako/libct/idmap"
	"golang.org/x/sys/unix"
)

// seen is what a spawned child reports of itself.
type seen struct {
	Namespaces map[string]string
	Pid, UID   int
	FDs        []string
	BootOffset string
	ReadOnly   bool
}

// TestMain is also the child that the tests spawn.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "init" {
		child3(os.Args[2])
	}
	os.Exit(m.Run())
}

func child3(fd string) {
	n, _ := strconv.Atoi(fd)
	s := seen{Namespaces: map[string]string{}, Pid: os.Getpid(), UID: os.Getuid()}
	for _, ns := range nsNames {
		s.Namespaces[ns.name], _ = os.Readlink("/proc/thread-self/ns/" + ns.file)
	}
	for i := range 64 {
		if _, err := unix.FcntlInt(uintptr(i), unix.F_GETFD, 0); err == nil {
			s.FDs = append(s.FDs, strconv.Itoa(i))
		}
	}
	offsets, _ := os.ReadFile("/proc/self/timens_offsets")
	s.BootOffset = string(offsets)
	var st unix.Statfs_t
	s.ReadOnly = unix.Statfs("/proc/self/exe", &st) == nil && st.Flags&unix.ST_RDONLY != 0
	w := os.NewFile(uintptr(n), "wire")
	_ = json.NewEncoder(w).Encode(s)
	w.Close()
	os.Exit(7)
}

// run spawns c and returns what the child saw.
func run(t *testing.T, c Child) (seen, int) {
	t.Helper()
	s, code, err := tryRun(t, c)
	if err != nil {
		t.Fatal(err)
	}
	return s, code
}

func tryRun(t *testing.T, c Child) (s seen, code int, err error) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: namespaces")
	}
	exe, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	defer exe.Close()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
	defer ours.Close()
	c.Exe, c.Wire = exe, theirs
	c.Args = []string{"test:init", "init", strconv.Itoa(3 + c.PreserveFDs)}
	p, err := Start(c)
	theirs.Close()
	if err != nil {
		return s, 0, err
	}
	line, _ := bufio.NewReader(ours).ReadBytes('\n')
	var status unix.WaitStatus
	if _, err := unix.Wait4(p.Pid, &status, unix.WALL, nil); err != nil {
		t.Fatalf("the process is not our child: %v", err)
	}
	if len(line) == 0 {
		return s, status.ExitStatus(), p.Failure()
	}
	p.Release()
	if err := json.Unmarshal(line, &s); err != nil {
		t.Fatal(err)
	}
	return s, status.ExitStatus(), nil
}

var every = []string{"user", "mount", "pid", "network", "ipc", "uts", "cgroup", "time"}

func flagOf(name string) uint64 {
	for _, n := range nsNames {
		if n.name == name {
			return n.flag
		}
	}
	return 0
}

func ownNamespaces() map[string]string {
	own := map[string]string{}
	for _, n := range nsNames {
		own[n.name], _ = os.Readlink("/proc/self/ns/" + n.file)
	}
	return own
}

// TestNewNamespaces makes every type alone, with a user namespace, and all.
func TestNewNamespaces(t *testing.T) {
	// The cgroup namespace is the init stage's to make.
	types := slices.DeleteFunc(slices.Clone(every), func(n string) bool { return n == "cgroup" })
	cases := map[string][]string{"none": {}, "all": types, "all but user": types[1:]}
	for _, n := range types {
		cases[n] = []string{n}
		cases["user and "+n] = []string{"user", n}
	}
	own := ownNamespaces()
	for name, want := range cases {
		t.Run(name, func(t *testing.T) {
			n := Namespaces{}
			for _, w := range want {
				n.New |= flagOf(w)
			}
			if n.New&unix.CLONE_NEWUSER != 0 {
				n.UIDMap = []idmap.Map{{ContainerID: 0, HostID: 100000, Size: 65536}}
				n.GIDMap = n.UIDMap
			}
			s, code := run(t, Child{Namespaces: n})
			if code != 7 || s.UID != 0 {
				t.Errorf("exit code %d, uid %d; want 7, 0", code, s.UID)
			}
			for _, ns := range every {
				isNew := s.Namespaces[ns] != own[ns]
				if wanted := n.New&flagOf(ns) != 0; isNew != wanted {
					t.Errorf("%s namespace: new is %v, want %v (%s, ours %s)", ns, isNew, wanted, s.Namespaces[ns], own[ns])
				}
			}
			if n.New&unix.CLONE_NEWPID != 0 && s.Pid != 1 {
				t.Errorf("pid %d in a new pid namespace, want 1", s.Pid)
			}
		})
	}
}

// holder starts a process in new namespaces, for joining.
func holder(t *testing.T, flags uintptr) int {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: unix.SIGKILL}
	if flags&unix.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: 200000, Size: 65536}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: 200000, Size: 65536}}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

// TestJoinNamespaces joins every type, singly and all together, by path and
// by pidfd, with and without a user namespace among them.
func TestJoinNamespaces(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: namespaces")
	}
	var allFlags uintptr
	for _, n := range every {
		allFlags |= uintptr(flagOf(n))
	}
	const noTime = unix.CLONE_NEWTIME
	pid := holder(t, allFlags&^noTime)
	theirs := map[string]string{}
	for _, n := range nsNames {
		theirs[n.name], _ = os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, n.file))
	}
	cases := map[string][]string{"all": every[:7]}
	for _, n := range every[:7] {
		cases[n] = []string{n}
	}
	for name, want := range cases {
		t.Run("by path/"+name, func(t *testing.T) {
			var n Namespaces
			for _, w := range want {
				_, file := nsName(flagOf(w))
				n.Join = append(n.Join, Join{flagOf(w), fmt.Sprintf("/proc/%d/ns/%s", pid, file)})
			}
			s, code := run(t, Child{Namespaces: n})
			checkJoined(t, s, code, want, theirs)
		})
	}
	t.Run("by pidfd", func(t *testing.T) {
		flags, err := Differing(pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		pidfd := os.NewFile(uintptr(fd), "pidfd")
		defer pidfd.Close()
		s, code := run(t, Child{Target: &Target{PidFD: pidfd, Flags: flags}})
		checkJoined(t, s, code, every[:7], theirs)
	})
	t.Run("joined user, new others", func(t *testing.T) {
		n := Namespaces{
			New:  unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWTIME,
			Join: []Join{{unix.CLONE_NEWUSER, fmt.Sprintf("/proc/%d/ns/user", pid)}},
		}
		s, code := run(t, Child{Namespaces: n})
		checkJoined(t, s, code, []string{"user"}, theirs)
		if s.Pid != 1 || s.Namespaces["mount"] == theirs["mount"] {
			t.Errorf("pid %d, mount namespace %s: want new ones", s.Pid, s.Namespaces["mount"])
		}
	})
	t.Run("joined network, new user", func(t *testing.T) {
		m := []idmap.Map{{ContainerID: 0, HostID: 100000, Size: 65536}}
		n := Namespaces{
			New:    unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
			Join:   []Join{{unix.CLONE_NEWNET, fmt.Sprintf("/proc/%d/ns/net", pid)}},
			UIDMap: m, GIDMap: m,
		}
		s, code := run(t, Child{Namespaces: n})
		checkJoined(t, s, code, []string{"network"}, theirs)
		if s.Namespaces["user"] == theirs["user"] || s.UID != 0 {
			t.Errorf("user namespace %s, uid %d: want a new one, 0", s.Namespaces["user"], s.UID)
		}
	})
}

func checkJoined(t *testing.T, s seen, code int, want []string, theirs map[string]string) {
	t.Helper()
	if code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}
	for _, w := range want {
		if s.Namespaces[w] != theirs[w] {
			t.Errorf("%s namespace %s, want %s", w, s.Namespaces[w], theirs[w])
		}
	}
}

// TestTimeOffsets sets the clocks of a new time namespace.
func TestTimeOffsets(t *testing.T) {
	for _, user := range []bool{false, true} {
		n := Namespaces{New: unix.CLONE_NEWTIME, TimeOffsets: []TimeOffset{{"monotonic", 100, 5}, {"boottime", -3, 0}}}
		if user {
			n.New |= unix.CLONE_NEWUSER
			n.UIDMap = []idmap.Map{{ContainerID: 0, HostID: 100000, Size: 1}}
			n.GIDMap = n.UIDMap
		}
		s, _ := run(t, Child{Namespaces: n})
		got := strings.Join(strings.Fields(s.BootOffset), " ")
		if want := "monotonic 100 5 boottime -3 0"; got != want {
			t.Errorf("user namespace %v: offsets %q, want %q", user, got, want)
		}
	}
}

// TestBadJoin names the namespace that cannot be joined.
func TestBadJoin(t *testing.T) {
	cases := []struct{ name, path, want string }{
		{"missing", "/nonexistent/ns", "network namespace: open /nonexistent/ns: no such file or directory"},
		{"not a namespace", "/dev/null", "network namespace: /dev/null is not a namespace"},
		{"other type", "/proc/self/ns/uts", "network namespace: /proc/self/ns/uts is a uts namespace"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := tryRun(t, Child{Namespaces: Namespaces{Join: []Join{{unix.CLONE_NEWNET, c.path}}}})
			if err == nil || err.Error() != c.want {
				t.Errorf("error %v, want %s", err, c.want)
			}
		})
	}
}

// TestNothingLeaks leaves descriptors without close-on-exec open in the
// caller: only the preserved ones and the wire may arrive.
func TestNothingLeaks(t *testing.T) {
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, fd := range []int{40, 41} {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
	}
	s, _ := run(t, Child{Namespaces: Namespaces{New: unix.CLONE_NEWPID}})
	for _, fd := range s.FDs {
		if n, _ := strconv.Atoi(fd); n >= 40 {
			t.Errorf("descriptor %d arrived", n)
		}
	}
}

// TestSelfIsProtected looks at the mount that /proc/self/exe leads to; opening
// it for writing would only tell that the binary is being executed.
func TestSelfIsProtected(t *testing.T) {
	s, _ := run(t, Child{})
	if !s.ReadOnly {
		t.Error("/proc/self/exe is on a writable mount")
	}
	f, err := sealedSelf()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{0}, 0); !errors.Is(err, unix.EPERM) {
		t.Errorf("writing to the sealed copy: %v, want EPERM", err)
	}
}

// TestSelfStaysReadOnly: no process can make the mount writable, not even one
// that holds a descriptor and has every capability, and be it by a user
// namespace of its own; mount_setattr(2) refuses what is attached nowhere.
func TestSelfStaysReadOnly(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: open_tree")
	}
	f, err := detachedSelf()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	clearRO := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(int(f.Fd()), "", unix.AT_EMPTY_PATH, &clearRO); !errors.Is(err, unix.EINVAL) {
		t.Errorf("mount_setattr: %v, want EINVAL", err)
	}
	if err := unix.MoveMount(int(f.Fd()), "", unix.AT_FDCWD, t.TempDir(), unix.MOVE_MOUNT_F_EMPTY_PATH); !errors.Is(err, unix.EINVAL) {
		t.Errorf("move_mount: %v, want EINVAL", err)
	}
	if fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(int(f.Fd())), unix.O_WRONLY, 0); !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.ETXTBSY) {
		unix.Close(fd)
		t.Errorf("open for writing: %v, want EROFS", err)
	}
}

// TestUnmappedRoot refuses a user namespace without id 0 with its reason.
func TestUnmappedRoot(t *testing.T) {
	m := []idmap.Map{{ContainerID: 1000, HostID: 100000, Size: 1}}
	_, _, err := tryRun(t, Child{Namespaces: Namespaces{New: unix.CLONE_NEWUSER, UIDMap: m, GIDMap: m}})
	if err == nil || !strings.Contains(err.Error(), "is container id 0 mapped?") {
		t.Errorf("error %v, want one that names container id 0", err)
	}
}

// TestCallersNofile leaves the child the soft limit that the caller had.
func TestCallersNofile(t *testing.T) {
	out, err := exec.Command("sh", "-c", "ulimit -Sn 777; exec "+os.Args[0]+" -test.run TestPrintNofile -test.v").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("soft limit 777")) {
		t.Errorf("%v, %s; want a soft limit of 777", err, out)
	}
}

// TestPrintNofile is the child of TestCallersNofile.
func TestPrintNofile(t *testing.T) {
	restoreNofile()
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	t.Logf("soft limit %d", lim.Cur)
}

// TestEndTellsHowAndNeverSignalsTwice: after the first End the number may be
// anybody's; a second one must not touch it.
func TestEndTellsHowAndNeverSignalsTwice(t *testing.T) {
	for _, c := range []struct {
		name, script string
		grace        time.Duration
		want         string
	}{
		{"ended before", "exit 7", time.Minute, "exit 7"},
		{"ended by a signal", "kill -TERM $$", time.Minute, "signal 15"},
		{"killed at once", "exec sleep 1000", 0, "signal 9"},
		{"killed after the grace", "exec sleep 1000", 20 * time.Millisecond, "signal 9"},
	} {
		t.Run(c.name, func(t *testing.T) {
			pid, err := syscall.ForkExec("/bin/sh", []string{"sh", "-c", c.script}, &syscall.ProcAttr{Env: os.Environ()})
			if err != nil {
				t.Fatal(err)
			}
			p := &Process{Pid: pid}
			if got := ending(p.End(c.grace)); got != c.want {
				t.Errorf("ended by %s, want %s", got, c.want)
			}
			stranger := holder(t, 0)
			p.Pid = stranger // as if the number had been used again
			if got := ending(p.End(0)); got != c.want {
				t.Errorf("ended by %s the second time, want %s", got, c.want)
			}
			if err := unix.Kill(stranger, 0); err != nil {
				t.Errorf("the stranger: %v", err)
			}
			if got, err := unix.Wait4(stranger, nil, unix.WNOHANG, nil); got != 0 || err != nil {
				t.Errorf("the stranger was killed: wait4 = %d, %v", got, err)
			}
		})
	}
}

func ending(s unix.WaitStatus) string {
	if s.Signaled() {
		return fmt.Sprintf("signal %d", s.Signal())
	}
	return fmt.Sprintf("exit %d", s.ExitStatus())
}

// TestStartKeepsNoDescriptor but the report of the process that it returns.
func TestStartKeepsNoDescriptor(t *testing.T) {
	m := []idmap.Map{{ContainerID: 0, HostID: 100000, Size: 1}}
	count := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	for name, c := range map[string]Child{
		"plain":         {},
		"user":          {Namespaces: Namespaces{New: unix.CLONE_NEWUSER, UIDMap: m, GIDMap: m}},
		"cannot join":   {Namespaces: Namespaces{Join: []Join{{unix.CLONE_NEWNET, "/nonexistent"}}}},
		"cannot be run": {Namespaces: Namespaces{New: unix.CLONE_NEWUSER}},
	} {
		t.Run(name, func(t *testing.T) {
			before := count()
			_, _, _ = tryRun(t, c)
			if after := count(); after != before {
				t.Errorf("%d descriptors before, %d after", before, after)
			}
		})
	}
}

// TestTargetThatIsGone says so in words: several namespaces have no one name.
func TestTargetThatIsGone(t *testing.T) {
	err := report{Step: stepJoin, Errno: uint32(unix.ESRCH), Value: unix.CLONE_NEWPID | unix.CLONE_NEWNET}.err()
	if !errors.Is(err, unix.ESRCH) || err.Error() != "join the namespaces of the container: setns: no such process" {
		t.Errorf("error %v", err)
	}
}
