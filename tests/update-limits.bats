#!/usr/bin/env bats
# update: what becomes of each limit. Where a controller is missing the tests
# prove that a change that needs it is refused by name, and changes nothing. The
# guest runs them for v2 with all controllers, through tests/guest/root.
# shellcheck disable=SC2016 # $names are jq's or of the container's shell
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

HERE=$(dirname "$(realpath "$BATS_TEST_FILENAME")")
load "$HERE/helpers"
load "$HERE/process-helpers"
load "$HERE/resource-helpers"
load "$HERE/update-helpers"

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

@test "update: memory, with units, and -1" {
	local size bytes
	start_container
	updated memory --memory 50M
	present memory || return 0
	has 52428800 memory.limit_in_bytes memory.max
	for size in 64m:67108864 65536k:67108864 0.5g:536870912 100MiB:104857600 "48 mb:50331648" 33554432:33554432; do
		ok update --memory "${size%:*}" "$ID"
		has "${size#*:}" memory.limit_in_bytes memory.max
	done
	ok update --memory -1 "$ID"
	has 9223372036854771712/max memory.limit_in_bytes memory.max
	equal '{"memory":{"limitBytes":-1}}' "$(saved)"
}

@test "update: memory with swap, up and down" {
	start_container
	updated memory --memory 64M --memory-swap 128M
	present memory || return 0
	has 134217728/67108864 memory.memsw.limit_in_bytes memory.swap.max
	ok update --memory 256M --memory-swap 512M "$ID"
	has 536870912/268435456 memory.memsw.limit_in_bytes memory.swap.max
	ok update --memory 32M --memory-swap 32M "$ID"
	has 33554432 memory.limit_in_bytes memory.max
	has 33554432/0 memory.memsw.limit_in_bytes memory.swap.max
	ok update --memory-swap -1 "$ID"
	has 9223372036854771712/max memory.memsw.limit_in_bytes memory.swap.max
	has 33554432 memory.limit_in_bytes memory.max
}

@test "update: what contradicts the limits in force is refused" {
	start_container
	updated memory --memory 64M --memory-swap 64M
	present memory || return 0
	unchanged fails 'memory.swap: 67108864 is below memory.limit, 134217728' update --memory 128M "$ID"
	has 67108864 memory.limit_in_bytes memory.max
}

@test "update: processor time" {
	start_container
	updated cpu --cpu-share 512 --cpu-period 50000 --cpu-quota 20000 --cpu-burst 5000
	present cpu || return 0
	has 512/59 cpu.shares cpu.weight
	has 5000 cpu.cfs_burst_us cpu.max.burst
	has "20000/20000 50000" cpu.cfs_quota_us cpu.max
	# A file of v2 holds both: what is not said stays.
	ok update --cpu-quota 30000 "$ID"
	has "30000/30000 50000" cpu.cfs_quota_us cpu.max
	ok update --cpu-period 60000 "$ID"
	has "30000/30000 60000" cpu.cfs_quota_us cpu.max
	ok update --cpu-quota -1 "$ID"
	has "-1/max 60000" cpu.cfs_quota_us cpu.max
	ok update --cpu-idle 1 "$ID"
	has 1 cpu.idle cpu.idle
	ok update --cpu-idle 0 "$ID"
	has 0 cpu.idle cpu.idle
}

@test "update: a quota holds a busy container back" {
	sh_script 'while :; do :; done'
	start_container
	updated cpu --cpu-period 50000 --cpu-quota 5000
	present cpu || return 0
	eventually throttled
}

throttled() { (($(cg cpu cpu.stat | sed -n 's/^nr_throttled //p') > 2)); }

@test "update: processors and memory nodes" {
	start_container
	updated cpuset --cpuset-cpus 0 --cpuset-mems 0
	present cpuset || return 0
	has 0 cpuset.cpus cpuset.cpus
	has 0 cpuset.mems cpuset.mems
	equal 0 "$(awk '/^Cpus_allowed_list/ { print $2 }' "/proc/$(init)/status")"
	fails 'linux.resources.cpu: ' update --cpuset-cpus 9999 "$ID"
	has 0 cpuset.cpus cpuset.cpus
}

@test "update: the number of tasks, and -1" {
	sh_script 'read x </fifo; sleep 0 & wait; echo done'
	mkfifo "$BUNDLE/rootfs/fifo"
	ok create "$ID"
	local err=$err_file
	ok start "$ID"
	updated pids --pids-limit 7
	present pids || return 0
	equal 7 "$(cg pids pids.max)"
	ok update --pids-limit -1 "$ID"
	equal max "$(cg pids pids.max)"
	ok update --pids-limit 1 "$ID"
	# On v1 the processes of exec join later, see libct's joinLate.
	! is_v2 || fails_with 255 'linux.resources.pids.limit: there is no room for another process: 1 of 1 tasks exist' exec "$ID" true
	echo go >"$BUNDLE/rootfs/fifo"
	eventually grep -q "can't fork" "$err"
}

@test "update: block I/O weight, where the kernel has it" {
	start_container
	if present io && [[ -e $(cg io)/io.weight || -e $(cg io)/io.bfq.weight || -e $(cg io)/blkio.weight || -e $(cg io)/blkio.bfq.weight ]]; then
		ok update --blkio-weight 500 "$ID"
		contains '500|4950' "$(cat "$(cg io)"/{io,io.bfq,blkio,blkio.bfq}.weight 2>/dev/null)"
	else
		fails 'linux.resources.blockIO: ' update --blkio-weight 500 "$ID"
	fi
	unchanged fails 'blockIO.weight: 5 is not in the range 10 to 1000' update --blkio-weight 5 "$ID"
	fails 'blkio-weight "70000" is not from 10 to 1000' update --blkio-weight 70000 "$ID"
}

@test "update: realtime; v2 has none" {
	start_container
	if is_v2; then
		unchanged fails 'cpu.realtimeRuntime: cgroup v2 has nothing like it' update --cpu-rt-runtime 5000 "$ID"
		unchanged fails 'cpu.realtimePeriod: cgroup v2 has nothing like it' update --cpu-rt-period 500000 "$ID"
	elif [[ ! -e /sys/fs/cgroup/cpu/cpu.rt_runtime_us ]]; then
		unchanged fails 'cpu.rt_runtime_us' update --cpu-rt-runtime 5000 "$ID"
	else
		ok update --cpu-rt-period 500000 --cpu-rt-runtime 5000 "$ID"
		equal "5000 500000" "$(cat "/sys/fs/cgroup/cpu/$MARK"/cpu.rt_{runtime,period}_us | xargs)"
	fi
}

@test "update --resources: from a file and from standard input" {
	start_container
	if ! present memory || ! present pids; then
		echo '{"memory": {"limit": 67108864}}' >"$T/r.json"
		unchanged fails 'linux.resources.memory: .*memory controller' update --resources "$T/r.json" "$ID"
		return
	fi
	C=memory
	echo '{"memory": {"limit": 67108864}, "pids": {"limit": 20}}' >"$T/r.json"
	ok update --resources "$T/r.json" "$ID"
	has 67108864 memory.limit_in_bytes memory.max
	equal 20 "$(cg pids pids.max)"
	update_by '{"memory": {"limit": 33554432}}'
	has 33554432 memory.limit_in_bytes memory.max
	equal 20 "$(cg pids pids.max)"
	ok update -r "$T/r.json" "$ID"
	has 67108864 memory.limit_in_bytes memory.max
}

@test "update --resources: huge pages" {
	start_container
	if ! present hugetlb; then
		not update_by '{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}' >"$T/shown"
		contains 'hugetlb' "$stderr"
		return
	fi
	C=hugetlb
	update_by '{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}'
	has 4194304 hugetlb.2MB.limit_in_bytes hugetlb.2MB.max
	has 4194304 hugetlb.2MB.rsvd.limit_in_bytes hugetlb.2MB.rsvd.max
	equal '{"hugetlb":[{"pageSize":"2MB","limitBytes":4194304}]}' "$(saved)"
	not update_by '{"hugepageLimits": [{"pageSize": "3MB", "limit": 4194304}]}' >"$T/shown"
	contains 'hugetlb.3MB' "$stderr"
	equal '{"hugetlb":[{"pageSize":"2MB","limitBytes":4194304}]}' "$(saved)"
}

@test "update --resources: unified" {
	start_container
	local root=/sys/fs/cgroup
	is_v2 || root=/sys/fs/cgroup/unified
	[[ -e $root/$MARK/cgroup.max.depth ]] || {
		not update_by '{"unified": {"cgroup.max.depth": "7"}}' >"$T/shown"
		contains 'unified' "$stderr"
		return
	}
	update_by '{"unified": {"cgroup.max.depth": "7"}}'
	equal 7 "$(<"$root/$MARK/cgroup.max.depth")"
	not update_by '{"unified": {"cgroup.freeze": "1"}}' >"$T/shown"
	contains 'is for the runtime alone' "$stderr"
	has_status "$ID" running
}

@test "update --resources: a limit below what is in use, with checkBeforeUpdate" {
	sh_script 'dd if=/dev/zero of=/tmp/file bs=1M count=8 2>/dev/null; echo >/ready; sleep 100000'
	update_config '.mounts += [{destination: "/tmp", type: "tmpfs", source: "tmpfs"}]'
	start_container
	eventually exists "$BUNDLE/rootfs/ready"
	present memory || {
		not update_by '{"memory": {"limit": 1048576, "checkBeforeUpdate": true}}' >"$T/shown"
		contains 'memory controller' "$stderr"
		return
	}
	C=memory
	update_by '{"memory": {"limit": 67108864, "swap": 67108864}}'
	not update_by '{"memory": {"limit": 1048576, "swap": 1048576, "checkBeforeUpdate": true}}' >"$T/shown"
	contains 'linux.resources.memory: .*(in use|below)' "$stderr"
	has 67108864 memory.limit_in_bytes memory.max
	has_status "$ID" running
}

@test "update: the record says what is in force, later commands see it" {
	start_container
	present pids && present memory || {
		unchanged fails 'controller' update --pids-limit 30 "$ID"
		return
	}
	ok update --pids-limit 30 "$ID"
	ok update --memory 64M "$ID"
	ok update --pids-limit 40 "$ID"
	equal '{"memory":{"limitBytes":67108864},"tasks":40}' "$(saved)"
	ok exec "$ID" true
	equal "40 67108864" "$(hako events --stats "$ID" | jq -r '.data | "\(.pids.limit) \(.memory.usage.limit)"')"
	# config.json stays what the user wrote.
	equal null "$(jq -c .linux.resources.pids "$BUNDLE/config.json")"
	ok delete --force "$ID"
}

@test "update: what the kernel refuses half-way takes all back" {
	start_container
	present memory && present cpuset && present pids || {
		unchanged fails 'controller' update --memory 64M --cpuset-cpus 9999 "$ID"
		return
	}
	C=memory
	ok update --memory 64M "$ID"
	unchanged fails 'cpuset.cpus' update --memory 128M --cpu-share 700 --pids-limit 9 --cpuset-cpus 9999 "$ID"
	has 67108864 memory.limit_in_bytes memory.max
	equal max "$(cg pids pids.max)"
	C=cpu
	! present cpu || has 1024/100 cpu.shares cpu.weight
}

@test "update: of a created and of a paused container" {
	ok create "$ID"
	if ! present pids; then
		fails 'pids' update --pids-limit 5 "$ID"
		has_status "$ID" created
		ok pause "$ID"
		fails 'pids' update --pids-limit 5 "$ID"
		has_status "$ID" paused
		return
	fi
	ok update --pids-limit 50 "$ID"
	equal 50 "$(cg pids pids.max)"
	has_status "$ID" created
	ok start "$ID"
	ok pause "$ID"
	ok update --pids-limit 60 "$ID"
	! present memory || ok update --memory 64M "$ID"
	equal 60 "$(cg pids pids.max)"
	has_status "$ID" paused
	ok resume "$ID"
	has_status "$ID" running
}
