#!/usr/bin/env bats
# Attacks: a hostile process (tests/attacker) does the real thing inside or
# beside a container, and the host is looked at afterwards. docs/threat-model.md
# says which class each stands for, where the others are tested (the tests
# called "hostile:" in rootfs.bats, and many more), and how each was seen failing.
# shellcheck disable=SC2016 # $names are jq's or of the container's shell
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

load helpers
load process-helpers

setup_file() {
	make_rootfs
	(cd "$BATS_TEST_DIRNAME/.." && CGO_ENABLED=0 go build -o "$FILE_DIR/rootfs/attacker" ./tests/attacker)
}
teardown_file() { remove_rootfs; }
setup() {
	DONORS=()
	make_bundle
	# The victim of what writes to the runtime.
	cp "$HAKO" "$T/hako"
	HAKO=$T/hako
	RUNTIME=$(stat -c %d:%i "$HAKO")
	RUNTIME_SUM=$(sha256sum <"$HAKO")
	# For attackers who are not root.
	install -m 666 /dev/null "$BUNDLE/rootfs/out"
	OUT=$BUNDLE/rootfs/out
}
teardown() {
	end_donors
	clean_up
}

# attacker ARG…: a container in which it attacks is running.
attacker() {
	set_args /attacker "$@"
	start_container
	eventually grep -q watching "$OUT"
}

# execs COUNT ARG…: of the container, one after the other, whatever comes of it.
execs() {
	local n count=$1
	shift
	for ((n = 0; n < count; n++)); do
		timeout 20 "$HAKO" --root "$ROOT" exec --env TOKEN=of-the-host "$ID" "$@" </dev/null >"$T/exec" 2>&1 3>&- || true
	done
}

runtime_is_whole() { equal "$RUNTIME_SUM" "$(sha256sum <"$HAKO")"; }

# with_ptrace: root with the capability to look into any process.
with_ptrace() {
	update_config '.process.capabilities |= with_entries(if .key == "ambient" or .key == "inheritable" then .
		else .value += ["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"] end)'
}

# in_userns: root is 100000 outside.
in_userns() {
	update_config '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}]
		| .linux.gidMappings = .linux.uidMappings'
	chown -R 100000:100000 "$BUNDLE/rootfs"
}

# hostile_program: /evil is whatever program the reading process executes.
hostile_program() {
	printf '#!/proc/self/exe\n' >"$BUNDLE/rootfs/evil"
	chmod 755 "$BUNDLE/rootfs/evil"
}

# --- the runtime's binary

@test "exe: exec of a program that is the runtime again, and a process that writes to it (CVE-2019-5736)" {
	hostile_program
	attacker overwrite "$RUNTIME" /out
	execs 40 /evil
	eventually grep -q caught "$OUT"
	runtime_is_whole
	not grep OVERWRITTEN "$OUT"
}

@test "exe: exec into a container with CAP_SYS_PTRACE, and a process that writes to it (CVE-2019-5736)" {
	with_ptrace
	attacker overwrite "$RUNTIME" /out
	execs 60 true
	eventually grep -q caught "$OUT"
	runtime_is_whole
	not grep OVERWRITTEN "$OUT"
}

@test "exe: exec after an exec that has given a process CAP_SYS_PTRACE (CVE-2019-5736)" {
	start_container
	ok exec --detach --cap CAP_SYS_PTRACE --cap CAP_DAC_OVERRIDE "$ID" /attacker overwrite "$RUNTIME" /out
	eventually grep -q watching "$OUT"
	execs 60 true
	eventually grep -q caught "$OUT"
	runtime_is_whole
	not grep OVERWRITTEN "$OUT"
}

@test "exe: run and create beside an attacker in one pid namespace (CVE-2019-5736)" {
	local n
	hostile_program
	with_ptrace
	attacker overwrite "$RUNTIME" /out
	update_config --arg p "/proc/$(init)/ns/pid" --arg c "/$MARK-2" '.process.args = ["/evil"] | .linux.cgroupsPath = $c |
		.linux.namespaces |= map(if .type == "pid" then .path = $p else . end)'
	for n in {1..20}; do
		call run "$ID-2"
	done
	ok create "$ID-2"
	eventually grep -q caught "$OUT"
	runtime_is_whole
	not grep OVERWRITTEN "$OUT"
}

@test "exe: that hako executes itself first changes nothing: arguments, streams, descriptors, pipes, files" {
	with_ptrace
	start_container
	fails_with 255 'executable file not found' exec "$ID" missing
	fails_with 7 '' exec "$ID" sh -c 'exit 7' || [[ $status == 7 && -z $stderr ]]
	equal "in out" "$(echo in | "$HAKO" --root "$ROOT" exec --preserve-fds 1 "$ID" sh -c 'cat; cat <&3' 3< <(echo out) | xargs)"
	jq '.process | .args = ["echo", "by a pipe"]' "$BUNDLE/config.json" >"$T/process.json"
	equal "by a pipe" "$("$HAKO" --root "$ROOT" exec --process /dev/fd/9 "$ID" 9< <(cat "$T/process.json") 3>&-)"
	cd "$T"
	ok --timeline trace --log log exec --detach --pid-file pid "$ID" sleep 100000
	filled "$T/pid" && filled "$T/trace"
	equal "0 1 2" "$(cd "/proc/$(<"$T/pid")/fd" && echo [0-9]*)"
	# create, of a bundle whose path is relative to the caller's directory.
	update_config --arg p "/proc/$(init)/ns/pid" --arg c "/$MARK-2" '.process.args = ["echo", "joined"] | .linux.cgroupsPath = $c |
		.linux.namespaces |= map(if .type == "pid" then .path = $p else . end)'
	cd "$(dirname "$BUNDLE")"
	ok run --bundle "$(basename "$BUNDLE")" --pid-file pid2 "$ID-2"
	equal joined "$output"
	filled pid2
}

# --- the process that enters

@test "exec: a process of the container cannot look into the one that enters (CVE-2016-9962)" {
	local as
	for as in '.process.user = {uid: 1000, gid: 1000} | .process.capabilities = {}' '.'; do
		update_config "$as"
		attacker watch "$RUNTIME" of-the-host /out
		execs 100 true
		equal "seen watching" "$(sort "$OUT" | xargs)"
		ok delete --force "$ID"
		: >"$OUT"
	done
}

@test "exec: nor in a user namespace (CVE-2016-9962)" {
	in_userns
	attacker watch "$RUNTIME" of-the-host /out
	execs 100 true
	equal "seen watching" "$(sort "$OUT" | xargs)"
}

@test "exec: root of a user namespace who may look into it finds no way out (CVE-2016-9962, CVE-2024-21626)" {
	local what
	in_userns
	with_ptrace
	attacker watch "$RUNTIME" of-the-host /out
	execs 100 true
	eventually grep -q '^exe' "$OUT"
	# The streams are what exec gives away anyway. / is the container's root.
	while read -r what; do
		case $what in
		seen | watching | exe:* | mem:* | ptrace:* | pidfd_getfd:*) ;;
		"fd: /dev/null" | "fd: $T/exec" | "fd: socket" | "fd: pipe" | "fd: anon_inode" | "fd: /" | "fd: /etc/passwd" | "fd: /proc/"* | "fd: /sys/"*) ;;
		*)
			echo "$what"
			false
			;;
		esac
	done <"$OUT"
}

@test "create: a process beside it cannot look into the one that waits for start (CVE-2016-9962)" {
	attacker watch "$RUNTIME" of-the-host /out
	update_config --arg p "/proc/$(init)/ns/pid" --arg c "/$MARK-2" '.process.args = ["true"] | .linux.cgroupsPath = $c |
		.linux.namespaces |= map(if .type == "pid" then .path = $p else . end)'
	ok create "$ID-2"
	sleep 0.5
	equal "seen watching" "$(sort "$OUT" | xargs)"
	ok delete --force "$ID-2"
}

# --- races

@test "race: a container exchanges what another one's 200 starts mount and hide (CVE-2021-30465, CVE-2024-45310, CVE-2025-31133)" {
	local n
	mkdir -p "$T/volume/point" "$T/host/made"
	chmod 777 "$T/volume"
	echo secret >"$T/host/file"
	ln -s "$T/host" "$T/volume/link"
	update_config --arg v "$T/volume" '.mounts += [{destination: "/volume", type: "bind", source: $v, options: ["bind"]}]'
	set_args /attacker exchange /volume/point /volume/link
	start_container
	update_config --arg c "/$MARK-2" '.linux.cgroupsPath = $c |
		.mounts += [{destination: "/volume/point/made/deep", type: "tmpfs", source: "tmpfs"}] |
		.linux.maskedPaths += ["/volume/link"] | .linux.readonlyPaths += ["/volume/point"] | .process.cwd = "/volume/point/made"'
	sh_script 'cat /volume/point/file /volume/link/file file 2>/dev/null; true'
	for ((n = 0; n < 200; n++)); do
		call run "$ID-2"
		not grep -F secret <<<"$output$stderr"
		equal "file made" "$(cd "$T/host" && echo *)"
		equal "" "$(ls "$T/host/made")"
	done
	not grep -F "$T/host" /proc/self/mountinfo
}

# --- masks

@test "mask: a volume as /dev whose null is something else, links into the procfs included (CVE-2025-31133)" {
	local made
	mkdir -p "$T/dev"
	echo inside >"$BUNDLE/rootfs/etc/inside"
	update_config --arg v "$T/dev" '.mounts |= map(select(.destination | startswith("/dev") | not)) |
		.mounts += [{destination: "/dev", type: "bind", source: $v, options: ["bind"]}] | .linux.maskedPaths += ["/etc/inside"]'
	sh_script 'cat /etc/inside; stat -c "%F %t %T" /etc/inside; cat /etc/inside; echo x >/etc/inside'
	for made in 'ln -s /proc/sys/kernel/core_pattern' 'ln -s /proc/self/attr/exec' 'ln -s /etc/passwd' 'cp /etc/hostname' 'cp -a /dev/zero' mkfifo; do
		rm -f "$T/dev/null"
		$made "$T/dev/null"
		ok run "$ID"
		equal "character special file 1 3" "$output"
	done
}

# --- what a caller leaves to what it starts

# By design, see docs/threat-model.md: the specification forbids to change
# oom_score_adj; the rest only restricts, or describes the machine.
by_design='^(oom_score_adj|coredump_filter|securebits|mce-kill) '

# same_report NAME: NAME.odd, of an odd caller, is NAME.plain but for that.
same_report() {
	diff <(grep -vE "$by_design" "$T/$1.plain") <(grep -vE "$by_design" "$T/$1.odd")
	[[ $(wc -l <"$T/$1.plain") -gt 40 ]]
}

# reports NAME COMMAND…: of a plain and of an odd caller of hako.
reports() {
	local name=$1
	shift
	"$@" </dev/null >"$T/$name.plain" 2>"$T/err" 3>&- || { cat "$T/err"; return 1; }
	"$BUNDLE/rootfs/attacker" caller "$@" </dev/null >"$T/$name.odd" 2>"$T/err" 3>&- || { cat "$T/err"; return 1; }
}

@test "caller: nothing of it reaches the program of run" {
	set_args /attacker report
	reports run "$HAKO" --root "$ROOT" run "$ID"
	same_report run
}

@test "caller: nothing of it reaches the program of create and start" {
	local how
	set_args sh -c 'exec /attacker report >/out'
	for how in plain odd; do
		: >"$OUT"
		caller=("$BUNDLE/rootfs/attacker" caller)
		[[ $how == odd ]] || caller=()
		"${caller[@]}" "$HAKO" --root "$ROOT" create "$ID" </dev/null >"$T/o" 2>&1 3>&-
		"${caller[@]}" "$HAKO" --root "$ROOT" start "$ID" </dev/null >"$T/o" 2>&1 3>&-
		eventually status_is "$ID" stopped
		cp "$OUT" "$T/create.$how"
		ok delete "$ID"
	done
	same_report create
}

@test "caller: nothing of it reaches the program of exec" {
	start_container
	reports exec "$HAKO" --root "$ROOT" exec "$ID" /attacker report
	same_report exec
}

# A hook of the host is the host's: it keeps the caller's groups, umask and
# priority, as any program that somebody starts. See docs/threat-model.md.
@test "caller: no descriptor, variable, timer, blocked or ignored signal of it reaches a hook" {
	local point how hooks=()
	mkdir "$BUNDLE/rootfs/hooked"
	chmod 777 "$BUNDLE/rootfs/hooked"
	for point in prestart createRuntime createContainer poststart poststop; do
		add_hook "$point" "{\"path\": \"/bin/sh\", \"args\": [\"sh\", \"-c\", \"exec $BUNDLE/rootfs/attacker report >$BUNDLE/rootfs/hooked/$point\"], \"env\": [\"PATH=/bin:/usr/bin\"]}"
	done
	add_hook startContainer '{"path": "/bin/sh", "args": ["sh", "-c", "exec /attacker report >/hooked/startContainer"], "env": ["PATH=/bin"]}'
	set_args true
	local kinds='^(fd|env|itimer|posix-timers|SigBlk|SigIgn|timer-slack|pdeathsig|child-subreaper|leads)'
	for how in plain odd; do
		if [[ $how == plain ]]; then
			ok run "$ID"
		else
			# Every signal, which the Go program cannot.
			python3 "$TESTDATA/caller.py" signals "$BUNDLE/rootfs/attacker" caller "$HAKO" --root "$ROOT" run "$ID" </dev/null >"$T/o" 2>&1 3>&-
		fi
		for point in prestart createRuntime createContainer startContainer poststart poststop; do
			grep -E "$kinds" "$BUNDLE/rootfs/hooked/$point" >"$T/$point.$how"
			rm "$BUNDLE/rootfs/hooked/$point"
		done
	done
	for point in prestart createRuntime createContainer startContainer poststart poststop; do
		diff "$T/$point.plain" "$T/$point.odd"
		equal "SigBlk 0000000000000000 SigIgn 0000000000000000" "$(grep ^Sig "$T/$point.odd" | xargs)"
	done
}

# --- fake procfs

# join_mounts: the container uses the mount namespace of $DONOR, which is hostile.
join_mounts() {
	donor --mount --propagation private
	echo untouched >"$T/victim"
	update_config --arg p "/proc/$DONOR/ns/mnt" '.linux.namespaces |= map(if .type == "mount" then .path = $p else . end) |
		.linux.sysctl = {"kernel.domainname": "hako"} | .process.args = ["cat", "/proc/sys/kernel/domainname"]'
}

@test "procfs: of a joined mount namespace has a file of the host in it, sysctls are not written there (CVE-2025-52881)" {
	join_mounts
	nsenter --mount --target "$DONOR" mount --bind "$T/victim" /proc/sys/kernel/domainname
	ok run "$ID"
	equal hako "$output"
	equal untouched "$(<"$T/victim")"
}

@test "procfs: of a joined mount namespace is a fake, nothing is written there (CVE-2019-16884, CVE-2019-19921)" {
	join_mounts
	nsenter --mount --target "$DONOR" sh -c 'mkdir -p "$1" && mount -t tmpfs tmpfs /proc && mkdir -p /proc/sys/kernel /proc/self/attr &&
		ln -s "$2" /proc/sys/kernel/domainname && ln -s "$2" /proc/self/attr/exec' sh "$T/x" "$T/victim"
	fails 'not the root of a proc file system' create "$ID"
	equal untouched "$(<"$T/victim")"
}

@test "exec: a container that covers its own /proc does not get labels or limits written there (CVE-2019-16884)" {
	update_config '.process.capabilities |= with_entries(.value += ["CAP_SYS_ADMIN"]) | .process.oomScoreAdj = 100 | .process.noNewPrivileges = false'
	echo untouched >"$BUNDLE/rootfs/victim"
	sh_script 'mount -t tmpfs tmpfs /proc && mkdir -p /proc/self/attr /proc/self/fd /proc/1 &&
		for f in self/attr/exec self/attr/apparmor self/oom_score_adj self/loginuid self/timerslack_ns; do
			mkdir -p /proc/$(dirname $f); ln -s /victim /proc/$f; done; echo watching >/out; exec sleep 100000'
	start_container
	eventually grep -q watching "$OUT"
	call exec "$ID" true
	equal untouched "$(<"$BUNDLE/rootfs/victim")"
	equal 0 "$status"
}

# --- cgroups

@test "cgroup: root of the container cannot write, with and without a cgroup namespace, in a user namespace (CVE-2023-25809)" {
	local ns user
	for user in '' in_userns; do
		$user
		for ns in '.linux.namespaces |= map(select(.type != "cgroup")) + [{type: "cgroup"}]' '.linux.namespaces |= map(select(.type != "cgroup"))'; do
			update_config "$ns"
			set_args sh -c 'for f in $(find /sys/fs/cgroup -type f -name cgroup.procs) ; do echo $$ >$f && echo written $f; done 2>/dev/null
				for d in $(find /sys/fs/cgroup -type d); do mkdir $d/made && echo made $d; done 2>/dev/null
				mount -o remount,rw /sys/fs/cgroup 2>/dev/null && echo remounted
				find /sys/fs/cgroup -name release_agent -exec sh -c "echo /x >\$1 && echo \$1" sh {} \; 2>/dev/null
				test -e /sys/fs/cgroup/. && echo looked'
			ok run "$ID"
			equal looked "$output"
		done
	done
}

# --- what is oversized

@test "messages: arguments, variables and mounts beyond 64 KiB arrive whole, or are refused (CVE-2021-43784)" {
	# 100 arguments of 1000 bytes, 70,000 bytes in one variable.
	update_config '.process.args = ["sh", "-c", "echo $# ${#BIG}; echo \"$@\" | sha256sum", "sh"] + [range(100) | tostring * 1000 | .[:1000]] |
		.process.env += ["BIG=" + ("x" * 70000)]'
	ok run "$ID"
	equal 100 "$(cut -d' ' -f1 <<<"$output" | head -1)"
	equal 70000 "$(cut -d' ' -f2 <<<"$output" | head -1)"
	equal "$(jq -r '.process.args[4:] | join(" ")' "$BUNDLE/config.json" | sha256sum)" "$(tail -1 <<<"$output")"
	# More than execve takes.
	update_config '.process.env = ["PATH=/bin", "BIG=" + ("x" * 200000)] | .process.args = ["true"]'
	fails 'argument list too long' run "$ID"
	# A map that is cut to 16 bits would be a shorter one.
	update_config '.process.env = ["PATH=/bin"] | .linux.namespaces += [{type: "user"}] |
		.linux.uidMappings = [range(70000) | {containerID: ., hostID: (100000 + .), size: 1}] | .linux.gidMappings = [{containerID: 0, hostID: 1, size: 1}]'
	fails 'linux.uidMappings: 70000 mappings; the kernel takes 340' run "$ID"
	update_config '.linux.namespaces |= map(select(.type != "user")) | del(.linux.uidMappings, .linux.gidMappings) |
		.mounts += [range(3000) | {destination: "/m\(.)", type: "tmpfs", source: "tmpfs", options: ["size=4k", "nr_inodes=2"]}] |
		.process.args = ["sh", "-c", "grep -c \" /m[0-9]\" /proc/self/mountinfo"]'
	ok run "$ID"
	equal 3000 "$output"
}

# --- tampered state

@test "state: a folder, a record or a FIFO that has become a link, a file or a folder is refused, delete --force cleans" {
	local how
	echo victim >"$T/victim"
	for how in 'mv state.json "$T/real"; ln -s "$T/real" state.json' 'rm state.json; mkdir state.json' 'rm state.json; mkfifo state.json' \
		'truncate -s 100 state.json' 'truncate -s 0 state.json' 'truncate -s 200M state.json' \
		'jq "del(.plan.setup)" state.json >x; mv x state.json' 'jq ".version = 99" state.json >x; mv x state.json' \
		'jq ".id = \"../other\"" state.json >x; mv x state.json' 'jq ".plan.cgroup.path = \"/../..\"" state.json >x; mv x state.json'; do
		ok create "$ID"
		(cd "$ROOT/$ID" && eval "$how")
		call start "$ID"
		[[ $status == 1 && $stderr != *panic* ]] || { echo "$how"; show; false; }
		call state "$ID"
		[[ $stderr != *panic* ]]
		ok_or_warns delete --force "$ID"
		eventually no_processes
		nothing_left
		rm -f "$T/real"
	done
}

# ok_or_warns: success; what could not be read may be told.
ok_or_warns() {
	call "$@"
	[[ $status == 0 && $stderr != *panic* ]] || { show; return 1; }
}

@test "state: FIFOs of the hand-over that are something else do no harm" {
	local how
	echo victim >"$T/victim"
	for how in 'rm start; ln -s "$T/victim" start' 'rm start; cp "$T/victim" start' 'rm result; ln -s "$T/victim" result' 'rm start result' 'rm start; mkdir start'; do
		ok create "$ID"
		(cd "$ROOT/$ID" && eval "$how")
		HAKO_TEST_PATIENCE=5 call_within 10 start "$ID"
		differ 124 "$status"
		[[ $stderr != *panic* ]]
		equal victim "$(<"$T/victim")"
		ok delete --force "$ID"
		nothing_left
	done
}

# call_within SECONDS ARG…: status 124 if it takes longer.
call_within() {
	local seconds=$1
	shift
	status=0
	stderr=$(timeout "$seconds" "$HAKO" --root "$ROOT" "$@" </dev/null 2>&1 >/dev/null 3>&-) || status=$?
}

@test "state: the folder of an id that is a link is no container, and what it leads to stays" {
	ok create "$ID"
	mkdir "$T/elsewhere"
	cp -a "$ROOT/$ID/." "$T/elsewhere/"
	ln -s "$T/elsewhere" "$ROOT/link"
	fails 'container does not exist' state link
	fails 'container does not exist' start link
	ok delete --force link
	exists "$T/elsewhere/state.json"
	has_status "$ID" created
	rm "$ROOT/link"
	# A copy of a container's folder is not that container.
	cp -a "$ROOT/$ID" "$ROOT/copy"
	fails "state is of container" start copy
	fails "state is of container" kill copy KILL
	rm -r "${ROOT:?}/copy"
	has_status "$ID" created
}

# --- kill -9

# killed_after MICROSECONDS COMMAND…: hako is killed then, if it is still there.
killed_after() {
	local after=$1 rc=0
	shift
	"$BUNDLE/rootfs/attacker" kill "$after" "$HAKO" --root "$ROOT" "$@" </dev/null >"$T/killed" 2>&1 3>&- || rc=$?
	[[ $rc != 137 ]] || KILLED=$((KILLED + 1))
}

# cleans_up: one delete --force, of whatever there is, leaves nothing.
cleans_up() {
	ok_or_warns delete --force "$ID"
	eventually no_processes
	nothing_left
}

# killed_often: in enough different moments.
killed_often() {
	echo "killed $KILLED times"
	[[ $KILLED -gt 5 ]]
}

@test "kill -9 of create at any moment: delete --force cleans, and the id is free" {
	local us
	KILLED=0
	for ((us = 0; us < 12000; us += 300)); do
		killed_after "$us" create "$ID"
		cleans_up || { echo "killed after $us µs"; false; }
	done
	killed_often
	ok run -d "$ID"
}

@test "kill -9 of start at any moment: delete --force cleans" {
	local us
	KILLED=0
	for ((us = 0; us < 4000; us += 100)); do
		ok create "$ID"
		killed_after "$us" start "$ID"
		cleans_up || { echo "killed after $us µs"; false; }
	done
	killed_often
}

@test "kill -9 of exec at any moment: the container goes on, delete --force cleans" {
	local us
	KILLED=0
	start_container
	for ((us = 0; us < 8000; us += 200)); do
		killed_after "$us" exec "$ID" true
		has_status "$ID" running
	done
	killed_often
	cleans_up
}

@test "kill -9 of delete at any moment: another delete --force cleans" {
	local us
	KILLED=0
	for ((us = 0; us < 6000; us += 100)); do
		ok run -d "$ID"
		killed_after "$us" delete --force "$ID"
		cleans_up || { echo "killed after $us µs"; false; }
	done
	killed_often
}

# --- many at once

@test "200 containers are created and deleted at once, nothing is left" {
	local n pids=()
	for ((n = 0; n < 200; n++)); do
		jq --arg c "/$MARK-$n" '.linux.cgroupsPath = $c' "$BUNDLE/config.json" >"$T/config.$n"
		mkdir "$T/b$n"
		mv "$T/config.$n" "$T/b$n/config.json"
		ln -s "$BUNDLE/rootfs" "$T/b$n/rootfs"
		"$HAKO" --root "$ROOT" run --detach --bundle "$T/b$n" "$ID-$n" </dev/null >"$T/o.$n" 2>&1 3>&- &
		pids+=($!)
	done
	for n in "${!pids[@]}"; do
		wait "${pids[n]}" || { cat "$T/o.$n"; return 1; }
	done
	equal 200 "$(hako list -q | wc -l)"
	pids=()
	for ((n = 0; n < 200; n++)); do
		"$HAKO" --root "$ROOT" delete --force "$ID-$n" </dev/null >"$T/o.$n" 2>&1 3>&- &
		pids+=($!)
	done
	for n in "${!pids[@]}"; do
		wait "${pids[n]}" || { cat "$T/o.$n"; return 1; }
	done
	nothing_left
}

# --- small

@test "memory: a container starts where there is one MiB, and runc's three are not needed" {
	local dir=/sys/fs/cgroup/memory/$MARK-small
	[[ -d /sys/fs/cgroup/memory ]] || skip "needs the memory controller of cgroup v1"
	mkdir "$dir"
	echo 1 >"$dir/memory.use_hierarchy" || true
	echo $((1 << 20)) >"$dir/memory.limit_in_bytes"
	update_config --arg c "/$MARK-small/x" '.linux.cgroupsPath = $c'
	set_args true
	ok run "$ID"
	ok run "$ID"
	# The limit is one: a program that touches more is killed.
	set_args sh -c 'x=$(head -c 4000000 /dev/zero | tr "\0" x); echo survived'
	call run "$ID"
	not grep survived <<<"$output"
	for dir in /sys/fs/cgroup/*/"$MARK-small"; do
		rmdir "$dir"
	done
}
