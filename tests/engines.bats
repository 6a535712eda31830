#!/usr/bin/env bats
# Container engines with hako for their runtime: Podman, containerd, Docker.
# README's examples are executed as they are written there.
# shellcheck disable=SC2016,SC2034,SC2154 # $names are of the container's shell; helpers assign

load helpers
load engine-helpers

setup_file() { start_engines; }
teardown_file() { stop_engines; }
setup() { begin; }
teardown() { finish; }

# --- Podman: run

@test "podman: README's command line and its containers.conf run a container" {
	local line
	line=$(awk '/^podman --runtime/ { on = 1 } on { print } on && !/\\$/ { exit }' "$BATS_TEST_DIRNAME/../README.md" |
		sed -e "s:/usr/local/bin/hako:$HAKO:" -e "s|alpine date|${RUN_ARGS[*]} $IMAGE echo hello|" -e 's:\\$::' | tr '\n' ' ')
	# Without that file; but with what is the machine's.
	sed -n '1,/^$/p; /^cgroup_manager/{s/^/[engine]\n/p}' "$FILE_DIR/containers.conf" >"$T/limits.conf"
	CONTAINERS_CONF=$T/limits.conf ENGINE_FLAGS='--events-backend file' says hello call_engine eval "$line"
	says hello pod_run --rm "$IMAGE" echo hello
	says hako call_engine podman info --format '{{.Host.OCIRuntime.Name}}'
	says "$("$HAKO" --version)" call_engine podman info --format '{{.Host.OCIRuntime.Version}}'
}

@test "podman: exit codes of run" {
	exits 0 pod_run --rm "$IMAGE" true
	exits 3 pod_run --rm "$IMAGE" sh -c 'exit 3'
	exits 137 pod_run --rm --init --init-path "$(command -v catatonit)" "$IMAGE" sh -c 'kill -KILL $$'
	exits 125 pod_run --rm --no-such-flag "$IMAGE" true
	exits 126 pod_run --rm "$IMAGE" /etc/passwd
	contains 'permission denied' "$stderr"
	exits 127 pod_run --rm "$IMAGE" nothing
	contains 'executable file not found in \$PATH' "$stderr"
	exits 127 pod_run --rm "$IMAGE" /nothing
	contains 'no such file or directory' "$stderr"
}

@test "podman: its default seccomp profile" {
	says $'Seccomp:\t2' pod_run --rm --security-opt seccomp=/usr/share/containers/seccomp.json "$IMAGE" grep ^Seccomp: /proc/self/status
	exits 0 pod_run -d --security-opt seccomp=/usr/share/containers/seccomp.json "$IMAGE" sleep 100000
	says $'Seccomp:\t2' pod exec "$MARK" grep ^Seccomp: /proc/self/status
}

@test "podman: limits that limit nothing are no reason to refuse" {
	local flags
	for flags in --pids-limit=-1 --pids-limit=0 '--memory 0 --cpu-shares 0' '--memory-swappiness=-1 --oom-kill-disable=false'; do
		# shellcheck disable=SC2086 # words
		says ok pod_run --rm $flags "$IMAGE" echo ok
	done
}

@test "podman, containerd: limits are in force" {
	local look='cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.shares'
	if [[ $HAKO_VIEW == v2 ]]; then
		exits 126 pod_run --rm --memory 64m "$IMAGE" true
		contains 'linux.resources.memory: .*: the kernel has no memory controller in cgroup v2' "$stderr"
		return
	fi
	says $'67108864\n100\n50000\n512' pod_run --rm --memory 64m --pids-limit 100 --cpus 0.5 --cpu-shares 512 "$IMAGE" sh -c "$look"
	start_containerd
	ctr_args
	says 67108864 ctr_run --rm --memory-limit 67108864 --mount type=cgroup,src=cgroup,dst=/sys/fs/cgroup,options=ro "$IMAGE" \
		"$MARK" cat /sys/fs/cgroup/memory/memory.limit_in_bytes
}

# Everything is printed in the container and compared with runc's container.
@test "podman: a container of hako's is as one of runc's" {
	[[ -n $RUNC ]] || skip "runc is not installed"
	mkdir "$T/volume"
	echo data >"$T/volume/file"
	local flags runtime look
	look='id; pwd; umask; hostname; env | sort; grep -e ^Cap -e ^NoNew /proc/self/status; ls /dev /data /etc /sys/class/net
		cat /proc/self/oom_score_adj /proc/self/uid_map /proc/self/gid_map /proc/sys/kernel/msgmax
		ulimit -c; ls -l /proc/self/fd | wc -l
		touch /x /data/x /proc/sys/kernel/msgmax 2>&1; head -c 1 /proc/keys | wc -c; head -c 1 /proc/timer_list | wc -c; ls /proc/acpi /sys/firmware'
	while read -r flags; do
		for runtime in hako runc; do
			# shellcheck disable=SC2086 # words
			call_engine podman --runtime "$runtime" run "${RUN_ARGS[@]}" --rm $flags "$IMAGE" sh -c "$look"
			rm -f "$T/volume/x"
			sed -E 's/^HOSTNAME=.*|^[0-9a-f]{12}$//' <<<"$output$stderr" >"$T/$runtime.out"
		done
		diff -u --label runc --label "hako $flags" "$T/runc.out" "$T/hako.out"
	done <<-TABLE
		--rm
		--user 1000 --cap-add NET_ADMIN --group-add 44 --workdir /tmp --env A=b
		--user user --cap-drop ALL --security-opt no-new-privileges --umask 077 --hostname box
		--read-only --volume $T/volume:/data --oom-score-adj 100 --sysctl kernel.msgmax=1111
		--volume $T/volume:/data:ro --ulimit core=0:0 --ulimit nofile=100:200 --ulimit nproc=100:200
		--tmpfs /etc --security-opt unmask=ALL --device /dev/fuse --device /dev/null:/dev/other:r
		--tmpfs /etc:notmpcopyup --privileged
		--uidmap 0:100000:65536 --gidmap 0:100000:65536 --tmpfs /data
		--net host --uts host --ipc private --cgroupns private --security-opt mask=/etc
		--annotation run.oci.keep_original_groups=1 --annotation unknown=x --tz UTC
	TABLE
}

@test "podman: standard output and error are logged apart, and nothing is lost" {
	exits 0 pod_run -d "$IMAGE" sh -c 'echo out; echo err >&2; yes 0123456789abcde | head -c 1048576 | sha256sum'
	exits 0 pod wait "$MARK"
	says "out
$(yes 0123456789abcde | head -c 1048576 | sha256sum)" call_engine podman logs "$MARK"
	equal err "$stderr"
	exits 0 pod rm "$MARK"
	exits 0 pod_run --rm "$IMAGE" sh -c 'yes 0123456789abcde | head -c 8388608'
	equal "$(yes 0123456789abcde | head -c 8388608 | sha256sum)" "$(sha256sum <"$out_file")"
}

@test "podman: standard input" {
	echo one two >"$T/in"
	INPUT=$T/in says 'one two' pod_run --rm -i "$IMAGE" cat
	INPUT=$T/in says '' pod_run --rm "$IMAGE" cat
}

@test "podman: a terminal has its size and gives the exit code; its log has what it showed" {
	podman_command run "${RUN_ARGS[@]}" --rm -it "$IMAGE" sh -c 'sleep 0.3; tty; stty size; ls -l /dev/console | cut -c 1; exit 4'
	on_terminal "${COMMAND[@]}"
	equal 4 "$status"
	equal $'/dev/pts/0\n33 77\nc' "$output"
	exits 0 pod_run -d -t "$IMAGE" sh -c 'tty && echo seen'
	exits 0 pod wait "$MARK"
	eventually logs_are $'/dev/pts/0\r\nseen\r' || show
}

@test "podman: descriptors are preserved, for run and for exec" {
	echo five >"$T/five"
	podman_command run "${RUN_ARGS[@]}" --rm --preserve-fds 2 "$IMAGE" sh -c 'cat <&4'
	equal five "$("${COMMAND[@]}" 3</dev/null 4<"$T/five")"
	start_sleeper
	podman_command exec --preserve-fds 2 "$MARK" sh -c 'cat <&4'
	equal five "$("${COMMAND[@]}" 3</dev/null 4<"$T/five")"
}

@test "podman: volumes, their options and their propagation" {
	mkdir "$T/volume"
	echo data >"$T/volume/file"
	says data pod_run --rm -v "$T/volume:/new/folder:ro,private,nosuid,nodev,noexec" "$IMAGE" sh -c \
		'cat /new/folder/file && ! touch /new/folder/x 2>/dev/null && grep -q "/new/folder ro,nosuid,nodev,noexec" /proc/self/mountinfo'
	says written pod_run --rm -v "$T/volume:/data:rw" "$IMAGE" sh -c 'echo written >/data/out; cat /data/out'
	equal written "$(<"$T/volume/out")"
	says $'file\nout\nover' pod_run --rm -v "$T/volume:/data:O" "$IMAGE" sh -c 'touch /data/over; ls /data'
	not exists "$T/volume/over"
	says root:x:0: pod_run --rm -v "$MARK-volume:/etc" "$IMAGE" head -n 1 /etc/group
	says shared pod_run --rm -v "$T/volume:/data:rshared" "$IMAGE" sh -c 'grep " /data " /proc/self/mountinfo | grep -o shared'
	says data pod_run --rm --read-only --mount "type=bind,src=$T/volume/file,dst=/f,ro" "$IMAGE" sh -c 'touch /tmp/x /run/x && cat /f'
	says "0 1000 700" pod_run --rm --tmpfs /scratch:size=1m,mode=700 "$IMAGE" sh -c \
		'echo $(stat -c %u /scratch) $(($(df -k /scratch | awk "END { print \$2 }") - 24)) $(stat -c %a /scratch)'
}

@test "podman: a bundle of its own making: --rootfs, --init, --no-pivot, --runtime-flag" {
	says hello pod_run --rm --rootfs "$FILE_DIR/rootfs" echo hello
	exits 0 pod_run --rm --init --init-path "$(command -v catatonit)" "$IMAGE" sh -c 'tr "\0" " " </proc/1/cmdline'
	contains 'init -- sh -c' "$output"
	sed '/^\[engine\]/a no_pivot_root = true' "$FILE_DIR/containers.conf" >"$T/no-pivot.conf"
	CONTAINERS_CONF=$T/no-pivot.conf says hello pod_run --rm "$IMAGE" echo hello
	ENGINE_FLAGS='--runtime-flag debug' exits 0 pod_run --rm "$IMAGE" true
	contains 'level=debug' "$stderr"
}

@test "podman: the host's null device is out of reach" {
	local host
	host=$(stat -c '%d %i' /dev/null)
	local look='stat -L -c "%d %i" /proc/self/fd/0 /dev/null | uniq'
	exits 0 pod_run -d "$IMAGE" sh -c "$look; sleep 100000"
	eventually logs_are "$(podman exec "$MARK" stat -c '%d %i' /dev/null)"
	differ "$host" "$(podman logs "$MARK")"
	says "$(podman logs "$MARK")" pod exec "$MARK" sh -c "$look"
}

# --- Podman: a user namespace

@test "podman: in a user namespace: run, exec, volumes, terminal" {
	mkdir "$T/volume"
	echo data >"$T/volume/file"
	local map=(--uidmap 0:100000:65536 --gidmap 0:100000:65536)
	start_sleeper "${map[@]}" -v "$T/volume:/data:idmap" --device /dev/fuse
	says $'0 100000 65536\nroot\n0\n0' pod exec "$MARK" sh -c 'echo $(cat /proc/self/uid_map); id -un; touch /new; stat -c %u /new /data/file'
	equal 100000 "$(awk '/^Uid:/ { print $2 }' "/proc/$(inspect '{{.State.Pid}}')/status")"
	says '1000:1000' pod exec --user 1000 "$MARK" sh -c 'echo $(id -u):$(id -g)'
	says $'USER   HUSER  COMMAND\nroot   100000 sh' call_engine eval 'podman top "$MARK" user huser comm | head -2 | sed -E "s/ +\$//; s/^(\S+) +(\S+) +/\1   \2 /; s/HUSER /HUSER  /"'
	podman_command exec -it "$MARK" sh -c 'tty; stat -c %u $(tty)'
	on_terminal "${COMMAND[@]}"
	equal $'/dev/pts/0\n0' "$output"
	eventually remove_all
	says mounted pod_run --rm --privileged "${map[@]}" "$IMAGE" sh -c 'mount -t tmpfs x /tmp && echo mounted'
	says '0 0 10 10 100000 10' pod_run --rm --uidmap 0:0:10 --uidmap 10:100000:10 --gidmap 0:0:20 "$IMAGE" sh -c 'echo $(cat /proc/self/uid_map)'
}

# --- Podman: a container's life

@test "podman: create, init, start, pause, unpause, stop, wait, restart, kill, rm" {
	exits 0 pod create "${RUN_ARGS[@]}" "$IMAGE" sh -c 'trap "echo term; exit 7" TERM; echo ready; while :; do sleep 0.05; done'
	inspected '{{.State.Status}} {{.OCIRuntime}}' 'created hako'
	exits 0 pod init "$MARK"
	inspected '{{.State.Status}} {{.State.Running}}' 'initialized false'
	exits 0 pod start "$MARK"
	eventually logs_are ready
	inspected '{{.State.Status}} {{.State.Running}} {{.State.Paused}}' 'running true false'
	exits 0 pod pause "$MARK"
	inspected '{{.State.Status}} {{.State.Paused}}' 'paused true'
	exits 255 pod exec "$MARK" true
	exits 0 pod unpause "$MARK"
	inspected '{{.State.Status}}' running
	exits 0 pod exec "$MARK" true
	exits 2 pod rm "$MARK"
	exits 0 pod stop "$MARK"
	says 7 pod wait "$MARK"
	inspected '{{.State.Status}} {{.State.ExitCode}}' 'exited 7'
	logs_are $'ready\nterm'
	exits 0 pod start "$MARK"
	exits 0 pod restart -t 5 "$MARK"
	inspected '{{.State.Status}}' running
	exits 0 pod kill "$MARK"
	says 137 pod wait "$MARK"
	exits 0 pod start "$MARK"
	exits 0 pod stop -t 0 "$MARK"
	inspected '{{.State.Status}} {{.State.ExitCode}}' 'exited 137'
	exits 0 pod start "$MARK"
	exits 0 pod rm -f -t 0 "$MARK"
	exits 1 pod container exists "$MARK"
}

@test "podman: a container that was never started is removed" {
	exits 0 pod create "${RUN_ARGS[@]}" "$IMAGE" sleep 100000
	exits 0 pod init "$MARK"
	exits 0 pod rm -f "$MARK"
}

@test "podman: exec: exit codes, user, environment, detached, on a terminal" {
	start_sleeper
	says in pod exec "$MARK" echo in
	exits 9 pod exec "$MARK" sh -c 'exit 9'
	exits 127 pod exec "$MARK" nothing
	contains 'executable file not found in \$PATH' "$stderr"
	exits 127 pod exec "$MARK" /nothing
	exits 126 pod exec "$MARK" /etc/passwd
	contains 'permission denied' "$stderr"
	says $'1000 2000\n/tmp\nb\nCapEff:\t0000000000000000' pod exec --user user --workdir /tmp --env A=b "$MARK" \
		sh -c 'echo $(id -G); pwd; echo $A; grep CapEff /proc/self/status'
	says "$(grep CapBnd /proc/self/status)" pod exec --privileged "$MARK" grep CapBnd /proc/self/status
	exits 0 pod exec -d "$MARK" sh -c 'echo done >/tmp/done.new; mv /tmp/done.new /tmp/done'
	eventually podman exec "$MARK" test -e /tmp/done
	echo input >"$T/in"
	INPUT=$T/in says input pod exec -i "$MARK" cat
	podman_command exec -it "$MARK" sh -c 'sleep 0.3; tty; stty size; exit 5'
	on_terminal "${COMMAND[@]}"
	equal 5 "$status"
	equal $'/dev/pts/0\n33 77' "$output"
}

@test "podman: namespaces of another container and of the host" {
	start_sleeper --hostname first --ipc shareable
	RUN_ARGS[-1]=$MARK-2
	says $'first\nsh' pod_run --rm --pid "container:$MARK" --ipc "container:$MARK" --net "container:$MARK" --uts "container:$MARK" \
		"$IMAGE" sh -c 'hostname; cat /proc/1/comm'
	says "$(readlink /proc/self/ns/pid)" pod_run --rm --pid host "$IMAGE" readlink /proc/self/ns/pid
	says "$(hostname)" pod_run --rm --uts host "$IMAGE" hostname
	says "$(readlink "/proc/$HOLDER/ns/net")" pod_run --rm --net host "$IMAGE" readlink /proc/self/ns/net
	# A process of the host's pid namespace is found by its cgroup.
	exits 0 pod_run -d --pid host "$IMAGE" sh -c 'sleep 100000 & sleep 100000'
	exits 0 pod rm -f -t 0 "$MARK-2"
	exits 0 pod rm -f -t 0 "$MARK"
	eventually no_processes
}

@test "podman: top, stats, cp, diff, commit, attach, healthcheck, pods" {
	start_sleeper --health-cmd 'echo healthy' --health-interval disable
	says $'PID\n1' call_engine eval 'podman top "$MARK" pid | head -2 | tr -d " "'
	exits 0 pod top "$MARK" -o pid,comm
	contains '1 sh' "$output"
	exits 0 pod stats --no-stream --format '{{.Name}}' "$MARK"
	echo copied >"$T/file"
	exits 0 pod cp "$T/file" "$MARK:/data/file"
	says copied pod exec "$MARK" cat /data/file
	exits 0 pod diff "$MARK"
	contains 'A /data/file' "$output"
	exits 0 pod healthcheck run "$MARK"
	inspected '{{.State.Health.Status}}' healthy
	exits 0 pod commit -q "$MARK" "${MARK,,}-image"
	exits 0 pod rm -f -t 0 "$MARK"
	says copied pod_run --rm "${MARK,,}-image" cat /data/file
	exits 0 pod rmi "${MARK,,}-image"
	exits 3 pod_run -a stdout "$IMAGE" sh -c 'sleep 0.3; echo attached; exit 3'
	equal attached "$output"
	exits 0 pod rm "$MARK"
	exits 0 pod pod create --infra=false --name "$MARK-pod" --cgroup-parent "/$PARENT"
	exits 0 call_engine podman run -d --pod "$MARK-pod" --name "$MARK" --env MARK="$MARK" --pull never "$IMAGE" sleep 100000
	exits 0 pod pod stop -t 0 "$MARK-pod"
	exits 0 pod pod rm "$MARK-pod"
}

@test "podman: a container that fails is started again" {
	exits 0 pod_run -d --restart on-failure:2 "$IMAGE" sh -c 'echo x; exit 1'
	eventually logs_are $'x\nx\nx'
	eventually state_is exited
	inspected '{{.RestartCount}} {{.State.ExitCode}}' '2 1'
}

@test "podman: six containers at once" {
	local n
	local pids=()
	for n in 1 2 3 4 5 6; do
		RUN_ARGS[-1]=$MARK-$n
		podman run "${RUN_ARGS[@]}" --rm "$IMAGE" sh -c "exit $n" </dev/null >"$T/$n.log" 2>&1 &
		pids+=($!)
	done
	for n in 1 2 3 4 5 6; do
		status=0
		wait "${pids[n - 1]}" || status=$?
		equal "$n" "$status" || cat "$T/$n.log"
	done
}

@test "podman: hooks of --hooks-dir run in order, and their failure is told" {
	local point
	mkdir "$T/hooks" "$T/hooks.d"
	hook log <<-'HOOK'
		state=$(cat)
		echo "$1 $(jq -r .status <<<"$state")" >>"$0.log"
	HOOK
	for point in prestart createRuntime createContainer poststart poststop; do
		jq -n --arg point $point --arg path "$T/hooks/log" '{version: "1.0.0", when: {always: true},
			stages: [$point], hook: {path: $path, args: ["log", $point], env: ["PATH=/usr/bin:/bin"]}}' >"$T/hooks.d/$point.json"
	done
	says main call_engine podman --hooks-dir "$T/hooks.d" run "${RUN_ARGS[@]}" --rm "$IMAGE" echo main
	eventually grep -q poststop "$T/hooks/log.log"
	equal 'prestart creating
createRuntime creating
createContainer creating
poststart running
poststop stopped' "$(<"$T/hooks/log.log")"
	hook log <<<'echo reason >&2; exit 3'
	exits 126 call_engine podman --hooks-dir "$T/hooks.d" run "${RUN_ARGS[@]}" --rm "$IMAGE" echo main
	contains 'error running prestart hook #0: exit status 3.*reason' "$stderr"
}

@test "podman: sd_notify: the container's message gets through" {
	cat >"$T/listen.py" <<-'PYTHON'
		import socket, sys
		s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		s.bind(sys.argv[1])
		s.settimeout(30)
		text = b""
		while b"READY=1" not in text:
		    text += s.recv(4096) + b"\n"
		print(text.decode())
	PYTHON
	cat >"$T/send.py" <<-'PYTHON'
		import os, socket, time
		s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		s.connect(os.environ["NOTIFY_SOCKET"])
		s.send(b"STATUS=fine\nREADY=1")
		time.sleep(1)
	PYTHON
	local dir volumes=()
	for dir in /usr /lib /lib64; do
		[[ ! -d $dir ]] || volumes+=(-v "$dir:$dir:ro")
	done
	python3 "$T/listen.py" "$T/socket" >"$T/heard" 3>&- &
	eventually exists "$T/socket"
	NOTIFY_SOCKET=$T/socket exits 0 pod_run -d --sdnotify container "${volumes[@]}" \
		-v "$T/send.py:/send.py:ro" "$IMAGE" /usr/bin/python3 /send.py
	eventually filled "$T/heard"
	contains 'READY=1' "$(<"$T/heard")"
	contains "MAINPID=[0-9]+" "$(<"$T/heard")"
	exits 0 pod wait "$MARK"
}

@test "podman: update" {
	start_sleeper
	if [[ $HAKO_VIEW == v2 ]]; then
		exits 125 pod update --memory 64m "$MARK"
		contains 'memory' "$stderr"
	else
		exits 0 pod update --memory 64m "$MARK"
		equal 67108864 "$(podman exec "$MARK" cat /sys/fs/cgroup/memory/memory.limit_in_bytes)"
	fi
	exits 0 pod exec "$MARK" true
}

# --- containerd

@test "containerd: ctr run: output, exit codes, errors by name" {
	start_containerd
	ctr_args
	says hello ctr_run --rm "$IMAGE" "$MARK" echo hello
	exits 5 ctr_run --rm "$IMAGE" "$MARK" sh -c 'exit 5'
	exits 1 ctr_run --rm "$IMAGE" "$MARK" nothing
	contains 'OCI runtime create failed: hako create .*executable file not found in \$PATH' "$stderr"
	says $'Seccomp:\t2' ctr_run --rm --seccomp "$IMAGE" "$MARK" grep ^Seccomp: /proc/self/status
	mkdir "$T/volume"
	says '/tmp b' ctr_run --rm --read-only --cwd /tmp --env A=b --net-host --mount "type=bind,src=$T/volume,dst=/data,options=rbind:ro" \
		"$IMAGE" "$MARK" sh -c 'touch /x /data/x 2>/dev/null || echo $PWD $A'
	exits 0 ctr_run --rm --privileged "$IMAGE" "$MARK" mount -t tmpfs x /tmp
	on_terminal nsenter -t "$HOLDER" -m -n ctr --address "$T/containerd/socket" "${CTR_ARGS[@]}" --rm -t "$IMAGE" "$MARK" sh -c 'tty; exit 3'
	equal 3 "$status"
	contains '/dev/pts/0' "$output"
}

@test "containerd: a task's life: exec, ps, pause, resume, kill, delete" {
	start_containerd
	ctr_args
	exits 0 ctr_run -d "$IMAGE" "$MARK" sh -c 'trap "exit 7" TERM; while :; do sleep 0.05; done'
	contains ":/$PARENT/$MARK" "$(<"/proc/$(ctr task list | awk 'NR == 2 { print $2 }')/cgroup")"
	says in task exec --exec-id one "$MARK" echo in
	exits 6 task exec --exec-id two "$MARK" sh -c 'exit 6'
	exits 1 task exec --exec-id three "$MARK" nothing
	contains 'OCI runtime exec failed: hako exec .*executable file not found' "$stderr"
	says '1000 /tmp' task exec --exec-id four --user 1000 --cwd /tmp "$MARK" sh -c 'echo $(id -u) $PWD'
	on_terminal nsenter -t "$HOLDER" -m -n ctr --address "$T/containerd/socket" task exec -t --exec-id five "$MARK" \
		sh -c 'sleep 0.3; tty'
	contains '/dev/pts/0' "$output"
	exits 0 task exec -d --exec-id six "$MARK" sleep 100000
	exits 0 task ps "$MARK"
	contains 'ExecID:six' "$output"
	exits 0 task pause "$MARK"
	task_is PAUSED
	exits 1 task exec --exec-id seven "$MARK" true
	exits 0 task resume "$MARK"
	task_is RUNNING
	exits 0 task metrics "$MARK"
	exits 0 task kill -s TERM "$MARK"
	eventually task_is STOPPED
	exits 1 task kill -s TERM "$MARK"
	exits 0 task delete "$MARK"
	contains 'non-zero exit code 7' "$stderr"
	exits 0 task start -d "$MARK"
	exits 0 task kill --all --signal KILL "$MARK"
	eventually task_is STOPPED
	exits 0 task delete "$MARK"
	exits 0 task start -d "$MARK"
	exits 1 task checkpoint "$MARK"
	contains 'hako checkpoint: not supported yet' "$stderr"
	exits 0 task delete --force "$MARK"
	exits 0 call_engine ctr container delete "$MARK"
}

# --- Docker

@test "docker: README's daemon.json; run, exec, pause, stop, logs, health" {
	start_docker
	says hello docker_run --rm bb echo hello
	exits 3 docker_run --rm bb sh -c 'exit 3'
	exits 127 docker_run --rm bb nothing
	contains 'hako create .*executable file not found in \$PATH' "$stderr"
	exits 126 docker_run --rm bb /etc/passwd
	says $'Seccomp:\t2' call_engine docker run --runtime hako --env MARK="$MARK" --rm bb grep ^Seccomp: /proc/self/status
	says '1000 /tmp box' docker_run --rm --user 1000 --workdir /tmp --read-only --tmpfs /scratch --hostname box bb \
		sh -c 'touch /scratch/x && ! touch /x 2>/dev/null && echo $(id -u) $PWD $(hostname)'
	says ok docker_run --rm --net host --pids-limit 0 --cpu-shares 0 bb echo ok
	exits 0 docker_run --rm --privileged bb mount -t tmpfs x /tmp
	on_terminal nsenter -t "$HOLDER" -m -n /usr/bin/docker --host "unix://$T/docker.socket" run --rm -it --runtime hako \
		bb sh -c 'tty; exit 4'
	equal 4 "$status"
	contains '/dev/pts/0' "$output"
	exits 0 docker_run -d --health-cmd true --health-interval 1s bb sh -c 'trap "echo term; exit 7" TERM; echo out; while :; do sleep 0.05; done'
	says in doc exec "$MARK" echo in
	exits 9 doc exec "$MARK" sh -c 'exit 9'
	eventually docker_health healthy
	exits 0 doc pause "$MARK"
	exits 1 doc exec "$MARK" true
	exits 0 doc unpause "$MARK"
	exits 0 doc top "$MARK" -o pid,comm
	contains ' sh' "$output"
	exits 0 doc update --cpu-shares 512 "$MARK"
	exits 0 doc stop "$MARK"
	says 7 doc wait "$MARK"
	says $'out\nterm' doc logs "$MARK"
	exits 0 doc start "$MARK"
	exits 0 doc rm -f "$MARK"
}
