package caps

// table holds the names of capabilities(7), in the order of their numbers.
var table = [...]string{
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
}

// Known lists every name hako understands, in the order of the kernel's
// numbers. The running kernel may know fewer; see [Last].
func Known() []string {
	return append([]string(nil), table[:]...)
}

// Parse turns the names of config.json into a mask. Names it does not know
// come back in their order, once each; runtime-spec config.md#linux-process
// asks for a warning, not for an error.
//
// Only the spelling of capabilities(7) counts, as in runc: "CAP_KILL", not
// "KILL" or "cap_kill". Guessing would grant what another runtime refuses.
func Parse(names []string) (mask uint64, unknown []string) {
	for _, name := range names {
		if bit, ok := number(name); ok {
			mask |= 1 << bit
		} else if !contains(unknown, name) {
			unknown = append(unknown, name)
		}
	}
	return mask, unknown
}

// Names lists the capabilities of a mask in the order of their numbers.
// A bit without a name is written as the kernel's tools do: "CAP_41".
func Names(mask uint64) []string {
	names := []string{}
	for bit := range 64 {
		if mask&(1<<bit) != 0 {
			names = append(names, name(bit))
		}
	}
	return names
}

// All is the mask of every capability up to last, as [Last] reports it.
func All(last int) uint64 {
	if last < 0 {
		return 0
	}
	return 1<<(last+1) - 1
}

func number(name string) (int, bool) {
	for bit, known := range table {
		if known == name {
			return bit, true
		}
	}
	return 0, false
}

func name(bit int) string {
	if bit < len(table) {
		return table[bit]
	}
	return "CAP_" + string(rune('0'+bit/10)) + string(rune('0'+bit%10))
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}
