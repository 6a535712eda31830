#!/usr/bin/env bats
# events: statistics and out-of-memory events, in the form of runc's.
# shellcheck disable=SC2016 # $names are jq's or of the container's shell
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

load helpers
load process-helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() {
	DONORS=()
	WATCHER=
	make_bundle
}
teardown() {
	[[ -z $WATCHER ]] || ! kill -KILL "$WATCHER" 2>/dev/null || wait "$WATCHER" || true
	end_donors
	clean_up
}

is_v2() { [[ $(stat -f -c %T /sys/fs/cgroup) == cgroup2fs ]]; }

# controller NAME: the container's directory where it is enabled, or a skip.
controller() {
	CG=/sys/fs/cgroup/$1/$MARK
	! is_v2 || CG=/sys/fs/cgroup/$MARK
	[[ -e $CG/$2 ]] || skip "this machine's cgroups have no $1 controller here"
}

# stat JQ-FILTER: of the container's statistics.
stat_of() { hako events --stats "$ID" | jq -c "$1"; }

# watch_events OPTION…: in the background, into $T/events.
watch_events() {
	# Not by the function: $! is to be hako itself.
	"$HAKO" --root "$ROOT" events "$@" "$ID" </dev/null >"$T/events" 2>"$T/events.err" 3>&- &
	WATCHER=$!
	eventually waits "$WATCHER"
}

# waits PID: hako, in ppoll(2); not in the epoll_wait(2) of Go's runtime.
waits() { grep -qs do_sys_poll /proc/"$1"/task/*/stack; }

lines_are() { (($(wc -l <"$T/events") >= $1)); }
has_oom() { grep -q '"oom"' "$T/events"; }

# watcher_ends: by itself, without a message but that there is nothing to watch.
watcher_ends() {
	eventually gone "$WATCHER"
	local rc=0
	wait "$WATCHER" || rc=$?
	WATCHER=
	! grep -v 'no memory controller is enabled' "$T/events.err" || rc=words
	[[ $rc == 0 ]] || {
		echo "events ended with $rc"
		cat "$T/events.err"
		return 1
	}
}

# limit_memory BYTES: of the container, in the kernel's file.
limit_memory() {
	if is_v2; then
		controller memory memory.max
		echo "$1" >"$CG/memory.max"
	else
		controller memory memory.limit_in_bytes
		echo "$1" >"$CG/memory.limit_in_bytes"
		echo "$1" >"$CG/memory.memsw.limit_in_bytes" || true # without swap accounting
	fi
}

# --- --stats

@test "events --stats: one line with type, id and data" {
	start_container
	ok events --stats "$ID"
	equal 1 "$(wc -l <"$out_file")"
	equal "stats $ID object" "$(jq -r '"\(.type) \(.id) \(.data | type)"' <<<"$output")"
	equal '["type","id","data"]' "$(jq -c keys_unsorted <<<"$output")"
	equal '["cpu","cpuset","memory","pids","blkio","hugetlb","intel_rdt","network_interfaces"]' "$(jq -c '.data | keys_unsorted' <<<"$output")"
}

@test "events --stats: what is always there, with nothing to say" {
	start_container
	ok events --stats "$ID"
	jq -e '.data | (.network_interfaces == null) and (.intel_rdt == {}) and (.hugetlb | type == "object")' <<<"$output"
	jq -e '.data.memory | [.usage, .swap, .kernel, .kernelTCP] | all(has("limit") and has("failcnt"))' <<<"$output"
	jq -e '.data.cpu | (.usage | has("kernel") and has("user")) and (.throttling | type == "object")' <<<"$output"
	jq -e '.data.cpuset | has("cpu_exclusive") and has("sched_relax_domain_level")' <<<"$output"
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
	eventually throttled
	jq -e '.data.cpu.throttling | .periods >= .throttledPeriods and .throttledTime > 0' <<<"$(hako events --stats "$ID")"
}

throttled() { (($(stat_of '.data.cpu.throttling.throttledPeriods // 0') > 1)); }

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

@test "events --stats: pressure, where the kernel accounts it" {
	local dir=/sys/fs/cgroup/unified
	! is_v2 || dir=/sys/fs/cgroup
	start_container
	[[ -d $dir/$MARK ]] && cat "$dir/$MARK/cpu.pressure" >/dev/null || skip "the kernel accounts no pressure"
	local kind
	for kind in cpu memory blkio; do
		equal '["some","full"] ["avg10","avg60","avg300","total"]' "$(stat_of ".data.$kind.psi | (keys_unsorted | tojson) + \" \" + (.some | keys_unsorted | tojson)" | jq -r .)"
	done
	# Every start costs a little waiting for the processor.
	(($(sed -n 's/^some.*total=//p' "$dir/$MARK/cpu.pressure") >= $(stat_of .data.cpu.psi.some.total)))
}

@test "events --stats: huge pages, by size" {
	local dir=/sys/fs/cgroup/unified
	! is_v2 || dir=/sys/fs/cgroup
	start_container
	dir=$dir/$MARK
	compgen -G "$dir/hugetlb.*.current" >/dev/null || skip "no hugetlb controller is enabled for the container"
	equal "$(find "$dir" -name 'hugetlb.*.current' ! -name '*.rsvd.*' -printf '%f\n' | cut -d. -f2 | sort | tr '\n' ' ')" \
		"$(stat_of '.data.hugetlb | keys[]' | tr -d '"' | sort | tr '\n' ' ')"
}

@test "events --stats: of created and of paused containers" {
	ok create "$ID"
	ok events --stats "$ID"
	ok start "$ID"
	ok pause "$ID"
	ok events --stats "$ID"
	jq -e '.data.cpu.usage.total > 0' <<<"$output"
	has_status "$ID" paused
}

@test "events: of a stopped container, and of none" {
	set_args true
	ok create "$ID"
	ok start "$ID"
	eventually status_is "$ID" stopped
	fails 'container not running' events --stats "$ID"
	fails 'container not running' events "$ID"
	fails 'container does not exist' events --stats nobody
	fails 'container does not exist' events nobody
}

# --- a stream

@test "events: a line each interval, until the container has stopped" {
	start_container
	watch_events --interval 100ms
	equal "" "$(<"$T/events")"
	eventually lines_are 3
	jq -es --arg id "$ID" 'all(.type == "stats" and .id == $id and .data.cpu.usage.total > 0)' "$T/events"
	ok kill "$ID" KILL
	watcher_ends
}

@test "events: the interval is kept" {
	local lines
	start_container
	timeout -s INT 1.25 "$HAKO" --root "$ROOT" events --interval 250ms "$ID" </dev/null >"$T/events" 3>&- || true
	lines=$(wc -l <"$T/events")
	((lines >= 3 && lines <= 4)) || {
		echo "$lines lines"
		return 1
	}
}

@test "events: an interval that is none is refused" {
	local interval
	start_container
	for interval in 0 0s -1s; do
		fails 'interval must be greater than 0' events --interval="$interval" "$ID"
	done
	call events --interval soon "$ID"
	equal 1 "$status"
	call events --interval 5 "$ID"
	equal 1 "$status"
}

@test "events: ends when the container is deleted underneath" {
	start_container
	watch_events --interval 10ms
	eventually lines_are 1
	ok delete --force "$ID"
	watcher_ends
	not has_oom
}

@test "events: of a container that leaves processes in a shared pid namespace" {
	update_config '.linux.namespaces |= map(select(.type != "pid"))'
	sh_script 'sleep 100000 & read x </fifo'
	mkfifo "$BUNDLE/rootfs/fifo"
	start_container
	watch_events --interval 1h
	echo x >"$BUNDLE/rootfs/fifo"
	watcher_ends
	ok delete "$ID"
}

@test "events: takes no processor time while nothing happens" {
	local before after
	start_container
	watch_events --interval 1h
	before=$(awk '{ print $14 + $15 }' "/proc/$WATCHER/stat")
	sleep 0.5
	after=$(awk '{ print $14 + $15 }' "/proc/$WATCHER/stat")
	((after - before <= 1)) || {
		echo "$((after - before)) ticks"
		return 1
	}
	equal "" "$(<"$T/events")"
}

@test "events: a reader that goes away ends it" {
	start_container
	timeout 20 "$HAKO" --root "$ROOT" events --interval 20ms "$ID" </dev/null 2>"$T/err" 3>&- | head -1 >"$T/line"
	differ 124 "${PIPESTATUS[0]}"
	jq -e '.type == "stats"' "$T/line"
}

@test "events: without a memory controller it says so, and goes on" {
	is_v2 || skip "v1 has the memory controller"
	[[ ! -e /sys/fs/cgroup/$MARK/memory.events ]]
	start_container
	[[ ! -e /sys/fs/cgroup/$MARK/memory.events ]] || skip "the container has a memory controller"
	"$HAKO" --root "$ROOT" events --interval 20ms "$ID" </dev/null >"$T/events" 2>"$T/events.err" 3>&- &
	WATCHER=$!
	eventually lines_are 2
	contains 'no out-of-memory events: no memory controller' "$(<"$T/events.err")"
}

# --- out of memory

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
