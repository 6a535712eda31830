#!/usr/bin/env bats
# Namespaces, new and joined, and what is set in them. See runtime-spec
# config-linux.md#namespaces, #user-namespace-mappings, #offset-for-time-namespace.
# shellcheck disable=SC2016 # $names are jq's or of the container's shell
# shellcheck disable=SC2034,SC2153,SC2154 # variables of the helpers

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

# own_root: the rootfs belongs to root of the user namespace of $MAPS.
own_root() { chown -hR 100000:200000 "$BUNDLE/rootfs"; }

# --- new ones, and the host's

@test "new: of one type alone, for each; the others are the host's" {
	local type
	own_root
	update_config "$BARE"
	for type in mount pid network ipc uts cgroup time; do
		namespaces "$type"
		start_container
		equal "$type" "$(own_types "$(init)")"
		ok delete --force "$ID"
		nothing_left
	done
	update_config "$MAPS"
	namespaces user
	start_container
	equal user "$(own_types "$(init)")"
}

@test "new: of one type and mount, for each; the others are the host's" {
	local type
	own_root
	update_config "$BARE"
	for type in pid network ipc uts cgroup time; do
		namespaces mount "$type"
		start_container
		equal "mount $type" "$(own_types "$(init)")"
		ok delete --force "$ID"
	done
	update_config "$MAPS"
	namespaces mount user
	start_container
	equal "user mount" "$(own_types "$(init)")"
}

@test "new: all eight types at once" {
	update_config "$MAPS"
	namespaces "${TYPES[@]}"
	start_container
	equal "${TYPES[*]}" "$(own_types "$(init)")"
}

@test "new: the order in the config does not matter" {
	update_config "$MAPS"
	namespaces time cgroup uts ipc network pid mount user
	start_container
	equal "${TYPES[*]}" "$(own_types "$(init)")"
}

@test "new: two containers share none" {
	update_config "$MAPS"
	namespaces "${TYPES[@]}"
	start_container
	update_config --arg p "/$MARK-2" '.linux.cgroupsPath = $p'
	ok run -d "$ID-2"
	local type
	for type in "${TYPES[@]}"; do
		differ "$(ns "$type" "$(init)")" "$(ns "$type" "$(field "$ID-2" .pid)")"
	done
}

@test "none: a container without namespaces has the host's, and its own root" {
	update_config "$BARE"
	namespaces
	sh_script 'ls / >/seen; exec sleep 100000'
	start_container
	equal "" "$(own_types "$(init)")"
	eventually filled "$BUNDLE/rootfs/seen"
	equal "bin dev etc home proc root seen sys tmp" "$(xargs <"$BUNDLE/rootfs/seen")"
}

@test "none: without a mount namespace the host's mounts do not change" {
	local before
	update_config "$BARE"
	namespaces pid network ipc uts
	before=$(sort /proc/self/mountinfo)
	start_container
	equal "$before" "$(sort /proc/self/mountinfo)"
	ok delete --force "$ID"
	equal "$before" "$(sort /proc/self/mountinfo)"
}

@test "none: the host's pid namespace, its processes are seen" {
	namespaces network ipc uts mount
	sh_script 'echo $$; exec sleep 100000'
	ok create "$ID"
	local out=$out_file
	ok start "$ID"
	eventually filled "$out"
	equal "$(init)" "$(<"$out")"
	ok exec "$ID" test -d "/proc/$$"
}

@test "none: the host's network, its interfaces are seen" {
	namespaces pid ipc uts mount
	in_container 'cat /proc/net/dev'
	equal "$(cut -s -d: -f1 /proc/net/dev | xargs)" "$(cut -s -d: -f1 <<<"$output" | xargs)"
}

@test "none: the host's ipc, its shared memory is seen" {
	local id
	id=$(ipcmk -M 4096 | sed 's/.*: //')
	sh_script 'cat /proc/sysvipc/shm'
	namespaces pid network uts mount
	call run "$ID"
	local shared=$output
	namespaces pid network uts mount ipc
	call run "$ID"
	ipcrm -m "$id"
	grep -qw "$id" <<<"$shared"
	not grep -qw "$id" <<<"$output"
}

# --- joined ones

@test "join: of one type by path, for each that needs nothing else" {
	local row
	for row in network:--net ipc:--ipc uts:--uts cgroup:--cgroup time:--time; do
		donor "${row#*:}"
		update_config 'del(.hostname)'
		namespaces pid mount "${row%:*}=/proc/$DONOR/ns/$(ns_file "${row%:*}")"
		start_container
		equal "$(ns "${row%:*}" "$DONOR")" "$(ns "${row%:*}" "$(init)")"
		differ "$(ns "${row%:*}" self)" "$(ns "${row%:*}" "$(init)")"
		ok delete --force "$ID"
	done
}

@test "join: a pid namespace, where the process is not process 1" {
	pid_donor
	namespaces mount network ipc uts "pid=/proc/$DONOR/ns/pid"
	sh_script 'echo $$; tr "\0" " " </proc/1/cmdline; exec sleep 100000'
	ok create "$ID"
	local out=$out_file
	ok start "$ID"
	equal "$(ns pid "$DONOR")" "$(ns pid "$(init)")"
	eventually two_lines "$out"
	differ 1 "$(head -1 "$out")"
	equal "sleep 100000" "$(tail -1 "$out" | xargs)"
}

two_lines() { grep -q sleep "$1"; }

@test "join: a pid namespace, whose death ends the container" {
	pid_donor
	namespaces mount network ipc uts "pid=/proc/$DONOR/ns/pid"
	start_container
	kill -KILL "$DONOR"
	eventually status_is "$ID" stopped
	ok delete "$ID"
}

@test "join: a mount namespace, where the container gets its own root" {
	donor --mount
	namespaces pid network ipc uts "mount=/proc/$DONOR/ns/mnt"
	sh_script 'ls /; exec sleep 100000'
	local before out
	before=$(sort /proc/self/mountinfo)
	ok create "$ID"
	out=$out_file
	ok start "$ID"
	equal "$(ns mount "$DONOR")" "$(ns mount "$(init)")"
	eventually filled "$out"
	equal "bin dev etc home proc root sys tmp" "$(xargs <"$out")"
	equal "$before" "$(sort /proc/self/mountinfo)"
}

# user_donor UNSHARE-OPTION…: a user namespace with the ids of $MAPS.
user_donor() {
	donor --user "$@"
	echo 0 100000 65536 >"/proc/$DONOR/uid_map"
	echo 0 200000 65536 >"/proc/$DONOR/gid_map"
}

@test "join: a user namespace, the others are new" {
	user_donor
	namespaces "user=/proc/$DONOR/ns/user" mount pid network ipc uts cgroup time
	start_container
	equal "$(ns user "$DONOR")" "$(ns user "$(init)")"
	equal "${TYPES[*]}" "$(own_types "$(init)")"
	equal "0 100000 65536" "$(xargs <"/proc/$(init)/uid_map")"
	equal "100000 100000 100000 100000" "$(status_field Uid "$(init)" | xargs)"
	equal "200000 200000 200000 200000" "$(status_field Gid "$(init)" | xargs)"
}

@test "join: a user namespace and the others that belong to it" {
	user_donor --net --ipc --uts --cgroup --time
	namespaces "user=/proc/$DONOR/ns/user" mount pid "network=/proc/$DONOR/ns/net" \
		"ipc=/proc/$DONOR/ns/ipc" "uts=/proc/$DONOR/ns/uts" "cgroup=/proc/$DONOR/ns/cgroup" "time=/proc/$DONOR/ns/time"
	start_container
	local type
	for type in user network ipc uts cgroup time; do
		equal "$(ns "$type" "$DONOR")" "$(ns "$type" "$(init)")"
	done
}

@test "join: a user namespace, in which the process is another user" {
	user_donor
	namespaces "user=/proc/$DONOR/ns/user" mount pid network ipc uts
	start_container '.process.user = {uid: 1000, gid: 1001, additionalGids: [7]}'
	equal "101000 101000 101000 101000" "$(status_field Uid "$(init)" | xargs)"
	equal "201001 201001 201001 201001" "$(status_field Gid "$(init)" | xargs)"
	equal 200007 "$(status_field Groups "$(init)" | xargs)"
}

@test "join: a network namespace of the host, the user namespace is new" {
	donor --net
	update_config "$MAPS"
	namespaces user mount pid ipc uts "network=/proc/$DONOR/ns/net"
	start_container
	equal "$(ns network "$DONOR")" "$(ns network "$(init)")"
	equal "user mount pid network ipc uts" "$(own_types "$(init)")"
}

@test "join: a pid namespace, the user namespace is new" {
	pid_donor
	own_root
	update_config "$MAPS | $BARE"
	namespaces user mount ipc uts network "pid=/proc/$DONOR/ns/pid"
	start_container
	equal "$(ns pid "$DONOR")" "$(ns pid "$(init)")"
	equal "user mount pid network ipc uts" "$(own_types "$(init)")"
}

@test "join: all namespaces of another container" {
	update_config "$MAPS"
	namespaces "${TYPES[@]}"
	start_container
	local pid type paths=()
	pid=$(init)
	for type in user pid network ipc uts cgroup time; do
		paths+=("$type=/proc/$pid/ns/$(ns_file "$type")")
	done
	namespaces mount "${paths[@]}"
	update_config --arg p "/$MARK-2" '.linux.cgroupsPath = $p | del(.linux.uidMappings, .linux.gidMappings, .hostname)'
	ok run -d "$ID-2"
	for type in user pid network ipc uts cgroup time; do
		equal "$(ns "$type" "$pid")" "$(ns "$type" "$(field "$ID-2" .pid)")"
	done
	ok exec "$ID" sh -c 'cat /proc/[0-9]*/cmdline | tr "\0" " "'
	contains 'sleep 100000 .*sleep 100000' "$output"
}

@test "join: by a bind mount of a namespace, as ip netns makes them" {
	touch "$T/net"
	update_config 'del(.hostname)'
	namespaces pid mount "network=$T/net"
	# In a private mount namespace, which hako is started in.
	unshare -m --propagation private bash -euc '
		unshare --net="$1/net" true
		"$2" --root "$3" run --detach "$4"
		readlink "/proc/$("$2" --root "$3" state "$4" | jq .pid)/ns/net" >"$1/seen"
		stat -c "net:[%i]" "$1/net" >"$1/want"
	' sh "$T" "$HAKO" "$ROOT" "$ID" </dev/null >"$T/o" 2>&1 3>&- || { cat "$T/o"; false; }
	filled "$T/want"
	cmp "$T/want" "$T/seen"
}

@test "join: the namespace that hako is in" {
	namespaces mount pid "network=/proc/self/ns/net" "ipc=/proc/$$/ns/ipc" "user=/proc/self/ns/user"
	update_config 'del(.hostname)'
	start_container
	equal "mount pid" "$(own_types "$(init)")"
}

# --- what is refused

@test "a path that does not exist" {
	namespaces mount pid network=/proc/1/ns/missing
	refused 'network namespace: open /proc/1/ns/missing: no such file or directory$' 'del(.hostname)'
}

@test "a path to a namespace of another type" {
	local type
	update_config "$BARE"
	for type in network ipc uts user cgroup time mount; do
		namespaces pid "$type=/proc/self/ns/pid_for_children"
		refused "duplicate|$type namespace: /proc/self/ns/pid_for_children is a pid namespace"
	done
	namespaces mount pid=/proc/self/ns/net
	refused 'pid namespace: /proc/self/ns/net is a network namespace'
}

@test "a path to something that is no namespace" {
	echo >"$T/file"
	mkfifo "$T/fifo"
	mkdir "$T/folder"
	local path
	update_config 'del(.hostname)'
	for path in "$T/file" "$T/fifo" "$T/folder" /dev/null; do
		namespaces mount pid "network=$path"
		refused "network namespace: $path is not a namespace"
	done
}

@test "a relative path" {
	namespaces mount pid network=ns/net
	refused 'linux.namespaces\[2\].path: .*absolute' 'del(.hostname)'
}

@test "an unknown type, and a type twice" {
	namespaces pid mount uts
	refused 'linux.namespaces\[3\].type: unknown namespace "net"' '.linux.namespaces += [{type: "net"}]'
	refused 'linux.namespaces\[3\].type: duplicate namespace "pid"' '.linux.namespaces[3] = {type: "pid"}'
}

@test "a new user namespace without mappings" {
	namespaces "${TYPES[@]}"
	refused 'linux.uidMappings: .*; linux.gidMappings: '
	refused 'linux.gidMappings: ' '.linux.uidMappings = [{containerID: 0, hostID: 100000, size: 1}]'
}

@test "mappings without a user namespace" {
	refused 'mappings need a user namespace' "$MAPS"
}

@test "mappings that overlap, are empty, or too large" {
	namespaces "${TYPES[@]}"
	update_config "$MAPS"
	refused 'linux.uidMappings\[1\]: .*overlap' '.linux.uidMappings[1] = {containerID: 65535, hostID: 1, size: 1}'
	refused 'linux.uidMappings\[1\]: .*overlap' '.linux.uidMappings[1] = {containerID: 70000, hostID: 100005, size: 1}'
	refused 'linux.uidMappings\[1\].size' '.linux.uidMappings[1] = {containerID: 70000, hostID: 1, size: 0}'
	refused 'linux.uidMappings\[1\]' '.linux.uidMappings[1] = {containerID: 70000, hostID: 4294967295, size: 2}'
}

@test "a user, a group and an additional group that are not mapped" {
	namespaces "${TYPES[@]}"
	update_config "$MAPS"
	refused 'process.user.uid: 65536 is not mapped' '.process.user = {uid: 65536, gid: 0}'
	refused 'process.user.gid: 65536 is not mapped' '.process.user = {uid: 0, gid: 65536}'
	refused 'process.user.additionalGids\[1\]: 65536 is not mapped' '.process.user = {uid: 0, gid: 0, additionalGids: [1, 65536]}'
}

@test "mappings that leave out the container's root" {
	namespaces user mount pid
	refused 'is container id 0 mapped\?' "$BARE"' | .process.user = {uid: 1000, gid: 1000} |
		.linux.uidMappings = [{containerID: 1000, hostID: 101000, size: 1}] | .linux.gidMappings = .linux.uidMappings'
}

@test "time offsets without a new time namespace" {
	refused 'linux.timeOffsets: needs a new time namespace' '.linux.timeOffsets = {monotonic: {secs: 1}}'
	donor --time
	namespaces pid mount "time=/proc/$DONOR/ns/time"
	update_config 'del(.hostname)'
	fails 'linux.timeOffsets: needs a new time namespace' run "$ID"
}

@test "time offsets of an unknown clock, of too many nanoseconds, out of range" {
	namespaces pid mount time
	update_config 'del(.hostname)'
	refused 'linux.timeOffsets\["realtime"\]: unknown clock' '.linux.timeOffsets = {realtime: {secs: 1}}'
	refused 'linux.timeOffsets.boottime.nanosecs' '.linux.timeOffsets = {boottime: {nanosecs: 1000000000}}'
	# The clock would be before boot.
	refused 'linux.timeOffsets: .*numerical result out of range' '.linux.timeOffsets = {boottime: {secs: -1000000000}}'
}

@test "hostname and domainname without a uts namespace" {
	namespaces pid mount
	refused 'hostname: needs a uts namespace'
	refused 'domainname: needs a uts namespace' 'del(.hostname) | .domainname = "example.org"'
}

# --- user

@test "user: uid_map and gid_map are the config's" {
	namespaces "${TYPES[@]}"
	update_config "$MAPS"
	in_container 'cat /proc/self/uid_map /proc/self/gid_map'
	equal "0 100000 65536 0 200000 65536" "$(xargs <<<"$output")"
}

@test "user: mappings of several ranges" {
	namespaces "${TYPES[@]}"
	update_config '.linux.uidMappings = [{containerID: 0, hostID: 100000, size: 10}, {containerID: 1000, hostID: 50000, size: 1}] |
		.linux.gidMappings = [{containerID: 0, hostID: 0, size: 1}, {containerID: 5, hostID: 300000, size: 1}]'
	in_container 'cat /proc/self/uid_map /proc/self/gid_map'
	equal "0 100000 10 1000 50000 1 0 0 1 5 300000 1" "$(xargs <<<"$output")"
}

@test "user: files that the container makes belong to the mapped ids" {
	namespaces "${TYPES[@]}"
	update_config "$MAPS"
	own_root
	chmod 1777 "$BUNDLE/rootfs/tmp"
	in_container 'echo >/tmp/root; id -u; id -g'
	equal "0 0" "$(xargs <<<"$output")"
	equal 100000:200000 "$(stat -c %u:%g "$BUNDLE/rootfs/tmp/root")"
	update_config '.process.user = {uid: 1000, gid: 1001}'
	in_container 'echo >/tmp/user; id -u; id -g'
	equal "1000 1001" "$(xargs <<<"$output")"
	equal 101000:201001 "$(stat -c %u:%g "$BUNDLE/rootfs/tmp/user")"
}

@test "user: the root file system keeps its owner" {
	namespaces "${TYPES[@]}"
	update_config "$MAPS"
	in_container 'stat -c %u:%g /bin/busybox'
	equal 65534:65534 "$output"
	equal 0:0 "$(stat -c %u:%g "$BUNDLE/rootfs/bin/busybox")"
}

@test "user: /dev belongs to the container's root" {
	namespaces "${TYPES[@]}"
	update_config "$MAPS"
	in_container 'stat -c %u:%g /dev /dev/shm /dev/pts'
	equal "0:0 0:0 0:0" "$(xargs <<<"$output")"
}

@test "user: setgroups is allowed, additional groups are set" {
	namespaces "${TYPES[@]}"
	update_config "$MAPS"' | .process.user.additionalGids = [10, 20]'
	in_container 'cat /proc/self/setgroups; grep Groups /proc/self/status'
	equal "allow Groups: 10 20" "$(xargs <<<"$output")"
}

@test "user: the groups of hako's caller are gone" {
	namespaces "${TYPES[@]}"
	update_config "$MAPS"
	sh_script 'grep Groups /proc/self/status'
	equal Groups: "$(setpriv --groups 4,27 "$HAKO" --root "$ROOT" run "$ID" </dev/null 2>&1 3>&- | xargs)"
}

@test "user: root inside has no power outside" {
	namespaces user mount ipc uts
	update_config "$MAPS | $BARE"' | .process.capabilities = ([
		"CAP_SYS_ADMIN", "CAP_KILL", "CAP_DAC_OVERRIDE", "CAP_CHOWN"] | {bounding: ., effective: ., permitted: .})'
	donor --mount
	own_root
	echo secret >"$BUNDLE/rootfs/secret"
	chmod 600 "$BUNDLE/rootfs/secret"
	sh_script "cat /secret; kill -0 $DONOR; chown 0 /secret; true"
	call run "$ID"
	equal "" "$output"
	contains "/secret.*ermission denied" "$stderr"
	contains "ermitted" "$stderr"
}

# --- pid

@test "pid: the process is process 1, and sees only its own kind" {
	in_container 'echo $$; ls /proc | grep "^[0-9]" | head -1; cat /proc/1/comm; true'
	equal "1 1 sh" "$(xargs <<<"$output")"
	in_container 'ls -d /proc/[0-9]* | wc -l'
	((output <= 3))
}

@test "pid: the parent is in no namespace that the process sees" {
	in_container 'grep PPid: /proc/self/status; awk "{print \$4}" /proc/1/stat'
	equal 0 "$(tail -1 <<<"$output")"
}

@test "pid: with the death of process 1 all others die" {
	sh_script 'sleep 100000 & exec sleep 100000'
	start_container
	ok kill "$ID" KILL
	eventually no_processes
}

# --- network

@test "network: a new one has a loopback device that works, and nothing else up" {
	in_container 'ip link | grep UP; mkfifo /tmp/open; exec 8<>/tmp/open; nc -l -p 4321 <&8 >/tmp/got & until echo hello | nc 127.0.0.1 4321 2>/dev/null; do kill -0 $!; done; wait $!; cat /tmp/got'
	equal 1 "$(grep -c UP <<<"$output")"
	contains 'lo: <LOOPBACK,UP,LOWER_UP>' "$output"
	contains hello "$output"
}

@test "network: the loopback device of a joined one is left as it is" {
	donor --net
	namespaces mount pid "network=/proc/$DONOR/ns/net"
	update_config 'del(.hostname)'
	in_container 'ip link show lo'
	contains '<LOOPBACK>' "$output"
}

@test "network: abstract sockets of the host are out of reach" {
	in_container 'cat /proc/net/unix | wc -l'
	equal 1 "$output"
}

# --- uts

@test "uts: hostname and domainname are set, the host's stay" {
	local host domain
	host=$(uname -n) domain=$(</proc/sys/kernel/domainname)
	update_config '.hostname = "box-7" | .domainname = "example.org"'
	in_container 'hostname; cat /proc/sys/kernel/domainname; echo $HOSTNAME'
	equal "box-7 example.org" "$(head -2 <<<"$output" | xargs)"
	equal "$host" "$(uname -n)"
	equal "$domain" "$(</proc/sys/kernel/domainname)"
}

@test "uts: hostname and domainname in a user namespace" {
	namespaces "${TYPES[@]}"
	update_config "$MAPS"' | .hostname = "box-7" | .domainname = "example.org"'
	in_container 'hostname; cat /proc/sys/kernel/domainname'
	equal "box-7 example.org" "$(xargs <<<"$output")"
}

@test "uts: without hostname a new one keeps the host's" {
	update_config 'del(.hostname)'
	in_container 'hostname'
	equal "$(uname -n)" "$output"
}

@test "uts: a name of 64 bytes is set, one of 65 refused" {
	local name
	name=$(printf 'n%.0s' {1..64})
	update_config --arg n "$name" '.hostname = $n'
	in_container 'hostname'
	equal "$name" "$output"
	refused 'hostname: longer than 64' '.hostname += "n"'
}

# --- cgroup

@test "cgroup: the root of a new one is the container's, in every hierarchy" {
	update_config '.linux.namespaces += [{type: "cgroup"}] | .linux.namespaces |= unique'
	in_container 'cat /proc/self/cgroup'
	[[ -n $output ]]
	local line
	while read -r line; do
		case $line in *:hugetlb:/* | *:misc:/* | *:perf_event:/*) continue ;; esac
		contains ':/$' "$line"
	done <<<"$output"
}

@test "cgroup: without one the paths are the host's" {
	update_config '.linux.namespaces -= [{type: "cgroup"}]'
	in_container 'cat /proc/self/cgroup'
	contains ":/$MARK" "$output"
}

# --- time

# clock NAME [PID]: in seconds, in the time namespace of PID.
clock() {
	local script='import sys, time; print(int(time.clock_gettime(getattr(time, "CLOCK_" + sys.argv[1]))))'
	if [[ $# == 1 ]]; then
		python3 -c "$script" "$1"
	else
		nsenter --time="/proc/$2/ns/time" python3 -c "$script" "$1"
	fi
}

# ahead CLOCK SECONDS: of the container, to a minute.
ahead() {
	local difference
	difference=$(($(clock "$1" "$(init)") - $(clock "$1")))
	((difference >= $2 - 60 && difference <= $2 + 60)) || {
		echo "$1 is $difference s ahead, want $2"
		return 1
	}
}

@test "time: offsets of both clocks" {
	namespaces pid mount network ipc uts time
	start_container '.linux.timeOffsets = {monotonic: {secs: 1000000, nanosecs: 500}, boottime: {secs: 2000000}}'
	ahead MONOTONIC 1000000
	ahead BOOTTIME 2000000
	equal "monotonic 1000000 500 boottime 2000000 0" "$(xargs <"/proc/$(init)/timens_offsets")"
}

@test "time: the process itself sees the offset, by /proc/uptime" {
	namespaces pid mount network ipc uts time
	update_config '.linux.timeOffsets = {boottime: {secs: 2000000}}'
	in_container 'cat /proc/uptime'
	local uptime
	uptime=$(cut -d. -f1 /proc/uptime)
	((${output%%.*} >= uptime + 1999900 && ${output%%.*} <= uptime + 2000100))
}

@test "time: negative offsets" {
	local back
	back=$(($(cut -d. -f1 /proc/uptime) / 2))
	((back > 120)) || skip "the machine runs for less than four minutes"
	namespaces pid mount network ipc uts time
	update_config --argjson b "-$back" '.linux.timeOffsets = {boottime: {secs: $b}}'
	in_container 'cat /proc/uptime'
	((${output%%.*} <= $(cut -d. -f1 /proc/uptime) - back + 60))
}

@test "time: offsets in a user namespace" {
	namespaces "${TYPES[@]}"
	start_container "$MAPS"' | .linux.timeOffsets = {monotonic: {secs: 1000000}, boottime: {secs: 2000000}}'
	equal "monotonic 1000000 0 boottime 2000000 0" "$(xargs <"/proc/$(init)/timens_offsets")"
	ok exec "$ID" cat /proc/uptime
	((${output%%.*} > 2000000))
}

@test "time: a new one without offsets has the host's clocks" {
	namespaces pid mount network ipc uts time
	start_container
	ahead MONOTONIC 0
	ahead BOOTTIME 0
}

@test "time: a joined one brings its offsets" {
	donor --time --boottime 3000000
	update_config 'del(.hostname)'
	namespaces pid mount network "time=/proc/$DONOR/ns/time"
	in_container 'cat /proc/uptime'
	((${output%%.*} > 3000000))
}

# --- exec

# exec_types: in which namespaces an executed process is, as links.
exec_types() {
	local type pid
	ok exec --detach --pid-file "$T/exec.pid" "$ID" sleep 100000
	pid=$(<"$T/exec.pid")
	for type in "${TYPES[@]}"; do
		equal "$(ns "$type" "$(init)")" "$(ns "$type" "$pid")"
	done
}

@test "exec: joins all namespaces of the container" {
	update_config "$MAPS"
	namespaces "${TYPES[@]}"
	start_container
	exec_types
}

@test "exec: joins all namespaces of a container without a user namespace" {
	namespaces mount pid network ipc uts cgroup time
	start_container
	exec_types
}

@test "exec: joins what the container has joined" {
	user_donor --net --ipc
	namespaces "user=/proc/$DONOR/ns/user" mount pid "network=/proc/$DONOR/ns/net" "ipc=/proc/$DONOR/ns/ipc" uts
	start_container
	exec_types
}

@test "exec: in a container without namespaces" {
	update_config "$BARE"
	namespaces
	start_container
	exec_types
	ok exec "$ID" ls /
	equal "bin dev etc home proc root sys tmp" "$(xargs <<<"$output")"
}

@test "exec: is process 2 or above, and its parent is outside" {
	start_container
	ok exec "$ID" sh -c 'echo $$ $PPID'
	contains '^([2-9]|[1-9][0-9]+) 0$' "$output"
}

@test "exec: in the user namespace it is root of the container, not of the host" {
	update_config "$MAPS"
	namespaces "${TYPES[@]}"
	start_container
	ok exec "$ID" id -u
	equal 0 "$output"
	ok exec --detach --pid-file "$T/exec.pid" "$ID" sleep 100000
	equal 100000 "$(status_field Uid "$(<"$T/exec.pid")" | awk '{print $1}')"
	ok exec --user 1000:1000 --detach --pid-file "$T/exec.pid" "$ID" sleep 100000
	equal 101000 "$(status_field Uid "$(<"$T/exec.pid")" | awk '{print $1}')"
}

@test "exec: the root of its cgroup namespace is the container's" {
	update_config '.linux.namespaces += [{type: "cgroup"}] | .linux.namespaces |= unique'
	start_container
	ok exec "$ID" cat /proc/self/cgroup
	equal "$(ok exec "$ID" cat /proc/1/cgroup && echo "$output")" "$output"
	not grep -v -e ':hugetlb:' -e ':misc:' -e ':perf_event:' -e ':/$' <<<"$output"
}
