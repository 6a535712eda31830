package netdev

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

const childEnv = "HAKO_NETDEV_TEST_CHILD"

// TestMain runs a child of these tests when asked to, in a network namespace
// of its own that plays the host.
func TestMain(m *testing.M) {
	child, ok := children()[os.Getenv(childEnv)]
	if !ok {
		os.Exit(m.Run())
	}
	runtime.LockOSThread()
	if err := child(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runChild(t *testing.T, name string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes network namespaces")
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if reason, ok := strings.CutPrefix(string(out), "skip: "); ok {
		t.Skip(reason)
	}
}

func TestLoopbackIsSwitchedOn(t *testing.T)                     { runChild(t, "loopback") }
func TestDeviceMovesWithNameAndPermanentAddresses(t *testing.T) { runChild(t, "move") }
func TestTemplateLetsTheKernelNumber(t *testing.T)              { runChild(t, "template") }
func TestNameThatExistsIsAnError(t *testing.T)                  { runChild(t, "exists") }
func TestDeviceThatIsAbsentIsNamed(t *testing.T)                { runChild(t, "absent") }
func TestFailureBringsEarlierDevicesBack(t *testing.T)          { runChild(t, "rollback") }
func TestHalfMovedDeviceComesBack(t *testing.T)                 { runChild(t, "half") }
func TestLoopbackCannotMove(t *testing.T)                       { runChild(t, "immovable") }

func children() map[string]func() error {
	return map[string]func() error{
		"loopback":  childLoopback,
		"move":      childMove,
		"template":  childTemplate,
		"exists":    childExists,
		"absent":    childAbsent,
		"rollback":  childRollback,
		"half":      childHalf,
		"immovable": childImmovable,
	}
}

func childLoopback() error {
	if err := LoopbackUp(); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	return l.Close()
}

// world is two namespaces: the child's own plays the host.
type world struct {
	pid   int
	netns *os.File
}

// newWorld makes the container's namespace and runs ip(8) commands on the host.
func newWorld(commands ...string) (*world, error) {
	holder := exec.Command("sleep", "60")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := holder.Start(); err != nil {
		return nil, err
	}
	netns, err := os.Open("/proc/" + strconv.Itoa(holder.Process.Pid) + "/ns/net")
	if err != nil {
		return nil, err
	}
	w := &world{holder.Process.Pid, netns}
	for i, command := range commands {
		if out, err := w.host(command); err != nil {
			if i == 0 {
				fmt.Printf("skip: needs ip(8) and a movable device: %s: %v %s", command, err, out)
				os.Exit(0)
			}
			return nil, fmt.Errorf("%s: %w %s", command, err, out)
		}
	}
	return w, nil
}

func (w *world) host(command string) (string, error) {
	out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput()
	return string(out), err
}

func (w *world) container(command string) (string, error) {
	args := append([]string{"--net=/proc/" + strconv.Itoa(w.pid) + "/ns/net", "ip"}, strings.Fields(command)...)
	out, err := exec.Command("nsenter", args...).CombinedOutput()
	return string(out), err
}

// expect checks that the output of ip holds all of want, and nothing of not.
func expect(out string, err error, want []string, not ...string) error {
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	for _, s := range want {
		if !strings.Contains(out, s) {
			return fmt.Errorf("no %q in:\n%s", s, out)
		}
	}
	for _, s := range not {
		if strings.Contains(out, s) {
			return fmt.Errorf("%q in:\n%s", s, out)
		}
	}
	return nil
}

const addVeth = "link add veth0 type veth peer name peer0"

func childMove() error {
	w, err := newWorld(addVeth,
		"link set veth0 mtu 1400 up", "link set peer0 up",
		"addr add 192.0.2.1/24 brd 192.0.2.255 dev veth0",
		"addr add 192.0.2.2/24 dev veth0", // a secondary one
		"addr add 2001:db8::1/64 nodad dev veth0",
		"addr add 198.51.100.1/24 dev veth0 valid_lft 3600 preferred_lft 3600", // not permanent
		"addr add 203.0.113.1/24 scope link dev veth0",
	)
	if err != nil {
		return err
	}
	if err := Move([]Device{{"veth0", "eth7"}}, w.netns); err != nil {
		return err
	}
	if out, err := w.host("link show veth0"); err == nil {
		return fmt.Errorf("still on the host: %s", out)
	}
	out, err := w.container("addr show eth7")
	return expect(out, err, []string{"mtu 1400", ",UP", "192.0.2.1/24 brd 192.0.2.255 scope global eth7", "192.0.2.2/24 scope global secondary", "2001:db8::1/64 scope global"},
		"198.51.100.1", "203.0.113.1")
}

func childTemplate() error {
	w, err := newWorld(addVeth)
	if err != nil {
		return err
	}
	if err := Move([]Device{{"veth0", "eth%d"}, {"peer0", "eth%d"}}, w.netns); err != nil {
		return err
	}
	out, err := w.container("link show")
	return expect(out, err, []string{"eth0", "eth1"}, "hako", "veth0", "peer0")
}

func childExists() error {
	w, err := newWorld(addVeth, "link set veth0 up", "addr add 192.0.2.1/24 dev veth0")
	if err != nil {
		return err
	}
	err = Move([]Device{{"veth0", "lo"}}, w.netns)
	if !errors.Is(err, unix.EEXIST) || err.Error() != "veth0: lo exists in the container: file exists" {
		return fmt.Errorf("got %v", err)
	}
	out, err := w.host("addr show veth0")
	return expect(out, err, []string{"192.0.2.1", ",UP"})
}

func childAbsent() error {
	w, err := newWorld(addVeth)
	if err != nil {
		return err
	}
	for _, tt := range []struct {
		dev  Device
		want string
		is   error
	}{
		{Device{"nope", "nope"}, "nope: ", unix.ENODEV},
		{Device{"veth0", "a/b"}, `veth0: name "a/b": `, unix.EINVAL},
		{Device{"veth0", ""}, `veth0: name "": `, unix.EINVAL},
		{Device{"veth0", "sixteen-bytes-xx"}, `veth0: name "sixteen-bytes-xx": `, unix.EINVAL},
		{Device{"veth0", "%d%d"}, `veth0: name "%d%d": `, unix.EINVAL},
	} {
		err := Move([]Device{tt.dev}, w.netns)
		if !errors.Is(err, tt.is) || !strings.HasPrefix(err.Error(), tt.want) {
			return fmt.Errorf("%+v: got %v", tt.dev, err)
		}
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		return err
	}
	if err := Move([]Device{{"veth0", "veth0"}}, null); !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "setns") {
		return fmt.Errorf("no namespace: %v", err)
	}
	return Move(nil, nil)
}

func childRollback() error {
	w, err := newWorld(addVeth, "link set veth0 up", "link set peer0 up",
		"addr add 192.0.2.1/24 dev veth0", "addr add 2001:db8::1/64 nodad dev veth0", "link add down0 type veth peer name down1")
	if err != nil {
		return err
	}
	err = Move([]Device{{"veth0", "eth0"}, {"down0", "eth%d"}, {"nope", "eth2"}}, w.netns)
	if !errors.Is(err, unix.ENODEV) || err.Error() != "nope: no such device" {
		return fmt.Errorf("got %v", err)
	}
	out, err := w.host("addr show veth0")
	if err := expect(out, err, []string{"192.0.2.1/24", "2001:db8::1/64", ",UP"}); err != nil {
		return err
	}
	out, err = w.host("link show down0")
	if err := expect(out, err, nil, ",UP"); err != nil {
		return err
	}
	out, err = w.container("link show")
	return expect(out, err, []string{"lo"}, "eth", "hako")
}

// childHalf does what a racing rename does: the move works, the name does not.
func childHalf() error {
	w, err := newWorld(addVeth, "link set veth0 up")
	if err != nil {
		return err
	}
	m, err := openMover(w.netns)
	if err != nil {
		return err
	}
	defer m.close()
	was := movedDevice{}
	if was.host, err = m.host.linkByName("veth0"); err != nil {
		return err
	}
	cause := m.host.moveTo(was.host.index, w.netns.Fd(), "lo")
	if cause == nil {
		return errors.New("renaming to lo worked")
	}
	if err := m.undo(was, cause, "lo-absent"); !errors.Is(err, cause) || strings.Contains(err.Error(), "left") {
		return fmt.Errorf("undo: %v", err)
	}
	out, err := w.host("link show veth0")
	return expect(out, err, []string{",UP"})
}

func childImmovable() error {
	w, err := newWorld(addVeth)
	if err != nil {
		return err
	}
	err = Move([]Device{{"lo", "lo1"}}, w.netns)
	if !errors.Is(err, unix.EINVAL) || !strings.HasPrefix(err.Error(), "lo: move: ") {
		return fmt.Errorf("got %v", err)
	}
	return nil
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"eth0": true, "eth%d": true, "a.b-c": true, "exactly15bytes_": true,
		"": false, ".": false, "..": false, "a/b": false, "a b": false, "a:b": false,
		"sixteen-bytes-xx": false, "%s": false, "%d%d": false, "%dx": false, "a\x00": false,
	} {
		if got := isDeviceName(name); got != want {
			t.Errorf("isDeviceName(%q) = %v", name, got)
		}
	}
}

func FuzzParseAttrs(f *testing.F) {
	f.Add(stringAttr(unix.IFLA_IFNAME, "eth0").appendTo(nil))
	f.Add([]byte{4, 0, 1, 0, 255, 255, 1, 0})
	f.Add([]byte{0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		total := 0
		for _, a := range parseAttrs(b) {
			total += unix.SizeofRtAttr + len(a.data)
		}
		if total > len(b) {
			t.Errorf("%d bytes of attributes in %d bytes", total, len(b))
		}
		c := &conn{}
		var answers [][]byte
		var interrupted bool
		_, _ = c.collect(b, &answers, &interrupted)
	})
}

func TestAttributesGoBack(t *testing.T) {
	b := uint32Attr(7, 9).appendTo(stringAttr(3, "eth0").appendTo(nil))
	got := parseAttrs(b)
	if len(got) != 2 || got[0].kind != 3 || string(got[0].data) != "eth0\x00" || got[1].kind != 7 || !slices.Equal(got[1].data, uint32Attr(7, 9).data) {
		t.Errorf("got %+v", got)
	}
}
