// Command attacker does, inside a container or beside one, what a hostile
// process would do. tests/security.bats puts it into containers and looks at
// the host afterwards. It is static, so that it runs on any root file system.
//
//	attacker watch DEV:INO SECRET OUT       look into every process that appears
//	attacker overwrite DEV:INO OUT          write to the runtime's binary
//	attacker exchange A B                   swap two paths until killed
//	attacker report                         print what this process inherited
//	attacker kill MICROSECONDS COMMAND…     end COMMAND, after so much time
//	attacker caller COMMAND…                execute COMMAND as an unusual caller
//
// DEV:INO is the runtime's binary as stat(1) prints it: %d:%i. What happened is
// appended to OUT, a fact a line, each once.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "attacker:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("what?")
	}
	switch verb, rest := args[0], args[1:]; {
	case verb == "watch" && len(rest) == 3:
		return watch(rest[0], rest[1], rest[2])
	case verb == "overwrite" && len(rest) == 2:
		return overwrite(rest[0], rest[1])
	case verb == "thaw": // of overwrite
		return thaw()
	case verb == "exchange" && len(rest) == 2:
		return exchange(rest[0], rest[1])
	case verb == "report":
		return report()
	case verb == "kill" && len(rest) > 1:
		return kill(rest[0], rest[1:])
	case verb == "caller" && len(rest) > 0:
		return caller(rest)
	}
	return fmt.Errorf("%q: see the comment", args)
}

// exchange is the race of CVE-2021-30465: path lookups find now the one, now
// the other.
func exchange(a, b string) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM)
	for {
		for range 1000 {
			if err := unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE); err != nil {
				return err
			}
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}

// kill ends only the command itself. Exit status 137 says that it was in time.
func kill(after string, command []string) error {
	wait, err := time.ParseDuration(after + "us")
	if err != nil {
		return err
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	time.Sleep(wait)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() < 0 {
		os.Exit(128 + int(unix.SIGKILL))
	}
	return nil
}

// facts writes lines to a file, each once.
type facts struct {
	f    *os.File
	seen map[string]bool
}

func newFacts(path string) (*facts, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	return &facts{f, make(map[string]bool)}, err
}

func (f *facts) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if !f.seen[line] {
		f.seen[line] = true
		fmt.Fprintln(f.f, line)
	}
}
