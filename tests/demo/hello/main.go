// Command hello reports what a process can see of the container around it. It
// is the whole content of the demo's image, and handy in any other container:
// it needs nothing but /proc.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

func main() {
	w := bufio.NewWriter(os.Stdout)
	defer w.Flush()
	r := report{w}
	r.process()
	r.namespaces()
	r.identity()
	r.privileges()
	r.mounts()
	r.proc()
	r.devices()
	r.environment()
}

// report prints a label in a column of its own, values beside it.
type report struct {
	w io.Writer
}

const labelWidth = 18

func (r report) line(label, format string, args ...any) {
	fmt.Fprintf(r.w, "  %-*s%s\n", labelWidth, label, fmt.Sprintf(format, args...))
}

// wrap prints words in as many lines as they need.
func (r report) wrap(label string, words []string) {
	const width = 60
	line := ""
	for _, word := range words {
		if line != "" && len(line)+1+len(word) > width {
			r.line(label, "%s", line)
			label, line = "", ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	if line == "" && len(words) == 0 {
		line = "none"
	}
	r.line(label, "%s", line)
}

func (r report) process() {
	greeting := os.Getenv("GREETING")
	if greeting == "" {
		greeting = "hello"
	}
	fmt.Fprintf(r.w, "%s\n", greeting)
	cwd, err := os.Getwd()
	r.line("process", "pid %d, parent %d, args %q", os.Getpid(), os.Getppid(), os.Args)
	r.line("directory", "%s", value(cwd, err))
	name, err := os.Hostname()
	r.line("hostname", "%s", value(name, err))
	r.wrap("cgroup", lines("/proc/self/cgroup"))
}

func (r report) namespaces() {
	const dir = "/proc/self/ns"
	var all []string
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "_for_children") {
			continue
		}
		link, err := os.Readlink(path.Join(dir, e.Name()))
		all = append(all, value(link, err))
	}
	if err != nil {
		all = append(all, err.Error())
	}
	r.wrap("namespaces", all)
}

func (r report) identity() {
	groups, err := os.Getgroups()
	r.line("user", "uid %d, gid %d, groups %s", os.Getuid(), os.Getgid(), value(fmt.Sprint(groups), err))
	r.line("id maps", "uid %s; gid %s", idMap("/proc/self/uid_map"), idMap("/proc/self/gid_map"))
	r.line("umask", "%s", status("Umask"))
}

func idMap(file string) string {
	var maps []string
	for _, line := range lines(file) {
		if f := strings.Fields(line); len(f) == 3 {
			maps = append(maps, fmt.Sprintf("%s is %s outside (%s)", f[0], f[1], f[2]))
		}
	}
	return strings.Join(maps, ", ")
}

func (r report) privileges() {
	for _, set := range []struct{ label, key string }{
		{"caps effective", "CapEff"},
		{"caps permitted", "CapPrm"},
		{"caps bounding", "CapBnd"},
		{"caps inheritable", "CapInh"},
		{"caps ambient", "CapAmb"},
	} {
		r.wrap(set.label, capabilities(status(set.key)))
	}
	r.line("no new privileges", "%s", choice(status("NoNewPrivs"), "no", "yes"))
	r.line("seccomp", "%s", choice(status("Seccomp"), "off", "strict", "filter"))
}

// capabilityNames are in the order of their numbers; capabilities(7).
const capabilityNames = "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap " +
	"linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module " +
	"sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time " +
	"sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog " +
	"wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore"

func capabilities(hex string) []string {
	bits, err := strconv.ParseUint(hex, 16, 64)
	if err != nil {
		return []string{"unknown"}
	}
	var set []string
	for i, name := range strings.Fields(capabilityNames) {
		if bits&(1<<i) != 0 {
			set = append(set, name)
		}
	}
	if len(set) == len(strings.Fields(capabilityNames)) {
		return []string{"all"}
	}
	return set
}

func (r report) mounts() {
	mounts := lines("/proc/self/mountinfo")
	r.line("mounts", "%d", len(mounts))
	for _, line := range mounts {
		before, after, _ := strings.Cut(line, " - ")
		f, fs := strings.Fields(before), strings.Fields(after)
		if len(f) < 6 || len(fs) < 1 {
			continue
		}
		access, _, _ := strings.Cut(f[5], ",")
		r.line("", "%-32s %-10s %s", f[4], fs[0], access)
	}
}

// proc probes what a container should not be able to read or write.
func (r report) proc() {
	label := "may read"
	for _, name := range []string{"/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"} {
		r.line(label, "%-32s %s", name, readable(name))
		label = ""
	}
	label = "may write"
	for _, name := range []string{"/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/sys/fs/cgroup"} {
		r.line(label, "%-32s %s", name, writable(name))
		label = ""
	}
}

func readable(name string) string {
	info, err := os.Stat(name)
	if err != nil {
		return "not there"
	}
	if info.IsDir() {
		entries, err := os.ReadDir(name)
		return value(fmt.Sprintf("directory with %d entries", len(entries)), err)
	}
	f, err := os.Open(name)
	if err != nil {
		return cause(err)
	}
	defer f.Close()
	n, err := f.Read(make([]byte, 16))
	if n == 0 && err == io.EOF {
		return "masked: it reads as empty"
	}
	return value("READABLE", err)
}

// writable asks without writing: opening for writing is permission enough.
func writable(name string) string {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		err := os.Mkdir(path.Join(name, "hello"), 0o700)
		if err == nil {
			os.Remove(path.Join(name, "hello"))
		}
		return value("WRITABLE", err)
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err == nil {
		f.Close()
	}
	return value("WRITABLE", err)
}

func (r report) devices() {
	entries, err := os.ReadDir("/dev")
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if err != nil {
		names = append(names, err.Error())
	}
	r.wrap("/dev", names)
}

func (r report) environment() {
	env := os.Environ()
	slices.Sort(env)
	for i, entry := range env {
		r.line(choice(strconv.Itoa(min(i, 1)), "environment", ""), "%s", entry)
	}
}

// status is a field of /proc/self/status; proc_pid_status(5).
func status(key string) string {
	for _, line := range lines("/proc/self/status") {
		if name, value, _ := strings.Cut(line, ":"); name == key {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func lines(file string) []string {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimRight(string(data), "\n"), "\n")
}

// choice picks a word by a number in decimal digits.
func choice(number string, words ...string) string {
	if i, err := strconv.Atoi(number); err == nil && i >= 0 && i < len(words) {
		return words[i]
	}
	return number
}

func value(s string, err error) string {
	if err != nil {
		return cause(err)
	}
	return s
}

// cause is an error without the path, which stands beside it already.
func cause(err error) string {
	if i := strings.LastIndex(err.Error(), ": "); i >= 0 {
		return err.Error()[i+2:]
	}
	return err.Error()
}
