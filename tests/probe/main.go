// Command probe makes system calls by their numbers in a container and prints
// what becomes of them; outside, it is the agent of a seccomp listener.
//
//	probe call NR [ARG…]           "ok" or the name of the errno
//	probe threads N NR             the same from N threads, made before the call
//	probe first NR                 the first thread makes the call, and if it survives
//	                               exits; another lives on
//	probe agent SOCKET STATE ERRNO serve one listener: STATE gets the JSON
package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) >= 2 && args[0] == "call":
		numbers, err := parse(args[1:])
		if err == nil {
			fmt.Println(call(numbers))
		}
		return err
	case len(args) == 3 && args[0] == "threads":
		numbers, err := parse(args[1:])
		if err == nil {
			threads(int(numbers[0]), numbers[1])
		}
		return err
	case len(args) == 2 && args[0] == "first":
		numbers, err := parse(args[1:])
		if err == nil {
			err = first(numbers)
		}
		return err
	case len(args) == 4 && args[0] == "agent":
		return agent(args[1], args[2], args[3])
	}
	return fmt.Errorf("usage: call NR [ARG…] | threads N NR | first NR | agent SOCKET STATE ERRNO")
}

// parse takes decimal and hexadecimal numbers of a register's width.
func parse(words []string) (numbers [7]uintptr, err error) {
	for i, word := range words {
		n, err := strconv.ParseUint(word, 0, strconv.IntSize)
		if err != nil {
			return numbers, err
		}
		numbers[i] = uintptr(n)
	}
	return numbers, nil
}

func call(n [7]uintptr) string {
	_, _, errno := syscall.RawSyscall6(n[0], n[1], n[2], n[3], n[4], n[5], n[6])
	if errno == 0 {
		return "ok"
	}
	return unix.ErrnoName(errno)
}

func threads(n int, number uintptr) {
	var ready, done sync.WaitGroup
	var lock sync.Mutex
	var seen []string
	tids := map[int]bool{}
	start := make(chan struct{})
	for range n {
		ready.Add(1)
		done.Go(func() {
			runtime.LockOSThread()
			ready.Done()
			<-start
			result := call([7]uintptr{number})
			lock.Lock()
			defer lock.Unlock()
			tids[unix.Gettid()] = true
			seen = append(seen, result)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	slices.Sort(seen)
	fmt.Println(len(tids), strings.Join(slices.Compact(seen), " "))
}

// first comes before any other goroutine: it is on the first thread.
func first(number [7]uintptr) error {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		return fmt.Errorf("this is not the first thread")
	}
	ready := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		close(ready)
		_, _ = unix.Poll(nil, -1) // for ever
	}()
	<-ready
	call(number)
	_, _, _ = syscall.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	return nil
}

// agent answers every call with errno, "continue" lets it go on.
func agent(socket, state, errno string) error {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return err
	}
	conn, err := listener.AcceptUnix()
	if err != nil {
		return err
	}
	fd, message, err := receive(conn)
	if err != nil {
		return err
	}
	if err := os.WriteFile(state+".new", message, 0o644); err != nil {
		return err
	}
	if err := os.Rename(state+".new", state); err != nil {
		return err
	}
	for {
		if err := answer(fd, errno); err != nil {
			return err
		}
	}
}

// receive reads to the end of the connection; the descriptor comes first.
func receive(conn *net.UnixConn) (fd int, message []byte, err error) {
	buf, oob := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4))
	fd = -1
	for {
		n, oobn, _, _, err := conn.ReadMsgUnix(buf, oob)
		if oobn > 0 {
			messages, err := unix.ParseSocketControlMessage(oob[:oobn])
			if err != nil {
				return -1, nil, err
			}
			fds, err := unix.ParseUnixRights(&messages[0])
			if err != nil || len(fds) != 1 || fd >= 0 {
				return -1, nil, fmt.Errorf("%d descriptors, %w", len(fds), err)
			}
			fd = fds[0]
		}
		message = append(message, buf[:n]...)
		if n == 0 || err != nil {
			return fd, message, nil // closed, as it has to be
		}
	}
}

// struct seccomp_notif and seccomp_notif_resp; seccomp_unotify(2).
type notification struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type response struct {
	id    uint64
	val   int64
	error int32
	flags uint32
}

const (
	notifyReceive = 0xc0502100
	notifySend    = 0xc0182101
	notifyGoOn    = 1
)

func answer(fd int, errno string) error {
	var n notification
	if _, _, e := syscall.Syscall(unix.SYS_IOCTL, uintptr(fd), notifyReceive, uintptr(unsafe.Pointer(&n))); e != 0 {
		if e == unix.EINTR || e == unix.ENOENT {
			return nil
		}
		return e
	}
	r := response{id: n.id, flags: notifyGoOn}
	if errno != "continue" {
		number, err := strconv.Atoi(errno)
		if err != nil {
			return err
		}
		r.flags, r.error = 0, -int32(number)
	}
	if _, _, e := syscall.Syscall(unix.SYS_IOCTL, uintptr(fd), notifySend, uintptr(unsafe.Pointer(&r))); e != 0 && e != unix.ENOENT {
		return e
	}
	return nil
}
