#!/usr/bin/env bats
# The container's cgroup, in every hierarchy of v1 and hybrid hosts and in v2.
# See runtime-spec config-linux.md#cgroups-path, docs/design.md.
# shellcheck disable=SC2016 # $names are jq's or of the container's shell
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

load helpers
load process-helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() {
	DONORS=()
	make_bundle
	# Paths are the host's.
	update_config '.linux.namespaces -= [{type: "cgroup"}]'
}
teardown() {
	end_donors
	local dir
	# What hako rightly leaves: folders above the container's.
	if [[ -n ${ABOVE:-} ]]; then
		hako delete --force "$ID"
		while read -r dir; do
			rmdir "$dir"
		done < <(find_dirs "$ABOVE" | sort -r)
	fi
	clean_up
}

# hierarchies: mount points.
hierarchies() {
	awk '$5 ~ "^/sys/fs/cgroup" { for (i = 6; $i != "-"; i++); if ($(i + 1) ~ /^cgroup/) print $5 }' /proc/self/mountinfo | sort -u
}

is_v2() { [[ $(stat -f -c %T /sys/fs/cgroup) == cgroup2fs ]]; }

# find_dirs PATH: it and what is below, in every hierarchy.
find_dirs() {
	local h
	for h in $(hierarchies); do
		[[ ! -d $h$1 ]] || find "$h$1" -depth -type d
	done
}

# is_in PID PATH: of the cgroup in every hierarchy.
is_in() {
	local h
	for h in $(hierarchies); do
		grep -qx "$1" "$h$2/cgroup.procs" || {
			echo "process $1 is not in $h$2"
			return 1
		}
	done
}

# in_all COMMAND…: with the container's folder of each hierarchy behind it.
in_all() {
	local h
	for h in $(hierarchies); do
		"$@" "$h/$MARK"
	done
}

not_there() { not exists "$1"; }

# --- the path

@test "path: the process is in a cgroup of its own, in every hierarchy" {
	local h
	start_container
	is_in "$(init)" "/$MARK"
	for h in $(hierarchies); do
		equal "$(init)" "$(<"$h/$MARK/cgroup.procs")"
	done
}

@test "path: of a created container too" {
	ok create "$ID"
	is_in "$(init)" "/$MARK"
}

@test "path: the process never ran elsewhere, its children neither" {
	sh_script 'cat /proc/self/cgroup; (cat /proc/self/cgroup)'
	ok run "$ID"
	local line
	while read -r line; do
		line=${line#*:}
		# Not of hierarchies that are mounted elsewhere, or nowhere.
		if [[ $line != :* ]] && ! hierarchies | grep -qx "/sys/fs/cgroup/$(sed 's/^name=//; s/:.*//' <<<"$line")"; then
			continue
		fi
		equal "/$MARK" "${line#*:}"
	done <<<"$output"
}

@test "path: absolute, relative and nested" {
	local path
	ABOVE=/$MARK
	for path in "/$MARK" "$MARK" "/$MARK/a/b" "$MARK/a/b" "/$MARK/./a/b//"; do
		update_config --arg p "$path" '.linux.cgroupsPath = $p'
		start_container
		case $path in
		*/a/*) is_in "$(init)" "/$MARK/a/b" ;;
		*) is_in "$(init)" "/$MARK" ;;
		esac
		ok delete --force "$ID"
	done
}

@test "path: /ID by default" {
	start_container 'del(.linux.cgroupsPath)'
	is_in "$(init)" "/$ID"
	ok delete --force "$ID"
	start_container '.linux.cgroupsPath = ""'
	is_in "$(init)" "/$ID"
}

@test "path: does not depend on the caller's cgroup" {
	local h
	ABOVE=/$MARK
	update_config --arg p "$MARK/inner" '.linux.cgroupsPath = $p'
	for h in $(hierarchies); do
		mkdir -p "$h/$MARK/caller"
		case $h in *cpuset) cat "$h/cpuset.cpus" >"$h/$MARK/cpuset.cpus"; cat "$h/cpuset.mems" >"$h/$MARK/cpuset.mems"
			cat "$h/cpuset.cpus" >"$h/$MARK/caller/cpuset.cpus"; cat "$h/cpuset.mems" >"$h/$MARK/caller/cpuset.mems" ;; esac
	done
	# Its memory stays where it is.
	bash -c 'for h in $1; do case $h in *memory) ;; *) echo $$ >"$h/$2/caller/cgroup.procs" || exit;; esac; done
		shift 2; exec "$@"' sh "$(hierarchies)" "$MARK" "$HAKO" --root "$ROOT" run --detach "$ID" </dev/null >"$T/o" 2>&1 3>&-
	is_in "$(init)" "/$MARK/inner"
}

@test "path: .. does not leave the hierarchy" {
	local path
	for path in "../$MARK" "/../../$MARK" "a/../../../$MARK" "../../../../../../sys/fs/cgroup/../$MARK"; do
		[[ $path != *sys* ]] || ABOVE=/sys
		update_config --arg p "$path" '.linux.cgroupsPath = $p'
		start_container
		case $path in
		*sys*) is_in "$(init)" "/sys/fs/$MARK" ;;
		*) is_in "$(init)" "/$MARK" ;;
		esac
		ok delete --force "$ID"
	done
}

@test "path: the root of the hierarchies is refused, also by .." {
	local path
	for path in / // /. /.. a/..; do
		refused 'linux.cgroupsPath: .* is the root' ".linux.cgroupsPath = \"$path\""
	done
}

@test "path: a line break is refused" {
	refused 'linux.cgroupsPath: .*line break' '.linux.cgroupsPath = "/a\nb"'
}

@test "path: of systemd's form needs --systemd-cgroup, and it the form" {
	refused 'linux.cgroupsPath: .*needs --systemd-cgroup' '.linux.cgroupsPath = "a.slice:b:c"'
	update_config '.linux.cgroupsPath = "/a/b"'
	fails 'linux.cgroupsPath: "/a/b" is not slice:prefix:name' --systemd-cgroup create "$ID"
}

@test "systemd: where there is none, --systemd-cgroup says so, and nothing is left" {
	export DBUS_SYSTEM_BUS_ADDRESS=unix:path=$BATS_TEST_TMPDIR/missing
	update_config 'del(.linux.cgroupsPath)'
	fails 'no manager of systemd units can be reached: is systemd running here, and dbus' --systemd-cgroup create "$ID"
	fails 'no manager of systemd units can be reached' --systemd-cgroup run "$ID"
	nothing_left
}

@test "systemd: annotations are checked before anything is made" {
	update_config 'del(.linux.cgroupsPath) | .annotations = {"org.systemd.property.TimeoutStopSec": "soon", "org.systemd.property.PIDs": "[uint32 1]"}'
	fails 'annotations\["org.systemd.property.PIDs"\]: .*annotations\["org.systemd.property.TimeoutStopSec"\]: "soon" is not a GVariant' --systemd-cgroup create "$ID"
}

# --- what is there already

@test "existing: an empty one is used" {
	in_all mkdir
	start_container
	is_in "$(init)" "/$MARK"
	ok delete --force "$ID"
	in_all not_there
}

# occupy DIR: a process of the host in it.
occupy() {
	case $1 in
	*/cpuset/*)
		cat "$(dirname "$1")/cpuset.cpus" >"$1/cpuset.cpus"
		cat "$(dirname "$1")/cpuset.mems" >"$1/cpuset.mems"
		;;
	esac
	donor --uts
	echo "$DONOR" >"$1/cgroup.procs"
}

@test "existing: one with a process is refused, in whichever hierarchy, and not touched" {
	local h
	for h in $(hierarchies); do
		mkdir "$h/$MARK"
		occupy "$h/$MARK"
		fails "cgroup /$MARK: .* $DONOR: cgroup is not empty$" create "$ID"
		grep -qx "$DONOR" "$h/$MARK/cgroup.procs"
		equal "$h/$MARK" "$(cgroup_dirs)"
		not exists "$ROOT/$ID"
		kill -0 "$DONOR"
		end_donors
		rmdir "$h/$MARK"
	done
}

@test "existing: one with a process below is refused" {
	local h
	h=$(hierarchies | tail -1)
	ABOVE=/$MARK
	mkdir -p "$h/$MARK/below"
	case $h in *cpuset) return 1 ;; esac
	occupy "$h/$MARK/below"
	fails "cgroup /$MARK: .*cgroup is not empty$" create "$ID"
	grep -qx "$DONOR" "$h/$MARK/below/cgroup.procs"
}

@test "existing: another container's is refused, and it goes on" {
	start_container
	fails "cgroup /$MARK: .*cgroup is not empty$" create "$ID-2"
	fails "cgroup /$MARK: .*cgroup is not empty$" run "$ID-2"
	has_status "$ID" running
	is_in "$(init)" "/$MARK"
	not exists "$ROOT/$ID-2"
}

@test "existing: a frozen one is used, and the container is not frozen" {
	local state
	for state in /sys/fs/cgroup/freezer /sys/fs/cgroup; do
		[[ -e $state/cgroup.procs ]] || continue
		mkdir "$state/$MARK"
		if [[ -e $state/$MARK/freezer.state ]]; then
			echo FROZEN >"$state/$MARK/freezer.state"
		else
			echo 1 >"$state/$MARK/cgroup.freeze"
		fi
		break
	done
	sh_script 'echo ran'
	ok run "$ID"
	equal ran "$output"
}

# --- removal

@test "delete: the cgroup is removed in every hierarchy" {
	start_container
	in_all test -d
	ok delete --force "$ID"
	in_all not_there
}

@test "delete: the folders above stay, for others who use them" {
	local h
	ABOVE=/$MARK
	start_container ".linux.cgroupsPath = \"/$MARK/one\""
	update_config ".linux.cgroupsPath = \"/$MARK/two\""
	ok run --detach "$ID-2"
	ok delete --force "$ID"
	for h in $(hierarchies); do
		not exists "$h/$MARK/one"
		grep -qx "$(field "$ID-2" .pid)" "$h/$MARK/two/cgroup.procs"
	done
	ok delete --force "$ID-2"
	for h in $(hierarchies); do
		not exists "$h/$MARK/two"
		exists "$h/$MARK"
	done
}

# writable: the container has its cgroup namespace and may make cgroups.
writable() {
	update_config '.linux.namespaces += [{type: "cgroup"}] |
		.mounts |= map(if .type == "cgroup" then .options = ["rw"] else . end) | .root.readonly = false'
}

@test "delete: cgroups made inside, with processes in them, are removed" {
	writable
	sh_script 'for d in $(find /sys/fs/cgroup -maxdepth 1 -type d | grep -v -e cpuset); do
			[ ! -e $d/cgroup.procs ] || { mkdir -p $d/one/two; sleep 100000 & echo $! >$d/one/two/cgroup.procs; }
		done; echo >/ready; exec sleep 100000'
	start_container
	eventually exists "$BUNDLE/rootfs/ready"
	exists "$(hierarchies | tail -1)/$MARK/one/two"
	ok delete --force "$ID"
	in_all not_there
	nothing_left
}

@test "delete: many nested cgroups are removed" {
	local h n path
	start_container
	for h in $(hierarchies); do
		path=$h/$MARK
		for n in {1..20}; do
			path+=/d$n
			mkdir -p "$path" "$path-x"
		done
	done
	ok delete --force "$ID"
	in_all not_there
}

@test "run: the cgroup is gone afterwards, also if the start fails" {
	set_args true
	ok run "$ID"
	in_all not_there
	set_args missing-program
	fails 'executable file not found' run "$ID"
	in_all not_there
	update_config '.process.cwd = "/bin/busybox"'
	fails 'process.cwd' create "$ID"
	in_all not_there
}

# --- exec

@test "exec: is in the container's cgroup" {
	start_container
	ok exec --detach --pid-file "$T/exec.pid" "$ID" sleep 100000
	is_in "$(<"$T/exec.pid")" "/$MARK"
}

@test "exec --cgroup: is in the one below" {
	local h
	start_container
	in_all make_below
	ok exec --cgroup below --detach --pid-file "$T/exec.pid" "$ID" sleep 100000
	is_in "$(<"$T/exec.pid")" "/$MARK/below"
}

make_below() {
	mkdir "$1/below"
	[[ ! -e $1/cpuset.cpus || ! -e $1/cpuset.sched_load_balance ]] || {
		cat "$1/cpuset.cpus" >"$1/below/cpuset.cpus"
		cat "$1/cpuset.mems" >"$1/below/cpuset.mems"
	}
}

@test "exec --cgroup: of one controller (v1); in v2 there are none to name" {
	start_container
	in_all make_below
	if is_v2; then
		fails_with 255 '--cgroup freezer:below' exec --cgroup freezer:below "$ID" true
		return
	fi
	ok exec --cgroup freezer,pids:below --detach --pid-file "$T/exec.pid" "$ID" sleep 100000
	local pid
	pid=$(<"$T/exec.pid")
	grep -qx "$pid" "/sys/fs/cgroup/freezer/$MARK/below/cgroup.procs"
	grep -qx "$pid" "/sys/fs/cgroup/pids/$MARK/below/cgroup.procs"
	grep -qx "$pid" "/sys/fs/cgroup/devices/$MARK/cgroup.procs"
}

@test "exec --cgroup: does not leave the container's" {
	local path
	start_container
	for path in .. ../x /../.. below/../..; do
		fails_with 255 "--cgroup $path: " exec --cgroup "$path" "$ID" sleep 100000
	done
	equal 1 "$(hako ps -f json "$ID" | jq length)"
}

@test "exec --cgroup: one that is missing, and an unknown controller" {
	start_container
	fails_with 255 '--cgroup missing: .*no such file or directory' exec --cgroup missing "$ID" true
	is_v2 || fails_with 255 '--cgroup foo:x' exec --cgroup foo:x "$ID" true
	equal 1 "$(hako ps -f json "$ID" | jq length)"
}

@test "exec: works after the container has moved itself into a cgroup below" {
	writable
	sh_script 'mkdir -p /sys/fs/cgroup/unified/below /sys/fs/cgroup/below 2>/dev/null
		for d in /sys/fs/cgroup/unified /sys/fs/cgroup; do [ ! -e $d/below/cgroup.procs ] || { echo 1 >$d/below/cgroup.procs
			for c in $(cat $d/cgroup.controllers); do echo +$c >$d/cgroup.subtree_control; done; break; }; done
		echo >/ready; exec sleep 100000'
	start_container
	eventually exists "$BUNDLE/rootfs/ready"
	ok exec "$ID" cat /proc/self/cgroup
	contains '0::/' "$output"
}

# --- processes, kill

# with_many: six processes in a shared pid namespace, or one of their own; some in
# cgroups below, made from outside.
with_many() {
	sh_script 'for i in 1 2 3 4 5; do sleep 100000 & done; echo ready; wait'
	ok create "$ID"
	local out=$out_file h pid pids
	ok start "$ID"
	eventually filled "$out"
	pids=$(hako ps -f json "$ID" | jq -r '.[]')
	equal 6 "$(wc -l <<<"$pids")"
	in_all make_below
	for h in $(hierarchies); do
		tail -2 <<<"$pids" | while read -r pid; do echo "$pid" >"$h/$MARK/below/cgroup.procs"; done
	done
}

shared='.linux.namespaces -= [{type: "pid"}]'

@test "ps: processes of cgroups below are listed" {
	with_many
	equal 6 "$(hako ps -f json "$ID" | jq length)"
}

@test "kill --all: reaches cgroups below" {
	update_config "$shared"
	with_many
	ok kill --all "$ID" KILL
	eventually no_processes
}

@test "kill --all TERM: those that do not mind it end, the container goes on" {
	update_config "$shared"
	sh_script 'sleep 100000 & trap "" TERM; echo ready; while :; do sleep 0.02; done'
	ok create "$ID"
	local out=$out_file
	ok start "$ID"
	eventually filled "$out"
	ok kill --all "$ID" TERM
	eventually none_sleeps_long
	has_status "$ID" running
}

none_sleeps_long() { ! long_sleeper; }
long_sleeper() {
	local pid
	for pid in $(hako ps -f json "$ID" | jq -r '.[]'); do
		! grep -q 100000 "/proc/$pid/cmdline" 2>/dev/null || [[ $pid == "$(init)" ]] || return 0
	done
	return 1
}

@test "kill KILL: in a shared pid namespace reaches all, also in cgroups below" {
	update_config "$shared"
	with_many
	ok kill "$ID" KILL
	eventually no_processes
	ok delete "$ID"
}

@test "kill TERM: in a shared pid namespace reaches the first process only" {
	update_config "$shared"
	with_many
	ok kill "$ID" TERM
	eventually status_is "$ID" stopped
	equal 5 "$(processes | wc -l)"
}

@test "delete: in a shared pid namespace kills what is left, also in cgroups below" {
	update_config "$shared"
	with_many
	kill -KILL "$(init)"
	eventually status_is "$ID" stopped
	differ 0 "$(processes | wc -l)"
	ok delete "$ID"
	nothing_left
}

@test "delete: in a shared pid namespace kills what is left, though it is frozen" {
	update_config "$shared"
	with_many
	kill -KILL "$(init)"
	eventually status_is "$ID" stopped
	freeze_by_hand
	ok delete "$ID"
	nothing_left
}

freeze_by_hand() {
	if is_v2; then
		echo 1 >"/sys/fs/cgroup/$MARK/cgroup.freeze"
	else
		echo FROZEN >"/sys/fs/cgroup/freezer/$MARK/freezer.state"
	fi
}

@test "kill: no process outside of the container is reached" {
	donor --uts
	update_config "$shared"
	with_many
	ok kill --all "$ID" KILL
	ok kill --all "$ID" KILL
	ok delete --force "$ID"
	kill -0 "$DONOR"
}

# --- pause and resume

# freezer_says WORD: FROZEN or THAWED, from the kernel.
freezer_says() {
	local state
	if is_v2; then
		case $(awk '$1 == "frozen" { print $2 }' "/sys/fs/cgroup/$MARK/cgroup.events") in
		1) state=FROZEN ;;
		0) state=THAWED ;;
		esac
	else
		state=$(<"/sys/fs/cgroup/freezer/$MARK/freezer.state")
	fi
	equal "$1" "$state"
}

@test "pause, resume: the kernel's freezer has the state" {
	start_container
	freezer_says THAWED
	ok pause "$ID"
	freezer_says FROZEN
	ok resume "$ID"
	freezer_says THAWED
}

@test "pause: a process that counts stands still, until resume" {
	sh_script 'i=0; while :; do i=$((i+1)); echo $i; done'
	ok create "$ID"
	local out=$out_file before
	ok start "$ID"
	eventually filled "$out"
	ok pause "$ID"
	before=$(stat -c %s "$out")
	# As long as a busy loop would need for thousands of lines.
	cat "$BUNDLE"/rootfs/bin/busybox "$BUNDLE"/rootfs/bin/busybox | md5sum >"$T/work"
	equal "$before" "$(stat -c %s "$out")"
	ok resume "$ID"
	eventually larger "$out" "$before"
	ok delete --force "$ID"
}

larger() { (($(stat -c %s "$1") > $2)); }

@test "pause: processes of cgroups below stand still too" {
	with_many
	ok pause "$ID"
	local pid
	for pid in $(hako ps -f json "$ID" | jq -r '.[]'); do
		case $(proc_state "$pid") in
		S* | D*) ;;
		*) return 1 ;;
		esac
	done
	freezer_says FROZEN
}

@test "run: looks for the hierarchies once, deletion included" {
	command -v strace >/dev/null || skip "needs strace, to count"
	set_args true
	strace -f -qq -o "$T/trace" -e trace=openat "$HAKO" --root "$ROOT" run "$ID" 3>&-
	local looks=1
	[[ ! -e /sys/fs/cgroup/cgroup.controllers ]] || looks=0 # v2 has one, and its place is known
	equal "$looks" "$(grep -c '"/sys/fs/cgroup", ' "$T/trace")"
}

# threaded DIR: below it only threads of one process, or of the cgroups above.
threaded() {
	mkdir -p "$1"
	echo threaded >"$1/cgroup.type" || skip "the kernel makes no threaded cgroups here"
}

# cgroup2_root: where cgroup2 is mounted.
cgroup2_root() {
	local root=/sys/fs/cgroup
	is_v2 || root=/sys/fs/cgroup/unified
	[[ $(stat -f -c %T $root) == cgroup2fs ]] || skip "cgroup2 is not mounted"
	echo $root
}

@test "exec --cgroup: into a threaded cgroup of the container" {
	local dir
	dir=$(cgroup2_root)/$MARK
	start_container
	in_all make_below
	threaded "$dir/below"
	ok exec --cgroup below --detach --pid-file "$T/exec.pid" "$ID" sleep 100000
	contains "0::/$MARK/below" "$(<"/proc/$(<"$T/exec.pid")/cgroup")"
	# ps knows it, though the kernel lists it in the cgroup above.
	equal 2 "$(hako ps -f json "$ID" | jq length)"
}

@test "exec --cgroup: what a cgroup of cgroup v2 has against a process is explained" {
	local dir
	dir=$(cgroup2_root)/$MARK
	start_container
	in_all make_below
	threaded "$dir/below"
	in_all make_below_below
	equal 'domain invalid' "$(<"$dir/below/below/cgroup.type")"
	fails_with 255 'below/below: .*not supported: it is below a threaded cgroup' exec --cgroup below/below "$ID" true
	equal 1 "$(hako ps -f json "$ID" | jq length)"
}

make_below_below() { make_below "$1/below"; }

@test "path: below a threaded cgroup is refused, and explained" {
	local root
	root=$(cgroup2_root)
	ABOVE=/$MARK
	threaded "$root/$MARK"
	update_config --arg p "/$MARK/inner" '.linux.cgroupsPath = $p'
	fails 'not supported: it is below a threaded cgroup' create "$ID"
	not exists "$root/$MARK/inner"
	find "$root/$MARK" -depth -type d -delete
}

@test "ps: a process is listed once, whatever its threads" {
	local pid h
	start_container
	MARK=$MARK python3 -c 'import threading, time
for i in range(3): threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
time.sleep(100)' </dev/null >/dev/null 2>&1 3>&- &
	pid=$!
	DONORS+=("$pid")
	eventually has_threads "$pid" 4
	for h in $(hierarchies); do
		echo "$pid" >"$h/$MARK/cgroup.procs"
	done
	equal "$(printf '%s\n' "$pid" "$(init)" | sort -n | jq -cs .)" "$(hako ps --format json "$ID")"
	equal 2 "$(hako ps "$ID" -eo pid,comm | tail -n +2 | wc -l)"
}

has_threads() { (($(find "/proc/$1/task" -mindepth 1 -maxdepth 1 | wc -l) == $2)); }

@test "pause: a container that forks without end stands still" {
	sh_script 'for i in 1 2 3 4; do (while :; do (:) & (:) & wait; done) & done; echo ready; wait'
	ok create "$ID"
	local out=$out_file pids n
	ok start "$ID"
	eventually filled "$out"
	for n in 1 2 3; do
		ok pause "$ID"
		has_status "$ID" paused
		pids=$(hako ps -f json "$ID")
		sleep 0.05
		equal "$pids" "$(hako ps -f json "$ID")"
		ok resume "$ID"
	done
	ok pause "$ID"
	ok delete --force "$ID"
}

# freeze_above 1|0: the cgroup above the container's.
freeze_above() {
	if is_v2 || [[ ! -d /sys/fs/cgroup/freezer ]]; then
		echo "$1" >"$(cgroup2_root)/$ABOVE/cgroup.freeze"
	elif [[ $1 == 1 ]]; then
		echo FROZEN >"/sys/fs/cgroup/freezer$ABOVE/freezer.state"
	else
		echo THAWED >"/sys/fs/cgroup/freezer$ABOVE/freezer.state"
	fi
}

@test "pause: where the cgroup above is frozen" {
	ABOVE=/$MARK
	update_config --arg p "/$MARK/inner" '.linux.cgroupsPath = $p'
	start_container
	freeze_above 1
	# It stands still, but resume would not help.
	has_status "$ID" running
	fails 'container not paused' resume "$ID"
	ok pause "$ID"
	has_status "$ID" paused
	freeze_above 0
	has_status "$ID" paused
	ok resume "$ID"
	has_status "$ID" running
	# Nor does a frozen one above make resume wait or fail.
	ok pause "$ID"
	freeze_above 1
	ok resume "$ID"
	freeze_above 0
	has_status "$ID" running
}

@test "pause: exec is refused, --ignore-paused waits for resume" {
	start_container
	ok pause "$ID"
	fails_with 255 'paused' exec "$ID" true
	hako exec --ignore-paused "$ID" echo "done" </dev/null >"$T/o" 2>&1 &
	local executor=$!
	eventually two_processes
	equal "" "$(<"$T/o")"
	ok resume "$ID"
	wait "$executor"
	equal "done" "$(<"$T/o")"
}

two_processes() { (($(hako ps -f json "$ID" | jq length) == 2)); }

@test "kill KILL: ends a paused container" {
	start_container
	ok pause "$ID"
	ok kill "$ID" KILL
	eventually status_is "$ID" stopped
	eventually no_processes
	ok delete "$ID"
}

@test "kill KILL: ends a paused container in a shared pid namespace, all of it" {
	update_config "$shared"
	with_many
	ok pause "$ID"
	ok kill "$ID" KILL
	eventually no_processes
	ok delete "$ID"
}

@test "kill --all KILL: ends a paused container" {
	with_many
	ok pause "$ID"
	ok kill --all "$ID" KILL
	eventually no_processes
}

@test "kill TERM: a paused container gets it after resume" {
	sh_script 'trap "echo got; exit" TERM; echo ready; while :; do sleep 0.02; done'
	ok create "$ID"
	local out=$out_file
	ok start "$ID"
	eventually filled "$out"
	ok pause "$ID"
	ok kill "$ID" TERM
	has_status "$ID" paused
	equal ready "$(<"$out")"
	ok resume "$ID"
	eventually status_is "$ID" stopped
	equal "ready got" "$(xargs <"$out")"
}

@test "delete --force: of a paused container with cgroups below" {
	with_many
	ok pause "$ID"
	ok delete --force "$ID"
	nothing_left
}

# --- limits

@test "limits: values that limit nothing are accepted" {
	update_config '.linux.resources = {memory: {limit: -1, swap: -1}, cpu: {shares: 0, quota: -1}, pids: {limit: -1},
		blockIO: {weight: 0}, hugepageLimits: [], network: {}, unified: {}}'
	set_args true
	ok run "$ID"
	update_config '.linux.resources = {}'
	ok run "$ID"
	update_config 'del(.linux.resources)'
	ok run "$ID"
}

@test "limits: a new container has none, whatever a predecessor had" {
	start_container
	if is_v2; then
		equal max "$(cat "/sys/fs/cgroup/$MARK/pids.max" 2>/dev/null || echo max)"
	else
		equal max "$(<"/sys/fs/cgroup/pids/$MARK/pids.max")"
		equal "$(<"/sys/fs/cgroup/memory/memory.limit_in_bytes")" "$(<"/sys/fs/cgroup/memory/$MARK/memory.limit_in_bytes")"
	fi
}

@test "cpuset: a new cgroup has all processors and memory nodes" {
	local list dir=/sys/fs/cgroup
	[[ ! -d /sys/fs/cgroup/cpuset ]] || dir+=/cpuset
	start_container
	equal "$(status_field Cpus_allowed_list 1)" "$(status_field Cpus_allowed_list "$(init)")"
	equal "$(status_field Mems_allowed_list 1)" "$(status_field Mems_allowed_list "$(init)")"
	for list in cpuset.cpus cpuset.mems; do # of v1
		[[ ! -e $dir/$list ]] || equal "$(<"$dir/$list")" "$(<"$dir/$MARK/$list")"
	done
}
