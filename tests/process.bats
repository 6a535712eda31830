#!/usr/bin/env bats
# Attributes of the process: exactly what the config says, nothing of the
# caller's. See runtime-spec config.md#process, #linux-process, #user and
# config-linux.md#personality, #memory-policy, #network-devices.
# shellcheck disable=SC2016 # $names are jq's or of the container's shell
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

load helpers
load process-helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() {
	DONORS=()
	make_bundle
}
teardown() {
	end_donors
	clean_up
}

# called_by COMMAND…: hako is executed by COMMAND; $output is all it prints.
called_by() {
	output=$(env "$@" </dev/null 2>&1 3>&-) || {
		echo "$output"
		return 1
	}
}

# hako_run is what called_by ends with.
hako_run() { hako_run=("$HAKO" --root "$ROOT" run "$ID"); }

# inside TEXT: $output of a shell that is executed in the running container.
inside() { ok exec "$ID" sh -c "$1"; }

# --- user

@test "user: root without a group more" {
	in_container 'id -u; id -g; grep -E "^(Uid|Gid|Groups)" /proc/self/status'
	equal "0 0 Uid: 0 0 0 0 Gid: 0 0 0 0 Groups:" "$(xargs <<<"$output")"
}

@test "user: uid, gid and additional groups, all four ids" {
	update_config '.process.user = {uid: 1000, gid: 1001, additionalGids: [5, 77]}'
	in_container 'grep -E "^(Uid|Gid|Groups)" /proc/self/status'
	equal "Uid: 1000 1000 1000 1000 Gid: 1001 1001 1001 1001 Groups: 5 77" "$(xargs <<<"$output")"
}

@test "user: the gid is not among the additional groups unless asked for" {
	update_config '.process.user = {uid: 1000, gid: 1001}'
	in_container 'grep Groups /proc/self/status'
	equal Groups: "$(xargs <<<"$output")"
}

@test "user: groups of the caller are not inherited" {
	hako_run
	sh_script 'grep -E "^(Uid|Gid|Groups)" /proc/self/status'
	called_by setpriv --groups 4,20,27 "${hako_run[@]}"
	equal "Uid: 0 0 0 0 Gid: 0 0 0 0 Groups:" "$(xargs <<<"$output")"
	update_config '.process.user = {uid: 1000, gid: 1001, additionalGids: [5]}'
	called_by setpriv --rgid 8 --clear-groups "${hako_run[@]}"
	equal "Uid: 1000 1000 1000 1000 Gid: 1001 1001 1001 1001 Groups: 5" "$(xargs <<<"$output")"
}

@test "user: exec has the config's user, or --user and --additional-gids" {
	start_container '.process.user = {uid: 1000, gid: 1001, additionalGids: [5]}'
	inside 'grep -E "^(Uid|Gid|Groups)" /proc/self/status'
	equal "Uid: 1000 1000 1000 1000 Gid: 1001 1001 1001 1001 Groups: 5" "$(xargs <<<"$output")"
	ok exec --user 7:8 --additional-gids 9 "$ID" sh -c 'grep -E "^(Uid|Gid|Groups)" /proc/self/status'
	equal "Uid: 7 7 7 7 Gid: 8 8 8 8" "$(head -2 <<<"$output" | xargs)"
	contains 'Groups:.* 9' "$(tail -1 <<<"$output" | xargs)"
}

@test "user: a number is a uid, whatever the image's /etc/passwd says" {
	echo "1000:x:0:0::/root:/bin/sh" >>"$BUNDLE/rootfs/etc/passwd"
	start_container
	ok exec --user 1000 "$ID" id -u
	equal 1000 "$output"
}

@test "user: 4294967295 is not an id" {
	refused 'process.user.uid: 4294967295 is not an id' '.process.user = {uid: 4294967295, gid: 0}'
	refused 'process.user.gid: 4294967295 is not an id' '.process.user = {uid: 0, gid: 4294967295}'
}

# --- umask

@test "umask: 022 by default, whatever the caller's" {
	sh_script 'umask'
	hako_run
	called_by bash -c 'umask 077; exec "$@"' sh "${hako_run[@]}"
	equal 0022 "$output"
}

@test "umask: as configured, in exec too" {
	update_config '.process.user.umask = 23'
	in_container 'umask'
	equal 0027 "$output"
	start_container '.process.args = ["sleep", "100000"]'
	inside 'umask; echo >/tmp/made; stat -c %a /tmp/made'
	equal "0027 640" "$(xargs <<<"$output")"
}

@test "umask: does not restrict what hako makes" {
	update_config '.process.user.umask = 63 | .process.cwd = "/made/here"'
	in_container 'umask; stat -c %a /made /made/here'
	equal "0077 755 755" "$(xargs <<<"$output")"
}

@test "umask: above 0777 is refused" {
	refused 'process.user.umask' '.process.user.umask = 512'
}

# --- working directory

@test "cwd: is entered" {
	update_config '.process.cwd = "/home/user"'
	in_container 'pwd -P; echo $PWD'
	equal "/home/user /home/user" "$(xargs <<<"$output")"
}

@test "cwd: a missing one is made, with its parents, for root" {
	update_config '.process.cwd = "/one/two"'
	in_container 'pwd -P; stat -c %u:%g:%a . ..'
	equal "/one/two 0:0:755 0:0:755" "$(xargs <<<"$output")"
}

@test "cwd: a symlink inside is followed inside" {
	ln -s /home "$BUNDLE/rootfs/link"
	update_config '.process.cwd = "/link/user"'
	in_container 'pwd -P'
	equal /home/user "$output"
}

@test "cwd: a symlink to a path of the host leads to that path inside" {
	local outside=$BATS_TEST_TMPDIR/outside # not below /dev, which is a mount inside
	mkdir "$outside"
	ln -s "../../../../../../..$outside" "$BUNDLE/rootfs/link"
	update_config '.process.cwd = "/link/made"'
	in_container 'pwd -P'
	equal "$outside/made" "$output"
	equal "" "$(ls -A "$outside")"
	[[ -d $BUNDLE/rootfs$outside/made ]]
}

@test "cwd: a file is refused" {
	refused 'process.cwd: .*not a directory' '.process.cwd = "/etc/passwd"'
}

@test "cwd: a relative one, and none" {
	refused 'process.cwd: .*absolute' '.process.cwd = "home"'
	refused 'process.cwd: is missing' 'del(.process.cwd)'
}

@test "cwd: a directory that only root may enter is entered for the user" {
	chmod 700 "$BUNDLE/rootfs/root"
	update_config '.process.cwd = "/root" | .process.user = {uid: 1000, gid: 1000}'
	in_container 'echo "[$(pwd)]"; ls . 2>&1; id -u'
	contains '^\[/root\]' "$output"
	contains 'ermission denied' "$output"
	equal 1000 "$(tail -1 <<<"$output")"
}

@test "cwd: a directory that only the user may enter, not the container's root" {
	namespaces user mount pid ipc uts network
	mkdir "$BUNDLE/rootfs/private"
	chown 0:201000 "$BUNDLE/rootfs/private"
	chmod 770 "$BUNDLE/rootfs/private"
	update_config "$MAPS"' | .process.cwd = "/private" | .process.user = {uid: 1000, gid: 1000}'
	in_container 'pwd -P'
	equal /private "$output"
	refused 'process.cwd: chdir /private: permission denied' '.process.user = {uid: 1000, gid: 1001}'
}

@test "cwd: no descriptor of the caller or of hako leads outside" {
	mkdir "$T/outside"
	echo secret >"$T/outside/secret"
	sh_script 'cat secret ../secret ../../secret 2>/dev/null; /bin/busybox pwd'
	local n
	for n in {3..24}; do
		update_config --arg p "/proc/self/fd/$n" '.process.cwd = $p'
		call run "$ID" 7<"$T/outside" 8<"$T/outside" 21<"$T/outside"
		not grep -q secret <<<"$output"
		[[ $status != 0 || $output == /* ]]
		nothing_left
	done
}

@test "cwd: exec by way of a descriptor does not lead outside" {
	mkdir "$T/outside"
	echo secret >"$T/outside/secret"
	start_container
	local n
	for n in {3..24}; do
		ln -s "/proc/self/fd/$n" "$BUNDLE/rootfs/link.$n"
		call exec --cwd "/link.$n" "$ID" sh -c 'cat secret ../secret 2>/dev/null; /bin/busybox pwd' 7<"$T/outside" 21<"$T/outside"
		not grep -q secret <<<"$output"
		[[ $status != 0 || $output == /* ]]
		call exec --cwd "/proc/self/fd/$n/.." "$ID" sh -c 'cat outside/secret 2>/dev/null; /bin/busybox pwd' 7<"$T/outside" 21<"$T/outside"
		not grep -q secret <<<"$output"
		[[ $status != 0 || $output == /* ]]
	done
}

# --- arguments

@test "args: are passed unchanged" {
	set_args printf '[%s]' '' 'a b' '$HOME' '*' $'line\nfeed' 'é'
	ok run "$ID"
	equal $'[][a b][$HOME][*][line\nfeed][é]' "$output"
}

@test "args: a name is sought in PATH inside, in its order" {
	mkdir -p "$BUNDLE/rootfs/one" "$BUNDLE/rootfs/two"
	printf '#!/bin/sh\necho one\n' >"$BUNDLE/rootfs/one/tool"
	printf '#!/bin/sh\necho two\n' >"$BUNDLE/rootfs/two/tool"
	chmod 755 "$BUNDLE"/rootfs/*/tool
	set_args tool
	ok_with_path /missing:/two:/one two
	ok_with_path /one:/two one
	chmod 644 "$BUNDLE/rootfs/one/tool"
	ok_with_path /one:/two two
}

ok_with_path() {
	update_config --arg p "PATH=$1" '.process.env = [$p]'
	ok run "$ID"
	equal "$2" "$output"
}

@test "args: the caller's PATH finds nothing" {
	set_args jq
	fails 'exec: "jq": executable file not found in \$PATH$' run "$ID"
}

@test "args: relative entries of PATH are not used" {
	printf '#!/bin/sh\necho wrong\n' >"$BUNDLE/rootfs/tool"
	chmod 755 "$BUNDLE/rootfs/tool"
	set_args tool
	refused 'executable file not found in \$PATH$' '.process.env = ["PATH=.:"]'
}

@test "args: without PATH the usual directories are used" {
	set_args echo found
	update_config '.process.env = []'
	ok run "$ID"
	equal found "$output"
}

@test "args: with an empty PATH nothing is found" {
	set_args sh
	refused 'executable file not found in \$PATH$' '.process.env = ["PATH="]'
}

@test "args: a relative path is relative to cwd" {
	printf '#!/bin/sh\necho here\n' >"$BUNDLE/rootfs/home/tool"
	chmod 755 "$BUNDLE/rootfs/home/tool"
	update_config '.process.cwd = "/home/user"'
	set_args ../tool
	ok run "$ID"
	equal here "$output"
}

@test "args: none, and an empty name" {
	refused 'process.args' '.process.args = []'
	refused 'process.args\[0\]' '.process.args = [""]'
	refused 'process.args' 'del(.process.args)'
}

@test "args: a program that is missing" {
	set_args missing-program
	refused 'exec: "missing-program": executable file not found in \$PATH$'
	set_args /missing
	refused 'exec /missing: no such file or directory$'
	set_args /etc/passwd/missing
	refused 'exec /etc/passwd/missing: not a directory$'
}

@test "args: a program without the permission to execute it" {
	printf '#!/bin/sh\n' >"$BUNDLE/rootfs/bin/tool"
	chmod 644 "$BUNDLE/rootfs/bin/tool"
	set_args tool
	refused 'exec: "tool": permission denied$'
	set_args /bin/tool
	refused 'exec /bin/tool: permission denied$'
}

@test "args: a program that only root may execute" {
	printf '#!/bin/sh\n' >"$BUNDLE/rootfs/bin/tool"
	chmod 700 "$BUNDLE/rootfs/bin/tool"
	set_args tool
	refused 'exec: "tool": permission denied$' '.process.user = {uid: 1000, gid: 1000}'
}

@test "args: a program in a folder that the user may not enter" {
	mkdir -m 700 "$BUNDLE/rootfs/closed"
	printf '#!/bin/sh\n' >"$BUNDLE/rootfs/closed/tool"
	chmod 755 "$BUNDLE/rootfs/closed/tool"
	set_args /closed/tool
	refused 'exec /closed/tool: permission denied$' '.process.user = {uid: 1000, gid: 1000}'
}

@test "args: a program on a noexec mount" {
	mkdir "$T/volume"
	printf '#!/bin/sh\n' >"$T/volume/tool"
	chmod 755 "$T/volume/tool"
	update_config --arg v "$T/volume" '.mounts += [{destination: "/volume", type: "bind", source: $v, options: ["bind", "noexec"]}]'
	set_args /volume/tool
	refused 'exec /volume/tool: permission denied$'
}

@test "args: a directory" {
	set_args /etc
	refused 'exec /etc: (is a directory|permission denied)$'
	mkdir "$BUNDLE/rootfs/bin/tool"
	set_args tool
	refused 'exec: "tool": (executable file not found in \$PATH|is a directory|permission denied)$'
}

@test "args: a script without interpreter line is refused by start" {
	echo 'echo no' >"$BUNDLE/rootfs/bin/tool"
	chmod 755 "$BUNDLE/rootfs/bin/tool"
	set_args tool
	fails 'exec /bin/tool: exec format error$' run "$ID"
	ok create "$ID"
	fails 'exec /bin/tool: exec format error$' start "$ID"
}

@test "args: a script whose interpreter is missing" {
	printf '#!/missing\n' >"$BUNDLE/rootfs/bin/tool"
	chmod 755 "$BUNDLE/rootfs/bin/tool"
	set_args tool
	fails 'exec /bin/tool: no such file or directory$' run "$ID"
}

@test "args: exec reports the same, with 255 in one bare line" {
	start_container
	fails_with 255 ': exec: "missing-program": executable file not found in \$PATH$' exec "$ID" missing-program
	fails_with 255 ': exec /missing: no such file or directory$' exec "$ID" /missing
	fails_with 255 'permission denied$' exec "$ID" /etc/passwd
}

# --- environment

@test "env: exactly the config's, and HOME" {
	sh_script "tr '\\0' '\\n' </proc/self/environ"
	set_args cat /proc/self/environ
	update_config '.process.env = ["ONE=1", "EMPTY=", "TEXT=a=b c"]'
	hako_run
	called_by SECRET=caller LD_PRELOAD_=x GODEBUG= GOTRACEBACK=all "${hako_run[@]}" # its NULs are dropped
	equal "ONE=1EMPTY=TEXT=a=b cHOME=/root" "$(tr -d '\0' <<<"$output")"
}

@test "env: without one there is only HOME" {
	set_args cat /proc/self/environ
	update_config 'del(.process.env)'
	call run "$ID"
	equal "HOME=/root" "$(tr -d '\0' <"$out_file")"
	not grep -q MARK "$out_file"
}

@test "env: of entries with one name the last wins" {
	set_args cat /proc/self/environ
	update_config '.process.env = ["A=1", "B=2", "A=3", "HOME=/x", "HOME=/y"]'
	call run "$ID"
	equal "B=2 A=3 HOME=/y" "$(tr '\0' ' ' <"$out_file" | sed 's/ $//')"
}

@test "env: HOME by the image's /etc/passwd, / for a user it does not know" {
	sh_script 'echo $HOME'
	ok run "$ID"
	equal /root "$output"
	update_config '.process.user = {uid: 1000, gid: 1000}'
	ok run "$ID"
	equal /home/user "$output"
	update_config '.process.user = {uid: 4242, gid: 1000}'
	ok run "$ID"
	equal / "$output"
	rm "$BUNDLE/rootfs/etc/passwd"
	ok run "$ID"
	equal / "$output"
}

@test "env: HOME of exec --user is that user's" {
	start_container
	ok exec --user 1000 "$ID" sh -c 'echo $HOME'
	equal /home/user "$output"
	ok exec --user 1000 --env HOME=/mine "$ID" sh -c 'echo $HOME'
	equal /mine "$output"
}

@test "env: /etc/passwd as a symlink to a path of the host is sought inside" {
	echo 'victim:x:0:0::/outside:/bin/sh' >"$T/passwd"
	ln -sf "$T/passwd" "$BUNDLE/rootfs/etc/passwd"
	in_container 'echo $HOME'
	equal / "$output"
}

@test "env: /etc/passwd as a FIFO does not hang the start" {
	rm "$BUNDLE/rootfs/etc/passwd"
	mkfifo "$BUNDLE/rootfs/etc/passwd"
	in_container 'echo $HOME'
	equal / "$output"
}

@test "env: exec has the config's, and --env, of which the last wins" {
	start_container '.process.env += ["A=1"]'
	ok exec "$ID" env
	equal "$(jq -r '.process.env[]' "$BUNDLE/config.json"; echo HOME=/root)" "$output"
	ok exec --env A=2 --env B=3 --env B=4 "$ID" sh -c 'echo $A $B'
	equal "2 4" "$output"
}

@test "env: entries that are not NAME=value" {
	refused 'process.env\[1\]' '.process.env = ["A=1", "B"]'
	refused 'process.env\[0\]' '.process.env = ["=x"]'
}

# --- capabilities

# cap_sets JQ-OBJECT: the config's capabilities.
cap_sets() { update_config ".process.capabilities = ($1)"; }

# The five sets as status has them: CHOWN is bit 0, KILL 5, NET_BIND_SERVICE 10.
print_caps='grep -E "^Cap" /proc/self/status | cut -f2 | sed "s/^0*\(.\)/\1/"'

# has_caps INHERITABLE PERMITTED EFFECTIVE BOUNDING AMBIENT
has_caps() { equal "$*" "$(xargs <<<"$output")"; }

@test "capabilities: none configured, none at all, not even in the bounding set" {
	update_config 'del(.process.capabilities)'
	in_container "$print_caps"
	has_caps 0 0 0 0 0
}

@test "capabilities: bounding, which root is given" {
	cap_sets '["CAP_CHOWN", "CAP_KILL"] | {bounding: ., permitted: ., effective: .}'
	in_container "$print_caps"
	has_caps 0 21 21 21 0
}

@test "capabilities: bounding alone keeps a user's other sets empty" {
	cap_sets '["CAP_CHOWN", "CAP_KILL"] | {bounding: ., permitted: ., effective: .}'
	update_config '.process.user = {uid: 1000, gid: 1000}'
	in_container "$print_caps"
	has_caps 0 0 0 21 0
}

@test "capabilities: inheritable" {
	cap_sets '{bounding: ["CAP_CHOWN", "CAP_KILL"], inheritable: ["CAP_KILL"]}'
	update_config '.process.user = {uid: 1000, gid: 1000}'
	in_container "$print_caps"
	has_caps 20 0 0 21 0
}

@test "capabilities: ambient ones are a user's permitted and effective" {
	cap_sets '["CAP_NET_BIND_SERVICE"] | {bounding: (. + ["CAP_CHOWN"]), permitted: ., effective: ., inheritable: ., ambient: .}'
	update_config '.process.user = {uid: 1000, gid: 1000}'
	in_container "$print_caps"
	has_caps 400 400 400 401 400
}

@test "capabilities: an ambient one has effect" {
	cap_sets '["CAP_CHOWN"] | {bounding: ., permitted: ., effective: ., inheritable: ., ambient: .}'
	update_config '.process.user = {uid: 1000, gid: 1000}'
	chown 1000 "$BUNDLE/rootfs/tmp"
	in_container 'echo >/tmp/f && chown 5:6 /tmp/f && stat -c %u:%g /tmp/f'
	equal 5:6 "$output"
}

@test "capabilities: an ambient one that is not permitted is warned of and left out" {
	cap_sets '{bounding: ["CAP_CHOWN", "CAP_KILL"], inheritable: ["CAP_CHOWN", "CAP_KILL"], permitted: ["CAP_KILL"], ambient: ["CAP_CHOWN", "CAP_KILL"]}'
	update_config '.process.user = {uid: 1000, gid: 1000}'
	sh_script "$print_caps"
	call run "$ID"
	equal 0 "$status"
	has_caps 21 20 20 21 20
	contains 'CAP_CHOWN' "$stderr"
	not grep -q CAP_KILL <<<"$stderr"
}

@test "capabilities: an ambient one that is not inheritable is warned of and left out" {
	cap_sets '{bounding: ["CAP_CHOWN"], permitted: ["CAP_CHOWN"], ambient: ["CAP_CHOWN"]}'
	update_config '.process.user = {uid: 1000, gid: 1000}'
	sh_script "$print_caps"
	call run "$ID"
	equal 0 "$status"
	has_caps 0 0 0 1 0
	contains 'CAP_CHOWN' "$stderr"
}

@test "capabilities: unknown ones are warned of, once each, and the rest set" {
	cap_sets '["CAP_CHOWN", "CAP_TIME_TRAVEL"] | {bounding: ., permitted: ., effective: .}'
	sh_script "$print_caps"
	call run "$ID"
	equal 0 "$status"
	has_caps 0 1 1 1 0
	equal 1 "$(grep -o CAP_TIME_TRAVEL <<<"$stderr" | wc -l)"
}

@test "capabilities: all that hako has" {
	local all
	all=$(status_field CapBnd | sed 's/^0*//')
	update_config --argjson caps "$(hako features | jq -c .linux.capabilities)" \
		'.process.capabilities = ($caps | {bounding: ., permitted: ., effective: .})'
	sh_script "$print_caps"
	call run "$ID"
	has_caps 0 "$all" "$all" "$all" 0
}

@test "capabilities: inheritable and ambient ones of the caller are gone" {
	sh_script "$print_caps"
	cap_sets '["CAP_KILL"] | {bounding: ., permitted: ., effective: .}'
	hako_run
	called_by setpriv --inh-caps +chown,+kill --ambient-caps +chown,+kill "${hako_run[@]}"
	has_caps 0 20 20 20 0
	update_config '.process.user = {uid: 1000, gid: 1000}'
	called_by setpriv --inh-caps +chown,+kill --ambient-caps +chown,+kill "${hako_run[@]}"
	has_caps 0 0 0 20 0
}

@test "capabilities: exec has the container's" {
	cap_sets '["CAP_CHOWN", "CAP_KILL"] | {bounding: ., permitted: ., effective: .}'
	start_container
	inside "$print_caps"
	has_caps 0 21 21 21 0
	ok exec --user 1000 "$ID" sh -c "$print_caps"
	has_caps 0 0 0 21 0
}

@test "capabilities: exec --cap adds to bounding, permitted and effective, never to inheritable" {
	cap_sets '["CAP_CHOWN"] | {bounding: ., permitted: ., effective: .}'
	start_container
	ok exec --cap CAP_KILL "$ID" sh -c "$print_caps"
	has_caps 0 21 21 21 0
	ok exec --cap CAP_KILL --user 1000 "$ID" sh -c "$print_caps"
	has_caps 0 0 0 21 0
}

@test "capabilities: in a user namespace" {
	namespaces "${TYPES[@]}"
	update_config "$MAPS"
	cap_sets '["CAP_SYS_ADMIN", "CAP_CHOWN"] | {bounding: ., permitted: ., effective: .}'
	in_container "$print_caps"
	has_caps 0 200001 200001 200001 0
}

# --- no_new_privs

# with_setuid: /bin/uid prints the effective uid and is setuid root.
with_setuid() {
	cp "$(command -v id)" "$BUNDLE/rootfs/bin/uid"
	chmod 4755 "$BUNDLE/rootfs/bin/uid"
	mkdir -p "$BUNDLE/rootfs/usr"
	update_config '.mounts += ["/lib", "/lib64", "/usr/lib"] | .mounts |= map(if type == "string"
		then {destination: ., type: "bind", source: ., options: ["rbind", "ro"]} else . end)'
	update_config '.process.user = {uid: 1000, gid: 1000} | .root.readonly = false |
		.process.capabilities.bounding += ["CAP_SETUID", "CAP_SETGID"]'
}

@test "noNewPrivileges: a setuid program has no effect" {
	with_setuid
	in_container 'grep NoNewPrivs /proc/self/status; uid -u'
	equal "NoNewPrivs: 1 1000" "$(xargs <<<"$output")"
}

@test "noNewPrivileges: without it a setuid program has its effect" {
	with_setuid
	update_config '.process.noNewPrivileges = false'
	in_container 'grep NoNewPrivs /proc/self/status; uid -u'
	equal "NoNewPrivs: 0 0" "$(xargs <<<"$output")"
}

@test "noNewPrivileges: exec has the container's, or --no-new-privs" {
	with_setuid
	start_container
	inside 'uid -u'
	equal 1000 "$output"
	ok delete --force "$ID"
	start_container '.process.noNewPrivileges = false'
	inside 'uid -u'
	equal 0 "$output"
	ok exec --no-new-privs "$ID" uid -u
	equal 1000 "$output"
}

# may_raise: hard limits, and lower the score of the out of memory killer.
may_raise() { ((0x$(status_field CapEff) >> 24 & 1)); } # CAP_SYS_RESOURCE

# --- limits

# Names, and what /proc/PID/limits calls them.
LIMITS='CPU:cpu time
FSIZE:file size
DATA:data size
STACK:stack size
CORE:core file size
RSS:resident set
NPROC:processes
NOFILE:open files
MEMLOCK:locked memory
AS:address space
LOCKS:file locks
SIGPENDING:pending signals
MSGQUEUE:msgqueue size
NICE:nice priority
RTPRIO:realtime priority
RTTIME:realtime timeout'

# want_limits: a line "NAME:file size: SOFT HARD" for each. They are odd enough not
# to be defaults, large enough to live with, and not above our own.
want_limits() {
	local n=0 line name hard
	while IFS=: read -r name line; do
		n=$((n + 1))
		hard=$(sed -n "s/^Max $line  *[^ ]*  *\([^ ]*\).*/\1/p" /proc/self/limits)
		[[ $hard != unlimited ]] || hard=34359738368
		((hard < 100)) || hard=$((hard - n * 2))
		((hard > 0)) || ! may_raise || hard=11
		echo "$name:$line: $((hard > 0 ? hard - 1 : 0)) $hard"
	done <<<"$LIMITS"
}

seen_limits() { sed -n 's/^Max \([a-z ]*[a-z]\)  *\([0-9unlimited]*\)  *\([0-9unlimited]*\) .*/\1: \2 \3/p'; }

@test "rlimits: each name, soft and hard, in exec too" {
	local want
	want_limits >"$T/want"
	equal 16 "$(wc -l <"$T/want")"
	update_config --argjson l "$(sed -E 's/^([A-Z]*):.*: ([0-9]*) ([0-9]*)$/{"type": "RLIMIT_\1", "soft": \2, "hard": \3}/' "$T/want" | jq -sc .)" '.process.rlimits = $l'
	want=$(cut -d: -f2- "$T/want" | sort)
	in_container 'cat /proc/self/limits'
	equal "$want" "$(seen_limits <<<"$output" | sort)"
	set_args sleep 100000
	start_container
	inside 'cat /proc/self/limits'
	equal "$want" "$(seen_limits <<<"$output" | sort)"
}

@test "rlimits: unlimited" {
	update_config '.process.rlimits = [{type: "RLIMIT_CORE", soft: 18446744073709551615, hard: 18446744073709551615}]'
	sh_script 'ulimit -Sc; ulimit -Hc'
	# jq has rounded it to a float.
	sed -i 's/18446744073709[0-9]*/18446744073709551615/' "$BUNDLE/config.json"
	ok run "$ID"
	equal "unlimited unlimited" "$(xargs <<<"$output")"
}

@test "rlimits: the caller's where the config has none, soft open files too" {
	update_config 'del(.process.rlimits)'
	sh_script 'ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hf'
	hako_run
	called_by bash -c 'ulimit -Sn 777; ulimit -Hn 5001; ulimit -Sc 0; ulimit -f 123456; exec "$@"' sh "${hako_run[@]}"
	equal "777 5001 0 246912" "$(xargs <<<"$output")"
}

@test "rlimits: soft open files of exec's caller, where the config has none" {
	start_container 'del(.process.rlimits)'
	called_by bash -c 'ulimit -Sn 778; ulimit -Hn 5001; exec "$@"' sh "$HAKO" --root "$ROOT" exec "$ID" sh -c 'ulimit -Sn; ulimit -Hn'
	equal "778 5001" "$(xargs <<<"$output")"
}

@test "rlimits: soft open files of a created container are those of create" {
	update_config 'del(.process.rlimits)'
	called_by bash -c 'ulimit -Sn 779; ulimit -Hn 5001; exec "$@" >/dev/null 2>&1' sh "$HAKO" --root "$ROOT" create "$ID"
	ok start "$ID"
	grep -E 'open files +779 +5001 ' "/proc/$(init)/limits"
}

# raised: open files above the hard limit of the caller.
raised() {
	update_config '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 1999, hard: 2000}]'
	sh_script 'ulimit -Sn; ulimit -Hn'
	hako_run
	if may_raise; then
		called_by bash -c 'ulimit -n 500; exec "$@"' sh "${hako_run[@]}"
		equal "1999 2000" "$(xargs <<<"$output")"
	else
		not called_by bash -c 'ulimit -n 500; exec "$@"' sh "${hako_run[@]}"
		contains 'RLIMIT_NOFILE soft 1999 hard 2000: .*operation not permitted$' "$output"
	fi
}

@test "rlimits: a hard limit is raised, with CAP_SYS_RESOURCE" { raised; }

@test "rlimits: in a user namespace a hard limit is raised, with CAP_SYS_RESOURCE" {
	namespaces "${TYPES[@]}"
	update_config "$MAPS"
	raised
}

@test "rlimits: an unknown name, one twice, soft above hard" {
	refused 'process.rlimits\[0\].type: unknown limit "RLIMIT_FOO"' '.process.rlimits = [{type: "RLIMIT_FOO", soft: 1, hard: 1}]'
	refused 'process.rlimits\[1\].type: duplicate limit' '.process.rlimits = [{type: "RLIMIT_CORE", soft: 1, hard: 1}, {type: "RLIMIT_CORE", soft: 2, hard: 2}]'
	refused 'process.rlimits\[0\]: soft is above hard' '.process.rlimits = [{type: "RLIMIT_CORE", soft: 2, hard: 1}]'
}

# --- out of memory score

@test "oomScoreAdj: as configured, in exec too" {
	start_container '.process.oomScoreAdj = 345'
	equal 345 "$(<"/proc/$(init)/oom_score_adj")"
	inside 'cat /proc/self/oom_score_adj'
	equal 345 "$output"
}

@test "oomScoreAdj: negative, with CAP_SYS_RESOURCE" {
	update_config '.process.oomScoreAdj = -500'
	if may_raise; then
		in_container 'cat /proc/self/oom_score_adj'
		equal -500 "$output"
	else
		refused 'process.oomScoreAdj -500: .*permission denied$'
	fi
}

@test "oomScoreAdj: the caller's where the config has none" {
	sh_script 'cat /proc/self/oom_score_adj'
	hako_run
	called_by choom -n 123 -- "${hako_run[@]}"
	equal 123 "$output"
}

@test "oomScoreAdj: out of range is refused" {
	refused 'process.oomScoreAdj: 1001' '.process.oomScoreAdj = 1001'
	refused 'process.oomScoreAdj: -1001' '.process.oomScoreAdj = -1001'
}

# --- scheduling

# print_sched: nice, real-time priority, policy; proc_pid_stat(5).
print_sched='cat /proc/self/stat | cut -d " " -f 19,40,41'

@test "scheduler: SCHED_OTHER, BATCH and IDLE with nice, in exec too" {
	local row
	for row in "SCHED_OTHER 7 0" "SCHED_OTHER -5 0" "SCHED_BATCH 5 3" "SCHED_IDLE 0 5"; do
		# shellcheck disable=SC2086 # three words
		set -- $row
		update_config --arg p "$1" --argjson n "$2" '.process.scheduler = {policy: $p, nice: $n}'
		set_args sleep 100000
		start_container
		equal "$2 0 $3" "$(cut -d ' ' -f 19,40,41 "/proc/$(init)/stat")"
		inside "$print_sched"
		equal "$2 0 $3" "$output"
		ok delete --force "$ID"
	done
}

# with_realtime: the container's cgroup may run real-time processes. On v1 a new
# one may not (CONFIG_RT_GROUP_SCHED), and hako does not know of the limit yet.
with_realtime() {
	hook realtime <<<"for f in /sys/fs/cgroup/cpu*/$MARK/cpu.rt_runtime_us; do [[ ! -e \$f ]] || echo 10000 >\$f; done"
	add_hook createRuntime "{\"path\": \"$T/hooks/realtime\"}"
}

@test "scheduler: SCHED_FIFO and SCHED_RR with priority" {
	with_realtime
	update_config '.process.scheduler = {policy: "SCHED_FIFO", priority: 11}'
	in_container "$print_sched"
	equal "0 11 1" "$output"
	update_config '.process.scheduler = {policy: "SCHED_RR", priority: 12}'
	in_container "$print_sched"
	equal "0 12 2" "$output"
}

@test "scheduler: SCHED_FLAG_RESET_ON_FORK" {
	with_realtime
	update_config '.process.scheduler = {policy: "SCHED_FIFO", priority: 11, flags: ["SCHED_FLAG_RESET_ON_FORK"]}'
	in_container 'cut -d " " -f 40,41 /proc/$$/stat; cut -d " " -f 40,41 /proc/self/stat; true'
	equal "11 1 0 0" "$(xargs <<<"$output")"
}

@test "scheduler: SCHED_DEADLINE" {
	with_realtime
	update_config '.process.scheduler = {policy: "SCHED_DEADLINE", runtime: 1000000, deadline: 20000000, period: 20000000}'
	set_args cut -d ' ' -f 41 /proc/self/stat
	ok run "$ID"
	equal 6 "$output"
}

@test "scheduler: the caller's policy and nice do not reach the program, of run and exec, in a user namespace" {
	sh_script "$print_sched"
	hako_run
	called_by nice -n 9 chrt --batch 0 "${hako_run[@]}"
	equal "0 0 0" "$output"
	set_args sleep 100000
	start_container
	called_by nice -n 9 chrt --batch 0 "$HAKO" --root "$ROOT" exec "$ID" sh -c "$print_sched"
	equal "0 0 0" "$output"
	ok delete --force "$ID"
	namespaces "${TYPES[@]}"
	update_config "$MAPS"
	sh_script "$print_sched"
	called_by nice -n 9 chrt --batch 0 "${hako_run[@]}"
	equal "0 0 0" "$output"
}

@test "scheduler: wrong values" {
	refused 'process.scheduler.policy: unknown policy "SCHED_FOO"' '.process.scheduler = {policy: "SCHED_FOO"}'
	refused 'process.scheduler.priority' '.process.scheduler = {policy: "SCHED_FIFO", priority: 100}'
	refused 'process.scheduler.priority' '.process.scheduler = {policy: "SCHED_OTHER", priority: 1}'
	refused 'process.scheduler.nice' '.process.scheduler = {policy: "SCHED_OTHER", nice: 20}'
	refused 'process.scheduler.flags\[0\]' '.process.scheduler = {policy: "SCHED_OTHER", flags: ["SCHED_FLAG_FOO"]}'
	refused 'process.scheduler.runtime' '.process.scheduler = {policy: "SCHED_DEADLINE", runtime: 1, deadline: 2, period: 3}'
}

@test "ioPriority: class and priority, in exec too" {
	local row
	for row in "IOPRIO_CLASS_BE 3 best-effort: prio 3" "IOPRIO_CLASS_RT 5 realtime: prio 5" "IOPRIO_CLASS_IDLE 0 idle"; do
		update_config --arg c "${row%% *}" --argjson p "$(cut -d' ' -f2 <<<"$row")" '.process.ioPriority = {class: $c, priority: $p}'
		set_args sleep 100000
		start_container
		equal "$(cut -d' ' -f3- <<<"$row")" "$(ionice -p "$(init)")"
		inside 'exec ionice -p $$' || true
		ok exec --detach --pid-file "$T/exec.pid" "$ID" sleep 100000
		equal "$(cut -d' ' -f3- <<<"$row")" "$(ionice -p "$(<"$T/exec.pid")")"
		ok delete --force "$ID"
	done
}

@test "ioPriority: does not change the caller's or its group's" {
	update_config '.process.ioPriority = {class: "IOPRIO_CLASS_IDLE", priority: 0}'
	in_container true
	differ idle "$(ionice -p $$)"
}

@test "ioPriority: wrong values" {
	refused 'process.ioPriority.class' '.process.ioPriority = {class: "IOPRIO_CLASS_FOO", priority: 1}'
	refused 'process.ioPriority.priority' '.process.ioPriority = {class: "IOPRIO_CLASS_BE", priority: 8}'
}

# --- affinity

print_cpus='sed -n "s/^Cpus_allowed_list:.//p" /proc/self/status'

# all_cpus: without a limit, which is what pid 1 has.
all_cpus() { status_field Cpus_allowed_list 1; }

# last_cpu of those.
last_cpu() { all_cpus | grep -o '[0-9]*$'; }

needs_cpus() { (($(nproc --all) > 1)) || skip "the machine has one processor"; }

@test "affinity: the caller's is reset, of run and exec" {
	needs_cpus
	sh_script "$print_cpus"
	hako_run
	called_by taskset -c 0 "${hako_run[@]}"
	equal "$(all_cpus)" "$output"
	set_args sleep 100000
	taskset -c 0 "$HAKO" --root "$ROOT" run --detach "$ID" </dev/null >"$T/o" 2>&1 3>&-
	equal "$(all_cpus)" "$(status_field Cpus_allowed_list "$(init)")"
	called_by taskset -c 0 "$HAKO" --root "$ROOT" exec "$ID" sh -c "$print_cpus"
	equal "$(all_cpus)" "$output"
}

@test "execCPUAffinity: final, of exec" {
	needs_cpus
	start_container ".process.execCPUAffinity = {initial: \"0\", final: \"$(last_cpu)\"}"
	inside "$print_cpus"
	equal "$(last_cpu)" "$output"
}

@test "execCPUAffinity: initial alone stays" {
	needs_cpus
	start_container ".process.execCPUAffinity = {initial: \"$(last_cpu)\"}"
	inside "$print_cpus"
	equal "$(last_cpu)" "$output"
}

@test "execCPUAffinity: final alone" {
	needs_cpus
	start_container ".process.execCPUAffinity = {final: \"$(last_cpu)\"}"
	inside "$print_cpus"
	equal "$(last_cpu)" "$output"
}

@test "execCPUAffinity: of exec --process, and not of the container's own process" {
	needs_cpus
	start_container '.process.execCPUAffinity = {initial: "0", final: "0"}'
	equal "$(all_cpus)" "$(status_field Cpus_allowed_list "$(init)")"
	jq --arg c "$(last_cpu)" --arg s "$print_cpus" '.process | .args = ["sh", "-c", $s] | .execCPUAffinity = {final: $c}' "$BUNDLE/config.json" >"$T/process.json"
	ok exec --process "$T/process.json" "$ID"
	equal "$(last_cpu)" "$output"
}

@test "execCPUAffinity: hako's own affinity is not changed for what comes after" {
	needs_cpus
	start_container '.process.execCPUAffinity = {initial: "0"}'
	local before
	before=$(status_field Cpus_allowed_list $$)
	inside true
	equal "$before" "$(status_field Cpus_allowed_list $$)"
}

@test "execCPUAffinity: a wrong list, and processors that do not exist" {
	refused 'process.execCPUAffinity.initial' '.process.execCPUAffinity = {initial: "0-x"}'
	refused 'process.execCPUAffinity.final' '.process.execCPUAffinity = {final: "3-1"}'
	start_container '.process.execCPUAffinity = {final: "40000"}'
	fails_with 255 'process.execCPUAffinity.final' exec "$ID" true
}

# --- personality

@test "personality: LINUX32 changes what uname says, in exec too" {
	start_container '.linux.personality = {domain: "LINUX32"}'
	equal 00000008 "$(<"/proc/$(init)/personality")"
	inside 'cat /proc/self/personality; uname -m'
	equal 00000008 "$(head -1 <<<"$output")"
	differ "$(uname -m)" "$(tail -1 <<<"$output")"
}

@test "personality: LINUX takes away what the caller had" {
	sh_script 'cat /proc/self/personality'
	update_config '.linux.personality = {domain: "LINUX"}'
	hako_run
	called_by setarch -R "${hako_run[@]}" # ADDR_NO_RANDOMIZE
	equal 00000000 "$output"
}

@test "personality: an unknown domain, and flags, of which there are none" {
	refused 'linux.personality.domain: unknown domain "BSD"' '.linux.personality = {domain: "BSD"}'
	refused 'linux.personality.flags' '.linux.personality = {domain: "LINUX", flags: ["ADDR_NO_RANDOMIZE"]}'
}

# --- memory policy

# policy: of the process's own memory, by the second column of numa_maps.
policy() { awk '{ print $2 }' "/proc/$1/numa_maps" | sort | uniq -c | sort -n | tail -1 | awk '{ print $2 }'; }

has_numa() { [[ -e /proc/self/numa_maps ]]; }

@test "memoryPolicy: each mode, in exec too" {
	if ! has_numa; then
		refused 'linux.memoryPolicy: set_mempolicy: function not implemented' '.linux.memoryPolicy = {mode: "MPOL_BIND", nodes: "0"}'
		return
	fi
	local row
	for row in 'MPOL_DEFAULT||default' 'MPOL_BIND|0|bind:0' 'MPOL_INTERLEAVE|0|interleave:0' 'MPOL_PREFERRED|0|prefer:0' \
		'MPOL_PREFERRED||local' 'MPOL_LOCAL||local' 'MPOL_PREFERRED_MANY|0|prefer (many):0' 'MPOL_WEIGHTED_INTERLEAVE|0|weighted interleave:0'; do
		IFS='|' read -r mode nodes want <<<"$row"
		update_config --arg m "$mode" --arg n "$nodes" '.linux.memoryPolicy = {mode: $m, nodes: $n}'
		start_container
		equal "${want%% *}" "$(policy "$(init)")"
		ok exec --detach --pid-file "$T/exec.pid" "$ID" sleep 100000
		equal "${want%% *}" "$(policy "$(<"$T/exec.pid")")"
		ok delete --force "$ID"
	done
}

@test "memoryPolicy: flags" {
	has_numa || skip "the kernel has no CONFIG_NUMA"
	start_container '.linux.memoryPolicy = {mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_STATIC_NODES"]}'
	equal bind=static:0 "$(policy "$(init)")"
}

@test "memoryPolicy: a node that does not exist" {
	has_numa || skip "the kernel has no CONFIG_NUMA"
	refused 'linux.memoryPolicy: set_mempolicy: invalid argument' '.linux.memoryPolicy = {mode: "MPOL_BIND", nodes: "1000"}'
}

@test "memoryPolicy: wrong values" {
	refused 'linux.memoryPolicy.mode: unknown mode "MPOL_FOO"' '.linux.memoryPolicy = {mode: "MPOL_FOO"}'
	refused 'linux.memoryPolicy.nodes: MPOL_BIND needs at least one' '.linux.memoryPolicy = {mode: "MPOL_BIND"}'
	refused 'linux.memoryPolicy.nodes: MPOL_LOCAL takes none' '.linux.memoryPolicy = {mode: "MPOL_LOCAL", nodes: "0"}'
	refused 'linux.memoryPolicy.nodes' '.linux.memoryPolicy = {mode: "MPOL_BIND", nodes: "x"}'
	refused 'linux.memoryPolicy.flags\[0\]' '.linux.memoryPolicy = {mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_FOO"]}'
	refused 'linux.memoryPolicy.flags' '.linux.memoryPolicy = {mode: "MPOL_BIND", nodes: "0", flags: ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}'
}

# --- keyring

# with_keys: /proc/keys is visible, as it is not by default, to a user who sees
# there what the session keyring leads to, but not everything of root's.
with_keys() { update_config '.linux.maskedPaths -= ["/proc/keys"] | .process.user = {uid: 1000, gid: 1000}'; }

@test "session keyring: a new one, the caller's is gone" {
	with_keys
	sh_script 'cat /proc/keys'
	hako_run
	called_by python3 "$TESTDATA/caller.py" keyring "$MARK-caller" "${hako_run[@]}"
	contains "keyring +_ses.$ID" "$output"
	not grep -q "$MARK-caller" <<<"$output"
}

@test "session keyring: --no-new-keyring keeps the caller's" {
	with_keys
	sh_script 'cat /proc/keys'
	called_by python3 "$TESTDATA/caller.py" keyring "$MARK-caller" "$HAKO" --root "$ROOT" run --no-new-keyring "$ID"
	contains "user +$MARK-caller.key" "$output"
	not grep -q "_ses.$ID" <<<"$output"
}

@test "session keyring: exec joins the container's, not its caller's" {
	with_keys
	start_container
	called_by python3 "$TESTDATA/caller.py" keyring "$MARK-caller" "$HAKO" --root "$ROOT" exec "$ID" cat /proc/keys
	contains "keyring +_ses.$ID" "$output"
	not grep -q "$MARK-caller" <<<"$output"
}

@test "session keyring: in a user namespace" {
	with_keys
	namespaces "${TYPES[@]}"
	update_config "$MAPS"
	sh_script 'cat /proc/keys'
	hako_run
	called_by python3 "$TESTDATA/caller.py" keyring "$MARK-caller" "${hako_run[@]}"
	contains "keyring +_ses.$ID" "$output"
	not grep -q "$MARK-caller" <<<"$output"
}

# --- signals, slack

print_signals='grep -E "^Sig(Blk|Ign)" /proc/self/status'

@test "signals: none blocked or ignored, whatever the caller's" {
	# The shell itself would change them.
	set_args grep -E '^Sig(Blk|Ign)' /proc/self/status
	hako_run
	called_by python3 "$TESTDATA/caller.py" signals "${hako_run[@]}"
	equal "SigBlk: 0000000000000000 SigIgn: 0000000000000000" "$(xargs <<<"$output")"
	called_by --ignore-signal --block-signal "${hako_run[@]}"
	equal "SigBlk: 0000000000000000 SigIgn: 0000000000000000" "$(xargs <<<"$output")"
}

@test "signals: none blocked or ignored of create and start, and of exec" {
	called_by python3 "$TESTDATA/caller.py" signals sh -c '"$@" >/dev/null 2>&1' sh "$HAKO" --root "$ROOT" create "$ID"
	called_by python3 "$TESTDATA/caller.py" signals "$HAKO" --root "$ROOT" start "$ID"
	equal 0000000000000000 "$(status_field SigBlk "$(init)")"
	equal 0000000000000000 "$(status_field SigIgn "$(init)")"
	called_by python3 "$TESTDATA/caller.py" signals "$HAKO" --root "$ROOT" exec "$ID" grep -E '^Sig(Blk|Ign)' /proc/self/status
	equal "SigBlk: 0000000000000000 SigIgn: 0000000000000000" "$(xargs <<<"$output")"
}

# The hook itself: a shell would change them.
@test "signals: none blocked or ignored in hooks" {
	local point
	mkdir "$BUNDLE/rootfs/hooked"
	for point in prestart createRuntime createContainer poststart poststop; do
		add_hook "$point" "{\"path\": \"/bin/cp\", \"args\": [\"cp\", \"/proc/self/status\", \"$BUNDLE/rootfs/hooked/$point\"]}"
	done
	add_hook startContainer '{"path": "/bin/cp", "args": ["cp", "/proc/self/status", "/hooked/startContainer"]}'
	set_args true
	hako_run
	called_by python3 "$TESTDATA/caller.py" signals "${hako_run[@]}"
	for point in prestart createRuntime createContainer startContainer poststart poststop; do
		equal "$point SigBlk: 0000000000000000 SigIgn: 0000000000000000" "$point $(grep -E '^Sig(Blk|Ign)' "$BUNDLE/rootfs/hooked/$point" | xargs)"
	done
}

@test "timer slack: 50000 ns, of run and exec, and of children" {
	in_container 'cat /proc/self/timerslack_ns /proc/$$/timerslack_ns'
	equal "50000 50000" "$(xargs <<<"$output")"
	set_args sleep 100000
	start_container
	equal 50000 "$(<"/proc/$(init)/timerslack_ns")"
	inside 'cat /proc/self/timerslack_ns /proc/$$/timerslack_ns'
	equal "50000 50000" "$(xargs <<<"$output")"
}

@test "timer slack: 50000 ns in hooks" {
	local point
	mkdir "$BUNDLE/rootfs/hooked"
	for point in prestart createRuntime createContainer poststart poststop; do
		add_hook "$point" "{\"path\": \"/bin/sh\", \"args\": [\"sh\", \"-c\", \"cat /proc/self/timerslack_ns >$BUNDLE/rootfs/hooked/$point\"], \"env\": [\"PATH=/bin:/usr/bin\"]}"
	done
	add_hook startContainer '{"path": "/bin/sh", "args": ["sh", "-c", "cat /proc/self/timerslack_ns >/hooked/startContainer"], "env": ["PATH=/bin"]}'
	set_args true
	ok run "$ID"
	for point in prestart createRuntime createContainer startContainer poststart poststop; do
		equal "$point 50000" "$point $(<"$BUNDLE/rootfs/hooked/$point")"
	done
}

# --- descriptors

# leaky COMMAND…: with descriptors that a careless caller left open.
leaky() { "$@" 5<"$T" 7<"$BUNDLE/config.json" 12<"$T" 30>>"$T/leak"; }

fds_of() { find "/proc/$1/fd" -type l -printf '%f\n' | sort -n | xargs; }

print_fds='ls /proc/$$/fd; true'

@test "descriptors: 0, 1 and 2 of run" {
	sh_script "$print_fds"
	leaky call run "$ID"
	equal "0 1 2" "$(sort -n <<<"$output" | xargs)"
}

@test "descriptors: 0, 1 and 2 of create and start" {
	leaky call create "$ID"
	equal 0 "$status"
	leaky call start "$ID"
	equal "0 1 2" "$(fds_of "$(init)")"
}

# Other processes of the container can be there already: hooks, exec.
@test "descriptors: of a created process, none leads to the host but the two FIFOs" {
	update_config --arg v "$T" '.mounts += [{destination: "/volume", type: "bind", source: $v, options: ["bind"]}]'
	leaky call create "$ID"
	equal 0 "$status"
	eventually harmless_fds "$(init)"
}

harmless_fds() {
	local fd link
	for fd in $(fds_of "$1" | cut -d ' ' -f 4-); do
		link=$(readlink "/proc/$1/fd/$fd")
		case $link in
		"$ROOT/$ID/start" | "$ROOT/$ID/result" | anon_inode:*) ;;
		*)
			echo "descriptor $fd leads to $link"
			return 1
			;;
		esac
	done
}

@test "descriptors: 0, 1 and 2 of exec" {
	start_container
	leaky call exec "$ID" sh -c "$print_fds"
	equal "0 1 2" "$(sort -n <<<"$output" | xargs)"
	leaky call exec --detach --pid-file "$T/exec.pid" "$ID" sleep 100000
	equal "0 1 2" "$(fds_of "$(<"$T/exec.pid")")"
}

@test "descriptors: 0, 1 and 2 of hooks" {
	local point
	mkdir "$BUNDLE/rootfs/hooked"
	for point in prestart createRuntime createContainer poststart poststop; do
		add_hook "$point" "{\"path\": \"/bin/sh\", \"args\": [\"sh\", \"-c\", \"exec >$BUNDLE/rootfs/hooked/$point; ls /proc/self/fd\"], \"env\": [\"PATH=/bin:/usr/bin\"]}"
	done
	add_hook startContainer '{"path": "/bin/sh", "args": ["sh", "-c", "exec >/hooked/startContainer; ls /proc/self/fd"], "env": ["PATH=/bin"]}'
	set_args true
	leaky call run "$ID"
	equal 0 "$status"
	for point in prestart createRuntime createContainer startContainer poststart poststop; do
		# 3 is the folder that ls reads.
		equal "$point 0 1 2 3" "$point $(sort -n "$BUNDLE/rootfs/hooked/$point" | xargs)"
	done
}

@test "--preserve-fds: so many from 3 on, and no more" {
	sh_script "$print_fds; cat <&3; cat <&4"
	echo three >"$T/3"
	echo four >"$T/4"
	output=$("$HAKO" --root "$ROOT" run --preserve-fds 2 "$ID" </dev/null 3<"$T/3" 4<"$T/4" 5<"$T" 6<"$T" 9<"$T" 2>&1)
	equal "0 1 2 3 4 three four" "$(xargs <<<"$output")"
}

@test "--preserve-fds: of create, start gets them; and of exec" {
	echo three >"$T/3"
	sh_script 'cat <&3 >/seen; exec sleep 100000'
	"$HAKO" --root "$ROOT" create --preserve-fds 1 "$ID" </dev/null >"$T/o" 2>&1 3<"$T/3" 4<"$T"
	ok start "$ID"
	eventually filled "$BUNDLE/rootfs/seen"
	equal three "$(<"$BUNDLE/rootfs/seen")"
	equal "0 1 2 3" "$(fds_of "$(init)")"
	output=$("$HAKO" --root "$ROOT" exec --preserve-fds 2 "$ID" sh -c "cat <&4; $print_fds" </dev/null 3<"$T" 4<"$T/3" 5<"$T" 2>&1)
	equal "three 0 1 2 3 4" "$(xargs <<<"$output")"
}

@test "--preserve-fds: a descriptor in between that is closed" {
	output=$("$HAKO" --root "$ROOT" run --preserve-fds 2 "$ID" </dev/null 3>&- 4<"$T" 2>&1) && false
	contains 'descriptor 3 is not open' "$output"
	nothing_left
}

@test "--preserve-fds: many" {
	local n redirect=''
	for ((n = 3; n < 43; n++)); do redirect+=" $n</dev/null"; done
	# A pipe would be one of them, as would be what a shell keeps to undo ">".
	sh_script '(exec ls /proc/$$/fd >/tmp/fds); wc -l </tmp/fds'
	output=$(eval '"$HAKO" --root "$ROOT" run --preserve-fds 40 "$ID" </dev/null 2>&1' "$redirect")
	equal 43 "$output"
}

# --- session, terminal, standard streams

@test "session: a new one, without a controlling terminal, also of a caller with one" {
	sh_script 'cut -d " " -f 1,5,6,7 /proc/$$/stat; true </dev/tty'
	local code=0
	script -qec "$HAKO --root $ROOT run $ID" /dev/null </dev/null >"$T/o" 3>&- || code=$?
	differ 0 "$code"
	equal "1 1 1 0" "$(head -1 "$T/o" | tr -d '\r')"
	contains 'dev/tty' "$(tail -1 "$T/o")"
}

@test "session: of exec, and of create and start" {
	start_container
	equal "$(init) $(init) $(init) 0" "$(cut -d ' ' -f 1,5,6,7 "/proc/$(init)/stat")"
	inside 'set -- $(cut -d " " -f 1,5,6,7 /proc/$$/stat); [ $1 = $2 ] && [ $1 = $3 ] && echo $4'
	equal 0 "$output"
}

@test "standard streams: a user who is not root may reopen them" {
	update_config '.process.user = {uid: 1000, gid: 1000}'
	in_container 'echo out >>/dev/stdout; echo fd >>/proc/self/fd/1; stat -Lc %u /proc/self/fd/1 >>/dev/stdout'
	equal "out fd 1000" "$(xargs <<<"$output")"
}

@test "standard streams: pipes of a user who is not root may be reopened" {
	update_config '.process.user = {uid: 1000, gid: 1000}'
	sh_script 'cat /dev/stdin; echo out >/dev/stdout; echo error >/dev/stderr'
	equal "in error out" "$(echo in | "$HAKO" --root "$ROOT" run "$ID" 2>&1 3>&- | sort | xargs -n 3 | tr ' ' '\n' | sort | xargs | sed 's/error in out/in error out/')"
}

@test "standard streams: of exec --user may be reopened" {
	start_container
	ok exec --user 1000 "$ID" sh -c 'echo out >>/dev/stdout; stat -Lc %u /proc/self/fd/1 >>/dev/stdout'
	equal "out 1000" "$(xargs <<<"$output")"
}

@test "standard streams: the null device is not given away" {
	mknod "$T/null" c 1 3
	update_config '.process.user = {uid: 1000, gid: 1000}'
	sh_script true
	# shellcheck disable=SC2094 # it is a device
	"$HAKO" --root "$ROOT" run "$ID" <"$T/null" >"$T/null" 2>"$T/null" 3>&-
	equal 0 "$(stat -c %u "$T/null")"
}

# --- security modules

no_apparmor() { [[ $(cat /sys/module/apparmor/parameters/enabled 2>/dev/null) != Y ]] || skip "AppArmor is on"; }
no_selinux() { [[ ! -e /sys/fs/selinux/enforce ]] || skip "SELinux is on"; }

@test "apparmorProfile: refused where AppArmor is off, and of exec" {
	no_apparmor
	refused 'process.apparmorProfile: .*apparmor not supported' '.process.apparmorProfile = "profile"'
	start_container 'del(.process.apparmorProfile)'
	fails_with 255 'apparmor not supported' exec --apparmor profile "$ID" true
	ok exec --apparmor unconfined "$ID" true
}

@test "selinuxLabel: refused where SELinux is off, and of exec" {
	no_selinux
	refused 'process.selinuxLabel: .*selinux is disabled or not supported' '.process.selinuxLabel = "system_u:system_r:svirt_t:s0"'
	refused 'linux.mountLabel' 'del(.process.selinuxLabel) | .linux.mountLabel = "system_u:object_r:svirt_file_t:s0"'
	start_container 'del(.linux.mountLabel)'
	fails_with 255 'selinux is disabled or not supported' exec --process-label system_u:system_r:svirt_t:s0 "$ID" true
}

# --- resctrl

@test "intelRdt: a clear error where there is no resctrl file system" {
	! grep -qw resctrl /proc/filesystems || skip "the machine has resctrl"
	refused 'linux.intelRdt: .*resctrl' '.linux.intelRdt = {closID: "'"$MARK"'", l3CacheSchema: "L3:0=f"}'
	refused 'linux.intelRdt: .*resctrl' '.linux.intelRdt = {schemata: ["MB:0=50"]}'
}

@test "intelRdt: wrong values" {
	refused 'linux.intelRdt.closID' '.linux.intelRdt = {closID: "../x"}'
	refused 'linux.intelRdt.memBwSchema' '.linux.intelRdt = {memBwSchema: "L3:0=f"}'
}

# --- network devices

# on_network SCRIPT: in a network namespace of its own, which is the host's to
# hako. There is a veth pair hb0, hb1; $H is hako with --root, $1 the id.
on_network() {
	unshare --net bash -euc '
		ip link add hb0 type veth peer name hb1
		H="$2 --root $3"
		'"$1" sh "$ID" "$HAKO" "$ROOT" </dev/null >"$T/o" 2>"$T/e" 3>&- || {
		cat "$T/o" "$T/e"
		return 1
	}
	output=$(<"$T/o")
}

@test "netDevices: a device is moved in, and is up" {
	update_config '.linux.netDevices = {hb0: {}}'
	sh_script 'ip -o link show hb0; exec sleep 100000'
	on_network '$H run -d "$1" >/dev/null 2>&1; $H exec "$1" ip -o link show hb0; ! ip link show hb0 2>/dev/null; $H delete -f "$1"'
	contains 'hb0@.*[<,]UP[,>]' "$output"
}

@test "netDevices: a device is renamed" {
	update_config '.linux.netDevices = {hb0: {name: "eth7"}}'
	on_network '$H run -d "$1" >/dev/null 2>&1; $H exec "$1" ip -o link; $H delete -f "$1"'
	contains 'eth7@' "$output"
	not grep -q hb0 <<<"$output"
}

@test "netDevices: addresses are kept, also of IPv6" {
	update_config '.linux.netDevices = {hb0: {name: "eth7"}}'
	on_network '
		ip addr add 192.0.2.7/28 dev hb0
		ip addr add 2001:db8::7/96 dev hb0 nodad
		ip link set hb0 up; ip link set hb1 up
		$H run -d "$1" >/dev/null 2>&1; $H exec "$1" ip addr show dev eth7; $H delete -f "$1"'
	contains 'inet 192.0.2.7/28 ' "$output"
	contains 'inet6 2001:db8::7/96 ' "$output"
}

@test "netDevices: it works, packets pass" {
	update_config '.linux.netDevices = {hb0: {}}'
	on_network '
		ip addr add 192.0.2.7/28 dev hb0
		ip addr add 192.0.2.8/28 dev hb1
		ip link set hb1 up
		$H run -d "$1" >/dev/null 2>&1
		$H exec "$1" nc -l -p 4321 -e echo hello >/dev/null 2>&1 &
		until timeout 5 bash -c "cat </dev/tcp/192.0.2.7/4321" 2>/dev/null; do kill -0 $!; done
		$H delete -f "$1"'
	equal hello "$output"
}

@test "netDevices: two devices, and names by a template" {
	update_config '.linux.netDevices = {hb0: {name: "eth%d"}, hb1: {name: "eth%d"}}'
	on_network '$H run -d "$1" >/dev/null 2>&1; $H exec "$1" ls /sys/class/net; $H delete -f "$1"'
	equal "eth0 eth1 lo" "$(xargs <<<"$output" | tr ' ' '\n' | grep -E '^(eth|lo$)' | sort | xargs)"
}

@test "netDevices: into a joined network namespace" {
	donor --net
	namespaces mount pid "network=/proc/$DONOR/ns/net"
	update_config 'del(.hostname) | .linux.netDevices = {hb0: {name: "eth7"}}'
	on_network '$H run -d "$1" >/dev/null 2>&1; $H exec "$1" ip -o link; $H delete -f "$1"'
	contains 'eth7@' "$output"
}

@test "netDevices: with a user namespace" {
	namespaces "${TYPES[@]}"
	update_config "$MAPS"' | .linux.netDevices = {hb0: {name: "eth7"}}'
	on_network '$H run -d "$1" >/dev/null 2>&1; $H exec "$1" ip -o link; $H delete -f "$1"'
	contains 'eth7@' "$output"
}

@test "netDevices: one that is missing, nothing is left" {
	refused 'linux.netDevices: hb-missing: no such device' '.linux.netDevices = {"hb-missing": {}}'
}

@test "netDevices: of two one is missing, the other comes back as it was" {
	update_config '.linux.netDevices = {hb0: {name: "eth7"}, missing: {}}'
	on_network '
		ip addr add 192.0.2.7/28 dev hb0
		ip link set hb0 up
		! $H run "$1" 2>&1
		ip addr show dev hb0'
	contains 'linux.netDevices: missing: no such device' "$output"
	contains 'hb0@.*[<,]UP[,>]' "$output"
	contains 'inet 192.0.2.7/28 ' "$output"
	nothing_left
}

@test "netDevices: a name that is taken in the container" {
	update_config '.linux.netDevices = {hb0: {name: "lo"}}'
	on_network '! $H run "$1" 2>&1; ip -o link show hb0'
	contains 'linux.netDevices: hb0: lo exists in the container: file exists' "$output"
	contains 'hb0@' "$output"
	nothing_left
}

@test "netDevices: without a network namespace, and wrong names" {
	refused 'linux.netDevices\["a/b"\]' '.linux.netDevices = {"a/b": {}}'
	refused 'linux.netDevices\["hb0"\].name' '.linux.netDevices = {hb0: {name: "a name"}}'
	refused 'linux.netDevices\["hb0"\].name' '.linux.netDevices = {hb0: {name: "sixteen-letters!"}}'
	refused 'two devices become "x"' '.linux.netDevices = {hb0: {name: "x"}, hb1: {name: "x"}}'
	namespaces mount pid
	refused 'linux.netDevices: needs a network namespace' 'del(.hostname) | .linux.netDevices = {hb0: {}}'
}
