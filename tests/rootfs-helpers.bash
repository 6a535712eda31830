# For mounts.bats, rootfs.bats and devices.bats: a mount namespace that plays
# the host, so that no test changes the mounts of this machine, and what a
# container's mountinfo says. Loaded after helpers.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154,SC2016 # variables are shared with the tests and helpers.bash; $names are jq's

# private_host: $HOST_PID holds the namespace; every mount in it is private.
private_host() {
	mkfifo "$T/ready"
	unshare --mount --propagation private sh -c 'echo >"$1"; exec sleep infinity' sh "$T/ready" 3>&- &
	HOST_PID=$!
	read -r _ <"$T/ready"
	HOST_PIDS=() HOST_OPTIONS=()
	HOST_MOUNTS_MAY_CHANGE=
}

# nested_host: the host is a user namespace itself, with all ids of this
# machine. What is mounted when it begins is locked; mount_namespaces(7).
nested_host() {
	local map
	HOST_PIDS+=("$HOST_PID")
	mkfifo "$T/mapped"
	nsenter --mount --target "$HOST_PID" unshare --user --mount --propagation private \
		sh -c 'echo >"$1"; read -r _ <"$2"; exec sleep infinity' sh "$T/ready" "$T/mapped" 3>&- &
	HOST_PID=$!
	read -r _ <"$T/ready"
	for map in uid_map gid_map; do
		echo 0 0 4294967295 >"/proc/$HOST_PID/$map"
	done
	echo >"$T/mapped"
	HOST_OPTIONS=(--user)
}

# host COMMAND…: in that namespace, in the current directory.
host() { nsenter --mount "${HOST_OPTIONS[@]}" --target "$HOST_PID" --wdns="$PWD" -- "$@"; }

host_mounts() { cat "/proc/$HOST_PID/mountinfo"; }

# hako, as helpers.bash has it, on that host. It must not change its mounts.
hako() {
	local before rc=0
	before=$(host_mounts)
	host "$HAKO" --root "$ROOT" "$@" 3>&- || rc=$?
	[[ -n $HOST_MOUNTS_MAY_CHANGE ]] || same_mounts "$before" || {
		echo "by: hako $*" >&2
		return 99
	}
	return $rc
}

# same_mounts BEFORE: the host's mounts are those. Whoever removes a folder
# unmounts it everywhere, which is not hako's doing.
same_mounts() {
	local now line rc=0
	now=$(host_mounts)
	[[ $1 != "$now" ]] || return 0
	while read -r line; do
		echo "changed mount: $line" >&2
		rc=1
	done < <(diff <(echo "$1") <(echo "$now") | awk '$1 == ">"')
	while read -r line; do
		! host test -e "$line" || {
			echo "no longer mounted: $line" >&2
			rc=1
		}
	done < <(diff <(echo "$1") <(echo "$now") | awk '$1 == "<" { print $6 }')
	return $rc
}

# make_host, clean_up_host: setup and teardown of a test.
make_host() {
	make_bundle || return
	private_host
}

clean_up_host() {
	local rc=0
	clean_up || rc=1
	[[ -z ${HOST_PID:-} ]] || {
		kill -KILL "$HOST_PID" "${HOST_PIDS[@]}"
		wait "$HOST_PID" "${HOST_PIDS[@]}" 2>/dev/null
	}
	no_keepers || rc=1
	return $rc
}

# no_keepers: of a namespace that a test has made.
no_keepers() {
	local file left=
	while read -r file; do
		[[ $(tr '\0' ' ' 2>/dev/null <"${file%environ}cmdline") != "sleep infinity "* ]] || left+=" $file"
	done < <(grep -lsaF "BATS_TEST_TMPDIR=$BATS_TEST_TMPDIR" /proc/[0-9]*/environ)
	[[ -z $left ]] || {
		echo "left:$left"
		return 1
	}
}

# host_tmpfs DIRECTORY [OPTIONS]: a tmpfs of the host, made if missing.
host_tmpfs() {
	host mkdir -p "$1"
	host mount -t tmpfs ${2:+-o "$2"} tmpfs "$1"
}

# add_mount DESTINATION TYPE SOURCE [OPTION…]: a row at the end of mounts;
# an empty TYPE or SOURCE is left out.
add_mount() {
	update_config '.mounts += [$ARGS.positional | {destination: .[0], type: .[1], source: .[2], options: .[3:]}
		| del(.[] | select(. == "" or . == []))]' --args "$@"
}

bind() { add_mount "$1" "" "$2" bind "${@:3}"; }
rbind() { add_mount "$1" "" "$2" rbind "${@:3}"; }
tmpfs() { add_mount "$1" tmpfs tmpfs "${@:2}"; }

# row: the index of the last row, for messages.
row() { jq '.mounts | length - 1' "$BUNDLE/config.json"; }

# run_script TEXT: the container's shell does it, and all is well.
run_script() {
	update_config --arg text "$1" '.process.args = ["sh", "-c", $text]'
	ok run "$ID"
}

# mounted: a container that prints its mountinfo has run.
mounted() { run_script 'cat /proc/self/mountinfo'; }

# mountinfo_of: of the running container.
mountinfo_of() { output=$(cat "/proc/$(field "$ID" .pid)/mountinfo"); }

# run_tty TEXT: as run_script, with a terminal; $output is what appeared there.
run_tty() {
	local receiver
	update_config --arg text "$1" '.process.args = ["sh", "-c", $text] | .process.terminal = true'
	python3 "$TESTDATA/sockets.py" console "$T/tty.sock" >"$T/tty" 3>&- &
	receiver=$!
	eventually exists "$T/tty.sock"
	call create --console-socket "$T/tty.sock" "$ID"
	if [[ $status != 0 ]]; then
		kill "$receiver" 2>/dev/null || true
		wait "$receiver" 2>/dev/null || true
		return "$status"
	fi
	ok start "$ID"
	wait "$receiver"
	output=$(tr -d '\r' <"$T/tty")
}

# make_victim: files of the host that no container may reach. It is not below
# what the containers of the tests mount over.
make_victim() {
	VICTIM=$BATS_TEST_TMPDIR/victim
	mkdir "$VICTIM" "$VICTIM/dir"
	echo secret >"$VICTIM/file"
	echo secret >"$VICTIM/dir/file"
	VICTIM_STATE=$(victim_state)
}
victim_state() {
	find "$VICTIM" -printf '%p %y %m %U %G %s %T@ %C@\n' | sort
	cat "$VICTIM/file" "$VICTIM/dir/file"
}

# victim_safe: it is what it was, and no mount of the container shows it.
victim_safe() {
	equal "$VICTIM_STATE" "$(victim_state)"
	not grep -F secret <<<"$output$stderr"
	not awk -v dir="$VICTIM" 'index($4, dir) == 1 || index($5, dir) == 1 { found = 1; print } END { exit !found }' <<<"$output"
}

# background: the container runs. $PID is its process.
background() {
	ok run -d "$ID"
	PID=$(field "$ID" .pid)
}

# inside COMMAND…: in the mount namespace of the running container; the
# programs are those of the container.
inside() { nsenter --target "$PID" --mount --root --wdns=/ -- "$@"; }

# Of the last mount at DESTINATION in $output, which is a mountinfo.
mount_line() {
	local line
	line=$(awk -v dest="$1" '$5 == dest { line = $0 } END { print line }' <<<"$output")
	[[ -n $line ]] || {
		echo "nothing is mounted at $1:" >&2
		echo "$output" >&2
		return 1
	}
	echo "$line"
}
mount_options() { mount_line "$1" | cut -d' ' -f6; }
mount_tags() { mount_line "$1" | sed 's/ - .*//' | cut -d' ' -f7-; }
mount_root() { mount_line "$1" | cut -d' ' -f4; }
mount_device() { mount_line "$1" | cut -d' ' -f3; }
mount_id() { mount_line "$1" | cut -d' ' -f1; }
fs_type() { mount_line "$1" | sed 's/.* - //' | cut -d' ' -f1; }
fs_source() { mount_line "$1" | sed 's/.* - //' | cut -d' ' -f2; }
fs_options() { mount_line "$1" | sed 's/.* - //' | cut -d' ' -f3-; }
mounts_at() { awk -v dest="$1" '$5 == dest' <<<"$output" | wc -l; }
not_mounted() { equal 0 "$(mounts_at "$1")"; }

# has WORD LIST, lacks WORD LIST: of options between commas.
has() {
	[[ ,$2, == *,$1,* ]] || {
		echo "$1 is missing in: $2"
		return 1
	}
}
lacks() {
	[[ -n $2 && ,$2, != *,$1,* ]] || {
		echo "$1 is in: ${2:-nothing}"
		return 1
	}
}

# use_userns: root is host uid and gid 100000, and owns the root file system.
use_userns() {
	update_config '.linux.namespaces += [{type: "user"}]
		| .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}]
		| .linux.gidMappings = .linux.uidMappings'
	chown -R 100000:100000 "$BUNDLE/rootfs"
}

drop_namespace() { update_config --arg t "$1" '.linux.namespaces |= map(select(.type != $t))'; }

# drop_mount DESTINATION
drop_mount() { update_config --arg d "$1" '.mounts |= map(select(.destination != $d))'; }

# give_caps NAME…: to the process, in all sets that matter.
give_caps() {
	update_config 'reduce ("bounding", "effective", "permitted") as $set
		(.; .process.capabilities[$set] = ($ARGS.positional | map("CAP_" + .))) | .process.noNewPrivileges = false' --args "$@"
}

# What Docker gives, and what a careless admin gives.
docker_caps=(CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE)
nearly_all_caps=("${docker_caps[@]}" DAC_READ_SEARCH LINUX_IMMUTABLE NET_ADMIN IPC_LOCK IPC_OWNER SYS_RAWIO
	SYS_PTRACE SYS_PACCT SYS_BOOT SYS_NICE SYS_TIME SYS_TTY_CONFIG LEASE MAC_OVERRIDE MAC_ADMIN SYSLOG)

pure_v2() { [[ $(stat -f -c %T /sys/fs/cgroup) == cgroup2fs ]]; }
