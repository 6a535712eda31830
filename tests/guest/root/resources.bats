#!/usr/bin/env bats
# Limits in cgroup v2 with all its controllers, without systemd's help; and a
# hybrid host with little in v1. What needs no such controllers, and each
# property's violations, are in ../../resources.bats.
# shellcheck disable=SC2016 # $names are jq's or of the container's shell
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

load ../../helpers
load ../../process-helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() {
	DONORS=()
	make_bundle
	update_config '.linux.namespaces -= [{type: "cgroup"}]'
}
teardown() {
	end_donors
	[[ -z ${LOOP:-} ]] || losetup --detach "$LOOP"
	clean_up
}

# files NAME…: what the container's control files say, a line.
files() { (cd "/sys/fs/cgroup/$MARK" && cat "$@" | xargs); }

# make_disk: of ours, with the scheduler that knows weights; $LOOP, and $DEV as
# MAJOR:MINOR, $MAJ and $MIN.
make_disk() {
	truncate -s 8M "$T/disk"
	LOOP=$(losetup --find --show "$T/disk")
	modprobe bfq
	echo bfq >"/sys/block/${LOOP#/dev/}/queue/scheduler"
	DEV=$(cat "/sys/block/${LOOP#/dev/}/dev")
	MAJ=${DEV%:*} MIN=${DEV#*:}
}

@test "every property of v2 is in its file" {
	make_disk
	start_container "{major: $MAJ, minor: $MIN} as \$disk | .linux.resources += {
		memory: {limit: 67108864, swap: 100663296, reservation: 33554432},
		cpu: {shares: 512, quota: 20000, period: 50000, burst: 10000, cpus: \"1\", mems: \"0\"},
		pids: {limit: 70},
		blockIO: {weight: 500, weightDevice: [\$disk + {weight: 300}],
			throttleReadBpsDevice: [\$disk + {rate: 1048576}], throttleWriteBpsDevice: [\$disk + {rate: 2097152}],
			throttleReadIOPSDevice: [\$disk + {rate: 300}], throttleWriteIOPSDevice: [\$disk + {rate: 400}]},
		hugepageLimits: [{pageSize: \"2MB\", limit: 4194304}],
		unified: {\"memory.high\": \"50331648\", \"memory.oom.group\": \"1\", \"pids.max\": \"60\", \"cgroup.max.depth\": \"3\"}}"
	equal "67108864 33554432 33554432 50331648 1" "$(files memory.max memory.swap.max memory.low memory.high memory.oom.group)"
	equal "59 20000 50000 10000 1 0" "$(files cpu.weight cpu.max cpu.max.burst cpuset.cpus cpuset.mems)"
	equal "60 4194304 4194304 3" "$(files pids.max hugetlb.2MB.max hugetlb.2MB.rsvd.max cgroup.max.depth)"
	equal "$DEV rbps=1048576 wbps=2097152 riops=300 wiops=400" "$(files io.max)"
	equal "default 500 $DEV 300" "$(files io.bfq.weight)"
	equal "default 4950" "$(files io.weight)"
	equal 1 "$(awk '$1 == "Cpus_allowed_list:" { print $2 }' "/proc/$(init)/status")"
}

@test "what lifts limits, and idle" {
	mkdir "/sys/fs/cgroup/$MARK"
	echo 1000000 >"/sys/fs/cgroup/$MARK/memory.max"
	echo 0 >"/sys/fs/cgroup/$MARK/memory.swap.max"
	echo 7 >"/sys/fs/cgroup/$MARK/pids.max"
	echo "1000 1000" >"/sys/fs/cgroup/$MARK/cpu.max"
	start_container '.linux.resources += {memory: {limit: -1}, cpu: {quota: -1, shares: 4096, idle: 1}, pids: {limit: -1}}'
	equal "max max max max 1000 1" "$(files memory.max memory.swap.max pids.max cpu.max cpu.idle)"
}

throttled() { (($(awk '$1 == "nr_throttled" { print $2 }' "/sys/fs/cgroup/$MARK/cpu.stat") > 0)); }

@test "limits have their effect: processes are killed, not forked, throttled" {
	update_config '.linux.resources += {memory: {limit: 33554432, swap: 33554432}, pids: {limit: 10}, cpu: {quota: 10000, period: 50000}}'
	sh_script 'dd if=/dev/zero of=/dev/null bs=100M count=1; echo status $?
		(while :; do sleep 100000 & done) 2>&1; echo forked; while :; do :; done'
	ok create "$ID"
	local out=$out_file
	ok start "$ID"
	eventually grep -q forked "$out"
	contains 'status 137' "$(<"$out")"
	contains "can't fork" "$(<"$out")"
	contains '(^| )oom_kill 1( |$)' "$(files memory.events)"
	contains 'max [1-9]' "$(files pids.events)"
	(($(files pids.current) <= 10))
	eventually throttled
}

@test "blockIO: reading is as slow as the rate" {
	make_disk
	update_config --arg loop "$LOOP" --argjson maj "$MAJ" --argjson min "$MIN" '
		.linux.devices = [{type: "b", path: "/dev/disk", major: $maj, minor: $min, fileMode: 384, uid: 0, gid: 0}]
		| .linux.resources.devices += [{allow: true, type: "b", major: $maj, minor: $min, access: "r"}]
		| .linux.resources.blockIO = {throttleReadBpsDevice: [{major: $maj, minor: $min, rate: 262144}]}'
	sh_script 'cut -d" " -f1 /proc/uptime; dd if=/dev/disk of=/dev/null bs=64k count=16 iflag=direct 2>/dev/null || exit; cut -d" " -f1 /proc/uptime'
	ok run "$ID"
	# 1 MiB at a quarter of that a second.
	awk -v begin="${output%%$'\n'*}" -v end="${output##*$'\n'}" 'BEGIN { print begin, end; exit !(end - begin > 2) }'
}

@test "hugepageLimits: pages beyond the limit are not to be had" {
	local before
	before=$(cat /proc/sys/vm/nr_hugepages)
	echo 8 >/proc/sys/vm/nr_hugepages
	update_config '.linux.resources.hugepageLimits = [{pageSize: "2MB", limit: 4194304}]
		| .mounts += [{destination: "/huge", type: "hugetlbfs", source: "hugetlbfs", options: ["pagesize=2M"]}]'
	sh_script 'fallocate -l 4M /huge/a && echo four; fallocate -l 2M /huge/b || echo no more'
	call run "$ID"
	echo "$before" >/proc/sys/vm/nr_hugepages
	equal $'four\nno more' "$output"
}

@test "pids: limits that are too low for hako itself are no hindrance" {
	local n
	set_args true
	for n in 0 1 2; do
		update_config --argjson n "$n" '.linux.resources.pids = {limit: $n}'
		ok create "$ID"
		equal "$n" "$(files pids.max)"
		ok start "$ID"
		eventually status_is "$ID" stopped
		ok delete "$ID"
	done
}

tasks_are() { [[ $(files pids.current) == "$1" ]]; }

@test "pids: exec needs room for its own process, none for hako" {
	local n
	for n in 2 3 5; do
		start_container "{limit: $n} as \$pids | .linux.resources.pids = \$pids"
		ok exec "$ID" cat /proc/self/cgroup
		equal "$(cat "/proc/$(init)/cgroup")" "$output"
		fails_with 255 'no such file' exec "$ID" no/such/program
		ok delete --force "$ID"
	done
}

@test "pids: exec has no room beside as many tasks as the limit" {
	start_container '.linux.resources.pids = {limit: 1}'
	fails_with 255 "^hako exec $ID: linux.resources.pids.limit: .*: 1 of 1 tasks exist\$" exec "$ID" true
	equal 1 "$(files pids.current)"
	ok delete --force "$ID"
	# All but one of more than the init stage needs.
	sh_script 'i=1; while [ $i -lt 39 ]; do sleep 100000 & i=$((i+1)); done; exec sleep 100000'
	start_container '.linux.resources.pids = {limit: 40}'
	eventually tasks_are 39
	ok exec "$ID" echo "a process"
	equal "a process" "$output"
	# Where the container has moved its processes into a cgroup below.
	mkdir "/sys/fs/cgroup/$MARK/sub"
	ok update --pids-limit 60 "$ID"
	while read -r pid; do
		echo "$pid" >"/sys/fs/cgroup/$MARK/sub/cgroup.procs"
	done <<<"$(files cgroup.procs | tr ' ' '\n')"
	echo +pids >"/sys/fs/cgroup/$MARK/cgroup.subtree_control"
	ok exec "$ID" cat /proc/self/cgroup
	equal "0::/$MARK/sub" "$output"
}

@test "memory: one that is too small for any process is told as such" {
	refused 'init stage was killed.*memory.limit' '.linux.resources.memory = {limit: 4096, swap: 4096}'
}

@test "rdma: a device that is missing is told of" {
	refused 'linux.resources.rdma: .*rdma.max: ' '.linux.resources.rdma = {mlx5_1: {hcaHandles: 3, hcaObjects: 10}}'
}

@test "misc: by unified, for what the machine has none of" {
	refused 'linux.resources.unified: .*misc.max: ' '.linux.resources.unified = {"misc.max": "sev 1"}'
}

# in_hybrid COMMAND…: where net_cls and net_prio are mounted together, as v1,
# and everything else is in cgroup2.
in_hybrid() {
	modprobe cls_cgroup || return
	unshare -m bash -ec 'mount --make-rprivate /
		mount -t tmpfs tmpfs /sys/fs/cgroup
		mkdir /sys/fs/cgroup/unified /sys/fs/cgroup/net_cls,net_prio
		ln -s net_cls,net_prio /sys/fs/cgroup/net_cls
		ln -s net_cls,net_prio /sys/fs/cgroup/net_prio
		mount -t cgroup -o net_cls,net_prio cgroup /sys/fs/cgroup/net_cls,net_prio
		mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
		"$@"' bash "$@"
}

@test "hybrid: co-mounted controllers of v1, and all others in cgroup2" {
	update_config '.linux.resources += {network: {classID: 1048577, priorities: [{name: "lo", priority: 3}]},
		memory: {limit: 67108864, swap: 67108864}, cpu: {shares: 512, cpus: "1"}, pids: {limit: 40},
		hugepageLimits: [{pageSize: "2MB", limit: 4194304}], unified: {"memory.high": "50331648"}}'
	in_hybrid env HAKO="$HAKO" MARK="$MARK" ROOT="$ROOT" ID="$ID" T="$T" bash -ec '
		"$HAKO" --root "$ROOT" create "$ID" >/dev/null 2>"$T/err" </dev/null 3>&-
		cd /sys/fs/cgroup
		cat net_cls/$MARK/net_cls.classid
		grep "^lo " net_prio/$MARK/net_prio.ifpriomap
		cd unified/$MARK
		cat memory.max memory.swap.max memory.high cpu.weight cpuset.cpus pids.max hugetlb.2MB.max
		"$HAKO" --root "$ROOT" delete --force "$ID"' >"$T/out"
	equal "1048577 lo 3 67108864 0 50331648 59 1 40 4194304" "$(xargs <"$T/out")"
	equal "" "$(<"$T/err")"
}

@test "hybrid: an interface that is missing, and what only v1's controllers can, are told of" {
	local text filter
	while IFS='|' read -r filter text; do
		update_config ".linux.resources = {devices: .linux.resources.devices} + $filter"
		not in_hybrid "$HAKO" --root "$ROOT" create "$ID" >/dev/null 2>"$T/err" </dev/null 3>&-
		contains "$text" "$(<"$T/err")"
	done <<-'TABLE'
		{network: {priorities: [{name: "none0", priority: 3}]}}|linux.resources.network: .*no such interface
		{memory: {swappiness: 10}}|linux.resources.memory.swappiness: cgroup v2 has nothing like it
		{memory: {disableOOMKiller: true}}|linux.resources.memory.disableOOMKiller: cgroup v2 has nothing like it
		{cpu: {realtimeRuntime: 5000}}|linux.resources.cpu.realtimeRuntime: cgroup v2 has nothing like it
	TABLE
}

@test "many containers created, limited and deleted at a time: no cgroup is left" {
	local n pids=() pid
	update_config '.linux.resources += {pids: {limit: 20}, memory: {limit: 67108864}, cpu: {shares: 512}}'
	for ((n = 0; n < 4; n++)); do
		(
			mkdir "$T/b$n"
			ln -s "$BUNDLE/rootfs" "$T/b$n/rootfs"
			for ((i = 0; i < 10; i++)); do
				sed "s|\"/$MARK\"|\"/$MARK-$n-$i\"|" <"$BUNDLE/config.json" >"$T/b$n/config.json"
				hako create --bundle "$T/b$n" "$MARK-$n-$i" </dev/null >>"$T/o$n" 2>&1 || exit
				hako delete --force "$MARK-$n-$i" >>"$T/o$n" 2>&1 || exit
			done
		) &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do wait "$pid"; done
	equal "" "$(cat "$T"/o*)"
	nothing_left
}
