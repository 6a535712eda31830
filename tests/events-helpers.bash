# For tests of events.
# shellcheck shell=bash
# shellcheck disable=SC2034 # variables are for the tests

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

end_watcher() {
	[[ -z ${WATCHER:-} ]] || ! kill -KILL "$WATCHER" 2>/dev/null || wait "$WATCHER" || true
}
