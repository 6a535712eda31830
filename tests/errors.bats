#!/usr/bin/env bats
# Bad input: one clear line, exit status 1, and nothing left. Logs and timelines.
# shellcheck disable=SC2016,SC2154 # $names are jq's; helpers assign

load helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() { make_bundle; }
teardown() { clean_up; }

# refused TEXT: create and run fail with TEXT and leave nothing.
refused() {
	fails "$1" create "$ID"
	nothing_left
	fails "$1" run "$ID"
	nothing_left
}

# --- the bundle

@test "bundle: missing" {
	fails "bundle: .*$T/missing: no such file or directory" create --bundle "$T/missing" "$ID"
	nothing_left
}

@test "bundle: a file" {
	fails 'bundle: .*not a directory' create --bundle "$BUNDLE/config.json" "$ID"
	nothing_left
}

@test "config.json: missing" {
	rm config.json
	refused 'config.json: no such file or directory'
}

@test "config.json: a directory, a FIFO without a writer, a dangling link" {
	rm config.json
	mkdir config.json
	refused 'config.json: is a directory'
	rmdir config.json
	mkfifo config.json
	refused 'config.json: the file is empty'
	rm config.json
	ln -s missing config.json
	refused 'config.json: no such file or directory'
	rm config.json
	cp "$FILE_DIR/config.json" .
}

# malformed CONTENT TEXT
malformed() {
	printf '%s' "$1" >config.json
	refused "$2"
}

@test "config.json: malformed, with line and column" {
	malformed '' 'config.json: the file is empty'
	malformed '{' 'config.json:1:[0-9]+: unexpected end of JSON input'
	malformed $'{\n  "ociVersion" "1.3.0"\n}' 'config.json:2:16: invalid character'
	malformed '[]' 'config.json:1:1: array where an object is expected'
	malformed '{"hostname": 1}' 'config.json:1:[0-9]+: hostname: number where a string is expected'
	malformed $'{"process": {\n"user": {"uid": -1}}}' 'config.json:2:[0-9]+: process.user.uid: number -1 where a number \(uint32\) is expected'
	malformed '{} {}' 'config.json:1:4: invalid character'
	cp "$FILE_DIR/config.json" .
}

@test "config.json: what two readers could understand differently" {
	malformed '{"hostname": "a", "hostname": "b"}' 'config.json:1:19: duplicate property "hostname"'
	malformed $'{"hostname": "a\xff"}' 'config.json:1:16: invalid UTF-8'
	malformed '{"hostname": "a\u0000b"}' 'config.json:1:14: NUL character in a string'
	cp "$FILE_DIR/config.json" .
}

@test "config.json: nested too deep, too large" {
	printf '{"x": %s' "$(printf '[%.0s' {1..100000})" >config.json
	refused 'config.json:1:[0-9]+: nested deeper than 64 levels'
	head -c 17000000 /dev/zero | tr '\0' ' ' >config.json
	refused 'config.json: larger than 16 MiB'
	cp "$FILE_DIR/config.json" .
}

@test "config.json: an unknown property is ignored" {
	update_config '.extension = {a: 1} | .process.args = ["true"]'
	ok run "$ID"
}

@test "config.json: ociVersion missing, malformed, of another major version" {
	update_config 'del(.ociVersion)'
	refused 'ociVersion: is missing'
	update_config '.ociVersion = "one"'
	refused 'ociVersion: "one" is not a semantic version'
	update_config '.ociVersion = "2.0.0"'
	refused 'ociVersion: "2.0.0" is not supported'
}

@test "config.json: no process, no root" {
	update_config 'del(.process)'
	refused 'process: is missing'
	cp "$FILE_DIR/config.json" .
	update_config 'del(.root)'
	refused 'root: is missing'
}

@test "process: args and cwd" {
	update_config '.process.args = []'
	refused 'process.args: is empty'
	update_config '.process.args = ["true"] | .process.cwd = "tmp"'
	refused 'process.cwd: "tmp" is not an absolute path'
}

@test "process: a working directory that is a file" {
	update_config '.process.cwd = "/etc/passwd"'
	refused 'process.cwd.*not a directory'
}

@test "root: missing" {
	update_config '.root.path = "missing"'
	refused "root.path: .*$BUNDLE/missing: no such file or directory"
}

@test "root: a file" {
	update_config '.root.path = "config.json"'
	refused "root.path: .*config.json: not a directory"
}

# --- namespaces, sysctl, mounts, capabilities

@test "namespaces: unknown, duplicate" {
	update_config '.linux.namespaces += [{type: "foo"}]'
	refused 'linux.namespaces\[[56]\].type: unknown namespace "foo" \(config-linux.md#namespaces\)'
	update_config '.linux.namespaces = [{type: "pid"}, {type: "mount"}, {type: "pid"}]'
	refused 'linux.namespaces\[2\].type: duplicate namespace "pid" \(config-linux.md#namespaces\)'
}

@test "namespaces: a path that is missing, is no namespace, or of another type" {
	update_config '.linux.namespaces |= map(select(.type != "network"))'
	cp config.json "$T/base.json"
	update_config '.linux.namespaces += [{type: "network", path: "/missing/ns"}]'
	refused '/missing/ns: no such file or directory'
	cp "$T/base.json" config.json
	update_config '.linux.namespaces += [{type: "network", path: "/etc/passwd"}]'
	refused '/etc/passwd'
	cp "$T/base.json" config.json
	update_config '.linux.namespaces += [{type: "network", path: "/proc/self/ns/uts"}]'
	refused '/proc/self/ns/uts'
}

@test "sysctl: not namespaced" {
	update_config '.linux.sysctl = {"kernel.panic": "1"}'
	refused 'linux.sysctl\["kernel.panic"\]: sysctl "kernel.panic" is not in a separate kernel namespace'
}

@test "sysctl: of a namespace that the container shares with the host" {
	update_config '.linux.sysctl = {"net.ipv4.ip_forward": "1"} | .linux.namespaces -= [{type: "network"}]'
	refused "sysctl \"net.ipv4.ip_forward\" is not allowed in the host's network namespace"
}

@test "sysctl: one that the kernel does not have" {
	update_config '.linux.sysctl = {"net.no.such": "1"}'
	refused 'linux.sysctl\["net.no.such"\]: .*no such file or directory'
}

@test "mounts: a missing source" {
	update_config '.mounts += [{destination: "/data", type: "bind", source: "/missing/source", options: ["bind"]}]'
	refused 'mounts\[[0-9]+\] /data: .*/missing/source: no such file or directory'
}

@test "mounts: an unknown type" {
	update_config '.mounts += [{destination: "/data", type: "nosuchfs", source: "none"}]'
	refused 'mounts\[[0-9]+\] /data: .*nosuchfs'
}

@test "mounts: a data option that the file system does not know" {
	update_config '.mounts += [{destination: "/data", type: "tmpfs", source: "none", options: ["no_such_option=1"]}]'
	refused 'mounts\[[0-9]+\] /data: .*no_such_option'
}

@test "mounts: an empty destination" {
	update_config '.mounts += [{destination: "", type: "tmpfs", source: "none"}]'
	refused 'mounts\[[0-9]+\].destination'
}

@test "capabilities: an unknown one is a warning" {
	update_config '.process.capabilities.bounding += ["CAP_NONSENSE"] | .process.args = ["true"]'
	call run "$ID"
	equal 0 "$status"
	contains '^time=.* level=warning msg=.*CAP_NONSENSE[^'$'\n'']*$' "$stderr"
	nothing_left
}

@test "rlimits: unknown, soft above hard, duplicate" {
	update_config '.process.rlimits = [{type: "RLIMIT_FOO", soft: 1, hard: 1}]'
	refused 'process.rlimits\[0\].type: unknown limit "RLIMIT_FOO"'
	update_config '.process.rlimits = [{type: "RLIMIT_CORE", soft: 2, hard: 1}]'
	refused 'process.rlimits\[0\]: soft is above hard'
	update_config '.process.rlimits = [{type: "RLIMIT_CORE", soft: 1, hard: 1}, {type: "RLIMIT_CORE", soft: 1, hard: 1}]'
	refused 'process.rlimits\[1\].type: duplicate limit "RLIMIT_CORE"'
}

@test "user namespace: no mappings, overlapping ones, a user that is not mapped" {
	update_config '.linux.namespaces += [{type: "user"}]'
	refused 'linux.uidMappings: a new user namespace needs a mapping.*linux.gidMappings: a new user namespace needs a mapping'
	update_config '.linux.uidMappings = [{containerID: 0, hostID: 100000, size: 10}, {containerID: 5, hostID: 200000, size: 10}] | .linux.gidMappings = [{containerID: 0, hostID: 100000, size: 10}]'
	refused 'linux.uidMappings\[1\]: container ids overlap'
	update_config '.linux.uidMappings = .linux.gidMappings | .process.user.uid = 10'
	refused 'process.user.uid: 10 is not mapped'
}

@test "a property of another platform" {
	update_config '.windows = {layerFolders: ["x"]}'
	refused 'windows: not for Linux'
}

@test "what is not supported yet is refused: checkpoint, restore" {
	start_container
	fails 'not supported yet' checkpoint "$ID"
	fails 'not supported yet' restore "$ID-2"
	has_status "$ID" running
}

@test "all violations are told at once, each with its path and section" {
	update_config '.linux.namespaces += [{type: "foo"}] | .process.args = [] | .process.cwd = "x" |
		.linux.sysctl = {"kernel.panic": "1"} | .hostname = "h" | .linux.seccomp = {defaultAction: "SCMP_ACT_NO"} | del(.ociVersion)'
	refused '^hako (create|run) [^ ]+: config.json: 6 problems: '
	local one
	for one in 'ociVersion: is missing \(config.md#specification-version\)' \
		'linux.namespaces\[[56]\].type: unknown namespace "foo" \(config-linux.md#namespaces\)' \
		'linux.sysctl\["kernel.panic"\]: [^;]* \(config-linux.md#sysctl\)' \
		'linux.seccomp.defaultAction: unknown action "SCMP_ACT_NO"; [^(]* \(config-linux.md#seccomp\)' \
		'process.args: is empty; it needs the program \(config.md#process\)' \
		'process.cwd: "x" is not an absolute path \(config.md#process\)'; do
		contains "$one" "$stderr"
	done
}

# --- ids

@test "id: those that are no name of a folder are refused" {
	local id
	for id in . .. ../x a/b 'a b' 'ä' 'a;b' $'a\nb' "$(printf 'x%.0s' {1..256})"; do
		fails 'invalid container id format' create "$id"
	done
	fails 'invalid container id format' create -- -x
	fails 'invalid container id format' create ""
	nothing_left
	not exists "$T/x"
}

@test "id: every command refuses a bad one" {
	local command
	for command in start state kill pause resume ps; do
		fails 'invalid container id format' "$command" ../x
	done
	fails 'invalid container id format' delete ../x
	fails 'invalid container id format' delete --force ../x
	fails_with 255 'invalid container id format' exec ../x true
}

@test "id: the longest, and all allowed characters" {
	update_config '.linux.cgroupsPath += "-x"'
	ok create "aZ09_+-.$(printf 'x%.0s' {1..247})"
	ok delete "aZ09_+-.$(printf 'x%.0s' {1..247})"
	nothing_left
}

@test "id: an existing one" {
	ok create "$ID"
	fails 'already exists' create "$ID"
	has_status "$ID" created
}

# --- sockets

@test "console socket: missing, nobody listens, no socket" {
	update_config '.process.terminal = true'
	fails "console-socket.*no such file or directory" create --console-socket "$T/missing" "$ID"
	nothing_left
	python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$T/dead.sock"
	fails 'console-socket.*connection refused' create --console-socket "$T/dead.sock" "$ID"
	nothing_left
	fails 'console-socket' create --console-socket "$BUNDLE/config.json" "$ID"
	nothing_left
}

@test "console socket: closed by the other side" {
	update_config '.process.terminal = true'
	local n closer
	# The other side may be too late with closing.
	for n in {1..20}; do
		python3 "$TESTDATA/sockets.py" slam "$T/slam.$n" 3>&- &
		closer=$!
		eventually exists "$T/slam.$n"
		call create --console-socket "$T/slam.$n" "$ID"
		wait "$closer"
		((status == 0)) || break
		ok delete --force "$ID"
	done
	equal 1 "$status"
	contains 'broken pipe|connection reset' "$stderr"
	not contains $'\n' "$stderr"
	nothing_left
}

# --- the state root

# private SETUP ARG…: hako, after the shell script SETUP has changed mounts in a
# private mount namespace. What is left below the state root is in $T/left.
private() {
	local setup=$1
	shift
	status=0
	unshare -m sh -c 'mount --make-rprivate / && eval "$1" || exit 99
		root=$2 left=$3
		shift 3
		rc=0
		"$@" || rc=$?
		ls -A "$root" >"$left"
		exit $rc' sh "$setup" "$ROOT" "$T/left" "$HAKO" --root "$ROOT" "$@" </dev/null >"$T/o" 2>"$T/e" 3>&- || status=$?
	output=$(<"$T/o") stderr=$(<"$T/e")
}

# one_line STATUS TEXT: what private left.
one_line() {
	[[ $status == "$1" && $stderr =~ $2 && $stderr != *$'\n'* && ! -s $T/left ]] || {
		show
		cat "$T/left"
		return 1
	}
	nothing_left
}

# The record is written twice, and the old one goes when the new one is whole:
# in no more room than one of them takes, create fails early or late.
@test "state root: a full disk" {
	ok create "$ID"
	local pages record
	record=$((($(stat -c %s "$ROOT/$ID/state.json") + 4095) / 4096))
	ok delete "$ID"
	for ((pages = 1; pages <= record; pages++)); do
		private "mount -t tmpfs -o size=$((pages * 4))k tmpfs $ROOT" create "$ID"
		one_line 1 'no space left on device'
	done
	((pages > 1))
}

@test "state root: no more files" {
	mkdir "$ROOT"
	local inodes
	for inodes in 1 2 3 4; do
		private "mount -t tmpfs -o nr_inodes=$inodes tmpfs $ROOT" create "$ID"
		one_line 1 'no space left on device'
	done
}

@test "state root: read-only" {
	mkdir "$ROOT"
	private "mount -t tmpfs -o ro tmpfs $ROOT" create "$ID"
	one_line 1 'read-only file system'
	private "mount -t tmpfs -o ro tmpfs $ROOT" run "$ID"
	one_line 1 'read-only file system'
}

@test "state root: a file, below a file" {
	echo >"$T/file"
	ROOT=$T/file
	fails 'not a directory' create "$ID"
	ROOT=$T/file/below
	fails 'not a directory' create "$ID"
	ROOT=$T/state
	nothing_left
}

# --- what podman and containerd look for in the message

@test "phrases: podman's and containerd's" {
	fails 'container does not exist' start "$ID"
	set_args missing-program
	fails 'executable file not found in \$PATH' create "$ID"
	set_args /missing
	fails 'no such file or directory' create "$ID"
	set_args /etc/passwd
	fails 'permission denied' create "$ID"
	set_args sleep 100000
	start_container
	fails 'already exists' create "$ID"
	fails 'already running' start "$ID"
	ok kill "$ID" KILL
	eventually status_is "$ID" stopped
	fails 'container not running' kill "$ID" TERM
}

# --- logs

@test "--log: the error as a JSON record, and one line on standard error" {
	set_args missing-program
	fails 'executable file not found in \$PATH$' --log "$T/log" --log-format json create "$ID"
	equal 1 "$(wc -l <"$T/log")"
	equal '["level","msg","time"]' "$(jq -c 'keys' "$T/log")"
	equal error "$(jq -r .level "$T/log")"
	equal "$stderr" "$(jq -r .msg "$T/log")"
	contains '^20[0-9-]+T[0-9:.]+(Z|[+-][0-9:]+)$' "$(jq -r .time "$T/log")"
}

@test "--log: records are appended" {
	echo '{"level":"info","msg":"before","time":"x"}' >"$T/log"
	fails 'does not exist' --log "$T/log" --log-format json state "$ID"
	fails 'does not exist' --log "$T/log" --log-format json state "$ID"
	equal "info error error" "$(jq -r .level "$T/log" | xargs)"
}

@test "--log: warnings are records in the file, not on standard error" {
	update_config '.process.capabilities.bounding += ["CAP_NONSENSE"] | .process.args = ["true"]'
	ok --log "$T/log" --log-format json run "$ID"
	equal warning "$(jq -r .level "$T/log")"
	contains CAP_NONSENSE "$(jq -r .msg "$T/log")"
}

@test "--log: nothing is logged without a reason" {
	set_args true
	ok --log "$T/log" --log-format json run "$ID"
	not filled "$T/log"
}

@test "--log-format: text" {
	fails 'does not exist' --log "$T/log" state "$ID"
	contains '^time="[^"]+" level=error msg="hako state .*container does not exist"$' "$(<"$T/log")"
	fails 'does not exist' --log "$T/log2" --log-format text state "$ID"
	contains 'level=error' "$(<"$T/log2")"
}

@test "--log-format: an unknown one" {
	fails '"xml": must be text or json' --log-format xml list
}

@test "--log: a file that cannot be opened" {
	fails '--log: .*no such file or directory' --log "$T/missing/log" create "$ID"
	nothing_left
}

@test "--log: a wrong command line is logged too" {
	call --log "$T/log" --log-format json create --no-such-flag "$ID"
	[[ $status != 0 ]]
	contains 'no-such-flag' "$(jq -r .msg "$T/log")"
}

@test "--debug: every step with its time, of host and init" {
	set_args true
	call --debug run "$ID"
	equal 0 "$status"
	contains 'level=debug msg="read config: [0-9.]+(ns|µs|ms|s)"' "$stderr"
	contains 'level=debug msg="init: mount filesystems: [0-9.]+(ns|µs|ms|s)"' "$stderr"
	call --debug --log "$T/log" --log-format json run "$ID"
	equal "" "$stderr"
	equal debug "$(jq -r .level "$T/log" | sort -u)"
}

# --- the timeline

# trace FILE: is a Chrome trace; "name" of complete events goes to names.
trace() {
	jq -e '.traceEvents | type == "array" and all(.[];
		(.name | type == "string") and (.pid | type == "number") and (.tid | type == "number") and
		(.ph == "M" or .ph == "X" and .ts > 0 and (.dur // 0) >= 0))' "$1"
	names=$(jq -r '.traceEvents[] | select(.ph == "X") | .name' "$1")
}

@test "--timeline: run, with the steps of host and init" {
	set_args true
	ok --timeline "$T/trace.json" run "$ID"
	trace "$T/trace.json"
	local step
	for step in 'read config' plan 'clone the init stage' 'serve the init stage' 'mount filesystems' 'enter the root' 'drop privileges'; do
		grep -qx "$step" <<<"$names"
	done
	# Two processes, with a name each, at the same time.
	equal 2 "$(jq '[.traceEvents[].pid] | unique | length' "$T/trace.json")"
	equal "hako run $ID init" "$(jq -r '.traceEvents[] | select(.ph == "M") | .args.name' "$T/trace.json" | sort | xargs)"
	jq -e '([.traceEvents[] | select(.name == "hako run")][0]) as $all |
		all(.traceEvents[] | select(.ph == "X"); .ts >= $all.ts and .ts + (.dur // 0) <= $all.ts + $all.dur + 1000)' "$T/trace.json"
}

@test "--timeline: a relative file is the caller's, not the bundle's" {
	mkdir "$T/here"
	cd "$T/here"
	set_args true
	ok --timeline trace.json run --bundle "$BUNDLE" "$ID"
	[[ -s $T/here/trace.json && ! -e $BUNDLE/trace.json ]]
}

@test "--timeline: create, start, exec, kill, delete" {
	ok --timeline "$T/create" create "$ID"
	ok --timeline "$T/start" start "$ID"
	ok --timeline "$T/exec" exec "$ID" true
	ok --timeline "$T/kill" kill "$ID" KILL
	eventually status_is "$ID" stopped
	ok --timeline "$T/delete" delete "$ID"
	local command
	for command in create start exec kill delete; do
		trace "$T/$command"
		grep -qx "hako $command" <<<"$names"
	done
	trace "$T/exec"
	equal 2 "$(jq '[.traceEvents[].pid] | unique | length' "$T/exec")"
}

@test "--timeline: also of a command that fails" {
	update_config '.mounts += [{destination: "/data", type: "nosuchfs", source: "none"}]'
	fails nosuchfs --timeline "$T/trace.json" create "$ID"
	trace "$T/trace.json"
	# Up to the step that failed.
	grep -qx 'mount filesystems' <<<"$names"
	not grep -qx 'enter the root' <<<"$names"
	nothing_left
}

@test "--timeline: a file that cannot be written" {
	set_args true
	call --timeline "$T/missing/trace" run "$ID"
	equal 1 "$status"
	contains 'timeline' "$stderr"
	nothing_left
}
