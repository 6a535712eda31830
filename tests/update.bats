#!/usr/bin/env bats
# update: what the command takes and refuses; tests/update-limits.bats has what
# becomes of each limit. See hako-update(8).
# shellcheck disable=SC2016 # $names are jq's or of the container's shell
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

load helpers
load process-helpers
load resource-helpers
load update-helpers

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
	clean_up
}

@test "update: flags stand before and after the ID, with and without =" {
	start_container
	updated memory --memory=64M
	present memory || return 0
	ok update "$ID" --memory 32M
	has 33554432 memory.limit_in_bytes memory.max
	ok update "$ID" --memory=-1
	has 9223372036854771712/max memory.limit_in_bytes memory.max
	ok update --memory=48M "$ID" --memory-reservation=24M
	has 50331648 memory.limit_in_bytes memory.max
	has 25165824 memory.soft_limit_in_bytes memory.low
}

@test "update: kernel memory is told to be ignored, and is" {
	start_container
	call update --kernel-memory 50M --kernel-memory-tcp 50M "$ID"
	equal 0 "$status"
	contains 'kernel-memory is ignored.*kernel-memory-tcp is ignored' "$(tr '\n' ' ' <<<"$stderr")"
	equal null "$(saved)"
}

@test "update: flags that are no numbers are refused, and nothing is changed" {
	local flag
	start_container
	for flag in memory:x memory:5Q memory:-2 memory:1.5 memory:M memory-swap:1e3 memory-reservation: pids-limit:many pids-limit:1.5 \
		cpu-share:-1 cpu-quota:1s cpu-period:x cpu-burst:-5 cpu-rt-period:-1 cpu-rt-runtime:x cpu-idle:yes blkio-weight:-1; do
		unchanged fails "^hako update $ID: --${flag%%:*} \"${flag#*:}\" is not" update --"${flag%%:*}=${flag#*:}" "$ID"
	done
}

@test "update: values out of range are told of all at once, and nothing is changed" {
	start_container
	unchanged fails 'update: 4 problems: .*cpu.shares: 1 .*cpu.idle: 2 .*cpu.cpus: .*pids.limit: -7' \
		update --cpu-share 1 --cpu-idle 2 --cpuset-cpus x --pids-limit -7 "$ID"
}

@test "update: without a change is none" {
	start_container
	unchanged ok update "$ID"
}

@test "update --resources: other limits are ignored, as with runc" {
	start_container
	present pids || {
		fails 'pids' update --pids-limit 5 "$ID"
		return
	}
	echo '{"pids": {"limit": 20}}' >"$T/r.json"
	ok update --resources "$T/r.json" --pids-limit 30 --memory x "$ID"
	equal 20 "$(cg pids pids.max)"
}

@test "update --resources: what containerd sends" {
	start_container
	update_by '{"devices": null, "memory": {}, "cpu": {}, "pids": {}, "blockIO": {}, "hugepageLimits": [], "network": {}, "unified": {}}'
	has_status "$ID" running
}

@test "update --resources: unknown properties are ignored, damaged files are not" {
	local text
	start_container
	update_by '{"foo": {"bar": 1}}'
	for text in '' '{"memory": {"limit": 1}' '[]' '{"memory": {"limit": "1"}}' '{"pids": {"limit": 1}, "pids": {"limit": 2}}' '{} {}' 'null x'; do
		not update_by "$text" >"$T/shown"
		equal 1 "$status"
		contains "^hako update $ID: standard input:" "$stderr"
		equal null "$(saved)"
	done
	fails 'no such file or directory' update --resources "$T/missing" "$ID"
}

@test "update --resources: device rules stay as they are" {
	local before
	start_container
	before=$(hako exec "$ID" sh -c 'cat </dev/null && mknod /tmp/n c 1 3 && cat </tmp/n; echo $?')
	update_by '{"devices": [{"allow": false, "access": "rwm"}]}'
	hako exec "$ID" rm -f /tmp/n
	equal "$before" "$(hako exec "$ID" sh -c 'cat </dev/null && mknod /tmp/n c 1 3 && cat </tmp/n; echo $?')"
}

@test "update: of a stopped container, and of none" {
	set_args true
	ok create "$ID"
	ok start "$ID"
	eventually status_is "$ID" stopped
	unchanged fails 'container not running' update --pids-limit 5 "$ID"
	unchanged fails 'container not running' update "$ID"
	fails 'container does not exist' update --pids-limit 5 nobody
	call update
	equal 1 "$status"
	contains 'container ID is missing' "$stderr"
}

@test "update: by a hook of create is refused, and does not wait for ever" {
	hook update <<-EOF
		timeout 20 "$HAKO" --root "$ROOT" update --pids-limit 5 "$ID" >"$T/hook.out" 2>&1
		echo \$? >>"$T/hook.out"
	EOF
	add_hook createRuntime "{\"path\": \"$T/hooks/update\"}"
	ok create "$ID"
	equal "hako update $ID: it is not created: container not running 1" "$(tr '\n' ' ' <"$T/hook.out" | sed 's/ $//')"
}

@test "update: twenty at a time are one after the other" {
	local n pids=()
	start_container
	present pids || {
		fails 'pids' update --pids-limit 5 "$ID"
		return
	}
	for n in {1..20}; do
		hako update --pids-limit $((100 + n)) "$ID" </dev/null 2>"$T/err.$n" &
		pids+=($!)
	done
	for n in "${pids[@]}"; do wait "$n"; done
	equal "$(cg pids pids.max)" "$(saved | jq .tasks)"
	cat "$T"/err.*
	not grep -q . "$T"/err.*
}
