#!/usr/bin/env bats
# Every property of linux.resources, at create: what the kernel has in its files,
# and where that is cheap, the effect. The same tests serve v1 and hybrid hosts,
# v2, and the guest, where v2 has all controllers. Where a controller is missing
# they prove that a config that needs it is refused by name.
# See runtime-spec config-linux.md#control-groups.
# shellcheck disable=SC2016 # $names are jq's or of the container's shell
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

HERE=$(dirname "$(realpath "$BATS_TEST_FILENAME")") # also by a link from tests/guest
load "$HERE/helpers"
load "$HERE/process-helpers"
load "$HERE/resource-helpers"

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
	[[ -z ${LOOP:-} ]] || losetup --detach "$LOOP"
	local dir
	if [[ -n ${ABOVE:-} ]]; then
		hako delete --force "$ID"
		while read -r dir; do rmdir "$dir"; done < <(find "/sys/fs/cgroup$ABOVE" -depth -type d)
	fi
	clean_up
}

# limit OBJECT: of jq; linux.resources, beside its devices.
limit() { update_config ".linux.resources = {devices: .linux.resources.devices} + $1"; }

# limited CONTROLLER OBJECT: create with it, or where the controller is missing,
# prove that the error says so; `present CONTROLLER || return 0` comes next.
limited() {
	limit "$2"
	if present "$1"; then
		ok create "$ID"
		return
	fi
	local name=$1
	[[ $name != io ]] || name='(io|blkio)'
	refused ": linux\\.resources\\.[a-zA-Z]+: .*(no hierarchy of the|the kernel has no) $name controller"
}

# --- memory

C=memory

@test "memory: limit, swap and reservation" {
	C=memory
	limited memory '{memory: {limit: 67108864, swap: 100663296, reservation: 33554432}}'
	present memory || return 0
	has 67108864 memory.limit_in_bytes memory.max
	has 100663296/33554432 memory.memsw.limit_in_bytes memory.swap.max
	has 33554432 memory.soft_limit_in_bytes memory.low
}

@test "memory: swap as large as the limit means none" {
	C=memory
	limited memory '{memory: {limit: 67108864, swap: 67108864}}'
	present memory || return 0
	has 67108864/0 memory.memsw.limit_in_bytes memory.swap.max
}

@test "memory: a limit alone, and -1" {
	C=memory
	local unlimited=9223372036854771712
	limited memory '{memory: {limit: 67108864}}'
	present memory || return 0
	has "$unlimited/max" memory.memsw.limit_in_bytes memory.swap.max
	ok delete --force "$ID"
	limited memory '{memory: {limit: 67108864, swap: -1, reservation: -1}}'
	has "$unlimited/max" memory.memsw.limit_in_bytes memory.swap.max
	has "$unlimited/0" memory.soft_limit_in_bytes memory.low
	ok delete --force "$ID"
	limited memory '{memory: {limit: -1, swap: -1}}'
	has "$unlimited/max" memory.limit_in_bytes memory.max
}

@test "memory: -1 lifts what an existing cgroup has" {
	C=memory
	present memory || {
		limited memory '{memory: {limit: 67108864}}'
		return
	}
	mkdir "$(cg memory)"
	if in_v1 memory; then
		echo 67108864 >"$(cg memory)/memory.limit_in_bytes"
		echo 67108864 >"$(cg memory)/memory.memsw.limit_in_bytes"
	else
		echo 67108864 >"$(cg memory)/memory.max"
	fi
	limited memory '{memory: {limit: -1}}'
	has 9223372036854771712/max memory.limit_in_bytes memory.max
	has 9223372036854771712/max memory.memsw.limit_in_bytes memory.swap.max
}

@test "memory: a process over the limit is killed, which is counted" {
	C=memory
	sh_script 'dd if=/dev/zero of=/dev/null bs=100M count=1; echo status $?; exec sleep 100000'
	limited memory '{memory: {limit: 33554432, swap: 33554432}}'
	present memory || return 0
	local out=$out_file
	ok start "$ID"
	eventually grep -q status "$out"
	equal "status 137" "$(grep status "$out")"
	if in_v1 memory; then
		contains 'oom_kill 1' "$(cg memory memory.oom_control)"
	else
		contains 'oom_kill 1' "$(cg memory memory.events)"
	fi
}

@test "memory: one that is too small for any process is told as such" {
	present memory || {
		limited memory '{memory: {limit: 4096}}'
		return
	}
	refused 'init stage was killed.*memory.limit' '.linux.resources.memory = {limit: 4096, swap: 4096}'
}

@test "memory: swap below the limit, or without one, is refused" {
	refused 'linux.resources.memory.swap: 5 is below memory.limit, 10' '.linux.resources.memory = {limit: 10, swap: 5}'
	refused 'linux.resources.memory.swap: .*needs memory.limit' '.linux.resources.memory = {swap: 5000000}'
}

@test "memory: swappiness and the OOM killer, which only v1 has" {
	if is_v2; then
		refused 'linux.resources.memory.swappiness: cgroup v2 has nothing like it' '.linux.resources.memory = {swappiness: 10}'
		refused 'linux.resources.memory.disableOOMKiller: cgroup v2' '.linux.resources.memory = {disableOOMKiller: true}'
		return
	fi
	limited memory '{memory: {swappiness: 10, disableOOMKiller: true}}'
	equal 10 "$(cg memory memory.swappiness)"
	contains 'oom_kill_disable 1' "$(cg memory memory.oom_control)"
}

@test "memory: of the kernel, deprecated: refused where the kernel has no such limit" {
	if is_v2; then
		refused 'linux.resources.memory.kernel: cgroup v2 .*memory.limit includes it' '.linux.resources.memory = {kernel: 1000000}'
		refused 'linux.resources.memory.kernelTCP: cgroup v2' '.linux.resources.memory = {kernelTCP: 1000000}'
		return
	fi
	limited memory '{memory: {kernelTCP: 1048576, kernel: -1}}'
	equal 1048576 "$(cg memory memory.kmem.tcp.limit_in_bytes)"
	ok delete --force "$ID"
	mkdir "$(cg memory)"
	echo 1048576 >"$(cg memory)/memory.kmem.limit_in_bytes"
	if [[ $(cg memory memory.kmem.limit_in_bytes) == 1048576 ]]; then
		limited memory '{memory: {kernel: 1048576}}'
		equal 1048576 "$(cg memory memory.kmem.limit_in_bytes)"
	else
		rmdir "$(cg memory)"
		refused 'linux.resources.memory: kernel: .*memory.limit includes it' '.linux.resources.memory = {kernel: 1048576}'
	fi
}

@test "memory: useHierarchy false is not what any kernel does, and warned of" {
	update_config '.linux.resources.memory = {useHierarchy: false}'
	call create "$ID"
	equal 0 "$status"
	contains 'linux.resources.memory.useHierarchy' "$stderr"
	ok delete --force "$ID"
	update_config '.linux.resources.memory = {useHierarchy: true}'
	ok create "$ID"
}

# --- cpu

@test "cpu: shares" {
	C=cpu
	limited cpu '{cpu: {shares: 512}}'
	present cpu || return 0
	has 512/59 cpu.shares cpu.weight
	ok delete --force "$ID"
	limited cpu '{cpu: {shares: 1024}}'
	has 1024/100 cpu.shares cpu.weight
	ok delete --force "$ID"
	limited cpu '{cpu: {shares: 2}}'
	has 2/1 cpu.shares cpu.weight
	ok delete --force "$ID"
	refused 'linux.resources.cpu.shares: 1 is not in the range' '.linux.resources.cpu = {shares: 1}'
}

@test "cpu: quota, period and burst" {
	C=cpu
	limited cpu '{cpu: {quota: 20000, period: 50000, burst: 10000}}'
	present cpu || return 0
	if in_v1 cpu; then
		equal "20000 50000 10000" "$(cg cpu cpu.cfs_quota_us) $(cg cpu cpu.cfs_period_us) $(cg cpu cpu.cfs_burst_us)"
	else
		equal "20000 50000 10000" "$(cg cpu cpu.max) $(cg cpu cpu.max.burst)"
	fi
	ok delete --force "$ID"
	limited cpu '{cpu: {period: 50000}}'
	has 50000/"max 50000" cpu.cfs_period_us cpu.max
	ok delete --force "$ID"
	limited cpu '{cpu: {quota: 30000}}'
	has 30000/"30000 100000" cpu.cfs_quota_us cpu.max
	ok delete --force "$ID"
	limited cpu '{cpu: {quota: -1, period: 40000}}'
	has -1/"max 40000" cpu.cfs_quota_us cpu.max
}

throttled() {
	local n
	n=$(cg cpu cpu.stat | awk '$1 == "nr_throttled" { print $2 }')
	((n > 0))
}

@test "cpu: a busy process is throttled" {
	sh_script 'while :; do :; done'
	limited cpu '{cpu: {quota: 2000, period: 20000}}'
	present cpu || return 0
	ok start "$ID"
	eventually throttled
}

@test "cpu: idle, also with shares" {
	C=cpu
	limited cpu '{cpu: {idle: 1, shares: 512}}'
	present cpu || return 0
	has 1 cpu.idle cpu.idle
	ok delete --force "$ID"
	limited cpu '{cpu: {idle: 0, shares: 512}}'
	has 0 cpu.idle cpu.idle
	has 512/59 cpu.shares cpu.weight
}

@test "cpu: cpus and mems" {
	limited cpuset '{cpu: {cpus: "1", mems: "0"}}'
	present cpuset || return 0
	equal 1 "$(cg cpuset cpuset.cpus)"
	equal 0 "$(cg cpuset cpuset.mems)"
	ok start "$ID"
	equal 1 "$(awk '$1 == "Cpus_allowed_list:" { print $2 }' "/proc/$(init)/status")"
}

@test "cpu: cpus that are no list, or not there, are refused" {
	refused 'linux.resources.cpu.cpus: .*"x"' '.linux.resources.cpu = {cpus: "0,x"}'
	refused 'linux.resources.cpu: .*(cpuset.cpus|the cpuset controller)' '.linux.resources.cpu = {cpus: "9999"}'
}

@test "cpu: realtime, with time also for the parents that are new; v2 has none" {
	if is_v2; then
		refused 'linux.resources.cpu.realtimeRuntime: cgroup v2 has nothing like it' '.linux.resources.cpu = {realtimeRuntime: 5000}'
		refused 'linux.resources.cpu.realtimePeriod: cgroup v2 has nothing like it' '.linux.resources.cpu = {realtimePeriod: 500000}'
		return
	fi
	if [[ ! -e /sys/fs/cgroup/cpu/cpu.rt_runtime_us ]]; then
		refused 'linux.resources.cpu: .*cpu.rt_runtime_us' '.linux.resources.cpu = {realtimeRuntime: 5000}'
		return
	fi
	local dir
	update_config '.linux.cgroupsPath += "/a/b" | .process.scheduler = {policy: "SCHED_RR", priority: 5}
		| .process.capabilities[] += ["CAP_SYS_NICE"]'
	limit '{cpu: {realtimeRuntime: 5000, realtimePeriod: 500000}}'
	ok create "$ID"
	for dir in "" /a /a/b; do
		equal "5000 500000" "$(cat "/sys/fs/cgroup/cpu/$MARK$dir/"cpu.rt_{runtime,period}_us | xargs)"
	done
	ok start "$ID"
	contains 'SCHED_RR' "$(chrt --pid "$(init)")"
	ok delete --force "$ID"
	find /sys/fs/cgroup/*/"$MARK" -depth -type d -exec rmdir {} +
	mkdir "/sys/fs/cgroup/cpu/$MARK"
	fails 'cgroups above have to be given as much before' create "$ID"
	find /sys/fs/cgroup/*/"$MARK" -depth -type d -exec rmdir {} +
}

# --- pids

@test "pids: the limit, and a fork bomb that stops there" {
	sh_script 'i=0; while [ $i -lt 100 ]; do sleep 100000 & i=$((i+1)); done; wait'
	limited pids '{pids: {limit: 10}}'
	present pids || return 0
	equal 10 "$(cg pids pids.max)"
	local err=$err_file
	ok start "$ID"
	eventually grep -q "can't fork" "$err"
	(($(cg pids pids.current) <= 10))
	contains 'max [1-9]' "$(cg pids pids.events)"
}

@test "pids: limits that are too low for hako itself are no hindrance" {
	local n
	set_args true
	for n in 1 2 3 4 5; do
		limited pids "{pids: {limit: $n}}"
		present pids || return 0
		equal "$n" "$(cg pids pids.max)"
		ok delete --force "$ID"
		ok run "$ID"
	done
}

tasks_are() { [[ $(cg pids pids.current) == "$1" ]]; }

@test "pids: exec needs room for its own process, none for hako" {
	local n
	for n in 2 3 4 5 6; do
		limited pids "{pids: {limit: $n}}"
		present pids || return 0
		ok start "$ID"
		ok exec "$ID" echo "a process"
		equal "a process" "$output"
		ok exec --tty=false --cwd /tmp --user 1000 "$ID" sh -c 'echo $$ >/dev/null; pwd'
		equal /tmp "$output"
		# Of all cgroups it is in those of the container when it executes.
		ok exec "$ID" cat /proc/self/cgroup
		equal "$(cat "/proc/$(init)/cgroup")" "$output"
		fails_with 255 'exec: no/such/program|no such file' exec "$ID" no/such/program
		ok delete --force "$ID"
	done
}

@test "pids: exec has no room beside as many tasks as the limit" {
	local n
	sh_script 'i=1; while [ $i -lt $N ]; do sleep 100000 & i=$((i+1)); done; exec sleep 100000'
	for n in 1 2 40; do
		update_config --arg n "$n" '.process.env += ["N=" + $n]'
		limited pids "{pids: {limit: $n}}"
		present pids || return 0
		ok start "$ID"
		eventually tasks_are "$n"
		fails_with 255 "^hako exec $ID: linux.resources.pids.limit: .*: $n of $n tasks exist\$" exec "$ID" true
		equal "$n" "$(cg pids pids.current)"
		ok update --pids-limit -1 "$ID"
		ok exec "$ID" true
		ok delete --force "$ID"
	done
}

@test "pids: exec where there is room for a few, with a filter and a cgroup below" {
	sh_script 'i=1; while [ $i -lt 38 ]; do sleep 100000 & i=$((i+1)); done; exec sleep 100000'
	limited pids '{pids: {limit: 40}}'
	present pids || return 0
	ok delete --force "$ID"
	update_config '.process.noNewPrivileges = true | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW",
		syscalls: [{names: ["chroot"], action: "SCMP_ACT_ERRNO"}]}'
	ok create "$ID"
	ok start "$ID"
	eventually tasks_are 38
	ok exec "$ID" sh -c 'chroot / true 2>/dev/null || cat /proc/self/cgroup'
	contains "/$MARK" "$output"
}

@test "pids: -1 is no limit; 0 is one since version 1.3" {
	ok create "$ID"
	ok delete --force "$ID"
	limit '{pids: {limit: -1}}'
	ok create "$ID"
	[[ -z $(hierarchy pids) ]] || equal max "$(cg pids pids.max)"
	ok delete --force "$ID"
	update_config '.ociVersion = "1.0.2"'
	limit '{pids: {limit: 0}}'
	ok create "$ID"
	[[ -z $(hierarchy pids) ]] || equal max "$(cg pids pids.max)"
	ok delete --force "$ID"
	update_config '.ociVersion = "1.3.0"'
	limited pids '{pids: {limit: 0}}'
	present pids || return 0
	equal 0 "$(cg pids pids.max)"
}

# --- blockIO

# make_loop: a disk of ours; $LOOP, and $DEV as MAJOR:MINOR.
make_loop() {
	local n
	[[ -e /dev/loop-control ]] || mknod /dev/loop-control c 10 237
	truncate -s 8M "$T/disk"
	LOOP=$(losetup --find --show "$T/disk")
	DEV=$(cat "/sys/block/${LOOP#/dev/}/dev")
}

# io JSON: of blockIO, MAJ and MIN being the disk.
io() { jq -cn --argjson maj "${DEV%:*}" --argjson min "${DEV#*:}" "{blockIO: $1}"; }

@test "blockIO: rates by device" {
	make_loop
	limited io "$(io '{
		throttleReadBpsDevice: [{major: $maj, minor: $min, rate: 1048576}], throttleWriteBpsDevice: [{major: $maj, minor: $min, rate: 2097152}],
		throttleReadIOPSDevice: [{major: $maj, minor: $min, rate: 300}], throttleWriteIOPSDevice: [{major: $maj, minor: $min, rate: 400}]}')"
	present io || return 0
	if in_v1 io; then
		equal "$DEV 1048576" "$(cg io blkio.throttle.read_bps_device)"
		equal "$DEV 2097152" "$(cg io blkio.throttle.write_bps_device)"
		equal "$DEV 300" "$(cg io blkio.throttle.read_iops_device)"
		equal "$DEV 400" "$(cg io blkio.throttle.write_iops_device)"
	else
		equal "$DEV rbps=1048576 wbps=2097152 riops=300 wiops=400" "$(cg io io.max)"
	fi
}

@test "blockIO: reading is as slow as the rate" {
	make_loop
	update_config --arg loop "$LOOP" --argjson maj "$((${DEV%:*}))" --argjson min "$((${DEV#*:}))" \
		'.linux.devices = [{type: "b", path: "/dev/disk", major: $maj, minor: $min, fileMode: 384, uid: 0, gid: 0}]
			| .linux.resources.devices += [{allow: true, type: "b", major: $maj, minor: $min, access: "r"}]'
	sh_script 'dd if=/dev/disk of=/dev/null bs=64k count=32 iflag=direct || exit; cut -d" " -f1 /proc/uptime >/end; exec sleep 100000'
	limited io "$(io '{throttleReadBpsDevice: [{major: $maj, minor: $min, rate: 1048576}]}')"
	present io || return 0
	local begin end
	begin=$(cut -d' ' -f1 /proc/uptime)
	ok start "$ID"
	eventually filled "$BUNDLE/rootfs/end"
	end=$(<"$BUNDLE/rootfs/end")
	# 2 MiB at 1 MiB a second; a second is enough to tell it from none.
	awk -v begin="$begin" -v end="$end" 'BEGIN { exit !(end - begin > 1) }'
}

@test "blockIO: a disk that is missing is told of" {
	DEV=240:5 # for local use; of loop devices, missing ones are made
	[[ -n $(hierarchy io) ]] || return 0
	limit "$(io '{throttleReadBpsDevice: [{major: $maj, minor: $min, rate: 1048576}]}')"
	refused 'linux.resources.blockIO: .*no such device'
}

# bfq: whether the disk has the scheduler that knows weights.
bfq() {
	grep -q bfq "/sys/block/${LOOP#/dev/}/queue/scheduler" || modprobe bfq
	echo bfq >"/sys/block/${LOOP#/dev/}/queue/scheduler"
}

@test "blockIO: weight, of the cgroup and of a disk" {
	make_loop
	bfq
	limited io "$(io '{weight: 500, weightDevice: [{major: $maj, minor: $min, weight: 300}]}')"
	present io || return 0
	if in_v1 io; then
		equal "500" "$(cg io blkio.bfq.weight)"
		equal "default 500 $DEV 300" "$(cg io blkio.bfq.weight_device | xargs)"
	else
		equal "default 500 $DEV 300" "$(cg io io.bfq.weight | xargs)"
		[[ ! -e $(cg io)/io.weight ]] || contains '^default 4950' "$(cg io io.weight)"
	fi
}

@test "blockIO: weights out of range, and of leaves, are refused" {
	refused 'linux.resources.blockIO.weight: 5 is not in the range 10 to 1000' '.linux.resources.blockIO = {weight: 5}'
	refused 'linux.resources.blockIO.leafWeight: .*CFQ' '.linux.resources.blockIO = {leafWeight: 50}'
}

# --- huge pages

@test "hugepageLimits: use and reservations" {
	limited hugetlb '{hugepageLimits: [{pageSize: "2MB", limit: 4194304}]}'
	present hugetlb || return 0
	C=hugetlb
	has 4194304 hugetlb.2MB.limit_in_bytes hugetlb.2MB.max
	has 4194304 hugetlb.2MB.rsvd.limit_in_bytes hugetlb.2MB.rsvd.max
}

@test "hugepageLimits: a size that the kernel does not have is told of" {
	refused 'linux.resources.hugepageLimits: .*(no huge pages of this size|hugetlb controller)' \
		'.linux.resources.hugepageLimits = [{pageSize: "3MB", limit: 1}]'
	refused 'linux.resources.hugepageLimits\[0\].pageSize: "2mb"' '.linux.resources.hugepageLimits = [{pageSize: "2mb", limit: 1}]'
}

# --- network, rdma: what this machine has

@test "network: class and priorities" {
	if is_v2; then
		refused 'linux.resources.network.classID: cgroup v2 has nothing like it' '.linux.resources.network = {classID: 1048577}'
		refused 'linux.resources.network.priorities: cgroup v2 has nothing like it' '.linux.resources.network = {priorities: [{name: "lo", priority: 3}]}'
		return
	fi
	limited net_cls '{network: {classID: 1048577}}'
	if present net_cls; then
		equal 1048577 "$(cg net_cls net_cls.classid)"
		ok delete --force "$ID"
	fi
	limited net_prio '{network: {priorities: [{name: "lo", priority: 3}]}}'
	present net_prio || return 0
	contains '(^|[[:space:]])lo 3' "$(cg net_prio net_prio.ifpriomap)"
	ok delete --force "$ID"
	refused 'no such interface' '.linux.resources.network = {priorities: [{name: "none0", priority: 3}]}'
}

@test "rdma: a device that is missing is told of" {
	present rdma || {
		limited rdma '{rdma: {mlx5_1: {hcaHandles: 3}}}'
		return
	}
	refused 'linux.resources.rdma: .*rdma.max: ' '.linux.resources.rdma = {mlx5_1: {hcaHandles: 3, hcaObjects: 10}}'
}

# --- unified

@test "unified: files are written as given, a line at a time" {
	if [[ ! -e $(hierarchy hugetlb)/cgroup.controllers ]]; then
		refused 'unified' '.linux.resources.unified = {"hugetlb.2MB.max": "4194304"}'
		return
	fi
	limit '{unified: {"hugetlb.2MB.max": "4194304", "hugetlb.2MB.rsvd.max": "6291456\n8388608\n", "cgroup.max.depth": "3"}}'
	ok create "$ID"
	equal 4194304 "$(cg hugetlb hugetlb.2MB.max)"
	equal 8388608 "$(cg hugetlb hugetlb.2MB.rsvd.max)"
	equal 3 "$(cg hugetlb cgroup.max.depth)"
}

@test "v2: unified has the last word, and knows what the config has no other property for" {
	is_v2 || skip "cgroup v1"
	present memory || {
		refused 'linux.resources.unified: memory.high: the kernel has no memory controller' '.linux.resources.unified = {"memory.high": "1000000"}'
		return
	}
	limited memory '{memory: {limit: 67108864}, pids: {limit: 5}, unified: {"memory.max": "50331648", "memory.high": "33554432",
		"pids.max": "7", "memory.oom.group": "1", "cpu.weight.nice": "-5"}}'
	equal 50331648 "$(cg memory memory.max)"
	equal 33554432 "$(cg memory memory.high)"
	equal 7 "$(cg pids pids.max)"
	equal 1 "$(cg memory memory.oom.group)"
	equal -5 "$(cg cpu cpu.weight.nice)"
}

@test "unified: an unknown file, a missing controller" {
	refused 'linux.resources.unified: .*(no such file|hugetlb controller)' '.linux.resources.unified = {"hugetlb.nonsense": "1"}'
	refused 'linux.resources.unified: foo.max: the kernel has no foo controller' '.linux.resources.unified = {"foo.max": "1"}'
}

@test "unified: nothing outside of the cgroup, nothing of the runtime's" {
	local key
	for key in ../x.max x/y.max .. memory; do
		refused "linux.resources.unified\\[.*\\]: is not the name of a control file" ".linux.resources.unified = {\"$key\": \"1\"}"
	done
	for key in cgroup.procs cgroup.kill cgroup.freeze cgroup.subtree_control cgroup.type cgroup.threads; do
		refused "linux.resources.unified\\[.*\\]: is for the runtime alone" ".linux.resources.unified = {\"$key\": \"1\"}"
	done
}

# --- all

@test "violations are told all at once" {
	refused '2 problems: linux.resources.cpu.shares: .*; linux.resources.memory.swap: ' \
		'.linux.resources = {memory: {limit: 9, swap: 5}, cpu: {shares: 1}}'
}

@test "a failure on the way leaves nothing" {
	refused 'linux.resources.unified' '.linux.resources = {unified: {"hugetlb.2MB.max": "x"}}'
}

# --- controllers in v2

# above: the container's cgroup is below /$MARK-above of v2; $ABOVE.
above() {
	ABOVE=/$MARK-above
	mkdir "/sys/fs/cgroup$ABOVE"
	update_config --arg p "$ABOVE/c" '.linux.cgroupsPath = $p'
}

@test "v2: all controllers reach the container, also through parents" {
	is_v2 || skip "cgroup v1"
	above
	ok create "$ID"
	equal "$(</sys/fs/cgroup/cgroup.controllers)" "$(<"/sys/fs/cgroup$ABOVE/c/cgroup.controllers")"
}

@test "v2: a parent with processes hands nothing down: an error only if a limit needs it" {
	is_v2 || skip "cgroup v1"
	above
	donor --uts
	echo "$DONOR" >"/sys/fs/cgroup$ABOVE/cgroup.procs"
	ok create "$ID"
	ok delete --force "$ID"
	limit '{hugepageLimits: [{pageSize: "2MB", limit: 0}]}'
	fails "linux.resources.hugepageLimits: .*cgroup $ABOVE has processes itself, so that it cannot hand the hugetlb controller down" create "$ID"
}

@test "v2: below a threaded cgroup no process can be" {
	is_v2 || skip "cgroup v1"
	above
	mkdir "/sys/fs/cgroup$ABOVE/t"
	echo threaded >"/sys/fs/cgroup$ABOVE/t/cgroup.type"
	update_config --arg p "$ABOVE/t/c" '.linux.cgroupsPath = $p'
	fails "operation not supported: it is below a threaded cgroup" create "$ID"
}

@test "v2: a container with a writable cgroup limits cgroups of its own" {
	is_v2 || skip "cgroup v1"
	update_config '.linux.namespaces += [{type: "cgroup"}]
		| .mounts += [{destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["rw", "nosuid", "noexec", "nodev"]}]'
	sh_script 'cd /sys/fs/cgroup; mkdir sub leaf; echo 0 >leaf/cgroup.procs; echo +hugetlb >cgroup.subtree_control
		echo 2097152 >sub/hugetlb.2MB.max; cat sub/hugetlb.2MB.max; cat /proc/self/cgroup | grep ^0::'
	ok run "$ID"
	equal "2097152 0::/leaf" "$(xargs <<<"$output")"
}

# owner FILE: of the container's in v2.
owner() { stat -c %u "/sys/fs/cgroup/$MARK/$1"; }

@test "v2: the container's user owns a writable cgroup, but not its limits" {
	is_v2 || skip "cgroup v1"
	local file
	update_config '.linux.namespaces += [{type: "cgroup"}, {type: "user"}] | '"$MAPS"' | .process.user.uid = 5
		| .mounts += [{destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["rw", "nosuid", "noexec", "nodev"]}]'
	sh_script 'cd /sys/fs/cgroup; mkdir sub leaf && echo 0 >leaf/cgroup.procs && echo +hugetlb >cgroup.subtree_control && echo yes
		(echo 3 >cgroup.max.depth) 2>/dev/null || echo no; (echo 0 >hugetlb.2MB.max) 2>/dev/null || echo no; exec sleep 100000'
	ok create "$ID"
	local out=$out_file
	for file in . cgroup.procs cgroup.threads cgroup.subtree_control; do equal 100005 "$(owner "$file")"; done
	for file in cgroup.max.depth cgroup.kill cgroup.type hugetlb.2MB.max; do equal 0 "$(owner "$file")"; done
	ok start "$ID"
	eventually grep -q 'no$' "$out"
	equal "yes no no" "$(xargs <"$out")"
	ok delete --force "$ID"
	update_config '.mounts[-1].options = ["ro"]'
	ok create "$ID"
	for file in . cgroup.procs; do equal 0 "$(owner "$file")"; done
}

# --- many

# limited_life N UPDATE FILE BEFORE AFTER: a container from create to delete, with
# UPDATE (for update --resources) in between, and what FILE in its cgroup, if
# that is not "", says before and after.
limited_life() {
	local id=$MARK-$1 dir=$T/b$1 file=${3:+${3%/*}/$MARK-$1/${3##*/}}
	mkdir "$dir" && ln -s "$BUNDLE/rootfs" "$dir/rootfs" || return
	sed "s|\"/$MARK\"|\"/$id\"|" <"$BUNDLE/config.json" >"$dir/config.json" || return
	hako create --bundle "$dir" "$id" && hako start "$id" || return
	[[ -z $file ]] || equal "$4" "$(<"$file")" || return
	hako update --resources "$2" "$id" || return
	[[ -z $file ]] || equal "$5" "$(<"$file")" || return
	hako delete --force "$id"
}

@test "200 containers created, limited, updated and deleted at a time: no cgroup and no process is left" {
	local n pids=() file='' before='' after=''
	limit '{cpu: {shares: 1024}}'
	echo '{}' >"$T/update"
	if present pids; then
		limit '{pids: {limit: 20}, memory: {limit: 67108864}, cpu: {shares: 512}}'
		echo '{"pids": {"limit": 30}, "memory": {"limit": 33554432}, "cpu": {"shares": 256}}' >"$T/update"
		file=$(hierarchy pids)/pids.max before=20 after=30
	elif present hugetlb; then
		limit '{hugepageLimits: [{pageSize: "2MB", limit: 2097152}]}'
		echo '{"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}]}' >"$T/update"
		file=$(hierarchy hugetlb)/hugetlb.2MB.max before=2097152 after=4194304
	fi
	for ((n = 0; n < 200; n++)); do
		limited_life "$n" "$T/update" "$file" "$before" "$after" </dev/null >"$T/o$n" 2>&1 &
		pids+=($!)
	done
	for n in "${!pids[@]}"; do
		wait "${pids[n]}" || {
			cat "$T/o$n"
			return 1
		}
	done
	equal "" "$(cat "$T"/o*)"
	equal "" "$(hako list -q)"
	nothing_left
}
