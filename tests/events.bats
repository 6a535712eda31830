#!/usr/bin/env bats
# events: what is printed when, in the form of runc's; tests/stats.bats has what
# needs controllers.
# shellcheck disable=SC2016 # $names are jq's or of the container's shell
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

load helpers
load process-helpers
load events-helpers

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
	local begin lines us
	start_container
	begin=${EPOCHREALTIME/./}
	timeout -s INT 1.4 "$HAKO" --root "$ROOT" events --interval 250ms "$ID" </dev/null >"$T/events" 3>&- || true
	us=$((${EPOCHREALTIME/./} - begin))
	lines=$(wc -l <"$T/events")
	((lines >= 2 && lines * 250000 <= us)) || {
		echo "$lines lines in $us µs"
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
