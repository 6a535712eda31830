#!/usr/bin/env bats
# events: the figures are the kernel's, and out-of-memory events. Natively this is
# about cgroup v1; the guest runs it for v2, through tests/guest/root.
# shellcheck disable=SC2016 # $names are jq's or of the container's shell
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

HERE=$(dirname "$(realpath "$BATS_TEST_FILENAME")")
load "$HERE/helpers"
load "$HERE/process-helpers"
load "$HERE/events-helpers"

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() {
	DONORS=()
	WATCHER=
	make_bundle
}
teardown() {
	end_watcher
	end_donors
	clean_up
}

@test "events --stats: the keys are those of runc, on the same cgroups" {
	command -v runc >/dev/null || skip "runc is not installed"
	local keys='[paths | map(if type == "number" then 0 else . end)] | unique | .[] | select(index("psi") | not) | select(.[1] != "hugetlb" or length == 2) | select(.[1] != "blkio" or length == 2) | tojson'
	start_container
	hako events --stats "$ID" | jq -r "$keys" >"$T/ours"
	(cd "$BUNDLE" && jq --arg p "/$MARK-runc" --arg r "$BUNDLE/rootfs" '.root.path = $r | .linux.cgroupsPath = $p | .ociVersion = "1.0.2" | .linux.namespaces |= map(select(.type != "time"))' config.json >"$T/runc.json")
	mkdir "$T/runc-bundle"
	mv "$T/runc.json" "$T/runc-bundle/config.json"
	runc --root "$T/runc" run --detach --bundle "$T/runc-bundle" "$MARK-runc" </dev/null >"$T/runc.log" 2>&1 3>&- || {
		cat "$T/runc.log"
		skip "runc cannot run here: $(tail -1 "$T/runc.log")"
	}
	local rc=0
	runc --root "$T/runc" events --stats "$MARK-runc" >"$T/theirs.json" 2>"$T/runc.log" || rc=$?
	runc --root "$T/runc" delete --force "$MARK-runc"
	((rc == 0)) || skip "runc has no statistics here: $(tail -1 "$T/runc.log")"
	jq -r "$keys" "$T/theirs.json" >"$T/theirs"
	# Zero figures are left out by both: a key of one's may be missing from the other's.
	comm -13 <(sort "$T/ours") <(sort "$T/theirs") | grep -v '"raw"\|max\|usage\|current\|cache\|percpu' >"$T/missing" || true
	equal "" "$(<"$T/missing")"
	comm -23 <(sort "$T/ours") <(sort "$T/theirs") | grep -v '"raw"\|max\|usage\|current\|cache\|percpu\|cpuset' >"$T/more" || true
	equal "" "$(<"$T/more")"
}

@test "events --stats: processor time is the kernel's, and grows" {
	local before after
	sh_script 'while :; do :; done'
	start_container
	before=$(stat_of .data.cpu.usage.total)
	sleep 0.2
	after=$(stat_of .data.cpu.usage.total)
	((after > before + 50000000))
	if is_v2; then
		((after <= 1000 * $(sed -n 's/^usage_usec //p' "/sys/fs/cgroup/$MARK/cpu.stat")))
		equal null "$(stat_of .data.cpu.usage.percpu)"
	elif [[ -d /sys/fs/cgroup/cpuacct ]]; then
		((after <= $(<"/sys/fs/cgroup/cpuacct/$MARK/cpuacct.usage")))
		equal "$(wc -w <"/sys/fs/cgroup/cpuacct/$MARK/cpuacct.usage_percpu")" "$(stat_of '.data.cpu.usage.percpu | length')"
		equal "$(wc -w <"/sys/fs/cgroup/cpuacct/$MARK/cpuacct.usage_percpu")" "$(stat_of '.data.cpu.usage.percpu_user | length')"
	fi
	eventually user_time
}

user_time() { (($(stat_of '.data.cpu.usage | .user + .kernel') > 0)); }

@test "events --stats: throttling is counted" {
	sh_script 'while :; do :; done'
	start_container
	if is_v2; then
		controller cpu cpu.max
		echo "5000 50000" >"$CG/cpu.max"
	else
		controller cpu cpu.cfs_quota_us
		echo 50000 >"$CG/cpu.cfs_period_us"
		echo 5000 >"$CG/cpu.cfs_quota_us"
	fi
	# The kernel counts the time when it is over.
	eventually throttled
}

throttled() { [[ $(stat_of '.data.cpu.throttling | .throttledPeriods > 1 and .periods >= .throttledPeriods and .throttledTime > 0') == true ]]; }

@test "events --stats: memory is the kernel's" {
	start_container
	limit_memory 33554432
	if is_v2; then
		equal 33554432 "$(stat_of .data.memory.usage.limit)"
		(($(stat_of .data.memory.usage.usage) > 0))
	else
		equal "33554432 33554432" "$(stat_of '.data.memory | "\(.usage.limit) \(.swap.limit)"' | tr -d '"')"
		(($(stat_of .data.memory.usage.usage) > 0 && $(stat_of .data.memory.usage.max) > 0))
		(($(stat_of .data.memory.kernel.usage) > 0))
		equal "$(cut -d' ' -f1 "$CG/memory.stat" | sort | tr '\n' ' ')" "$(stat_of '.data.memory.raw | keys[]' | tr -d '"' | sort | tr '\n' ' ')"
		equal "$(sed -n 's/^hierarchical_memory_limit //p' "$CG/memory.stat")" "$(stat_of .data.memory.raw.hierarchical_memory_limit)"
	fi
}

@test "events --stats: tasks are counted, threads and all, with and without a limit" {
	sh_script 'sleep 100000 & sleep 100000 & wait'
	start_container
	eventually has_three
	equal null "$(stat_of .data.pids.limit)"
	if is_v2; then controller pids pids.max; else controller pids pids.max; fi
	echo 17 >"$CG/pids.max"
	equal 17 "$(stat_of .data.pids.limit)"
}

has_three() { [[ $(stat_of .data.pids.current) == 3 ]]; }

@test "events --stats: where the container may run" {
	start_container
	if is_v2; then
		controller cpuset cpuset.cpus.effective
	else
		controller cpuset cpuset.cpus
	fi
	echo 0 >"$CG/cpuset.cpus"
	equal '[0]' "$(stat_of .data.cpuset.cpus)"
	equal '[0]' "$(stat_of .data.cpuset.mems)"
}

@test "events --stats: what is read and written on a disk" {
	local base=$T device
	# A tmpfs is on no device.
	device=$(df --output=source / | tail -1)
	[[ -b $device ]] || skip "the root file system is on no block device"
	base=$(mktemp -d /var/tmp/hako-bats.XXXXXX)
	update_config --arg s "$base" '.mounts += [{destination: "/disk", type: "bind", source: $s, options: ["rbind", "rw"]}]'
	sh_script 'dd if=/dev/zero of=/disk/file bs=64k count=16 conv=fsync; sleep 100000'
	start_container
	if is_v2; then controller io io.stat; else controller blkio blkio.throttle.io_serviced_recursive; fi
	local rc=0
	eventually written || rc=$?
	rm -rf "$base"
	((rc == 0))
	jq -e '.data.blkio | [.ioServiceBytesRecursive, .ioServicedRecursive] | all(any(.op == "Read") and any(.op == "Write"))' <<<"$(hako events --stats "$ID")"
}

written() { (($(stat_of '[.data.blkio.ioServiceBytesRecursive[]? | select(.op == "Write") | .value // 0] | add // 0') >= 1048576)); }

@test "oom: a process over the memory limit is killed, and a line tells" {
	sh_script 'read x </fifo; tail /dev/zero; echo $? >/status; sleep 100000'
	mkfifo "$BUNDLE/rootfs/fifo"
	start_container
	limit_memory 16777216
	watch_events --interval 1h
	echo x >"$BUNDLE/rootfs/fifo"
	eventually filled "$BUNDLE/rootfs/status"
	equal 137 "$(<"$BUNDLE/rootfs/status")"
	eventually has_oom
	equal "{\"type\":\"oom\",\"id\":\"$ID\"}" "$(sort -u "$T/events")"
	has_status "$ID" running
	ok kill "$ID" KILL
	watcher_ends
}

@test "oom: of the container's own process, before events ends" {
	sh_script 'read x </fifo; exec tail /dev/zero'
	mkfifo "$BUNDLE/rootfs/fifo"
	start_container
	limit_memory 16777216
	watch_events --interval 1h
	echo x >"$BUNDLE/rootfs/fifo"
	eventually status_is "$ID" stopped
	watcher_ends
	equal "{\"type\":\"oom\",\"id\":\"$ID\"}" "$(sort -u "$T/events")"
}

@test "oom: what happened before is not told" {
	sh_script 'tail /dev/zero; echo $? >/status; sleep 100000'
	ok create "$ID"
	limit_memory 16777216
	ok start "$ID"
	eventually filled "$BUNDLE/rootfs/status"
	watch_events --interval 50ms
	eventually lines_are 2
	not has_oom
}

@test "oom: each time again" {
	sh_script 'while read x; do tail /dev/zero; echo $x >>/status; done </fifo'
	mkfifo "$BUNDLE/rootfs/fifo"
	start_container
	limit_memory 16777216
	watch_events --interval 1h
	exec 9<>"$BUNDLE/rootfs/fifo"
	local n
	for n in 1 2 3; do
		echo "$n" >&9
		eventually grep -qx "$n" "$BUNDLE/rootfs/status"
		eventually lines_are "$n"
	done
	exec 9>&-
}
