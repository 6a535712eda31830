package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a process can inherit without a file of its own in /proc.
var prctls = [...]struct {
	name   string
	option int
	arg    uintptr
	result bool // is what prctl returns; else it is stored
}{
	{"securebits", unix.PR_GET_SECUREBITS, 0, true},
	{"pdeathsig", unix.PR_GET_PDEATHSIG, 0, false},
	{"dumpable", unix.PR_GET_DUMPABLE, 0, true},
	{"child-subreaper", unix.PR_GET_CHILD_SUBREAPER, 0, false},
	{"no-new-privs", unix.PR_GET_NO_NEW_PRIVS, 0, true},
	{"thp-disable", unix.PR_GET_THP_DISABLE, 0, true},
	{"mdwe", unix.PR_GET_MDWE, 0, true},
	{"memory-merge", unix.PR_GET_MEMORY_MERGE, 0, true},
	{"io-flusher", unix.PR_GET_IO_FLUSHER, 0, true},
	{"mce-kill", unix.PR_MCE_KILL_GET, 0, true},
	{"timer-slack", unix.PR_GET_TIMERSLACK, 0, true},
	{"speculation-store-bypass", unix.PR_GET_SPECULATION_CTRL, unix.PR_SPEC_STORE_BYPASS, true},
	{"speculation-indirect-branch", unix.PR_GET_SPECULATION_CTRL, unix.PR_SPEC_INDIRECT_BRANCH, true},
	{"keep-caps", unix.PR_GET_KEEPCAPS, 0, true},
}

// report prints "name value" lines, sorted.
func report() error {
	var lines []string
	add := func(name string, value any) { lines = append(lines, fmt.Sprintf("%s %v", name, value)) }
	addPrctls(add)
	addScheduling(add)
	addTimers(add)
	if err := addStatus(add); err != nil {
		return err
	}
	for _, e := range os.Environ() {
		add("env", e)
	}
	for _, name := range [...]string{"oom_score_adj", "coredump_filter", "loginuid", "personality"} {
		data, err := os.ReadFile("/proc/self/" + name)
		if err == nil {
			add(name, strings.TrimSpace(string(data)))
		}
	}
	add("umask", fmt.Sprintf("%04o", unix.Umask(0)))
	sid, _ := unix.Getsid(0)
	add("leads-its-session", sid == os.Getpid())
	add("leads-its-group", unix.Getpgrp() == os.Getpid())
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range entries {
		link, _ := os.Readlink("/proc/self/fd/" + e.Name())
		if !strings.HasPrefix(link, "/proc/") && !strings.HasPrefix(link, "anon_inode:[event") {
			add("fd", e.Name())
		}
	}
	slices.Sort(lines)
	w := bufio.NewWriter(os.Stdout)
	for _, l := range lines {
		fmt.Fprintln(w, l)
	}
	return w.Flush()
}

func addPrctls(add func(string, any)) {
	for _, p := range prctls {
		var stored int32
		a := p.arg
		if !p.result {
			a = uintptr(unsafe.Pointer(&stored))
		}
		got, _, e := unix.RawSyscall6(unix.SYS_PRCTL, uintptr(p.option), a, 0, 0, 0, 0)
		switch {
		case e != 0:
			add(p.name, e)
		case p.result:
			add(p.name, got)
		default:
			add(p.name, stored)
		}
	}
	var cookie uint64
	if e := unix.Prctl(unix.PR_SCHED_CORE, unix.PR_SCHED_CORE_GET, 0, 0, uintptr(unsafe.Pointer(&cookie))); e == nil {
		add("core-sched-cookie", cookie != 0)
	}
}

func addScheduling(add func(string, any)) {
	if attr, err := unix.SchedGetAttr(0, 0); err == nil {
		add("scheduler", fmt.Sprintf("policy %d nice %d priority %d flags %#x", attr.Policy, attr.Nice, attr.Priority, attr.Flags))
	}
	got, _, _ := unix.RawSyscall(unix.SYS_IOPRIO_GET, 1, 0, 0)
	add("io-priority", fmt.Sprintf("class %d level %d", got>>13, got&0x1fff))
	var mode int32
	if _, _, e := unix.RawSyscall6(unix.SYS_GET_MEMPOLICY, uintptr(unsafe.Pointer(&mode)), 0, 0, 0, 0, 0); e == 0 {
		add("memory-policy", mode)
	}
}

func addTimers(add func(string, any)) {
	for i, which := range [...]unix.ItimerWhich{unix.ITIMER_REAL, unix.ITIMER_VIRTUAL, unix.ITIMER_PROF} {
		it, err := unix.Getitimer(which)
		add(fmt.Sprintf("itimer-%d", i), fmt.Sprint(it.Value != unix.Timeval{}, err))
	}
	data, _ := os.ReadFile("/proc/self/timers")
	add("posix-timers", strings.Count(string(data), "ID:"))
}

func addStatus(add func(string, any)) error {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(data)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "SigBlk", "SigIgn", "SigPnd", "ShdPnd", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
			"Seccomp", "Cpus_allowed", "Mems_allowed", "TracerPid":
			add(name, strings.TrimSpace(value))
		}
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return err
	}
	if f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])); len(f) > 5 {
		add("tty", f[4])
	}
	return nil
}
