# For tests/engines.bats: Podman, containerd and Docker with everything that they
# write in $FILE_DIR, in mount and network namespaces of their own where /run is
# empty. They take no image from a network. Needs helpers.bash.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # variables are of the tests and of helpers.bash

RUNC=$(command -v runc) || RUNC=''

# start_engines: $HOLDER is the pid that keeps the namespaces.
start_engines() {
	command -v podman >/dev/null || skip "podman is not installed"
	make_rootfs
	# Mount points are there already, so that two runs of an image are alike.
	mkdir -p "$FILE_DIR/rootfs"/{run,data}
	printf '%s\n' root:x:0: user:x:1000: extra:x:2000:user >"$FILE_DIR/rootfs/etc/group"
	PARENT=hako-test-${FILE_DIR##*.}
	# shellcheck disable=SC2016 # for the inner shell
	unshare -m -n --propagation private sh -c 'mount -t tmpfs run /run && : >"$1" && exec sleep 100000' \
		sh "$FILE_DIR/ready" </dev/null >/dev/null 2>&1 3>&- &
	HOLDER=$!
	export HOLDER PARENT
	eventually exists "$FILE_DIR/ready"
	containers_conf >"$FILE_DIR/containers.conf"
	IMAGE=localhost/bb:latest
	export IMAGE
	T=$FILE_DIR MARK=''
	tar -C "$FILE_DIR/rootfs" -c . | podman import -q - "$IMAGE" >/dev/null
}

stop_engines() {
	[[ -n ${HOLDER:-} ]] || return 0
	kill -KILL "$HOLDER"
	eventually gone "$HOLDER"
	local dir
	for dir in $(parent_cgroups | sort -r); do
		rmdir "$dir"
	done
	remove_rootfs
}

# inside COMMAND…: in the engines' namespaces. MARK finds every process.
inside() { nsenter -t "$HOLDER" -m -n --wd="$PWD" env MARK="$MARK" "$@" 3>&-; }

# readme_block LANGUAGE: the first such example of README's section on engines.
readme_block() {
	awk -v start='```'"$1" '
		/^## / { here = /an engine/ }
		here && $0 == start { in_block = 1; next }
		in_block && /^```$/ { exit }
		in_block' "$BATS_TEST_DIRNAME/../README.md" | sed "s:/usr/local/bin/hako:$HAKO:"
}

# containers_conf: README's, and what keeps Podman from touching the machine. Its
# own default limits (1048576 files, 2048 processes) are more than a machine may
# allow; there is no systemd.
containers_conf() {
	cat <<-'CONF'
		[containers]
		default_ulimits = ["nofile=1024:2048", "nproc=2048:4096"]
		netns = "none"
		pids_limit = 0

	CONF
	readme_block toml | sed '/^\[engine\]/a lock_type = "file"\nevents_logger = "file"\ncgroup_manager = "cgroupfs"'
	[[ -z $RUNC ]] || echo "runc = [\"$RUNC\"]"
}

podman() {
	local dirs=$FILE_DIR/podman
	# shellcheck disable=SC2086 # the flags are words
	inside env CONTAINERS_CONF="${CONTAINERS_CONF:-$FILE_DIR/containers.conf}" podman \
		--root "$dirs/root" --runroot "$dirs/run" --tmpdir "$dirs/tmp" \
		--network-config-dir "$dirs/net" --storage-driver vfs ${ENGINE_FLAGS:-} "$@"
}

# run_args: of podman run and podman create, in this test.
run_args() {
	RUN_ARGS=(--cgroup-parent "/$PARENT" --pull never --env MARK="$MARK" --name "$MARK")
}

# pod ARG…: podman, with standard input from $INPUT. Sets status, output, stderr.
pod() { call_engine podman "$@"; }
pod_run() { call_engine podman run "${RUN_ARGS[@]}" "$@"; }

call_engine() {
	CALLS=$((CALLS + 1))
	out_file=$T/call.$CALLS.out
	err_file=$T/call.$CALLS.err
	status=0
	"$@" <"${INPUT:-/dev/null}" >"$out_file" 2>"$err_file" || status=$?
	output=$(tr -d '\0' <"$out_file")
	stderr=$(<"$err_file")
}

# exits STATUS COMMAND…: call_engine with this result.
exits() {
	local want=$1
	shift
	"$@"
	[[ $status == "$want" ]] || {
		echo "want status $want: $*"
		show
		return 1
	}
}

# says TEXT COMMAND…: succeeds and prints exactly TEXT.
says() {
	local want=$1
	shift
	exits 0 "$@" && equal "$want" "$output"
}

# on_terminal COMMAND…: with a terminal of 33 by 77 characters; sets status, output.
on_terminal() {
	local text
	printf -v text '%q ' "$@"
	status=0
	output=$(script -qec "stty rows 33 cols 77; $text" /dev/null </dev/null 2>&1) || status=$?
	# script(1) types its own end of input.
	output=$(tr -d '\0\r' <<<"$output" | sed 's/^\(\^[@D]\)*//')
	stderr=''
}

# podman_command ARG…: the words of podman, for programs that execute it.
podman_command() {
	local dirs=$FILE_DIR/podman
	COMMAND=(nsenter -t "$HOLDER" -m -n env MARK="$MARK" CONTAINERS_CONF="$FILE_DIR/containers.conf" podman
		--root "$dirs/root" --runroot "$dirs/run" --tmpdir "$dirs/tmp" --network-config-dir "$dirs/net"
		--storage-driver vfs "$@")
}

inspect() { podman inspect --format "$1" "${2:-$MARK}"; }
inspected() { equal "$2" "$(inspect "$1")"; }
state_is() { [[ $(inspect '{{.State.Status}}' 2>/dev/null) == "$1" ]]; }
logs_are() { [[ $(podman logs "$MARK" 2>&1) == "$1" ]]; }

# start_sleeper [ARG…]: a detached container that ends with 7 on TERM.
start_sleeper() {
	# shellcheck disable=SC2016 # for the container's shell
	exits 0 pod_run -d "$@" "$IMAGE" sh -c 'trap "echo term; exit 7" TERM; echo ready; while :; do sleep 0.05; done'
	eventually logs_are ready
}

parent_cgroups() { find /sys/fs/cgroup -type d \( -path "*/$PARENT" -o -path "*/$PARENT/*" \) 2>/dev/null; }

# begin: as make_bundle, without a bundle.
begin() {
	T=$(mktemp -d "$FILE_DIR/t.XXXXXX")
	chmod 755 "$T"
	MARK=hb-${FILE_DIR##*.}-${T##*.}
	ROOT=/proc/$HOLDER/root/run/hako
	CALLS=0
	INPUT=''
	run_args
	cd "$T" || return
	MOUNTS=$(engine_mounts)
}

# remove_all fails sometimes, with runc too: Podman's clean-up of an exec is a
# process of its own, which may have /dev/shm of the container mounted.
remove_all() { podman pod rm -fa -t 0 >/dev/null 2>&1 && podman rm -fa -t 0 >/dev/null 2>&1; }

# engine_mounts: the root folder of storage is a mount for some of Podman's drivers.
engine_mounts() { cut -d ' ' -f 5 "/proc/$HOLDER/mountinfo" | sort; }

# finish: everything is removed by Podman's own hand, and nothing is left.
finish() {
	local rc=0
	cd / || return
	stop_daemons || rc=1
	eventually remove_all || rc=1
	podman volume prune -f >/dev/null || rc=1
	# Podman's own clean-up of a container may still be at work.
	eventually no_processes || rc=1
	nothing_left || rc=1
	equal "$MOUNTS" "$(engine_mounts)" || rc=1
	equal "" "$(parent_cgroups | grep -e "/libpod-" -e "/$PARENT/$MARK")" || rc=1
	local pid
	for pid in $(processes); do
		kill -KILL "$pid" 2>/dev/null
	done
	rm -rf "$T"
	return $rc
}

# start_containerd: with everything of its own; `ctr` speaks to it.
start_containerd() {
	command -v containerd >/dev/null || skip "containerd is not installed"
	mkdir -p "$T/containerd"
	cat >"$T/containerd.toml" <<-CONFIG
		version = 2
		root = "$T/containerd/root"
		state = "$T/containerd/state"
		disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
		[grpc]
		  address = "$T/containerd/socket"
		[ttrpc]
		  address = "$T/containerd/ttrpc"
	CONFIG
	inside containerd --config "$T/containerd.toml" </dev/null >"$T/containerd.log" 2>&1 &
	eventually ctr version >/dev/null 2>&1
	podman save -q --format oci-archive -o "$T/image.tar" "$IMAGE" >/dev/null
	ctr image import "$T/image.tar" >/dev/null
}

ctr() { inside ctr --address "$T/containerd/socket" "$@"; }
task() { call_engine ctr task "$@"; }
ctr_args() { CTR_ARGS=(run --snapshotter native --runc-binary "$HAKO" --cgroup "/$PARENT/$MARK" --env "MARK=$MARK"); }
ctr_run() { call_engine ctr "${CTR_ARGS[@]}" "$@"; }

# start_docker: with README's daemon.json and a containerd of its own.
start_docker() {
	# Not in tests/deps: its package starts a daemon that changes the firewall.
	command -v dockerd >/dev/null || skip "dockerd is not installed"
	[[ -x /usr/bin/docker ]] || skip "dockerd is not installed with its client"
	readme_block json >"$T/daemon.json"
	inside dockerd --config-file "$T/daemon.json" --data-root "$T/docker/root" --exec-root "$T/docker/exec" \
		--pidfile "$T/docker.pid" --host "unix://$T/docker.socket" --exec-opt native.cgroupdriver=cgroupfs --bridge=none --iptables=false \
		--ip6tables=false --ip-forward=false --storage-driver vfs --cgroup-parent "/$PARENT" \
		</dev/null >"$T/docker.log" 2>&1 &
	eventually docker version >/dev/null 2>&1
	tar -C "$FILE_DIR/rootfs" -c . | docker import - bb >/dev/null
}

docker() { inside /usr/bin/docker --host "unix://$T/docker.socket" "$@"; }
docker_run() {
	call_engine docker run --runtime hako --env MARK="$MARK" --name "$MARK" "$@"
}
doc() { call_engine docker "$@"; }

# stop_daemons: the containers first, then whoever executes $T.
stop_daemons() {
	[[ -e $T/containerd.log || -e $T/docker.log ]] || return 0
	local pid id
	if [[ -e $T/containerd.log ]]; then
		for id in $(ctr container list -q); do
			ctr task rm -f "$id" >/dev/null 2>&1
			ctr container rm "$id"
		done
	else
		for id in $(docker ps -aq); do
			docker rm -f "$id" >/dev/null
		done
	fi
	for pid in $(processes); do
		kill -TERM "$pid"
	done
	eventually no_processes
	# Docker binds its folder of network namespaces.
	engine_mounts | grep -F "$T/docker/exec/netns" | while read -r id; do
		inside umount "$id"
	done
	find "/proc/$HOLDER/root/run" -mindepth 1 -maxdepth 1 \( -name 'containerd*' -o -name 'docker*' \) -exec rm -rf {} +
}

task_is() { [[ $(ctr task list | awk -v id="$MARK" '$1 == id { print $3 }') == "$1" ]]; }
docker_health() { [[ $(docker inspect -f '{{.State.Health.Status}}' "$MARK") == "$1" ]]; }
