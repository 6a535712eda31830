#!/usr/bin/env bats
# hako --systemd-cgroup: what systemd and the kernel say of limits on cgroup v1.
# See systemd.resource-control(5).
# shellcheck disable=SC2016 # $names are jq's or of the container's shell
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

load ../../helpers
load ../systemd-helpers

@test "limits: on v1" {
	start_container '.linux.resources = {memory: {limit: 67108864}, cpu: {shares: 2048, quota: 25250, period: 50000, cpus: "0"}, pids: {limit: 50}}'
	equal "67108864 2048 510ms 50" "$(property MemoryLimit) $(property CPUShares) $(property CPUQuotaPerSecUSec) $(property TasksMax)"
	local round
	for round in 1 2; do
		equal "67108864 2048 50 0" "$(files memory/memory.limit_in_bytes cpu/cpu.shares pids/pids.max cpuset/cpuset.cpus)"
		systemctl daemon-reload
		systemctl set-property --runtime "$UNIT" MemoryAccounting=yes
	done
}

@test "update: properties and files change, and hold when systemd looks again" {
	start_container '.linux.resources = {memory: {limit: 67108864}, cpu: {quota: 25250, period: 50000}, pids: {limit: 50}}'
	ok update --memory 50M --pids-limit 40 --cpu-quota 30250 --cpuset-cpus 1 --cpu-share 512 "$ID"
	equal "52428800 40 610ms 512" "$(property MemoryLimit) $(property TasksMax) $(property CPUQuotaPerSecUSec) $(property CPUShares)"
	equal 30250 "$(files cpu/cpu.cfs_quota_us)"
	local round
	for round in 1 2; do
		equal "52428800 40 1 512" "$(files memory/memory.limit_in_bytes pids/pids.max cpuset/cpuset.cpus cpu/cpu.shares)"
		systemctl daemon-reload
		systemctl set-property --runtime "$UNIT" MemoryAccounting=yes
	done
}

@test "update: no device is denied meanwhile, those denied stay so, and who is paused stays so" {
	sh_script 'while : </dev/null && : </dev/zero; do :; done 2>/dev/null; exit 9'
	start_container
	local n
	not grep -q '^a ' "/sys/fs/cgroup/devices$DIR/devices.list"
	for n in 41 42 43 44 45 46; do
		ok update --pids-limit "$n" "$ID"
	done
	equal 46 "$(property TasksMax)"
	has_status "$ID" running
	not grep -q '^a ' "/sys/fs/cgroup/devices$DIR/devices.list"
	ok pause "$ID"
	ok update --pids-limit 47 "$ID"
	has_status "$ID" paused
}
