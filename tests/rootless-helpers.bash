# For rootless*.bats: containers of an unprivileged user, who exists only in a
# mount namespace of the test. Loaded after helpers and process-helpers.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154,SC2016 # variables are shared with the tests and helpers.bash; $names are jq's

USER_ID=61000 USER_GID=61001
SUB_UID=300000 SUB_GID=400000 # the first of 65536 each, in /etc/subuid and /etc/subgid

# make_user_bundle: make_bundle, but everything is the user's.
make_user_bundle() {
	make_bundle || return
	RUNTIME_DIR=$T/run
	mkdir "$RUNTIME_DIR" "$ROOT"
	rm "$BUNDLE/config.json"
	make_user
	chown -R "$USER_ID:$USER_GID" "$T"
	as_user "$HAKO" spec --rootless
	update_config --arg mark "$MARK" '.process.terminal = false | .process.args = ["sleep", "100000"] |
		.process.env += ["MARK=" + $mark] | .root.readonly = false'
}

# make_user: $HOST_PID holds the mount namespace in which there is the user.
make_user() {
	local file
	echo "hako-user:x:$USER_ID:$USER_GID::/:/bin/sh" | cat /etc/passwd - >"$T/passwd"
	echo "hako-user:$SUB_UID:65536" >"$T/subuid"
	echo "hako-user:$SUB_GID:65536" >"$T/subgid"
	mkfifo "$T/ready"
	unshare --mount --propagation private sh -c '
		for file in passwd subuid subgid; do mount --bind "$1/$file" "/etc/$file"; done
		echo >"$1/ready"; exec sleep infinity' sh "$T" 3>&- &
	HOST_PID=$!
	read -r _ <"$T/ready"
	USER_ENV=("PATH=$PATH" "HOME=/" "XDG_RUNTIME_DIR=$RUNTIME_DIR")
	USER_OPTIONS=()
}

# host COMMAND…: as root where the user is.
host() { nsenter --mount="/proc/$HOST_PID/ns/mnt" --wdns="$PWD" -- "$@"; }

# as_user COMMAND…
as_user() {
	host setpriv --reuid "$USER_ID" --regid "$USER_GID" --clear-groups --inh-caps=-all "${USER_OPTIONS[@]}" \
		env -i "${USER_ENV[@]}" "$@"
}

# hako, as helpers.bash has it, for the user.
hako() { as_user "$HAKO" --root "$ROOT" "$@" 3>&-; }

clean_up_user() {
	local rc=0
	USER_OPTIONS=()
	clean_up || rc=1
	[[ -z ${HOST_PID:-} ]] || {
		kill -KILL "$HOST_PID"
		wait "$HOST_PID" 2>/dev/null
	}
	return $rc
}

# sub_ids: all ids of /etc/subuid and /etc/subgid, behind the user's own.
sub_ids() {
	update_config --argjson uid "$USER_ID" --argjson gid "$USER_GID" --argjson subuid "$SUB_UID" --argjson subgid "$SUB_GID" '
		.linux.uidMappings = [{containerID: 0, hostID: $uid, size: 1}, {containerID: 1, hostID: $subuid, size: 65536}] |
		.linux.gidMappings = [{containerID: 0, hostID: $gid, size: 1}, {containerID: 1, hostID: $subgid, size: 65536}]'
}

# id_map FILE PID: one blank between the numbers.
id_map() { sed 's/^ *//; s/  */ /g' "/proc/$2/$1"; }

# new_namespace TYPE, no_namespace TYPE
new_namespace() { update_config --arg t "$1" '.linux.namespaces += [{type: $t}]'; }
no_namespace() { update_config --arg t "$1" '.linux.namespaces |= map(select(.type != $t))'; }

# add_mount JSON-OBJECT
add_mount() { update_config --argjson m "$1" '.mounts += [$m]'; }

run_script() {
	sh_script "$1"
	ok run "$ID"
}

pure_v2() { [[ $(stat -f -c %T /sys/fs/cgroup) == cgroup2fs ]]; }
