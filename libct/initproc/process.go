package initproc

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/hako-runtime/hako/libct/caps"
	"github.com/hako-runtime/hako/libct/console"
	"github.com/hako-runtime/hako/libct/lsm"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/proc"
	"github.com/hako-runtime/hako/libct/wire"
	"golang.org/x/sys/unix"
)

// openTerminal makes the pseudo-terminal from the container's own devpts and
// hands its master to whoever asked for it.
func (s *stage) openTerminal() error {
	master, slave, err := console.Open(s.root)
	if err != nil {
		return err
	}
	defer master.Close()
	s.slave = slave
	if s.boot.Foreground {
		if err := console.ClearONLCR(slave); err != nil {
			return err
		}
	}
	p := &s.plan.Process
	if p.ConsoleRows != 0 || p.ConsoleCols != 0 {
		if err := console.SetSize(master, p.ConsoleRows, p.ConsoleCols); err != nil {
			return err
		}
	}
	if s.plan.Setup != nil {
		if err := console.MountSlave(s.root, slave); err != nil {
			return err
		}
	}
	socket := s.files[plan.File{Role: plan.FileConsole}]
	if socket == nil {
		return errors.New("no console socket to send the terminal to")
	}
	defer socket.Close()
	return console.Send(socket, master)
}

func (s *stage) useTerminal() error {
	if err := console.Attach(s.slave); err != nil {
		return err
	}
	return s.slave.Close()
}

func (s *stage) ownStdio() error {
	if err := console.ReopenNull(s.root); err != nil {
		return err
	}
	return console.OwnStdio(s.plan.Process.UID)
}

func (s *stage) setLimits() error { return proc.SetRlimits(s.plan.Process.Rlimits) }

// setOOMScore raises the score, or leaves it as it is; proc_pid_oom_score_adj(5).
func (s *stage) setOOMScore() error {
	want := strconv.Itoa(*s.plan.Process.OOMScoreAdj)
	now, err := s.proc.ReadFile("self/oom_score_adj")
	if err == nil && strings.TrimSpace(string(now)) == want {
		return nil
	}
	err = s.proc.WriteFile("self/oom_score_adj", []byte(want))
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("process.oomScoreAdj %s: lowering it takes CAP_SYS_RESOURCE on the host: %w", want, err)
	}
	return err
}

func (s *stage) setScheduling() error {
	p := &s.plan.Process
	if p.Scheduler != nil {
		if err := proc.SetScheduler(*p.Scheduler); err != nil {
			return fmt.Errorf("process.scheduler: %w", err)
		}
	}
	if p.IOPriority != nil {
		if err := proc.SetIOPriority(*p.IOPriority); err != nil {
			return fmt.Errorf("process.ioPriority: %w", err)
		}
	} else {
		// The caller's must not reach the program. Best effort: a kernel without
		// block devices has none.
		_ = proc.SetIOPriority(proc.IOPriority{})
	}
	if p.AffinityFinal != nil {
		if err := proc.SetAffinity(0, p.AffinityFinal); err != nil {
			return fmt.Errorf("process.execCPUAffinity.final: %w", err)
		}
		return nil
	}
	if p.AffinityInitial != nil {
		return nil
	}
	return proc.ResetAffinity()
}

func (s *stage) setMemory() error {
	p := &s.plan.Process
	if p.MemoryPolicy != nil {
		if err := proc.SetMemoryPolicy(*p.MemoryPolicy); err != nil {
			return fmt.Errorf("linux.memoryPolicy: %w", err)
		}
	}
	if p.Personality != nil {
		if err := proc.SetPersonality(*p.Personality); err != nil {
			return fmt.Errorf("linux.personality: %w", err)
		}
	}
	return nil
}

// setEnv completes the environment with what only the inside knows.
func (s *stage) setEnv() error {
	p := &s.plan.Process
	s.env = p.Env
	if _, ok := lookup(s.env, "HOME"); !ok {
		s.env = append(s.env, "HOME="+s.home(p.UID))
	}
	if p.ListenFDs > 0 {
		s.env = append(s.env, "LISTEN_PID="+strconv.Itoa(os.Getpid()))
	}
	return nil
}

func lookup(env []string, name string) (string, bool) {
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], name+"="); ok {
			return v, true
		}
	}
	return "", false
}

const maxPasswd = 4 << 20 // bytes

// home is the home directory of uid by the container's /etc/passwd, "/" if it
// does not say; passwd(5).
func (s *stage) home(uid uint32) string {
	f, err := s.root.Open("/etc/passwd", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return "/"
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return "/"
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPasswd))
	if err != nil {
		return "/"
	}
	return homeIn(string(data), uid)
}

func homeIn(passwd string, uid uint32) string {
	want := strconv.FormatUint(uint64(uid), 10)
	for line := range strings.Lines(passwd) {
		field := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(field) >= 6 && field[2] == want && strings.HasPrefix(field[5], "/") && !strings.Contains(field[5], "\x00") {
			return field[5]
		}
	}
	return "/"
}

func (s *stage) setLabels() error { return lsm.ApplyExec(s.proc, s.plan.Process.Labels) }

// chdirAsRoot enters the working directory while we still may; a directory
// that only the user can enter (a network file system) is left to chdirAsUser.
func (s *stage) chdirAsRoot() error {
	err := unix.Chdir(s.plan.Process.Cwd)
	if errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		s.cwdLate = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("process.cwd: %w", &os.PathError{Op: "chdir", Path: s.plan.Process.Cwd, Err: err})
	}
	return nil
}

func (s *stage) chdirAsUser() error {
	if s.cwdLate {
		if err := unix.Chdir(s.plan.Process.Cwd); err != nil {
			return fmt.Errorf("process.cwd: %w", &os.PathError{Op: "chdir", Path: s.plan.Process.Cwd, Err: err})
		}
	}
	// The kernel marks a directory outside the root; getcwd(2). Without this
	// a leaked host directory would be a way out (CVE-2024-21626).
	var buf [unix.PathMax]byte
	n, err := unix.Getcwd(buf[:])
	if errors.Is(err, unix.ENOENT) {
		return errors.New("process.cwd: the working directory is outside of the root")
	}
	if err != nil {
		return os.NewSyscallError("getcwd", err)
	}
	if n < 1 || buf[0] != '/' {
		return errors.New("process.cwd: the working directory is outside of the root")
	}
	return nil
}

// dropPrivileges changes capabilities and ids of this thread; execve makes it
// the whole process. capabilities(7), credentials(7).
func (s *stage) dropPrivileges() error {
	p := &s.plan.Process
	if err := caps.DropBounding(p.Caps.Bounding); err != nil {
		return err
	}
	if err := caps.SetKeepCaps(true); err != nil {
		return err
	}
	if err := setIDs(p, s.groupsFrozen); err != nil {
		return err
	}
	if err := caps.SetKeepCaps(false); err != nil {
		return err
	}
	// A change of ids makes a process dumpable as fs.suid_dumpable says.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	lost, err := caps.Apply(heldCaps(p))
	if err != nil {
		return err
	}
	if lost != 0 {
		s.warn("ambient capabilities that cannot be raised are left out: %s", strings.Join(caps.Names(lost), ", "))
	}
	unix.Umask(int(p.Umask))
	if p.NoNewPrivileges {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return os.NewSyscallError("prctl PR_SET_NO_NEW_PRIVS", err)
		}
	}
	return nil
}

func (s *stage) groupsFrozen() bool {
	text, err := s.proc.ReadFile("self/setgroups")
	return err == nil && strings.TrimSpace(string(text)) == "deny"
}

// setIDs uses raw calls: package syscall's change every thread, which costs,
// and the other threads end at execve anyway.
//
// frozen tells whether a user namespace that was joined denies setgroups(2).
func setIDs(p *plan.Process, frozen func() bool) error {
	if !p.KeepGroups {
		var first *uint32
		if len(p.AdditionalGIDs) > 0 {
			first = &p.AdditionalGIDs[0]
		}
		err := rawSetgroups(len(p.AdditionalGIDs), first)
		if errors.Is(err, unix.EPERM) && first == nil && frozen() {
			err = nil
		}
		if err != nil {
			return fmt.Errorf("process.user.additionalGids: %w", os.NewSyscallError("setgroups", err))
		}
	}
	if _, _, e := syscall.RawSyscall(unix.SYS_SETRESGID, uintptr(p.GID), uintptr(p.GID), uintptr(p.GID)); e != 0 {
		return fmt.Errorf("process.user.gid %d: %w", p.GID, os.NewSyscallError("setresgid", e))
	}
	if _, _, e := syscall.RawSyscall(unix.SYS_SETRESUID, uintptr(p.UID), uintptr(p.UID), uintptr(p.UID)); e != 0 {
		return fmt.Errorf("process.user.uid %d: %w", p.UID, os.NewSyscallError("setresuid", e))
	}
	return nil
}

// reportReady tells the host that only the execve is left.
func (s *stage) reportReady() error {
	if err := s.report(); err != nil {
		return err
	}
	// Told: a failure from here on comes alone.
	s.recorder, s.warnings = nil, nil
	return s.conn.Send(wire.Ready, nil)
}

// letGo closes what the steps so far have used. A created container may wait
// for days, and in a shared pid namespace others can look at its descriptors
// (the class of CVE-2016-9962).
func (s *stage) letGo() error {
	for role, f := range s.files {
		if role.Role != plan.FileStart && role.Role != plan.FileResult {
			f.Close()
			delete(s.files, role)
		}
	}
	return errors.Join(s.root.Close(), s.proc.Close())
}

// waitForStart blocks until `start` writes its byte.
func (s *stage) waitForStart() error {
	if err := s.reportReady(); err != nil {
		return err
	}
	s.ready = true
	s.conn.Close()
	fd := int(s.files[plan.File{Role: plan.FileStart}].Fd())
	var b [1]byte
	for {
		_, err := unix.Read(fd, b[:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("read", err)
		}
		return nil
	}
}

// waitPlaced waits to be put into a cgroup where no thread can be started any
// more. From here to execve all system calls are raw: the Go runtime starts a
// thread when another blocks for a while.
func (s *stage) waitPlaced() error {
	if !s.boot.Late {
		return nil
	}
	return s.conn.AwaitGo()
}

// execute becomes the user's program. Everything but the standard streams and
// the preserved descriptors is closed by it.
func (s *stage) execute() error {
	p := &s.plan.Process
	if !s.filtered {
		// Explicitly, as execve lets go of descriptors in an order of its own:
		// start must not see the result before nobody waits any more.
		if start := s.files[plan.File{Role: plan.FileStart}]; start != nil {
			start.Close()
		}
		if err := proc.SealDescriptors(); err != nil {
			return err
		}
	}
	for fd := 3; fd < 3+p.PreserveFDs; fd++ {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("preserved descriptor %d: %w", fd, os.NewSyscallError("fcntl", err))
		}
	}
	if err := proc.ResetSignals(); err != nil {
		return err
	}
	// Back to the default, which spawn's prctl left alone.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 0, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_TIMERSLACK", err)
	}
	if p.Seccomp != nil && !s.filtered {
		return s.filterAndExecute()
	}
	if err := s.waitPlaced(); err != nil {
		return err
	}
	err := syscall.Exec(s.program, p.Args, s.env)
	return fmt.Errorf("exec %s: %w", s.program, err)
}
