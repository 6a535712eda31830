package console

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hako-runtime/hako/libct/safepath"
)

const childEnv = "HAKO_CONSOLE_TEST_CHILD"

// TestMain runs a child of these tests when asked to: mounts, sessions and
// standard descriptors are changed in a process of its own.
func TestMain(m *testing.M) {
	child, ok := children()[os.Getenv(childEnv)]
	if !ok {
		os.Exit(m.Run())
	}
	runtime.LockOSThread()
	if err := child(os.Getenv("HAKO_ROOT")); err != nil {
		fmt.Fprintln(os.NewFile(3, "report"), err)
		os.Exit(1)
	}
	os.Exit(0)
}

// runChild runs a child in a new mount namespace, with an empty folder for its root.
func runChild(t *testing.T, name string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: mounts devpts")
	}
	report, err := os.Create(filepath.Join(t.TempDir(), "report"))
	if err != nil {
		t.Fatal(err)
	}
	defer report.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+name, "HAKO_ROOT="+t.TempDir())
	cmd.ExtraFiles = []*os.File{report}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(report.Name())
		t.Fatalf("%v\n%s", err, text)
	}
}

func TestTerminalComesFromTheRootsOwnDevpts(t *testing.T)        { runChild(t, "open") }
func TestAFolderThatIsNoDevptsIsRefused(t *testing.T)            { runChild(t, "fake-devpts") }
func TestAMountOverTheMultiplexerIsRefused(t *testing.T)         { runChild(t, "mounted-ptmx") }
func TestConsoleIsMadeAndShowsTheTerminal(t *testing.T)          { runChild(t, "mount") }
func TestConsoleThatIsALinkOrAFolderIsRefused(t *testing.T)      { runChild(t, "mount-link") }
func TestConsoleBehindALinkedDevStaysInTheRoot(t *testing.T)     { runChild(t, "mount-linked-dev") }
func TestAttachGivesAControllingTerminalAndStdio(t *testing.T)   { runChild(t, "attach") }
func TestAttachToleratesASessionOfItsOwn(t *testing.T)           { runChild(t, "attach-leader") }
func TestStdioBelongsToTheUserButNullStaysAsItIs(t *testing.T)   { runChild(t, "own") }
func TestNullIsTheContainersOwn(t *testing.T)                    { runChild(t, "null") }
func TestNullStaysIfTheContainerHasNone(t *testing.T)            { runChild(t, "null-none") }
func TestWithoutAControllingTerminalTheErrorSaysSo(t *testing.T) { runChild(t, "no-tty") }

func children() map[string]func(root string) error {
	return map[string]func(string) error{
		"open":             childOpen,
		"fake-devpts":      childFakeDevpts,
		"mounted-ptmx":     childMountedPtmx,
		"mount":            childMount,
		"mount-link":       childMountLink,
		"mount-linked-dev": childMountLinkedDev,
		"attach":           func(root string) error { return childAttach(root, false) },
		"attach-leader":    func(root string) error { return childAttach(root, true) },
		"own":              childOwn,
		"null":             childNull,
		"null-none":        childNullNone,
		"no-tty":           childNoTTY,
	}
}

// newRoot mounts a devpts of its own beneath dir.
func newRoot(dir string) (*safepath.Root, error) {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return nil, err
	}
	pts := filepath.Join(dir, "dev/pts")
	if err := os.MkdirAll(pts, 0o755); err != nil {
		return nil, err
	}
	if err := unix.Mount("devpts", pts, "devpts", 0, "newinstance,ptmxmode=0666,mode=0620"); err != nil {
		return nil, err
	}
	return safepath.OpenRoot(dir)
}

func childOpen(dir string) error {
	root, err := newRoot(dir)
	if err != nil {
		return err
	}
	master, slave, err := Open(root)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "dev/pts/0")); err != nil {
		return err // the number is from this devpts
	}
	if err := SetSize(master, 24, 81); err != nil {
		return err
	}
	if rows, cols, err := Size(slave); rows != 24 || cols != 81 {
		return fmt.Errorf("size %d %d, %w", rows, cols, err)
	}
	if !IsTerminal(slave) || !IsTerminal(master) {
		return errors.New("not a terminal")
	}
	for _, f := range []*os.File{master, slave} {
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			return fmt.Errorf("%s is not close-on-exec", f.Name())
		}
	}
	return expectOutput(master, slave)
}

// expectOutput checks the translation of newlines.
func expectOutput(master, slave *os.File) error {
	buf := make([]byte, 16)
	for i, want := range []string{"a\r\n", "a\n"} {
		if i == 1 {
			if err := ClearONLCR(master); err != nil {
				return err
			}
		}
		if _, err := slave.WriteString("a\n"); err != nil {
			return err
		}
		if n, err := master.Read(buf); err != nil || string(buf[:n]) != want {
			return fmt.Errorf("read %q, want %q, %w", buf[:n], want, err)
		}
	}
	return nil
}

func childFakeDevpts(dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "dev/pts"), 0o755); err != nil {
		return err
	}
	if err := unix.Mknod(filepath.Join(dir, "dev/pts/ptmx"), unix.S_IFCHR|0o666, int(unix.Mkdev(5, 2))); err != nil {
		return err
	}
	root, err := safepath.OpenRoot(dir)
	if err != nil {
		return err
	}
	if _, _, err := Open(root); err == nil || !strings.Contains(err.Error(), "devpts") {
		return fmt.Errorf("got %v", err)
	}
	return nil
}

func childMountedPtmx(dir string) error {
	root, err := newRoot(dir)
	if err != nil {
		return err
	}
	if err := unix.Mount("/dev/null", filepath.Join(dir, "dev/pts/ptmx"), "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if _, _, err := Open(root); !errors.Is(err, unix.EXDEV) {
		return fmt.Errorf("got %v, want EXDEV", err)
	}
	return nil
}

func childMount(dir string) error {
	root, err := newRoot(dir)
	if err != nil {
		return err
	}
	_, slave, err := Open(root)
	if err != nil {
		return err
	}
	for range 2 { // on a new file, then on what is a device already
		if err := MountSlave(root, slave); err != nil {
			return err
		}
		if err := sameDevice(filepath.Join(dir, "dev/console"), slave); err != nil {
			return err
		}
	}
	return nil
}

func sameDevice(path string, f *os.File) error {
	var a, b unix.Stat_t
	if err := unix.Lstat(path, &a); err != nil {
		return err
	}
	if err := unix.Fstat(int(f.Fd()), &b); err != nil {
		return err
	}
	if a.Rdev != b.Rdev || a.Ino != b.Ino {
		return fmt.Errorf("%s is device %#x, the terminal %#x", path, a.Rdev, b.Rdev)
	}
	return nil
}

func childMountLink(dir string) error {
	root, err := newRoot(dir)
	if err != nil {
		return err
	}
	_, slave, err := Open(root)
	if err != nil {
		return err
	}
	victim, console := filepath.Join(dir, "victim"), filepath.Join(dir, "dev/console")
	if err := os.WriteFile(victim, []byte("x"), 0o600); err != nil {
		return err
	}
	if err := os.Symlink("/victim", console); err != nil {
		return err
	}
	if err := MountSlave(root, slave); err == nil || !strings.Contains(err.Error(), "/dev/console") {
		return fmt.Errorf("link: %v", err)
	}
	if err := sameDevice(victim, slave); err == nil {
		return errors.New("the terminal was mounted on what the link points to")
	}
	os.Remove(console)
	if err := os.Mkdir(console, 0o755); err != nil {
		return err
	}
	if err := MountSlave(root, slave); err == nil || !strings.Contains(err.Error(), "/dev/console") {
		return fmt.Errorf("folder: %v", err)
	}
	return nil
}

func childMountLinkedDev(dir string) error {
	if err := os.Symlink("/../../elsewhere", filepath.Join(dir, "dev")); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "elsewhere"), 0o755); err != nil {
		return err
	}
	root, err := newRoot(dir + "/x")
	if err != nil {
		return err
	}
	_, slave, err := Open(root)
	if err != nil {
		return err
	}
	linked, err := safepath.OpenRoot(dir)
	if err != nil {
		return err
	}
	if err := MountSlave(linked, slave); err != nil {
		return err
	}
	return sameDevice(filepath.Join(dir, "elsewhere/console"), slave)
}

func childAttach(dir string, leader bool) error {
	root, err := newRoot(dir)
	if err != nil {
		return err
	}
	_, slave, err := Open(root)
	if err != nil {
		return err
	}
	if leader {
		if _, err := unix.Setsid(); err != nil {
			return err
		}
	}
	if err := Attach(slave); err != nil {
		return err
	}
	for fd := range 3 {
		var a, b unix.Stat_t
		if unix.Fstat(fd, &a) != nil || unix.Fstat(int(slave.Fd()), &b) != nil || a.Rdev != b.Rdev {
			return fmt.Errorf("descriptor %d is not the terminal", fd)
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
			return fmt.Errorf("descriptor %d does not survive execve", fd)
		}
	}
	if sid, err := unix.Getsid(0); err != nil || sid != os.Getpid() {
		return fmt.Errorf("session %d, %w", sid, err)
	}
	tty, err := ControllingTerminal()
	if err != nil {
		return err
	}
	return tty.Close()
}

func childOwn(dir string) error {
	path := filepath.Join(dir, "out")
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	var before, after, file unix.Stat_t
	if err := errors.Join(unix.Fstat(int(null.Fd()), &before), unix.Dup3(int(null.Fd()), 0, 0),
		unix.Dup3(int(out.Fd()), 1, 0), unix.Dup3(int(out.Fd()), 2, 0)); err != nil {
		return err
	}
	if err := OwnStdio(1234); err != nil {
		return err
	}
	if err := errors.Join(unix.Fstat(0, &after), unix.Fstat(1, &file)); err != nil {
		return err
	}
	if after.Uid != before.Uid || file.Uid != 1234 || file.Gid != uint32(os.Getegid()) {
		return fmt.Errorf("null %d -> %d, file %d:%d", before.Uid, after.Uid, file.Uid, file.Gid)
	}
	return childOwnRefused(dir, out)
}

// childOwnRefused: a read-only file system is no reason not to start.
func childOwnRefused(dir string, out *os.File) error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return err
	}
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return err
	}
	readonly, err := os.Open(filepath.Join(dir, "out"))
	if err != nil {
		return err
	}
	if err := unix.Dup3(int(readonly.Fd()), 0, 0); err != nil {
		return err
	}
	return OwnStdio(4321)
}

func childNoTTY(string) error {
	if _, err := unix.Setsid(); err != nil {
		return err
	}
	_, err := ControllingTerminal()
	if !errors.Is(err, unix.ENXIO) || !strings.Contains(err.Error(), "there is none") {
		return fmt.Errorf("got %v", err)
	}
	return nil
}
