#!/usr/bin/env bats
# exec: another process in a running container. See docs/man/hako-exec.8.
# shellcheck disable=SC2016,SC2154 # $names are of the container's shell; helpers assign

load helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() { make_bundle; }
teardown() { clean_up; }

# --- exit codes

@test "exec: exits with the program's code" {
	start_container
	local code
	for code in 0 1 7 254 255; do
		call exec "$ID" sh -c "exit $code"
		equal "$code" "$status"
		equal "" "$stderr"
	done
	has_status "$ID" running
}

@test "exec: exits with 128+n for signal n" {
	start_container
	local signal
	for signal in 1 9 15; do
		call exec "$ID" sh -c "kill -$signal \$\$; sleep 100000"
		equal $((128 + signal)) "$status"
	done
}

@test "exec: 255 and one line for errors of hako" {
	fails_with 255 'container does not exist' exec "$ID" true
	start_container
	fails_with 255 'neither a command nor --process' exec "$ID"
	fails_with 255 '--user "nobody": UID must be a number' exec --user nobody "$ID" true
	fails_with 255 '--additional-gids' exec --additional-gids wheel "$ID" true
	fails_with 255 'flag provided but not defined' exec --no-such-flag "$ID" true
}

@test "exec: a missing program is told in one line" {
	start_container
	fails_with 255 'exec /run.sh: no such file or directory$' exec "$ID" /run.sh
	fails_with 255 'exec: "missing-program": executable file not found in \$PATH$' exec "$ID" missing-program
	fails_with 255 'permission denied$' exec "$ID" /etc/passwd
	has_status "$ID" running
}

@test "exec: a program that the kernel refuses is told" {
	start_container
	echo 'no program' >"$BUNDLE/rootfs/bin/broken"
	chmod 755 "$BUNDLE/rootfs/bin/broken"
	fails_with 255 'exec /bin/broken: exec format error$' exec "$ID" /bin/broken
	fails_with 255 'exec /bin/broken: exec format error$' exec --detach --pid-file "$T/pid" "$ID" /bin/broken
	not exists "$T/pid"
	has_processes_exactly "$(field "$ID" .pid)"
}

has_processes_exactly() { equal "[$1]" "$(hako ps -f json "$ID")"; }

@test "exec: refused in a stopped container" {
	set_args true
	start_container
	eventually status_is "$ID" stopped
	fails_with 255 'stopped.*not running|not running.*stopped' exec "$ID" true
}

@test "exec: works in a created container" {
	ok create "$ID"
	ok exec "$ID" sh -c 'tr "\0" " " </proc/self/status | head -1'
	contains 'Name:' "$output"
	has_status "$ID" created
	ok start "$ID"
}

@test "exec: refused in a paused container, unless --ignore-paused" {
	start_container
	ok pause "$ID"
	fails_with 255 'cannot exec in a paused container \(use --ignore-paused to override\)' exec "$ID" true
	has_status "$ID" paused
	hako exec --ignore-paused "$ID" sh -c 'echo ran >/ran' </dev/null >"$T/o" 2>&1 &
	local execution=$!
	ok resume "$ID"
	wait "$execution"
	equal ran "$(<"$BUNDLE/rootfs/ran")"
}

# --- what the process is

@test "exec: options behind the ID are the program's" {
	start_container
	ok exec "$ID" echo --cwd /tmp -t
	equal "--cwd /tmp -t" "$output"
}

@test "exec: standard streams are the caller's" {
	start_container
	echo input | hako exec "$ID" sh -c 'cat; echo error >&2' >"$T/o" 2>"$T/e"
	equal input "$(<"$T/o")"
	equal error "$(<"$T/e")"
}

@test "exec: the environment is the container's, --env adds and replaces" {
	update_config '.process.env += ["FROM=config", "TWICE=config"]'
	start_container
	ok exec --env TWICE=flag -e "NEW=a, b=c" "$ID" sh -c 'echo "$FROM $TWICE $NEW"; env | grep -c ^TWICE='
	equal $'config flag a, b=c\n1' "$output"
}

@test "exec: an environment entry without = is refused" {
	start_container
	fails_with 255 'process.env\[[0-9]+\]: is not NAME=value' exec --env BROKEN "$ID" true
}

@test "exec: HOME is that of the user in the container's /etc/passwd" {
	start_container
	ok exec "$ID" sh -c 'echo $HOME'
	equal /root "$output"
	ok exec --user 1000 "$ID" sh -c 'echo $HOME'
	equal /home/user "$output"
	ok exec --user 4242 "$ID" sh -c 'echo $HOME'
	equal / "$output"
	ok exec --env HOME=/tmp "$ID" sh -c 'echo $HOME'
	equal /tmp "$output"
}

@test "exec --cwd" {
	start_container
	ok exec "$ID" pwd
	equal / "$output"
	ok exec --cwd /tmp "$ID" pwd
	equal /tmp "$output"
	fails_with 255 'process.cwd: .*/missing: no such file or directory' exec --cwd /missing "$ID" pwd
	fails_with 255 'process.cwd: "tmp" is not an absolute path' exec --cwd tmp "$ID" pwd
}

# CVE-2024-21626
@test "exec --cwd: a descriptor of the host is no way out" {
	start_container
	local fd
	for fd in 3 4 5 6 7 8 9 10; do
		call exec --cwd "/proc/self/fd/$fd" "$ID" sh -c 'ls -d /proc/1; readlink /proc/self/cwd; ls ../../../../../../../..'
		# A descriptor inside the root is a directory like any other.
		((status == 255)) || {
			equal 0 "$status"
			contains '^/' "$(sed -n 2p <<<"$output")"
			equal "$(ls "$BUNDLE/rootfs")" "$(sed '1,2d' <<<"$output")"
		}
	done
}

@test "exec --user: uid, and gid" {
	start_container
	ok exec "$ID" sh -c 'id -u; id -g'
	equal $'0\n0' "$output"
	ok exec --user 1000 "$ID" sh -c 'id -u; id -g'
	equal $'1000\n0' "$output"
	ok exec --user 1000:1001 "$ID" sh -c 'id -u; id -g; id -G'
	equal $'1000\n1001\n1001' "$output"
}

@test "exec --additional-gids: added to the container's" {
	update_config '.process.user.additionalGids = [77]'
	start_container
	ok exec -g 100 -g 200 "$ID" sh -c 'sed -n "s/^Groups:\t//p" /proc/self/status'
	equal "77 100 200" "$(xargs <<<"$output")"
}

@test "exec: no supplementary group of the caller" {
	start_container
	status=0
	output=$(setpriv --groups 4,27 "$HAKO" --root "$ROOT" exec "$ID" sed -n 's/^Groups:\t//p' /proc/self/status 2>&1 3>&-)
	equal "" "$(xargs <<<"$output")"
}

# caps: the five sets of the process.
caps='sed -n "s/^Cap\([A-Z][a-z][a-z]\):\t0*/\1 /p" /proc/self/status'

@test "exec: capabilities are the container's; inheritable and ambient are empty" {
	start_container
	ok exec "$ID" sh -c "$caps"
	# CAP_KILL 5, CAP_NET_BIND_SERVICE 10, CAP_AUDIT_WRITE 29
	equal "Inh Prm 20000420 Eff 20000420 Bnd 20000420 Amb" "$(xargs <<<"$output")"
}

# CVE-2022-29162
@test "exec --cap: bounding, effective, permitted; never inheritable or ambient" {
	start_container
	ok exec --cap CAP_SYS_TIME --cap CAP_CHOWN "$ID" sh -c "$caps"
	equal "Inh Prm 22000421 Eff 22000421 Bnd 22000421 Amb" "$(xargs <<<"$output")"
}

@test "exec --cap: an unknown capability is a warning" {
	start_container
	call exec --cap CAP_NONSENSE "$ID" true
	equal 0 "$status"
	contains 'level=warning.*CAP_NONSENSE' "$stderr"
}

@test "exec --cap: also ambient where the container's is inheritable" {
	update_config '.process.capabilities.inheritable = ["CAP_KILL"]'
	start_container
	ok exec --user 1000 --cap CAP_KILL --cap CAP_CHOWN "$ID" sh -c "$caps"
	contains 'Inh 20 ' "$(xargs <<<"$output")"
	contains 'Amb 20$' "$(xargs <<<"$output")"
}

@test "exec --no-new-privs" {
	update_config '.process.noNewPrivileges = false'
	start_container
	ok exec "$ID" sed -n 's/^NoNewPrivs:\t//p' /proc/self/status
	equal 0 "$output"
	ok exec --no-new-privs "$ID" sed -n 's/^NoNewPrivs:\t//p' /proc/self/status
	equal 1 "$output"
}

@test "exec: no_new_privs is the container's" {
	start_container
	ok exec "$ID" sed -n 's/^NoNewPrivs:\t//p' /proc/self/status
	equal 1 "$output"
}

@test "exec: umask and resource limits are the container's" {
	update_config '.process.user.umask = 63 | .process.rlimits = [{type: "RLIMIT_NOFILE", soft: 99, hard: 199}]'
	start_container
	ok exec "$ID" sh -c 'umask; ulimit -n; ulimit -Hn'
	equal "0077 99 199" "$(xargs <<<"$output")"
}

@test "exec: oom_score_adj is the container's" {
	update_config '.process.oomScoreAdj = 321'
	start_container
	ok exec "$ID" cat /proc/self/oom_score_adj
	equal 321 "$output"
}

@test "exec: nothing of the caller's signals is inherited" {
	start_container
	(
		trap '' TERM USR1
		hako exec "$ID" grep -E '^Sig(Blk|Ign):' /proc/self/status >"$T/o"
	)
	equal "SigBlk: 0000000000000000 SigIgn: 0000000000000000" "$(xargs <"$T/o")"
}

@test "exec: apparmor and SELinux labels are refused where there is no such module" {
	start_container
	[[ -d /sys/kernel/security/apparmor || -e /sys/fs/selinux/enforce ]] && skip "an LSM is there"
	fails_with 255 'apparmor' exec --apparmor some-profile "$ID" true
	fails_with 255 'selinux' exec --process-label system_u:system_r:x_t:s0 "$ID" true
}

# --- --process

@test "exec --process: a file with the whole process" {
	start_container
	cat >"$T/process.json" <<-'END'
		{"args": ["sh", "-c", "echo $A; pwd; id -u; id -g"], "env": ["PATH=/bin", "A=1"], "cwd": "/tmp", "user": {"uid": 1000, "gid": 1000}}
	END
	ok exec --process "$T/process.json" "$ID"
	equal $'1\n/tmp\n1000\n1000' "$output"
}

@test "exec --process: a pipe, as /dev/fd/N" {
	start_container
	hako exec --process /dev/fd/0 "$ID" >"$T/o" <<<'{"args": ["echo", "here"], "env": ["PATH=/bin"], "cwd": "/"}'
	equal here "$(<"$T/o")"
	hako exec --process <(echo '{"args": ["echo", "there"], "env": ["PATH=/bin"], "cwd": "/"}') "$ID" </dev/null >"$T/o"
	equal there "$(<"$T/o")"
}

@test "exec --process: a slow writer of the pipe is waited for" {
	start_container
	hako exec --process <(sleep 0.3; echo '{"args": ["echo", "late"], "env": ["PATH=/bin"], "cwd": "/"}') "$ID" </dev/null >"$T/o"
	equal late "$(<"$T/o")"
}

@test "exec --process: what is wrong with it is told" {
	start_container
	fails_with 255 'no such file or directory' exec --process "$T/missing.json" "$ID"
	echo '{' >"$T/process.json"
	fails_with 255 '--process' exec --process "$T/process.json" "$ID"
	echo '{"cwd": "tmp"}' >"$T/process.json"
	fails_with 255 'process.args: is empty.*process.cwd: "tmp" is not an absolute path' exec --process "$T/process.json" "$ID"
}

@test "exec --process: without capabilities, the container's" {
	start_container
	echo '{"args": ["sh", "-c", "sed -n s/^CapEff:.0*//p /proc/self/status"], "env": ["PATH=/bin"], "cwd": "/"}' >"$T/process.json"
	ok exec --process "$T/process.json" "$ID"
	equal 20000420 "$output"
}

# --- detach

@test "exec --detach --pid-file: returns while the program runs" {
	start_container
	mkdir "$T/caller"
	cd "$T/caller"
	ok exec --detach --pid-file the.pid "$ID" sleep 99999
	local pid
	pid=$(<"$T/caller/the.pid")
	equal the.pid "$(ls -A "$T/caller")"
	equal "sleep 99999" "$(tr '\0' ' ' <"/proc/$pid/cmdline" | sed 's/ $//')"
	equal "[$(printf '%s\n' "$pid" "$(field "$ID" .pid)" | sort -n | paste -sd,)]" "$(hako ps -f json "$ID" | jq -c sort)"
}

@test "exec: the process ends with the container" {
	start_container
	ok exec --detach --pid-file "$T/pid" "$ID" sleep 99999
	ok kill "$ID" KILL
	eventually gone "$(<"$T/pid")"
	eventually status_is "$ID" stopped
}

@test "exec: signals to hako are passed on" {
	start_container
	"$HAKO" --root "$ROOT" exec "$ID" sh -c 'trap "exit 42" HUP; echo ready; while :; do sleep 0.02; done' </dev/null >"$T/o" 2>&1 3>&- &
	local execution=$! code=0
	eventually filled "$T/o"
	kill -HUP "$execution"
	wait "$execution" || code=$?
	equal 42 "$code"
}

@test "exec --pidfd-socket: receives a pidfd of the process" {
	start_container
	python3 "$TESTDATA/sockets.py" pidfd "$T/p.sock" >"$T/pidfd" 3>&- &
	local receiver=$!
	eventually exists "$T/p.sock"
	ok exec --detach --pid-file "$T/pid" --pidfd-socket "$T/p.sock" "$ID" sleep 0.3
	wait "$receiver"
	equal "$(<"$T/pid") ended" "$(xargs <"$T/pidfd")"
}

@test "exec --preserve-fds: passes descriptors from 3 on" {
	start_container
	echo three >"$T/3"
	equal three "$("$HAKO" --root "$ROOT" exec --preserve-fds 1 "$ID" sh -c 'cat <&3' 3<"$T/3" </dev/null 2>&1)"
}

@test "exec: no descriptor of the caller or of hako reaches the program" {
	start_container
	"$HAKO" --root "$ROOT" exec "$ID" sh -c 'ls /proc/$$/fd; true' </dev/null 3<"$T" 9<"$T" >"$T/o" 2>&1
	equal "0 1 2" "$(xargs <"$T/o")"
}

@test "exec: fifty at once" {
	start_container
	local n
	local pids=()
	for n in {1..50}; do
		hako exec "$ID" sh -c "exit $n" </dev/null >"$T/o.$n" 2>&1 &
		pids+=($!)
	done
	for n in {1..50}; do
		local code=0
		wait "${pids[n - 1]}" || code=$?
		equal "$n" "$code"
	done
	has_processes_exactly "$(field "$ID" .pid)"
}

# --- terminals

on_terminal() {
	mkfifo "$T/keyboard"
	script -qec "$1" /dev/null <>"$T/keyboard" 3>&-
}

@test "exec --tty: a terminal in the foreground" {
	start_container
	on_terminal "$HAKO --root $ROOT exec --tty $ID sh -c 'test -t 0 && test -t 2 && tty' >$T/o"
	equal $'/dev/pts/0\n.' "$(cat "$T/o" && echo .)"
}

@test "exec --tty: the exit code is the program's" {
	start_container
	local code=0
	on_terminal "$HAKO --root $ROOT exec -t $ID sh -c 'exit 9'" >"$T/o" || code=$?
	equal 9 "$code"
}

@test "exec --tty: what is typed reaches the program" {
	start_container
	mkfifo "$T/keys"
	script -qec "$HAKO --root $ROOT exec -t $ID sh -c 'echo ready; read line; echo \"[\$line]\"'" /dev/null <>"$T/keys" >"$T/o" 3>&- &
	local terminal=$!
	eventually grep -q ready "$T/o"
	echo typed >"$T/keys"
	wait "$terminal"
	grep -q '\[typed\]' "$T/o"
}

@test "exec --tty: without a terminal it is refused" {
	start_container
	status=0
	setsid --wait "$HAKO" --root "$ROOT" exec -t "$ID" true </dev/null >"$T/o" 2>"$T/e" 3>&- || status=$?
	equal 255 "$status"
	contains terminal "$(<"$T/e")"
}

@test "exec --tty --console-socket: receives the terminal" {
	start_container
	python3 "$TESTDATA/sockets.py" console "$T/c.sock" hello >"$T/o" 3>&- &
	local receiver=$!
	eventually exists "$T/c.sock"
	ok exec --tty --detach --pid-file "$T/pid" --console-socket "$T/c.sock" "$ID" sh -c 'tty; read line; echo "[$line]"'
	wait "$receiver"
	equal "/dev/pts/0 [hello]" "$(tr -d '\r' <"$T/o" | grep -vx hello | xargs)"
}

@test "exec --tty --detach: needs --console-socket" {
	start_container
	fails_with 255 'console-socket' exec --tty --detach "$ID" true
	fails_with 255 'console-socket' exec --console-socket "$T/c.sock" "$ID" true
}

@test "exec --tty: the terminal belongs to the user" {
	start_container
	on_terminal "$HAKO --root $ROOT exec -t --user 1000 $ID sh -c 'stat -c %u \$(tty)' >$T/o"
	equal 1000 "$(<"$T/o")"
}

# --- namespaces and cgroups

all_links='for n in cgroup ipc mnt net pid time user uts; do readlink /proc/self/ns/$n; done'

# joins_all: exec is in the same namespaces as the container's process.
joins_all() {
	start_container
	local pid kind
	pid=$(field "$ID" .pid)
	for kind in cgroup ipc mnt net pid time user uts; do
		readlink "/proc/$pid/ns/$kind"
	done >"$T/container"
	ok exec "$ID" sh -c "$all_links"
	equal "$(<"$T/container")" "$output"
}

@test "exec: joins the namespaces of the default config" {
	joins_all
}

@test "exec: joins the cgroup and the time namespace" {
	update_config '.linux.namespaces -= [{type: "cgroup"}] | .linux.namespaces += [{type: "cgroup"}, {type: "time"}] | .linux.timeOffsets = {boottime: {secs: 1000000, nanosecs: 0}}'
	joins_all
	differ "$(readlink /proc/self/ns/cgroup)" "$(readlink "/proc/$(field "$ID" .pid)/ns/cgroup")"
	ok exec "$ID" cut -d. -f1 /proc/uptime
	((output > 1000000))
}

@test "exec: joins all eight, the user namespace included" {
	update_config '.linux.namespaces -= [{type: "cgroup"}] | .linux.namespaces += [{type: "cgroup"}, {type: "time"}, {type: "user"}] |
		.linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings'
	chown -R 100000:100000 "$BUNDLE/rootfs"
	joins_all
	differ "$(readlink /proc/self/ns/user)" "$(readlink "/proc/$(field "$ID" .pid)/ns/user")"
	ok exec "$ID" sh -c 'id -u; cat /proc/self/uid_map'
	equal "0 0 100000 65536" "$(xargs <<<"$output")"
	ok exec --user 1000 "$ID" id -u
	equal 1000 "$output"
	fails_with 255 '70000 is not mapped' exec --user 70000 "$ID" id -u
}

@test "exec: a user namespace that was joined by path" {
	update_config '.linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings'
	chown -R 100000:100000 "$BUNDLE/rootfs"
	cp config.json "$T/config.json"
	update_config --arg path "/$MARK-1" '.linux.namespaces += [{type: "user"}] | .linux.cgroupsPath = $path'
	ok run --detach "$ID-1"
	local user
	user=/proc/$(field "$ID-1" .pid)/ns/user
	cp "$T/config.json" config.json
	update_config --arg path "$user" '.linux.namespaces += [{type: "user", path: $path}] | del(.linux.uidMappings, .linux.gidMappings)'
	joins_all
	equal "$(readlink "$user")" "$(readlink "/proc/$(field "$ID" .pid)/ns/user")"
	ok delete --force "$ID-1"
	ok exec "$ID" sh -c 'id -u; cat /proc/self/uid_map'
	equal "0 0 100000 65536" "$(xargs <<<"$output")"
}

@test "exec: a container without namespaces of its own but mount" {
	update_config '.linux.namespaces = [{type: "mount"}] | .linux.maskedPaths = [] | .linux.readonlyPaths = [] | del(.hostname) | .mounts |= map(select(.type != "sysfs" and .type != "cgroup"))'
	joins_all
}

@test "exec: the process is in the container's cgroup, of every hierarchy" {
	start_container
	ok exec --detach --pid-file "$T/pid" "$ID" sleep 99999
	cmp "/proc/$(field "$ID" .pid)/cgroup" "/proc/$(<"$T/pid")/cgroup"
}

# sub_cgroups: makes "sub" in the container's cgroups.
sub_cgroups() {
	local dir
	while read -r dir; do
		mkdir "$dir/sub"
		# An empty cpuset takes no process on v1.
		[[ ! -e $dir/cpuset.cpus || -e $dir/cgroup.controllers ]] || for f in cpus mems; do
			cat "$dir/cpuset.$f" >"$dir/sub/cpuset.$f"
		done
	done < <(cgroup_dirs)
}

@test "exec --cgroup: a sub-cgroup of every hierarchy" {
	start_container
	sub_cgroups
	ok exec --cgroup sub --detach --pid-file "$T/pid" "$ID" sleep 99999
	local dir
	while read -r dir; do
		grep -qx "$(<"$T/pid")" "$dir/sub/cgroup.procs"
	done < <(cgroup_dirs)
	hako ps -f json "$ID" | jq -e --argjson pid "$(<"$T/pid")" 'contains([$pid])'
}

@test "exec --cgroup: of one controller" {
	[[ -d /sys/fs/cgroup/pids ]] || skip "cgroup v1 is not there"
	start_container
	sub_cgroups
	ok exec --cgroup pids:sub --detach --pid-file "$T/pid" "$ID" sleep 99999
	grep -q ":pids:/$MARK/sub\$" "/proc/$(<"$T/pid")/cgroup"
	grep -q ":freezer:/$MARK\$" "/proc/$(<"$T/pid")/cgroup"
}

@test "exec --cgroup: one that is missing, or outside, is refused" {
	start_container
	fails_with 255 '--cgroup missing: ' exec --cgroup missing "$ID" true
	fails_with 255 '--cgroup ' exec --cgroup ../ "$ID" true
	fails_with 255 '--cgroup ' exec --cgroup /.. "$ID" true
	has_processes_exactly "$(field "$ID" .pid)"
}

@test "exec: when the container's process has moved to a cgroup beneath (v2)" {
	[[ ! -d /sys/fs/cgroup/unified && -e /sys/fs/cgroup/cgroup.controllers ]] || skip "cgroup v1 is there"
	start_container
	mkdir "/sys/fs/cgroup/$MARK/inner"
	field "$ID" .pid >"/sys/fs/cgroup/$MARK/inner/cgroup.procs"
	ok exec "$ID" true
}

# --- the session

@test "exec: kill -9 of hako lets the program go on, and the container can be deleted" {
	start_container
	"$HAKO" --root "$ROOT" exec "$ID" sh -c 'echo ready; exec sleep 99999' </dev/null >"$T/o" 2>&1 3>&- &
	local victim=$!
	eventually filled "$T/o"
	kill -KILL "$victim"
	wait "$victim" || true
	equal 2 "$(hako ps -f json "$ID" | jq length)"
	ok delete --force "$ID"
	nothing_left
}

@test "exec: the program does not keep hako's binary open for writing" {
	start_container
	ok exec "$ID" sh -c 'ls -l /proc/$$/exe'
	contains '/bin/busybox$' "$output"
}
