#!/usr/bin/env bats
# linux.seccomp: what the filter does to real processes; config-linux.md#seccomp.
# shellcheck disable=SC2016 # $names are jq's
# shellcheck disable=SC2154 # variables of the helpers

load helpers

setup_file() {
	make_rootfs
	(
		cd "$BATS_TEST_DIRNAME/.." || exit
		export CGO_ENABLED=0
		go build -o "$FILE_DIR/rootfs/bin/probe" ./tests/probe
		[[ $(uname -m) != x86_64 ]] || GOARCH=386 go build -o "$FILE_DIR/rootfs/bin/probe32" ./tests/probe
	)
	# The two calls by which busybox makes a folder.
	export MKDIR='["mkdir", "mkdirat"]'
}
teardown_file() { remove_rootfs; }

setup() { make_bundle; }
teardown() {
	[[ -z ${AGENT:-} ]] || kill "$AGENT" 2>/dev/null || true
	clean_up
}

# profile JQ: the value of linux.seccomp; $mkdir is the names.
profile() { update_config --argjson mkdir "$MKDIR" ".linux.seccomp = ($1)"; }

# allow_but ACTION [FIELDS]: everything is allowed but making folders.
allow_but() { profile "{defaultAction: \"SCMP_ACT_ALLOW\", syscalls: [{names: \$mkdir, action: \"$1\"${2:+, $2}}]}"; }

# prints TEXT: the container's program succeeds and prints that.
prints() {
	call run "$ID"
	[[ $status == 0 && $output == "$1" ]] || {
		show
		return 1
	}
}

x86_64() { [[ $(uname -m) == x86_64 ]] || skip "calls by their numbers are x86_64's"; }

# --- actions

@test "seccomp: SCMP_ACT_ERRNO is EPERM, or errnoRet" {
	sh_script 'mkdir /x 2>&1; true'
	allow_but SCMP_ACT_ERRNO
	prints "mkdir: can't create directory '/x': Operation not permitted"
	allow_but SCMP_ACT_ERRNO 'errnoRet: 28'
	prints "mkdir: can't create directory '/x': No space left on device"
	allow_but SCMP_ACT_ERRNO 'errnoRet: 0' # success, without doing anything
	sh_script 'mkdir /x && ! test -e /x && echo gone'
	prints gone
}

@test "seccomp: the kill actions and TRAP end in SIGSYS" {
	local action
	set_args mkdir /x
	for action in SCMP_ACT_KILL SCMP_ACT_KILL_THREAD SCMP_ACT_KILL_PROCESS SCMP_ACT_TRAP; do
		allow_but "$action"
		call run "$ID"
		equal 159 "$status"
		not exists "$BUNDLE/rootfs/x"
	done
}

first_thread_ended() { [[ $(proc_state "$1") == Z* ]]; }

@test "seccomp: KILL_THREAD of the first thread leaves a container that is running" {
	x86_64
	profile '{defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["acct"], action: "SCMP_ACT_KILL_THREAD"}]}'
	start_container '.process.args = ["probe", "first", "163"]'
	local pid
	pid=$(field "$ID" .pid)
	eventually first_thread_ended "$pid"
	has_status "$ID" running
	equal "$pid" "$(field "$ID" .pid)"
	equal "[$pid]" "$(hako ps --format json "$ID")"
	fails 'not stopped: running' delete "$ID"
	fails_with 255 'cannot be entered \(has its first thread ended\?\)' exec "$ID" true
	ok pause "$ID"
	has_status "$ID" paused
	ok resume "$ID"
	ok kill "$ID" KILL
	eventually status_is "$ID" stopped
	ok delete "$ID"
}

@test "seccomp: KILL_THREAD ends one thread, KILL_PROCESS all" {
	x86_64
	# 1000 is no call: its threads are killed before they report, and the
	# process hangs without them.
	profile '{defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["acct"], action: "SCMP_ACT_KILL_PROCESS"}]}'
	set_args probe threads 4 163
	call run "$ID"
	equal 159 "$status"
	profile '{defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["acct"], action: "SCMP_ACT_KILL_THREAD"}]}'
	sh_script 'probe threads 4 163 & sleep 0.5; kill -0 $! && echo alive; kill -9 $!'
	prints alive
}

@test "seccomp: TRACE without a tracer is ENOSYS; LOG and ALLOW let calls pass" {
	allow_but SCMP_ACT_TRACE
	sh_script 'mkdir /x 2>&1; true'
	prints "mkdir: can't create directory '/x': Function not implemented"
	local action
	for action in SCMP_ACT_LOG SCMP_ACT_ALLOW; do
		allow_but "$action"
		sh_script "mkdir /$action && echo made"
		prints made
	done
}

@test "seccomp: defaultAction with defaultErrnoRet is for every call that no rule names" {
	x86_64
	# 163 is acct.
	profile '{defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["acct"], action: "SCMP_ACT_ERRNO", errnoRet: 5}]}'
	set_args probe call 163
	prints EIO
	podman_profile '.defaultErrnoRet = 95 | .syscalls |= map(select(.action == "SCMP_ACT_ALLOW"))'
	set_args probe call 163
	prints ENOTSUP
}

# podman_profile [JQ]: the profile of Podman's package, changed.
podman_profile() {
	[[ -e /usr/share/containers/seccomp.json ]] || skip "golang-github-containers-common is not installed"
	jq '{defaultAction, defaultErrnoRet, architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
		syscalls: [.syscalls[] | select((.includes.caps // []) == [] and (.includes.arches // ["amd64"] | index("amd64")))
			| del(.includes, .excludes, .comment) | if .errnoRet == null then del(.errnoRet) else . end]}
		| del(..|nulls)' /usr/share/containers/seccomp.json | jq "${1:-.}" >"$T/profile"
	update_config --slurpfile profile "$T/profile" '.linux.seccomp = $profile[0]'
}

# --- arguments

@test "seccomp: operators compare all 64 bits" {
	x86_64
	local op value two arg want
	# 135 is personality; its argument has 32 bits, the filter sees 64.
	while read -r op value two arg want; do
		profile "{defaultAction: \"SCMP_ACT_ALLOW\", syscalls: [{names: [\"personality\"], action: \"SCMP_ACT_ERRNO\",
			errnoRet: 5, args: [{index: 0, op: \"SCMP_CMP_$op\", value: $value, valueTwo: $two}]}]}"
		set_args probe call 135 "$arg"
		prints "$want" || {
			echo "$op $value $two $arg"
			return 1
		}
	done <<-'TABLE'
		EQ 8 0 8 EIO
		EQ 8 0 0x100000008 ok
		NE 8 0 0x100000008 EIO
		NE 8 0 8 ok
		LT 4294967296 0 0xffffffff EIO
		LT 4294967296 0 0x100000000 ok
		LE 4294967296 0 0x100000000 EIO
		LE 4294967296 0 0x100000001 ok
		GT 4294967295 0 0x100000000 EIO
		GT 4294967295 0 0xffffffff ok
		GE 4294967296 0 0x200000000 EIO
		GE 4294967296 0 0xffffffff ok
		MASKED_EQ 4294967297 4294967296 0x100000002 EIO
		MASKED_EQ 4294967297 4294967296 0x100000001 ok
	TABLE
}

@test "seccomp: conditions on two arguments are both asked for, rules are alternatives" {
	x86_64
	# 164 settimeofday: fails with EFAULT or is not allowed.
	profile '{defaultAction: "SCMP_ACT_ALLOW", syscalls: [
		{names: ["settimeofday"], action: "SCMP_ACT_ERRNO", errnoRet: 5, args: [
			{index: 0, op: "SCMP_CMP_EQ", value: 1}, {index: 1, op: "SCMP_CMP_EQ", value: 2}]},
		{names: ["settimeofday"], action: "SCMP_ACT_ERRNO", errnoRet: 5, args: [{index: 0, op: "SCMP_CMP_EQ", value: 3}]}]}'
	sh_script 'for args in "1 2" "1 1" "2 2" "3 1"; do probe call 164 $args; done'
	prints 'EIO
EFAULT
EFAULT
EIO'
	# Two on one argument are two rules, as in runc and crun.
	profile '{defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["settimeofday"], action: "SCMP_ACT_ERRNO", errnoRet: 5,
		args: [{index: 0, op: "SCMP_CMP_EQ", value: 1}, {index: 0, op: "SCMP_CMP_EQ", value: 2}]}]}'
	sh_script 'for args in 1 2 3; do probe call 164 $args; done'
	prints 'EIO
EIO
EFAULT'
}

# --- architectures

@test "seccomp: a program of 32 bits is killed, unless the profile has its architecture" {
	x86_64
	set_args probe32 call 20
	profile '{defaultAction: "SCMP_ACT_ALLOW"}'
	call run "$ID"
	equal 159 "$status"
	profile '{defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86"],
		syscalls: [{names: ["getpid"], action: "SCMP_ACT_ERRNO", errnoRet: 5}]}'
	prints EIO # 20 is getpid there
	set_args probe call 39
	prints EIO
	set_args probe call 20 # and writev here
	prints EBADF
}

@test "seccomp: socketcall of a program of 32 bits is decided by the call that it makes" {
	x86_64
	profile '{defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86"],
		syscalls: [{names: ["listen"], action: "SCMP_ACT_ERRNO", errnoRet: 5}]}'
	sh_script 'probe32 call 102 4 1; probe32 call 102 5 1; probe32 call 363'
	prints 'EIO
EFAULT
EIO'
}

@test "seccomp: calls of x32 are killed, unless the profile has it" {
	x86_64
	# The kernel here has no x32 and answers ENOSYS itself: what the filter
	# says is another errno.
	profile '{defaultAction: "SCMP_ACT_ALLOW"}'
	sh_script 'probe call 0x40000027 & sleep 0.5; kill -9 $!'
	prints ''
	profile '{defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X32"],
		syscalls: [{names: ["getpid"], action: "SCMP_ACT_ERRNO", errnoRet: 5}]}'
	set_args probe call 0x40000027
	prints EIO
}

# --- new calls

@test "seccomp: calls newer than the newest one of the profile fail with ENOSYS, older ones as the profile says" {
	x86_64
	podman_profile '.defaultErrnoRet = 1'
	# 448 process_mrelease is the newest; 216 remap_file_pages is allowed, 134
	# uselib is not.
	sh_script 'for nr in 134 449 460 1000 -1; do probe call $((nr < 0 ? 4294967295 : nr)); done'
	prints 'EPERM
ENOSYS
ENOSYS
ENOSYS
ENOSYS'
}

# --- the process under the filter

@test "seccomp: all threads are under the filter, which is the only one" {
	x86_64
	local flags
	for flags in '[]' '["SECCOMP_FILTER_FLAG_TSYNC"]'; do
		profile "{defaultAction: \"SCMP_ACT_ALLOW\", flags: $flags,
			syscalls: [{names: [\"acct\"], action: \"SCMP_ACT_ERRNO\", errnoRet: 5}]}"
		set_args probe threads 8 163
		prints '8 EIO'
	done
	set_args grep -E '^Seccomp' /proc/self/status
	prints $'Seccomp:\t2\nSeccomp_filters:\t1'
}

@test "seccomp: with and without noNewPrivileges, as root and as a user, with the capabilities of the config" {
	local nnp uid
	for nnp in true false; do
		for uid in 0 1000; do
			allow_but SCMP_ACT_ERRNO
			update_config ".process.noNewPrivileges = $nnp | .process.user.uid = $uid"
			set_args grep -E '^(CapPrm|CapEff|CapBnd|CapAmb|NoNew|Seccomp:)' /proc/self/status
			call run "$ID"
			equal 0 "$status"
			contains $'Seccomp:\t2' "$output"
			contains "NoNewPrivs:"$'\t'"$([[ $nnp == true ]] && echo 1 || echo 0)" "$output"
			printf '%s\n' "$output" >"$T/with"
			update_config 'del(.linux.seccomp)'
			call run "$ID"
			diff <(grep ^Cap "$T/with") <(grep ^Cap <<<"$output")
		done
	done
}

@test "seccomp: a start needs no call to be allowed but execve, and capset without noNewPrivileges" {
	x86_64
	local calls nnp
	# What a static program without a word takes.
	calls='"brk", "arch_prctl", "set_tid_address", "set_robust_list", "rseq", "prlimit64", "readlink", "readlinkat",
		"getrandom", "mprotect", "newfstatat", "exit_group", "getuid", "getgid", "geteuid", "getegid", "prctl", "execve"'
	set_args busybox true
	for nnp in true false; do
		update_config ".process.noNewPrivileges = $nnp"
		profile "{defaultAction: \"SCMP_ACT_KILL_PROCESS\", syscalls: [{names: [$calls$([[ $nnp == true ]] || echo ', "capset"')], action: \"SCMP_ACT_ALLOW\"}]}"
		ok run "$ID"
	done
}

@test "seccomp: a profile that forbids execve is an error of start" {
	profile '{defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["execve"], action: "SCMP_ACT_ERRNO", errnoRet: 13}]}'
	ok create "$ID"
	fails 'exec /bin/sleep: permission denied' start "$ID"
}

@test "seccomp: startContainer hooks run under the filter, the others do not" {
	allow_but SCMP_ACT_ERRNO
	local point
	for point in createRuntime createContainer startContainer; do
		add_hook "$point" '{"path": "/bin/sh", "args": ["sh", "-c", "grep ^Seccomp: /proc/self/status >/'"$point"' || grep ^Seccomp: /proc/self/status >'"$T/$point"'"], "env": ["PATH=/bin:/usr/bin"]}'
	done
	set_args true
	call run "$ID"
	equal 0 "$status"
	equal $'Seccomp:\t2' "$(<"$BUNDLE/rootfs/startContainer")"
	for point in createRuntime createContainer; do
		equal $'Seccomp:\t0' "$(cat "$T/$point" "/$point" 2>/dev/null)"
		rm -f "/$point"
	done
}

@test "seccomp: a process executed in the container is under its filter" {
	allow_but SCMP_ACT_ERRNO
	update_config '.process.noNewPrivileges = false'
	ok create "$ID"
	ok start "$ID"
	fails_with 1 'Operation not permitted' exec "$ID" mkdir /x
	call exec "$ID" grep ^Seccomp: /proc/self/status
	equal $'Seccomp:\t2' "$output"
	jq '.process | .args = ["mkdir", "/x"] | .noNewPrivileges = true' config.json >"$T/process"
	fails_with 1 'Operation not permitted' exec --process "$T/process" "$ID"
	update_config 'del(.linux.seccomp)' # the saved plan counts
	fails_with 1 'Operation not permitted' exec "$ID" mkdir /x
}

# --- the listener

# start_agent ERRNO
start_agent() {
	"$FILE_DIR/rootfs/bin/probe" agent "$T/agent" "$T/state.json" "$1" >"$T/agent.log" 2>&1 3>&- &
	AGENT=$!
	eventually exists "$T/agent"
}

notify_profile() {
	profile "{defaultAction: \"SCMP_ACT_ALLOW\", listenerPath: \"$T/agent\", listenerMetadata: \"some data\",
		flags: [\"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV\"], syscalls: [{names: \$mkdir, action: \"SCMP_ACT_NOTIFY\"}]}"
}

@test "seccomp: NOTIFY hands the listener and the container process state to the agent" {
	start_agent 95
	notify_profile
	update_config '.annotations = {a: "b"}'
	ok create "$ID"
	eventually exists "$T/state.json"
	equal "[\"1.3.0\",[\"seccompFd\"],$(field "$ID" .pid),\"some data\"]" "$(jq -c '[.ociVersion, .fds, .pid, .metadata]' "$T/state.json")"
	equal "[\"$ID\",\"creating\",$(field "$ID" .pid),\"$BUNDLE\",\"b\"]" "$(jq -c '.state | [.id, .status, .pid, .bundle, .annotations.a]' "$T/state.json")"
	# The created container has no listener of its own any more.
	not grep -q 'seccomp notify' <(ls -l "/proc/$(field "$ID" .pid)/fd")
	ok start "$ID"
}

@test "seccomp: a call that the agent lets continue is made, another fails as the agent says" {
	start_agent continue
	notify_profile
	set_args mkdir /made
	call run "$ID"
	equal 0 "$status"
	exists "$BUNDLE/rootfs/made"
	kill "$AGENT"
	rm -f "$T/agent" "$T/state.json"
	start_agent 95
	sh_script 'mkdir /x 2>&1; true'
	prints "mkdir: can't create directory '/x': Operation not supported"
}

@test "seccomp: exec hands a listener of its own to the agent, with the container's state" {
	start_agent continue
	notify_profile
	ok create "$ID"
	ok start "$ID"
	kill "$AGENT"
	rm -f "$T/agent" "$T/state.json"
	start_agent 95
	call exec "$ID" mkdir /x
	contains 'Operation not supported' "$stderr"
	equal '["running",true]' "$(jq -c --argjson pid "$(field "$ID" .pid)" '[.state.status, (.state.pid == $pid and .pid != $pid)]' "$T/state.json")"
}

@test "seccomp: calls that a start itself makes can be the agent's too" {
	start_agent continue
	profile "{defaultAction: \"SCMP_ACT_ALLOW\", listenerPath: \"$T/agent\", syscalls: [
		{names: [\"read\", \"close\", \"sendmsg\", \"futex\", \"execve\", \"fcntl\", \"rt_sigaction\", \"prctl\"], action: \"SCMP_ACT_NOTIFY\"}]}"
	sh_script 'echo out'
	prints out
}

@test "seccomp: without an agent a container with NOTIFY is not created" {
	notify_profile
	fails "linux.seccomp.listenerPath $T/agent: open: no such file or directory" create "$ID"
	nothing_left
}

@test "seccomp: listenerPath is ignored without NOTIFY" {
	profile '{defaultAction: "SCMP_ACT_ALLOW", listenerPath: "/nothing"}'
	set_args true
	ok run "$ID"
}

# --- profiles

@test "seccomp: unknown calls are ignored, with a debug message" {
	profile '{defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["nosuchcall", "acct"], action: "SCMP_ACT_ERRNO"}]}'
	set_args true
	ok run "$ID"
	hako --debug --log "$T/log" run "$ID"
	grep -q 'level=debug .*linux.seccomp: ignoring calls that this machine does not have: nosuchcall"' "$T/log"
}

@test "seccomp: a profile without action and calls is none" {
	profile '{defaultAction: ""}'
	set_args grep ^Seccomp: /proc/self/status
	prints $'Seccomp:\t0'
}

@test "seccomp: a bad profile is refused by name" {
	profile '{defaultAction: "SCMP_ACT_KILL", defaultErrnoRet: 1}'
	fails 'config.json: linux.seccomp.defaultErrnoRet: SCMP_ACT_KILL has no errno \(config-linux.md#seccomp\)' create "$ID"
	profile '{defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_TSYNC", "NO_FLAG"]}'
	fails 'linux.seccomp.flags\[1\]: unknown flag "NO_FLAG"; there are SECCOMP_FILTER_FLAG_LOG' create "$ID"
	profile '{defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["write"], action: "SCMP_ACT_NOTIFY"}], listenerPath: "/x"}'
	fails 'linux.seccomp.syscalls\[0\].names\[0\]: SCMP_ACT_NOTIFY cannot be used for the write syscall' create "$ID"
}

@test "seccomp: Podman's default profile runs programs" {
	podman_profile
	sh_script 'ls / >/dev/null && echo a | grep -q a && (sleep 0.01) && echo fine'
	prints fine
}
