#!/usr/bin/env bats
# Containers of an unprivileged user: config.json of spec --rootless, the whole
# life, id maps, mounts, devices, and what is refused.
# See docs/design.md#rootless, docs/man/hako.8, user_namespaces(7).
# shellcheck disable=SC2016,SC2317 # $names are jq's or of the container's shell; hako is redefined
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

load helpers
load process-helpers
load rootless-helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() {
	DONORS=()
	make_user_bundle
}
teardown() {
	end_donors
	clean_up_user
}

# --- the life of a container

@test "spec --rootless runs unmodified, with its terminal" {
	rm "$BUNDLE/config.json"
	as_user "$HAKO" spec --rootless
	cp "$BUNDLE/config.json" "$T/before.json"
	as_user env "MARK=$MARK" python3 "$TESTDATA/sockets.py" console "$T/c.sock" "id -u; exit" </dev/null >"$T/seen" 3>&- &
	DONORS+=("$!")
	eventually exists "$T/c.sock"
	ok run --detach --console-socket "$T/c.sock" "$ID"
	wait "${DONORS[0]}"
	DONORS=()
	contains $'\n0' "$(tr -d '\r' <"$T/seen")"
	cmp "$T/before.json" "$BUNDLE/config.json"
	eventually status_is "$ID" stopped
	ok delete "$ID"
	nothing_left
}

@test "rootless: create, state, start, exec, kill, delete" {
	ok create "$ID"
	has_status "$ID" created
	ok start "$ID"
	has_status "$ID" running
	equal "$USER_ID $USER_GID" "$(stat -c '%u %g' "/proc/$(init)")"
	ok exec "$ID" sh -c 'id -u; echo $MARK'
	equal "0 $MARK" "$(xargs <<<"$output")"
	fails 'cannot delete container .* that is not stopped: running' delete "$ID"
	ok kill "$ID" KILL
	eventually status_is "$ID" stopped
	fails 'container not running' kill "$ID"
	ok delete "$ID"
	nothing_left
}

@test "rootless: run in the foreground passes on the exit code and deletes the container" {
	sh_script 'exit 7'
	fails_with 7 '^$' run "$ID"
	nothing_left
}

@test "rootless: every namespace of the config is new, the user's is the owner" {
	ok run -d "$ID"
	local want='user mount pid ipc uts'
	! pure_v2 || want+=' cgroup'
	equal "$want" "$(own_types "$(init)")"
}

@test "rootless: exec joins the container's namespaces, with the terminal and without" {
	ok run -d "$ID"
	ok exec -d --pid-file "$T/pid" "$ID" sleep 100000
	local type
	for type in user mount pid ipc uts; do
		equal "$(ns $type "$(init)")" "$(ns $type "$(<"$T/pid")")"
	done
	as_user env "MARK=$MARK" python3 "$TESTDATA/sockets.py" console "$T/c.sock" </dev/null >"$T/seen" 3>&- &
	DONORS+=("$!")
	eventually exists "$T/c.sock"
	ok exec -d -t --console-socket "$T/c.sock" "$ID" sh -c 'tty; readlink /proc/self/ns/pid'
	wait "${DONORS[0]}"
	DONORS=()
	equal "/dev/pts/0 $(ns pid "$(init)")" "$(tr -d '\r' <"$T/seen" | xargs)"
}

@test "rootless: exec in a created container" {
	ok create "$ID"
	ok exec "$ID" id -u
	equal 0 "$output"
	ok start "$ID"
}

@test "rootless: ps, kill --all and delete --force reach all processes, without a cgroup and without a pid namespace" {
	no_namespace pid
	update_config '.mounts |= map(select(.destination != "/proc")) | .mounts += [{destination: "/proc", type: "none", source: "/proc", options: ["rbind"]}]'
	sh_script 'sleep 100000 & sleep 100000 & trap "" HUP; wait; sleep 100000; true'
	ok run -d "$ID"
	ok exec -d "$ID" unshare -U sleep 100000
	eventually has_processes 4
	ok ps --format json "$ID"
	equal "$(processes | jq -cs 'sort')" "$(jq -c sort <<<"$output")"
	ok kill --all "$ID" HUP
	eventually has_processes 2 # the shell goes on with another sleep
	ok exec -d "$ID" sleep 100000
	eventually has_processes 3
	ok delete --force "$ID"
	eventually no_processes
	nothing_left
}
has_processes() { [[ $(processes | wc -l) == "$1" ]]; }

@test "rootless: kill KILL ends all processes of a shared pid namespace" {
	no_namespace pid
	update_config '.mounts |= map(select(.destination != "/proc")) | .mounts += [{destination: "/proc", type: "none", source: "/proc", options: ["rbind"]}]'
	sh_script 'sleep 100000 & sleep 100000 & wait'
	ok run -d "$ID"
	eventually has_processes 3
	ok kill "$ID" KILL
	eventually no_processes
}

@test "rootless: ps shows the processes by the pid namespace" {
	ok run -d "$ID"
	ok exec -d "$ID" unshare -Upf sleep 100000
	eventually has_processes 3
	ok ps "$ID"
	equal "$(processes | xargs)" "$(awk 'NR > 1 { print $2 }' <<<"$output" | sort -n | xargs)"
	fails 'no cgroup' pause "$ID"
	has_status "$ID" running
}

# --- the state root

@test "rootless: the default state root is in XDG_RUNTIME_DIR and sticky" {
	ROOT=$RUNTIME_DIR/hako
	as_user "$HAKO" run -d "$ID" </dev/null >"$T/out" 2>&1 3>&-
	equal "1700 $USER_ID" "$(stat -c '%a %u' "$ROOT")"
	equal "$ID" "$(as_user "$HAKO" list -q)"
	equal "hako-user" "$(as_user "$HAKO" list --format json | jq -r '.[0].owner')"
	as_user "$HAKO" delete --force "$ID"
	rmdir "$ROOT"
}

@test "rootless: without XDG_RUNTIME_DIR there has to be a --root" {
	USER_ENV=("PATH=$PATH")
	status=0
	stderr=$(as_user "$HAKO" run "$ID" 2>&1 </dev/null 3>&-) || status=$?
	equal 1 "$status"
	contains 'state root: .*permission denied \(set XDG_RUNTIME_DIR, or give --root\)' "$stderr"
}

# --- ids

@test "rootless: the caller's id alone is mapped without a helper; setgroups is denied" {
	USER_ENV=(PATH=/nonexistent)
	ok run -d "$ID"
	equal "0 $USER_ID 1" "$(id_map uid_map "$(init)")"
	equal "0 $USER_GID 1" "$(id_map gid_map "$(init)")"
	equal deny "$(<"/proc/$(init)/setgroups")"
}

@test "rootless: ranges of /etc/subuid and /etc/subgid" {
	sub_ids
	chmod 777 "$BUNDLE/rootfs/tmp"
	update_config '.process.user = {uid: 1000, gid: 2000, additionalGids: [3000]}'
	ok run -d "$ID"
	equal "0 $USER_ID 1 1 $SUB_UID 65536" "$(id_map uid_map "$(init)" | xargs)"
	equal "0 $USER_GID 1 1 $SUB_GID 65536" "$(id_map gid_map "$(init)" | xargs)"
	equal allow "$(<"/proc/$(init)/setgroups")"
	equal $((SUB_UID + 999)) "$(status_field Uid "$(init)" | cut -f1)"
	equal $((SUB_GID + 1999)) "$(status_field Gid "$(init)" | cut -f1)"
	equal $((SUB_GID + 2999)) "$(status_field Groups "$(init)" | xargs)"
	ok exec --user 5:6 "$ID" sh -c 'id -u; id -g'
	equal "5 6" "$(xargs <<<"$output")"
	ok exec "$ID" sh -c 'touch /tmp/mine && stat -c %u /tmp/mine'
	equal 1000 "$output"
	equal $((SUB_UID + 999)) "$(stat -c %u "$BUNDLE/rootfs/tmp/mine")"
	ok kill "$ID" KILL
	eventually status_is "$ID" stopped
	ok delete "$ID"
}

@test "rootless: groups from the ranges, the user alone" {
	sub_ids
	update_config --argjson uid "$USER_ID" '.linux.uidMappings = [{containerID: 0, hostID: $uid, size: 1}] | .process.user.additionalGids = [7]'
	run_script 'id -G'
	equal "0 7" "$output"
}

@test "rootless: one group that is not the caller's comes from the helper" {
	update_config --argjson gid "$SUB_GID" '.linux.gidMappings = [{containerID: 0, hostID: $gid, size: 1}]'
	ok run -d "$ID"
	equal "0 $SUB_GID 1" "$(id_map gid_map "$(init)")"
	equal "" "$(status_field Groups "$(init)")"
}

@test "rootless: the caller's groups stay where setgroups is denied, and none can be added" {
	run_script 'id -G'
	equal 0 "$output"
	refused 'process.user.additionalGids: setgroups is denied in this user namespace' '.process.user.additionalGids = [0]'
}

@test "rootless: ids that are not the user's are refused by the helper, which is quoted" {
	sub_ids
	refused 'linux.uidMappings: newuidmap: uid range .* not allowed \(the range has to be the user.s in /etc/subuid\)' \
		'.linux.uidMappings[1].hostID += 1'
	sub_ids
	refused 'linux.gidMappings: newgidmap: gid range .* not allowed \(the range has to be the user.s in /etc/subgid\)' \
		'.linux.gidMappings[1].hostID += 1'
	refused 'linux.uidMappings: newuidmap: uid range .* not allowed' '.linux.uidMappings = [{containerID: 0, hostID: 0, size: 1}]'
}

@test "rootless: a user without ranges" {
	sub_ids
	: >"$T/subuid"
	refused 'linux.uidMappings: newuidmap: uid range .* not allowed \(the range has to be the user.s in /etc/subuid\)'
}

@test "rootless: without the helpers" {
	sub_ids
	USER_ENV=("PATH=$T/hooks:relative::/bin/busybox")
	refused 'linux.uidMappings: more than the caller.s own id is mapped, which takes newuidmap: not found in \$PATH \(Debian.s package uidmap has it\)'
}

@test "rootless: with no_new_privs the helpers have no power" {
	sub_ids
	USER_OPTIONS=(--no-new-privs)
	refused 'linux.uidMappings: newuidmap: .*\(no_new_privs is set, so that setuid programs have no effect\)'
}

@test "rootless: the helper sees nothing of the caller: environment, descriptors, directory" {
	sub_ids
	hook newuidmap <<-EOF
		tr '\\0' '\\n' <"/proc/\$\$/environ" >"$T/environ"
		pwd >"$T/pwd"
		ls "/proc/\$\$/fd" >"$T/fd"
		exec /usr/bin/newuidmap "\$@"
	EOF
	USER_ENV=("PATH=$T/hooks:$PATH" "SECRET=1" "LD_PRELOAD=")
	sh_script 'ls /proc/self/fd'
	as_user "$HAKO" --root "$ROOT" run --preserve-fds 5 "$ID" 3</dev/null 4</dev/null 5</dev/null 6</dev/null 7</dev/null </dev/null >"$T/out" 2>"$T/err" || {
		cat "$T/err"
		false
	}
	equal "" "$(grep -v '^\(PWD\|OLDPWD\|SHLVL\|_\)=' "$T/environ" || true)"
	equal / "$(<"$T/pwd")"
	equal "0 1 2 255" "$(sort -n "$T/fd" | xargs)" # 255 is the script
	contains '4 5 6 7' "$(xargs <"$T/out")"
}

@test "rootless: a helper that fails, or is killed, is an error" {
	sub_ids
	USER_ENV=("PATH=$T/hooks:$PATH")
	hook newuidmap <<<'exit 3'
	refused 'linux.uidMappings: newuidmap: exit status 3'
	hook newuidmap <<<'kill -9 $$'
	refused 'linux.uidMappings: newuidmap was killed by signal 9'
	hook newuidmap <<<'exit 0' # lies
	refused 'become root of the user namespace'
}

@test "rootless: container id 0 has to be mapped" {
	refused 'become root of the user namespace \(is container id 0 mapped\?\)' \
		'.linux.uidMappings[0].containerID = 5 | .linux.gidMappings[0].containerID = 5 | .process.user = {uid: 5, gid: 5}'
}

@test "rootless: without a user namespace" {
	refused 'linux.namespaces: without root privileges a container needs a user namespace' \
		'.linux.namespaces |= map(select(.type != "user")) | del(.linux.uidMappings, .linux.gidMappings)'
}

@test "rootless: user namespaces have run out" {
	host unshare --user --map-root-user --mount sh -c '
		echo 1 >/proc/sys/user/max_user_namespaces' || skip "user.max_user_namespaces cannot be lowered"
	status=0
	stderr=$(as_user unshare --user --map-root-user sh -c '
		echo 0 >/proc/sys/user/max_user_namespaces
		exec "$0" --root "$1" run "$2"' "$HAKO" "$ROOT" "$ID" 2>&1 </dev/null 3>&-) || status=$?
	equal 1 "$status"
	contains 'clone3: no space left on device \(limit of namespaces, see /proc/sys/user/max_\*_namespaces\)' "$stderr"
	nothing_left
}

@test "rootless: a user namespace to join, and time that is offset" {
	pid_donor_of_user
	update_config --arg path "/proc/$DONOR/ns/user" '.linux.namespaces |= map(if .type == "user" then .path = $path else . end) |
		del(.linux.uidMappings, .linux.gidMappings)'
	run_script 'readlink /proc/self/ns/user; id -u'
	equal "$(ns user "$DONOR") 0" "$(xargs <<<"$output")"
}
# pid_donor_of_user: $DONOR is in a user namespace that the user has made.
pid_donor_of_user() {
	as_user env "MARK=$MARK" unshare --user --map-root-user sh -c 'echo $$ >"$0"; exec sleep 100000' "$T/donor" </dev/null >/dev/null 2>&1 3>&- &
	eventually filled "$T/donor"
	DONOR=$(<"$T/donor")
	DONORS+=("$DONOR")
}

@test "rootless: a new time namespace" {
	new_namespace time
	update_config '.linux.timeOffsets = {boottime: {secs: 7777777}}'
	run_script 'cut -d. -f1 /proc/uptime'
	((output > 7777777)) || {
		show
		false
	}
}

# --- root of a user namespace, as podman unshare has it

@test "rootless: root of a user namespace with mounts of its own" {
	in_userns --mount
	update_config '.linux.namespaces |= map(select(.type != "user")) | del(.linux.uidMappings, .linux.gidMappings)'
	run_script 'id -u; cat /proc/self/uid_map; ls -l /dev/null'
	contains "^0
 +0 +$USER_ID +1
crw-rw-rw-" "$output"
	# One more, nested.
	update_config '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 0, size: 1}] | .linux.gidMappings = .linux.uidMappings'
	run_script 'id -u'
	equal 0 "$output"
}

@test "rootless: root of a user namespace without mounts of its own" {
	in_userns
	update_config '.linux.uidMappings[0].hostID = 0 | .linux.gidMappings[0].hostID = 0'
	run_script 'id -u'
	equal 0 "$output"
}

@test "rootless: root of a user namespace with many ids maps them without a helper" {
	sub_ids
	cat >"$T/enter" <<-EOF
		unshare --user --mount sh -c 'echo >"$T/in"; read -r _ <"$T/mapped"; exec setpriv --reuid 0 --regid 0 --clear-groups env -i PATH=/nonexistent "\$@"' sh "\$@" &
		read -r _ <"$T/in"
		newuidmap \$! 0 $USER_ID 1 1 $SUB_UID 65536
		newgidmap \$! 0 $USER_GID 1 1 $SUB_GID 65536
		echo >"$T/mapped"
		wait \$!
	EOF
	as_user mkfifo "$T/in" "$T/mapped"
	hako() { as_user sh "$T/enter" "$HAKO" --root "$ROOT" "$@" 3>&-; }
	update_config '.linux.uidMappings = [{containerID: 0, hostID: 0, size: 1}, {containerID: 1, hostID: 1000, size: 100}] |
		.linux.gidMappings = .linux.uidMappings | .process.user = {uid: 11, gid: 12, additionalGids: [13]}'
	run_script 'id -u; id -G'
	equal "11 12 13" "$(xargs <<<"$output")"
}

# in_userns UNSHARE-OPTION…: hako is root in a user namespace of the user's.
in_userns() {
	IN_USERNS=("$@")
	hako() { as_user unshare --user --map-root-user "${IN_USERNS[@]}" "$HAKO" --root "$ROOT" "$@" 3>&-; }
}

# --- mounts and devices

@test "rootless: sources that only the user can reach" {
	as_user mkdir -m 700 "$T/private"
	as_user sh -c "mkdir $T/private/dir && echo mine >$T/private/dir/file"
	add_mount "{\"destination\": \"/data\", \"source\": \"$T/private/dir\", \"options\": [\"bind\", \"rw\"]}"
	run_script 'cat /data/file; echo new >/data/new'
	equal mine "$output"
	equal "new $USER_ID" "$(cat "$T/private/dir/new") $(stat -c %u "$T/private/dir/new")"
}

@test "rootless: the bundle is in a folder that only the user can enter" {
	as_user chmod 700 "$T"
	run_script 'echo fine'
	equal fine "$output"
}

@test "rootless: a source that is missing, or not the user's, is named" {
	mkdir -m 700 "$T/roots"
	add_mount "{\"destination\": \"/data\", \"source\": \"$T/missing\", \"options\": [\"bind\"]}"
	refused 'open the sources of mounts: mounts\[7\] /data: open_tree .*/missing: no such file or directory'
	update_config --arg source "$T/roots/x" '.mounts[-1].source = $source'
	refused 'open the sources of mounts: mounts\[7\] /data: open_tree .*/roots/x: permission denied'
	update_config '.root.path = "nowhere"'
	refused 'open the sources of mounts: root.path: open_tree .*/nowhere: no such file or directory'
}

@test "rootless: flags that the host has locked stay, and cannot be taken away" {
	mkdir "$T/locked"
	host mount -t tmpfs -o mode=777,nosuid,nodev,noexec,noatime tmpfs "$T/locked"
	host sh -c "echo data >$T/locked/file"
	add_mount "{\"destination\": \"/data\", \"source\": \"$T/locked\", \"options\": [\"rbind\", \"rw\"]}"
	run_script "awk '\$5 == \"/data\" { print \$6 }' /proc/self/mountinfo; cat /data/file"
	equal "rw,nosuid,nodev,noexec,noatime data" "$(xargs <<<"$output")"
	refused 'mounts\[7\] /data: .*operation not permitted: a flag of the source is locked by the parent user namespace' \
		'.mounts[-1].options = ["rbind", "exec"]'
	# A remount that does not speak of them keeps them.
	update_config '.mounts[-1].options = ["rbind"]'
	add_mount '{"destination": "/data", "options": ["remount", "bind", "ro"]}'
	run_script "awk '\$5 == \"/data\" { print \$6 }' /proc/self/mountinfo"
	equal "ro,nosuid,nodev,noexec,noatime" "$output"
	host umount "$T/locked"
}

@test "rootless: sysfs: the host's without a network namespace, an own one with" {
	run_script "awk '\$5 == \"/sys\" { print \$6 }' /proc/self/mountinfo; ls /sys/class/net | wc -l"
	contains '^ro,nosuid,nodev,noexec' "$output"
	equal "$(host sh -c 'ls /sys/class/net | wc -l')" "$(tail -n 1 <<<"$output")"
	# Somebody changes the type only.
	update_config '.mounts |= map(if .destination == "/sys" then {destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid"]} else . end)'
	run_script "awk '\$5 == \"/sys\" { print \$6 }' /proc/self/mountinfo"
	contains '^ro,nosuid' "$output"
	new_namespace network
	run_script 'ls /sys/class/net; cat /sys/class/net/lo/operstate; ip -o addr show lo 2>/dev/null | grep -c 127.0.0.1'
	equal "lo unknown 1" "$(xargs <<<"$output")"
}

@test "rootless: the view of cgroups cannot be written to, whatever the config says" {
	update_config '.mounts |= map(if .destination == "/sys/fs/cgroup" then .options = ["rw"] else . end)'
	run_script "for dir in /sys/fs/cgroup /sys/fs/cgroup/*/; do mkdir \$dir/x 2>&1; done | grep -cv 'Read-only file system'; true"
	equal 0 "$output"
}

@test "rootless: two views of cgroups" {
	update_config '.linux.namespaces -= [{type: "cgroup"}]'
	add_mount '{"destination": "/second", "type": "cgroup", "source": "cgroup"}'
	run_script 'for dir in /sys/fs/cgroup /second; do find $dir/ -maxdepth 2 -name cgroup.procs | sed "s,^$dir,," | sort >/tmp/list; wc -l </tmp/list; md5sum </tmp/list; done'
	differ 0 "$(head -n 1 <<<"$output")"
	equal "$(head -n 2 <<<"$output")" "$(tail -n 2 <<<"$output")"
}

@test "rootless: devices are the host's, bound" {
	run_script 'echo x >/dev/null && head -c 1 /dev/zero | wc -c; stat -c "%t:%T" /dev/full /dev/tty'
	equal "1 1:7 5:0" "$(xargs <<<"$output")"
	update_config '.linux.devices = [{path: "/dev/kmsg", type: "c", major: 1, minor: 11, uid: 5, fileMode: 438}]'
	run_script 'stat -c "%t:%T" /dev/kmsg'
	equal 1:b "$output"
	refused 'linux.devices /dev/none: open_tree /dev/none: no such file or directory' \
		'.linux.devices = [{path: "/dev/none", type: "c", major: 250, minor: 77}]'
}

@test "rootless: device rules are left out, there is no device to deny" {
	update_config '.linux.resources.devices = [{allow: false, access: "rwm"}]'
	run_script 'echo x >/dev/null && echo fine'
	equal fine "$output"
}

@test "rootless: device rules that would forbid something are not enforced, which is told once" {
	local rules
	set_args true
	for rules in '[{allow: false, access: "rwm"}, {allow: true, type: "c", major: 10, access: "rwm"}, {allow: false, type: "c", major: 10, minor: 229, access: "w"}]' \
		'[{allow: true, access: "rwm"}, {allow: false, access: "w"}]' \
		'[{allow: false, access: "rwm"}, {allow: true, type: "c", major: 1, minor: 11, access: "r"}]'; do
		update_config ".linux.resources.devices = $rules"
		call run "$ID"
		equal 0 "$status"
		contains 'linux.resources.devices: not enforced without root privileges' "$stderr"
		equal 1 "$(wc -l <"$err_file")"
	done
}

@test "rootless: the device rules that engines always send are not worth a word" {
	local rules
	set_args true
	# hako spec's, Docker's, a privileged container's, and none, as Podman's.
	for rules in '[{allow: false, access: "rwm"}]' \
		'[{allow: false, access: "rwm"}, {allow: true, type: "c", access: "m"}, {allow: true, type: "b", major: -1, minor: -1, access: "m"},
			{allow: true, type: "c", major: 1, minor: 5, access: "rwm"}, {allow: true, type: "c", major: 136, access: "rwm"},
			{allow: false, type: "c", major: 10, minor: 229, access: "rwm"}]' \
		'[{allow: true, access: "rwm"}]' null; do
		update_config ".linux.resources.devices = $rules"
		ok run "$ID"
	done
}

@test "rootless: masked and read-only paths" {
	run_script 'head -c 1 /proc/keys | wc -c; ls /sys/firmware | wc -l; (echo 1 >/proc/sys/kernel/msgmax) 2>&1; true'
	contains 'Read-only file system' "$output"
	equal "0 0" "$(head -n 2 <<<"$output" | xargs)"
}

@test "rootless: mounts that take privileges are refused and named" {
	refused 'mounts\[2\].options: "gid=5" is not mapped in the user namespace' '.mounts[2].options += ["gid=5"]'
	update_config '.mounts[2].options -= ["gid=5"]'
	add_mount "{\"destination\": \"/data\", \"source\": \"$T\", \"options\": [\"bind\", \"idmap\"]}"
	refused 'mounts\[7\] /data: an id-mapped mount takes root privileges on the host: operation not permitted'
	update_config '.mounts[-1] = {destination: "/data", type: "ext4", source: "/dev/null"}'
	refused 'mounts\[7\] /data: .*operation not permitted'
}

@test "rootless: the root is read-only, and pivoted to or moved" {
	update_config '.root.readonly = true'
	run_script 'touch /x 2>&1; ls /'
	contains 'Read-only file system' "$output"
	sh_script 'ls /'
	ok run --no-pivot "$ID"
	contains 'proc' "$output"
}

# --- attributes of the process

@test "rootless: the oom score can be raised, not lowered" {
	update_config '.process.oomScoreAdj = 500'
	run_script 'cat /proc/self/oom_score_adj'
	equal 500 "$output"
	update_config '.process.oomScoreAdj = 0'
	run_script 'cat /proc/self/oom_score_adj'
	equal 0 "$output"
	refused 'process.oomScoreAdj -500: lowering it takes CAP_SYS_RESOURCE on the host: .*permission denied' '.process.oomScoreAdj = -500'
}

@test "rootless: exec sets the oom score, too" {
	update_config '.process.oomScoreAdj = 300'
	ok run -d "$ID"
	ok exec "$ID" cat /proc/self/oom_score_adj
	equal 300 "$output"
}

@test "rootless: a limit above the caller's hard limit is refused and named" {
	USER_ENV+=(HARD=1)
	hako() { as_user prlimit --nofile=512:1024 "$HAKO" --root "$ROOT" "$@" 3>&-; }
	update_config '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 600, hard: 1024}]'
	run_script 'ulimit -Sn; ulimit -Hn'
	equal "600 1024" "$(xargs <<<"$output")"
	refused 'set resource limits: RLIMIT_NOFILE soft 600 hard 2048: setrlimit: operation not permitted' '.process.rlimits[0].hard = 2048'
}

@test "rootless: what belongs to root is refused" {
	refused 'linux.netDevices: needs root privileges' '.linux.namespaces += [{type: "network"}] | .linux.netDevices = {lo: {}}'
	update_config 'del(.linux.netDevices) | .process.scheduler = {policy: "SCHED_FIFO", priority: 10}'
	refused 'process.scheduler: .*operation not permitted'
}

@test "rootless: hooks run as the user, those of the container in its namespaces" {
	hook say <<-EOF
		cat >/dev/null
		echo "\$1 \$(id -u)" >>"$T/hooked"
	EOF
	touch "$T/hooked"
	chmod 666 "$T/hooked"
	local point
	for point in createRuntime createContainer poststart poststop; do
		add_hook "$point" "{\"path\": \"$T/hooks/say\", \"args\": [\"say\", \"$point\"], \"env\": [\"PATH=$PATH\"]}"
	done
	ok run -d "$ID"
	ok delete --force "$ID"
	equal "createRuntime $USER_ID createContainer 0 poststart $USER_ID poststop $USER_ID" "$(xargs <"$T/hooked")"
}

# --- cgroups that may not be made

@test "rootless: limits without a cgroup are refused, by their names" {
	refused '3 problems: linux.resources.memory: takes a cgroup, and none is delegated to this user \(systemd-run --user -p Delegate=yes -p DelegateSubgroup=caller, or --systemd-cgroup\).*linux.resources.cpu: .*linux.resources.pids: ' \
		'.linux.resources = {memory: {limit: 33554432}, cpu: {shares: 512}, pids: {limit: 9}}'
}

@test "rootless: a cgroup that the config names and the user may not make" {
	update_config --arg path "/$MARK" '.linux.cgroupsPath = $path'
	fails 'mkdir .*: permission denied' run "$ID"
	nothing_left
	fails 'mkdir .*: permission denied' --rootless false run "$ID"
	call --rootless true run -d "$ID"
	equal 0 "$status"
	contains 'linux.cgroupsPath: .*permission denied: without a cgroup, as --rootless=true has it' "$stderr"
	ok ps --format json "$ID"
	equal "[$(init)]" "$output"
	ok delete --force "$ID"
	nothing_left
}

@test "--rootless=false: an unprivileged user needs the cgroup" {
	fails 'mkdir .*: permission denied' --rootless false run "$ID"
	nothing_left
}

@test "exec --cgroup: there is none" {
	ok run -d "$ID"
	fails_with 255 '--cgroup x: the container has no cgroup' exec --cgroup x "$ID" true
}

# --- the runtime's own binary, and what is inside

@test "rootless: the binary that enters the container is a sealed copy" {
	as_user cp "$HAKO" "$T/hako"
	HAKO=$T/hako
	local sum
	sum=$(sha256sum "$HAKO")
	ok create "$ID"
	contains 'memfd:hako' "$(readlink "/proc/$(init)/exe")"
	# Not even with the user's own privileges, who owns hako's file.
	not as_user sh -c "echo evil >/proc/$(init)/exe"
	not as_user python3 -c "open('/proc/$(init)/exe', 'r+b').write(b'evil')"
	not as_user truncate -s 0 "/proc/$(init)/exe"
	equal "$sum" "$(sha256sum "$HAKO")"
	ok start "$ID"
	equal "$sum" "$(sha256sum "$HAKO")"
}

@test "rootless: a created container cannot be looked into from inside" {
	update_config '.process.capabilities.bounding += ["CAP_DAC_OVERRIDE"] | .process.capabilities.effective += ["CAP_DAC_OVERRIDE"] | .process.capabilities.permitted += ["CAP_DAC_OVERRIDE"]'
	ok create "$ID"
	# That there are descriptors can be seen, not what they are.
	call exec "$ID" sh -c 'for fd in /proc/1/fd/*; do readlink "$fd" && echo seen; done; ls /proc/1/root/ /proc/1/cwd/
		readlink /proc/1/exe && echo seen; cat /proc/1/mem /proc/1/environ; echo end'
	equal end "$output"
	equal 4 "$(grep -c 'Permission denied' <<<"$stderr")"
	ok start "$ID"
}

@test "rootless: no descriptor of the host is inside" {
	run_script 'ls /proc/self/fd'
	equal "0 1 2 3" "$(xargs <<<"$output")"
	set_args sleep 100000
	ok run -d "$ID"
	ok exec "$ID" ls /proc/self/fd
	equal "0 1 2 3" "$(xargs <<<"$output")"
	ok delete --force "$ID"
}

# --- nothing is left

@test "rootless: a create that fails leaves nothing" {
	add_mount '{"destination": "/proc/1", "type": "tmpfs", "source": "tmpfs"}'
	refused 'inside /proc'
	update_config '.mounts |= .[:-1] | .process.args = ["nonexistent"]'
	refused 'executable file not found in \$PATH'
}

@test "rootless: hako is killed at any moment, and delete --force leaves nothing" {
	sub_ids
	local n caller pid killed=0
	# A busy machine starts as_user's commands late.
	for n in {1..60}; do
		((killed < 6)) || break
		as_user "$HAKO" --root "$ROOT" create "$ID" </dev/null >/dev/null 2>&1 3>&- &
		caller=$!
		sleep "0.0$((n * 7 % 10))"
		pid=$(child_of "$caller" 2>/dev/null) || pid='' # nsenter, setpriv and env become hako without forking
		[[ -z $pid ]] || ! kill -KILL "$pid" 2>/dev/null || killed=$((killed + 1))
		wait "$caller" || true
		ok delete --force "$ID"
		eventually nothing_left >"$T/left" || {
			cat "$T/left"
			return 1
		}
	done
	((killed > 2))
}
