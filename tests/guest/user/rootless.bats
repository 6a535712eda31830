# Rootless containers of a user with a systemd session: delegated controllers,
# the user's manager, and Podman. What needs no systemd is in tests/rootless*.bats.
# shellcheck disable=SC2016,SC2034 # $names are jq's; variables of the helpers

load ../../helpers

setup() {
	T=$(mktemp -d)
	BUNDLE=$T/bundle ROOT=$T/state ID=rootless-$$-$BATS_TEST_NUMBER
	CALLS=0
	mkdir -p "$BUNDLE"/rootfs/{bin,dev,proc,sys,tmp} "$ROOT"
	cp "$(command -v busybox)" "$BUNDLE/rootfs/bin/busybox"
	local name
	for name in sh sleep cat id true echo; do ln -s busybox "$BUNDLE/rootfs/bin/$name"; done
	cd "$BUNDLE" || return
	"$HAKO" spec --rootless
	update_config '.process.terminal = false | .process.args = ["sleep", "100000"]'
	export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/run/user/$(id -u)}
}
teardown() {
	cd /
	hako delete --force "$ID"
	[[ -z $(ls -A "$ROOT") ]]
	[[ -z $(find /sys/fs/cgroup -name "*$ID*") ]]
	rm -rf "$T"
}

cgroup_of() { sed -n 's/^0:://p' "/proc/$1/cgroup"; }

# in_unit ARG…: hako in a delegated unit that is the user's.
in_unit() {
	systemd-run --user --quiet --wait --pipe --collect -p Delegate=yes -p DelegateSubgroup=caller -p KillMode=none --working-directory="$BUNDLE" \
		"$HAKO" --root "$ROOT" "$@"
}

@test "rootless: the life of a container in the user's session" {
	ok run -d "$ID"
	local pid
	pid=$(field "$ID" .pid)
	contains "/user@$(id -u).service/.*/$ID" "$(cgroup_of "$pid")"
	ok exec "$ID" id -u
	equal 0 "$output"
	ok pause "$ID"
	has_status "$ID" paused
	ok resume "$ID"
	ok kill "$ID" KILL
	eventually status_is "$ID" stopped
	ok delete "$ID"
}

@test "rootless: ranges by newuidmap" {
	update_config --argjson uid "$(id -u)" --argjson gid "$(id -g)" '
		.linux.uidMappings = [{containerID: 0, hostID: $uid, size: 1}, {containerID: 1, hostID: 100000, size: 65536}] |
		.linux.gidMappings = [{containerID: 0, hostID: $gid, size: 1}, {containerID: 1, hostID: 100000, size: 65536}] |
		.process.user = {uid: 7, gid: 8, additionalGids: [9]}'
	ok run -d "$ID"
	equal 100006 "$(stat -c %u "/proc/$(field "$ID" .pid)")"
}

@test "rootless: limits in a delegated unit, in the kernel's files" {
	update_config '.linux.resources = {memory: {limit: 67108864}, pids: {limit: 20}, cpu: {quota: 20000, period: 100000}}'
	in_unit run -d "$ID" >"$T/out" 2>&1 </dev/null || { cat "$T/out"; false; }
	local dir
	dir=/sys/fs/cgroup$(cgroup_of "$(field "$ID" .pid)")
	equal "67108864 20 20000 100000" "$(cat "$dir/memory.max" "$dir/pids.max" "$dir/cpu.max" | xargs)"
}

@test "rootless: limits where the caller's own cgroup is in the way are refused by name" {
	update_config '.linux.resources = {pids: {limit: 20}}'
	fails 'pids.*has processes itself, so that it cannot hand the pids controller down' run "$ID"
}

@test "rootless: --systemd-cgroup: a scope of the user's manager, with limits" {
	update_config --arg id "$ID" '.linux.cgroupsPath = "user.slice:hako:" + $id | .linux.resources = {memory: {limit: 67108864}, pids: {limit: 20}}'
	ok --systemd-cgroup run -d "$ID"
	local dir
	dir=$(cgroup_of "$(field "$ID" .pid)")
	contains "/hako-$ID.scope" "$dir"
	equal "67108864 20" "$(cat "/sys/fs/cgroup$dir/memory.max" "/sys/fs/cgroup$dir/pids.max" | xargs)"
}

# whole_life ID [OPTION]: a container's, each command of which must work.
whole_life() {
	local id=$1 state
	shift
	hako "$@" create "$id" && hako start "$id" && hako exec "$id" true && hako pause "$id" || return
	state=$(hako state "$id" | jq -r .status)
	equal paused "$state" || return
	hako resume "$id" && hako delete --force "$id"
}

# in_parallel N [OPTION]: $ID-1 to $ID-N, all at once.
in_parallel() {
	local i n=$1 pids=()
	shift
	for ((i = 1; i <= n; i++)); do
		whole_life "$ID-$i" "$@" </dev/null >>"$T/many" 2>&1 &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || {
			cat "$T/many"
			return 1
		}
	done
	equal "" "$(<"$T/many")"
	equal "" "$(ls -A "$ROOT")"
	equal "" "$(find /sys/fs/cgroup -name "*$ID*")"
	equal "" "$(grep -lsaF "$ID" /proc/[0-9]*/environ)"
}

@test "rootless: ten at once leave no cgroup and no process" {
	update_config --arg id "$ID" '.process.env += ["MARK=" + $id] | .linux.resources = {}'
	in_parallel 10
}

@test "rootless: --systemd-cgroup: ten at once with limits leave no unit" {
	update_config --arg id "$ID" '.process.env += ["MARK=" + $id] | .linux.resources = {memory: {limit: 67108864}, pids: {limit: 20}} | del(.linux.cgroupsPath)'
	in_parallel 10 --systemd-cgroup
	equal "" "$(systemctl --user list-units --all --full --plain --no-legend "*$ID*")"
}

@test "rootless: without the session's environment" {
	unset XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS
	ok run -d "$ID"
	ok exec "$ID" id -u
	equal 0 "$output"
}

@test "rootless: podman runs, executes in and stops a container" {
	command -v podman >/dev/null || skip "podman is not in the guest"
	local p=(podman --root "$T/store" --runroot "$T/runroot" --runtime "$HAKO" --storage-driver vfs --events-backend file)
	rm "$BUNDLE/config.json"
	run "${p[@]}" run --rm --network none --rootfs "$BUNDLE/rootfs" id -u
	echo "$output"
	equal 0 "$(tail -n 1 <<<"$output")"
	"${p[@]}" run -d --name "$ID" --network none --memory 64m --pids-limit 30 --rootfs "$BUNDLE/rootfs" sleep 100000
	equal hi "$("${p[@]}" exec "$ID" echo hi)"
	"${p[@]}" stop -t 1 "$ID"
	"${p[@]}" rm "$ID"
	podman unshare rm -rf "$T/store" "$T/runroot"
}
