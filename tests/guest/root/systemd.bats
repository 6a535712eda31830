#!/usr/bin/env bats
# hako --systemd-cgroup with the system's manager: in a guest that runs systemd,
# on cgroup v2 and v1. See systemd.scope(5), systemd.resource-control(5).
# shellcheck disable=SC2016 # $names are jq's or of the container's shell
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

load ../../helpers
load ../systemd-helpers

# --- the unit

@test "unit: without a cgroupsPath it is hako-ID.scope in system.slice" {
	start_container
	equal active "$(property ActiveState)"
	equal system.slice "$(property Slice)"
	equal "$DIR" "$(property ControlGroup)"
	equal "hako container $ID" "$(property Description)"
	equal "$DIR" "$(cgroup_of "$(field "$ID" .pid)")"
}

@test "unit: it is delegated, accounted for, not in the way of a shutdown, and forgotten if it fails" {
	start_container
	equal "yes no inactive-or-failed" "$(property Delegate) $(property DefaultDependencies) $(property CollectMode)"
	equal "yes yes yes" "$(property CPUAccounting) $(property MemoryAccounting) $(property TasksAccounting)"
	if v2; then equal yes "$(property IOAccounting)"; else equal yes "$(property BlockIOAccounting)"; fi
}

@test "unit: slice:prefix:name says where it is" {
	UNIT=pre-$MARK.scope
	start_container ".linux.cgroupsPath = \"hako-a-b.slice:pre:$MARK\""
	OTHERS=(hako-a-b.slice hako-a.slice hako.slice)
	equal hako-a-b.slice "$(property Slice)"
	equal "/hako.slice/hako-a.slice/hako-a-b.slice/$UNIT" "$(cgroup_of "$(field "$ID" .pid)")"
	UNIT=hako-a-b.slice
	equal active "$(property ActiveState)"
}

@test "unit: - is the root slice" {
	UNIT=pre-$MARK.scope
	start_container ".linux.cgroupsPath = \"-:pre:$MARK\""
	equal -.slice "$(property Slice)"
	equal "/$UNIT" "$(cgroup_of "$(field "$ID" .pid)")"
}

@test "unit: a name that ends in .slice is a slice with the container in it" {
	UNIT=hako-${MARK//-/_}.slice
	start_container ".linux.cgroupsPath = \"::$UNIT\""
	OTHERS=(hako.slice)
	equal active "$(property ActiveState)"
	equal "/hako.slice/$UNIT" "$(property ControlGroup)"
	equal "/hako.slice/$UNIT" "$(cgroup_of "$(field "$ID" .pid)")"
	ok exec "$ID" true
	ok delete --force "$ID"
	no_unit
	not exists "/sys/fs/cgroup/hako.slice/$UNIT"
}

@test "unit: what an id may have and a unit may not is escaped" {
	ID=a+$MARK UNIT='hako-a\x2b'$MARK.scope
	start_container
	equal active "$(property ActiveState)"
	ok delete --force "$ID"
	no_unit
}

@test "unit: a name that another has is a clear error, and the other goes on" {
	OTHERS=("$UNIT")
	systemd-run --quiet --scope --slice=-.slice --unit="$UNIT" sleep 1000 3>&- &
	eventually is_active
	fails "unit $UNIT: start: .*: its name is taken: systemctl status $UNIT" create "$ID"
	equal active "$(property ActiveState)"
	nothing_left
	systemctl kill --signal=KILL "$UNIT"
	wait
	eventually no_unit
}

@test "unit: a failed one of that name is forgotten" {
	OTHERS=("$UNIT")
	# A scope fails when its time is over and it does not end by SIGTERM.
	systemd-run --quiet --scope --unit="$UNIT" -p RuntimeMaxSec=1 sleep 1000 3>&- || true
	eventually has_failed
	start_container
	equal active "$(property ActiveState)"
}

@test "unit: a process that is out of memory leaves no failed unit" {
	sh_script 'sleep 1; a=x; while :; do a=$a$a; done'
	start_container '.annotations = {"org.systemd.property.MemoryMax": "uint64 20000000", "org.systemd.property.MemoryLimit": "uint64 20000000", "org.systemd.property.MemorySwapMax": "uint64 0"}'
	eventually status_is "$ID" stopped
	eventually no_unit
	ok delete "$ID"
}

# --- its life

@test "delete: the unit, its cgroups and processes are gone when it returns" {
	start_container
	ok delete --force "$ID"
	no_unit
	nothing_left
}

@test "delete: also if the process has ended by itself" {
	sh_script 'exit 3'
	start_container
	eventually status_is "$ID" stopped
	ok delete "$ID"
	no_unit
}

@test "delete: the name is free at once" {
	for _ in 1 2 3; do
		start_container
		ok delete --force "$ID"
	done
}

@test "delete: if systemd has stopped the unit" {
	start_container '.annotations = {"org.systemd.property.TimeoutStopSec": "1"}'
	systemctl stop "$UNIT"
	has_status "$ID" stopped
	ok delete "$ID"
}

@test "run: the unit is there while it runs, and not after" {
	sh_script 'read -r line; exit 7'
	mkfifo "$T/in"
	hako run "$ID" <>"$T/in" >/dev/null 2>&1 &
	eventually is_active
	echo >"$T/in"
	local status=0
	wait $! || status=$?
	equal 7 "$status"
	no_unit
}

@test "a create that fails leaves no unit" {
	set_args /missing
	call run "$ID"
	equal 1 "$status"
	no_unit
	hook bad <<<'exit 1'
	add_hook createRuntime "{\"path\": \"$T/hooks/bad\"}"
	call create "$ID"
	equal 1 "$status"
	no_unit
	nothing_left
}

@test "kill -9 of create: delete --force leaves no unit and no process" {
	local delay pid
	for delay in 0.3 0.7 1.1 1.5 2 2.6; do
		hako create "$ID" </dev/null >/dev/null 2>&1 &
		pid=$!
		sleep "$delay"
		kill -KILL $pid 2>/dev/null || true # the function's shell …
		pkill -KILL -P $pid 2>/dev/null || true
		wait $pid || true
		ok delete --force "$ID"
		eventually no_unit # systemd may still be busy with the call of who died
		eventually no_processes
		nothing_left
	done
}

@test "kill -9 of create in a hook, when the unit is there: delete --force stops it" {
	hook die <<<'kill -KILL $PPID; sleep 0.1'
	add_hook createRuntime "{\"path\": \"$T/hooks/die\"}"
	call create "$ID"
	equal 137 "$status"
	ok delete --force "$ID"
	no_unit
	eventually no_processes
}

@test "kill -9 of create: delete --force finds the unit by the anchor alone" {
	start_container
	rm "$ROOT/$ID/state.json"
	equal "${MODE} systemd $DIR" "$(tr '\n' ' ' <"$ROOT/$ID/cgroup" | sed 's/ $//')"
	ok delete --force "$ID"
	no_unit
	eventually no_processes
}

@test "state, list, start, exec, kill, pause, resume, ps need no bus" {
	ok create "$ID"
	export DBUS_SYSTEM_BUS_ADDRESS=unix:path=/missing
	ok start "$ID"
	has_status "$ID" running
	ok exec "$ID" true
	ok pause "$ID"
	has_status "$ID" paused
	ok resume "$ID"
	ok list
	contains "$ID" "$output"
	ok ps "$ID"
	ok kill "$ID" KILL
	eventually status_is "$ID" stopped
	unset DBUS_SYSTEM_BUS_ADDRESS
	ok delete "$ID"
}

@test "without a bus the manager itself is asked" {
	unshare -m sh -c 'mount -t tmpfs tmpfs /run/dbus && exec "$@"' sh "$HAKO" --root "$ROOT" --systemd-cgroup create "$ID" </dev/null >/dev/null 3>&-
	is_active
	unshare -m sh -c 'mount -t tmpfs tmpfs /run/dbus && exec "$@"' sh "$HAKO" --root "$ROOT" delete --force "$ID" </dev/null 3>&-
	no_unit
}

# --- inside

@test "exec: the process is in the unit" {
	start_container
	ok exec --detach --pid-file "$T/pid" "$ID" sleep 1000
	equal "$DIR" "$(cgroup_of "$(<"$T/pid")")"
}

@test "pause and resume: processes of the unit stand still and go on" {
	start_container
	ok pause "$ID"
	has_status "$ID" paused
	equal active "$(property ActiveState)"
	ok resume "$ID"
	has_status "$ID" running
	ok pause "$ID"
	ok delete --force "$ID"
	no_unit
}

@test "view: a cgroup mount without a cgroup namespace shows the unit's cgroup" {
	start_container '.linux.namespaces -= [{type: "cgroup"}]'
	if v2; then
		ok exec "$ID" cat /sys/fs/cgroup/cgroup.procs
	else
		ok exec "$ID" cat /sys/fs/cgroup/pids/cgroup.procs
	fi
	contains "(^|[[:space:]])1($|[[:space:]])" "$output"
}

@test "device rules: hako's and systemd's agree, also after systemd has looked again" {
	update_config '.linux.resources.devices = [{allow: false, access: "rwm"}, {allow: true, type: "c", major: 10, access: "rw"}] |
		.process.capabilities[] += ["CAP_MKNOD"]'
	sh_script 'mknod /dev/misc c 10 229; mknod /dev/pts0 c 136 0; mknod /dev/kmsg0 c 1 11; exec sleep 1000'
	start_container
	eventually hako exec "$ID" test -c /dev/kmsg0
	equal strict "$(property DevicePolicy)"
	contains '/dev/char/1:3 rwm' "$(property DeviceAllow)"
	contains 'char-10 rw' "$(property DeviceAllow)"
	local round node
	for round in 1 2; do
		ok exec "$ID" sh -c ': <>/dev/null && : </dev/zero && : <>/dev/ptmx'
		# EPERM is the rules'; a device that is allowed and not there is ENXIO or ENODEV.
		call exec "$ID" sh -c ': </dev/kmsg0'
		contains 'Operation not permitted' "$stderr"
		for node in misc pts0; do
			call exec "$ID" sh -c ": </dev/$node"
			not contains 'no such file' "$stderr"
			not contains 'Operation not permitted' "$stderr"
		done
		systemctl daemon-reload
		systemctl set-property --runtime "$UNIT" TasksMax=900
	done
}

@test "device rules: those that allow everything leave systemd's policy open" {
	start_container '.linux.resources.devices = [{allow: true, access: "rwm"}]'
	equal auto "$(property DevicePolicy)"
}

# --- settings

@test "annotations: properties of the unit, seconds too" {
	start_container '.annotations = {"org.systemd.property.TimeoutStopUSec": "uint64 123456789",
		"org.systemd.property.RuntimeMaxSec": "5000.5",
		"org.systemd.property.SendSIGHUP": "true",
		"org.systemd.property.CollectMode": "'"'inactive'"'",
		"org.systemd.property.After": "['"'basic.target', 'sysinit.target'"']"}'
	equal "2min 3.456789s" "$(property TimeoutStopUSec)"
	equal "1h 23min 20.500000s" "$(property RuntimeMaxUSec)"
	equal "yes inactive" "$(property SendSIGHUP) $(property CollectMode)"
	contains 'basic.target' "$(property After)"
	contains 'sysinit.target' "$(property After)"
}

@test "annotations: what systemd refuses is told, and nothing is left" {
	update_config '.annotations = {"org.systemd.property.Nonsense": "1"}'
	fails "unit $UNIT: start: .*Nonsense" create "$ID"
	no_unit
	nothing_left
	update_config '.annotations = {"org.systemd.property.TimeoutStopUSec": "'"'long'"'"}'
	call create "$ID"
	equal 1 "$status"
	no_unit
}

# --- many

# whole_life ID: limits from the config, other limits by update, and its end.
whole_life() {
	local DIR=/system.slice/hako-$1.scope memory=memory.max pids=pids.max
	v2 || memory=memory/memory.limit_in_bytes pids=pids/pids.max
	hako create "$1" && hako start "$1" || return
	equal "67108864 50" "$(files $memory $pids)" || return
	hako update --memory 33554432 --memory-swap 33554432 --pids-limit 40 "$1" || return
	equal "33554432 40" "$(files $memory $pids)" || return
	hako delete --force "$1"
}

@test "many at once, limited and updated, leave no unit, cgroup or process behind" {
	local i n=${HAKO_TEST_MANY:-40} pids=()
	update_config '.linux.resources = {memory: {limit: 67108864, swap: 67108864}, pids: {limit: 50}}'
	for ((i = 0; i < n; i++)); do
		whole_life "$MARK-$i" </dev/null >>"$T/many" 2>&1 &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || {
			cat "$T/many"
			return 1
		}
	done
	equal "" "$(<"$T/many")"
	no_units
	nothing_left
}
