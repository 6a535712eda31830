#!/usr/bin/env bats
# hako --systemd-cgroup with the manager of an unprivileged user's session.
# shellcheck disable=SC2016 # $names are jq's or of the container's shell
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

load ../../helpers
load ../systemd-helpers

setup_file() { near_hako_of_user; }
setup() {
	make_bundle
	update_config 'del(.linux.cgroupsPath)'
	SYSTEMCTL=(systemctl --user)
	UNIT=hako-$ID.scope
	DIR=/user.slice/user-1000.slice/user@1000.service/user.slice/$UNIT
}

@test "user: the unit is in user.slice of the user's own manager" {
	start_container
	equal "active user.slice yes" "$(property ActiveState) $(property Slice) $(property Delegate)"
	equal "$DIR" "$(property ControlGroup)"
	equal "$DIR" "$(cgroup_of "$(field "$ID" .pid)")"
	ok delete --force "$ID"
	no_unit
}

@test "user: exec, pause, resume, kill, delete" {
	start_container
	ok exec --detach --pid-file "$T/pid" "$ID" sleep 1000
	equal "$DIR" "$(cgroup_of "$(<"$T/pid")")"
	ok pause "$ID"
	has_status "$ID" paused
	ok resume "$ID"
	ok kill "$ID" KILL
	eventually status_is "$ID" stopped
	ok delete "$ID"
	no_unit
}

@test "user: limits of delegated controllers hold, and are updated" {
	start_container '.linux.resources = {memory: {limit: 67108864}, pids: {limit: 50}, cpu: {quota: 25000, period: 50000, cpus: "0"}}'
	equal "67108864 50 500ms 0" "$(property MemoryMax) $(property TasksMax) $(property CPUQuotaPerSecUSec) $(property AllowedCPUs)"
	equal "67108864 50 25000 50000 0" "$(files memory.max pids.max cpu.max cpuset.cpus)"
	ok update --pids-limit 40 "$ID"
	equal "40 40" "$(property TasksMax) $(files pids.max)"
}

@test "user: root of a user namespace talks to the user's manager too" {
	# As Podman without root has it: the container shares the namespace.
	update_config 'del(.linux.uidMappings, .linux.gidMappings) | .linux.namespaces -= [{type: "user"}]'
	unshare --user --map-auto --map-root-user "$HAKO" --root "$ROOT" --systemd-cgroup create "$ID" </dev/null >"$T/log" 2>&1 3>&- || {
		cat "$T/log"
		return 1
	}
	is_active
	unshare --user --map-auto --map-root-user "$HAKO" --root "$ROOT" delete --force "$ID" 3>&-
	no_unit
}

@test "user: without a session it is said what is missing" {
	unset DBUS_SESSION_BUS_ADDRESS XDG_RUNTIME_DIR
	fails 'neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR is set: .*loginctl enable-linger' create "$ID"
	nothing_left
}

@test "user: kill -9 of create in a hook: delete --force stops the unit" {
	hook die <<<'kill -KILL $PPID; sleep 0.1'
	add_hook createRuntime "{\"path\": \"$T/hooks/die\"}"
	call create "$ID"
	equal 137 "$status"
	ok delete --force "$ID"
	no_unit
	eventually no_processes
}
