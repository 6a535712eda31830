#!/usr/bin/env bats
# hako --systemd-cgroup: what systemd and the kernel say of limits on cgroup v2.
# See systemd.resource-control(5).
# shellcheck disable=SC2016 # $names are jq's or of the container's shell
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

load ../../helpers
load ../systemd-helpers

@test "delegation: the container makes cgroups of its own, which systemd leaves alone" {
	update_config '(.mounts[] | select(.type == "cgroup") | .options) = ["rw"]'
	sh_script 'cd /sys/fs/cgroup && mkdir -p init.scope sub && echo 1 >init.scope/cgroup.procs &&
		echo +memory +pids >cgroup.subtree_control && echo 33 >sub/pids.max && exec sleep 1000'
	start_container
	eventually exists "/sys/fs/cgroup$DIR/sub/pids.max"
	systemctl daemon-reload
	systemctl set-property --runtime "$UNIT" CPUWeight=50
	equal 33 "$(<"/sys/fs/cgroup$DIR/sub/pids.max")"
	contains '^memory pids|memory.*pids' "$(<"/sys/fs/cgroup$DIR/cgroup.subtree_control")"
	ok exec --detach --pid-file "$T/pid" "$ID" sleep 1000
	equal "$DIR/init.scope" "$(cgroup_of "$(<"$T/pid")")"
	ok delete --force "$ID"
	no_unit
	not exists "/sys/fs/cgroup$DIR"
}

@test "limits: systemd's properties say them, and the kernel's files are exact" {
	start_container '.linux.resources = {
		memory: {limit: 67108864, swap: 134217728, reservation: 33554432},
		cpu: {shares: 2048, quota: 25250, period: 50000, cpus: "0", mems: "0"},
		pids: {limit: 50}, blockIO: {weight: 500}, hugepageLimits: [{pageSize: "2MB", limit: 4194304}],
		unified: {"memory.high": "60000000", "cpu.max.burst": "5000"}}'
	equal "67108864 33554432 67108864 60000000" "$(property MemoryMax) $(property MemoryLow) $(property MemorySwapMax) $(property MemoryHigh)"
	equal "174 510ms 50ms 0 0" "$(property CPUWeight) $(property CPUQuotaPerSecUSec) $(property CPUQuotaPeriodUSec) $(property AllowedCPUs) $(property AllowedMemoryNodes)"
	equal "50 4950" "$(property TasksMax) $(property IOWeight)"
	limits_hold() {
		equal "67108864 33554432 67108864 59998208" "$(files memory.max memory.low memory.swap.max memory.high)"
		equal "174 0 0 50 default 4950" "$(files cpu.weight cpuset.cpus cpuset.mems pids.max io.weight)"
		equal 4194304 "$(files hugetlb.2MB.max)"
	}
	limits_hold
	equal "25250 50000 5000" "$(files cpu.max cpu.max.burst)"
	# What systemd writes again is the same, but for the rounding.
	systemctl daemon-reload
	systemctl set-property --runtime "$UNIT" MemoryAccounting=yes
	limits_hold
	contains '^25[25][50]0 50000$' "$(files cpu.max)"
}

@test "limits: by device" {
	local disk
	disk=$(lsblk -dno MAJ:MIN /dev/vda | tr -d ' ')
	start_container ".linux.resources.blockIO = {
		throttleReadBpsDevice: [{major: ${disk%:*}, minor: ${disk#*:}, rate: 1000000}],
		throttleWriteIOPSDevice: [{major: ${disk%:*}, minor: ${disk#*:}, rate: 200}]}"
	equal "/dev/block/$disk 1000000" "$(property IOReadBandwidthMax)"
	equal "/dev/block/$disk 200" "$(property IOWriteIOPSMax)"
	equal "$disk rbps=1000000 wbps=max riops=max wiops=200" "$(files io.max)"
}

@test "limits: idle is CPUWeight=idle" {
	start_container '.linux.resources.cpu = {idle: 1}'
	equal idle "$(property CPUWeight)"
	equal 1 "$(files cpu.idle)"
	systemctl set-property --runtime "$UNIT" TasksMax=900
	equal 1 "$(files cpu.idle)"
}

@test "limits: what none are set for is systemd's default" {
	start_container
	equal "infinity" "$(property MemoryMax)"
	equal "$(systemctl show -P DefaultTasksMax)" "$(property TasksMax)"
}

@test "runc: the same config gives the same properties and the same files" {
	update_config '.linux.resources = {
		memory: {limit: 67108864, swap: 134217728, reservation: 33554432}, pids: {limit: 50},
		cpu: {quota: 25500, period: 50000, cpus: "0", mems: "0"}, unified: {"memory.high": "60000000"},
		devices: [{allow: false, access: "rwm"}]} | del(.linux.resources.unified)'
	local names='Slice Delegate DefaultDependencies CPUAccounting IOAccounting MemoryAccounting TasksAccounting MemoryMax MemoryLow MemorySwapMax CPUQuotaPerSecUSec CPUQuotaPeriodUSec AllowedCPUs AllowedMemoryNodes TasksMax DevicePolicy KillMode' name ours theirs
	show_all() {
		for name in $names; do echo "$name=$(property "$name")"; done
		property DeviceAllow | sort | sed 's/^char-136/char-pts/'
		files memory.max memory.low memory.swap.max cpu.max cpuset.cpus cpuset.mems pids.max
	}
	start_container
	ours=$(show_all)
	ok delete --force "$ID"
	UNIT=runc-$ID.scope DIR=/system.slice/runc-$ID.scope
	runc --root "$T/runc" --systemd-cgroup run --detach "$ID" </dev/null >/dev/null 3>&-
	theirs=$(show_all)
	runc --root "$T/runc" delete --force "$ID"
	rmdir "$T/runc"
	equal "$theirs" "$ours"
}

@test "update: properties and files change, and hold when systemd looks again" {
	start_container '.linux.resources = {memory: {limit: 67108864, swap: 134217728}, cpu: {quota: 25250, period: 50000}, pids: {limit: 50}}'
	ok update --memory 50M --pids-limit 40 --cpu-quota 30250 --cpuset-cpus 1 --cpu-share 512 "$ID"
	equal "52428800 81788928 40" "$(property MemoryMax) $(property MemorySwapMax) $(property TasksMax)"
	equal "610ms 50ms 1 59" "$(property CPUQuotaPerSecUSec) $(property CPUQuotaPeriodUSec) $(property AllowedCPUs) $(property CPUWeight)"
	equal "30250 50000" "$(files cpu.max)"
	local round
	for round in 1 2; do
		equal "52428800 81788928 40 1 59" "$(files memory.max memory.swap.max pids.max cpuset.cpus cpu.weight)"
		systemctl daemon-reload
		systemctl set-property --runtime "$UNIT" MemoryAccounting=yes
	done
	ok update --pids-limit -1 "$ID"
	equal "infinity max" "$(property TasksMax) $(files pids.max)"
}

@test "update: what the kernel refuses is not told to systemd" {
	start_container '.linux.resources = {cpu: {cpus: "0"}}'
	call update --cpuset-cpus 500 "$ID"
	equal 1 "$status"
	equal "0 0" "$(property AllowedCPUs) $(files cpuset.cpus)"
}

@test "update: a limit below what the init stage needs" {
	start_container '.linux.resources.pids.limit = 1'
	equal "1 1" "$(property TasksMax) $(files pids.max)"
}

@test "update: no device is denied meanwhile, and who is paused stays so" {
	sh_script 'while : </dev/null && : </dev/zero; do :; done 2>/dev/null; exit 9'
	start_container
	local n
	for n in 41 42 43 44 45 46; do
		ok update --pids-limit "$n" "$ID"
	done
	equal 46 "$(property TasksMax)"
	has_status "$ID" running
	ok pause "$ID"
	ok update --pids-limit 47 "$ID"
	has_status "$ID" paused
}
