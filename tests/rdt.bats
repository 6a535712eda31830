#!/usr/bin/env bats
# linux.intelRdt, at a folder that looks like resctrl: what is written where,
# which is all that hako does about it. The folder is at its place in a mount
# namespace of hako's, since this machine has no such hardware. See runtime-spec
# config-linux.md#intelrdt.
# shellcheck disable=SC2016 # $names are jq's or of the container's shell
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

load helpers
load process-helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() {
	DONORS=()
	make_bundle
	make_resctrl
}
teardown() {
	# The kernel's files do not keep a folder; these would.
	find "$RESCTRL" -type f -delete
	find "$RESCTRL" -depth -path '*/mon_data*' -type d -delete
	clean_up
}

# make_resctrl: $RESCTRL with a class "gold", and $HAKO sees it.
make_resctrl() {
	RESCTRL=$T/resctrl
	REAL_HAKO=${REAL_HAKO:-$HAKO}
	mkdir -p "$RESCTRL"/info/{L3,MB} "$RESCTRL"/mon_groups "$RESCTRL"/gold/mon_groups "$T/sysfs"
	: >"$RESCTRL/tasks"
	: >"$RESCTRL/gold/tasks"
	printf '    L3:0=7ff\n    MB:0=100\n' >"$RESCTRL/schemata"
	printf '    L3:0=7f0\n    MB:0= 20\n' >"$RESCTRL/gold/schemata"
	echo 7ff >"$RESCTRL/info/L3/cbm_mask"
	echo 1 >"$RESCTRL/info/L3/min_cbm_bits"
	echo 16 >"$RESCTRL/info/L3/num_closids"
	echo 10 >"$RESCTRL/info/MB/bandwidth_gran"
	echo ok >"$RESCTRL/info/last_cmd_status"
	cat >"$T/hako" <<-EOF
		#!/bin/sh
		exec unshare -m sh -euc '
			mount --make-rprivate /
			mount --rbind /sys/fs "\$0/sysfs"
			mount -t tmpfs tmpfs /sys/fs
			mkdir /sys/fs/cgroup /sys/fs/resctrl
			mount --rbind "\$0/sysfs/cgroup" /sys/fs/cgroup
			mount --bind "\$0/resctrl" /sys/fs/resctrl
			umount -R -l "\$0/sysfs"
			exec "\$@"' '$T' '$REAL_HAKO' "\$@"
	EOF
	chmod 755 "$T/hako"
	HAKO=$T/hako
}

tasks() { cat "$RESCTRL/$1/tasks"; }

# monitor DIR FILE VALUE…: what the kernel counts for a group.
monitor() {
	local dir=$1/mon_data/mon_L3_00
	mkdir -p "$dir"
	shift
	while (($# > 0)); do
		echo "$2" >"$dir/$1"
		shift 2
	done
}

@test "intelRdt: without closID there is a class of the container's own" {
	start_container '.linux.intelRdt = {l3CacheSchema: "L3:0=f", memBwSchema: "MB:0=50", schemata: ["L2:0=1"]}'
	equal "$(printf 'L3:0=f\nMB:0=50\nL2:0=1')" "$(<"$RESCTRL/$ID/schemata")"
	equal "$(init)" "$(tasks "$ID")"
	rm "$RESCTRL/$ID"/{tasks,schemata}
	ok delete --force "$ID"
	not exists "$RESCTRL/$ID"
}

@test "intelRdt: without schemata none are written" {
	start_container '.linux.intelRdt = {}'
	not exists "$RESCTRL/$ID/schemata"
	equal "$(init)" "$(tasks "$ID")"
}

@test "intelRdt: exec is in the class of the container" {
	start_container '.linux.intelRdt = {closID: "gold"}'
	equal "$(init)" "$(tasks gold)"
	hako exec --detach --pid-file "$T/pid" "$ID" sleep 100000
	equal "$(<"$T/pid")" "$(tasks gold)"
}

@test "intelRdt: a class that exists must have the schemata, and is not changed" {
	local before
	before=$(<"$RESCTRL/gold/schemata")
	start_container '.linux.intelRdt = {closID: "gold", memBwSchema: "MB:0=20"}'
	ok delete --force "$ID"
	refused 'linux.intelRdt: closID gold exists with other schemata' '.linux.intelRdt = {closID: "gold", memBwSchema: "MB:0=70"}'
	equal "$before" "$(<"$RESCTRL/gold/schemata")"
	refused 'linux.intelRdt: closID silver must exist' '.linux.intelRdt = {closID: "silver"}'
}

@test "intelRdt: / is the default class" {
	start_container '.linux.intelRdt = {closID: "/"}'
	equal "$(init)" "$(tasks .)"
	ok delete --force "$ID"
	exists "$RESCTRL/schemata"
}

@test "intelRdt: enableMonitoring makes a group, which goes with the container" {
	start_container '.linux.intelRdt = {closID: "gold", enableMonitoring: true}'
	equal "$(init) $(init)" "$(tasks gold) $(tasks "gold/mon_groups/$ID")"
	rm "$RESCTRL/gold/mon_groups/$ID/tasks"
	ok delete --force "$ID"
	not exists "$RESCTRL/gold/mon_groups/$ID"
	exists "$RESCTRL/gold/schemata"
}

@test "intelRdt: a monitoring group that cannot be made is an error" {
	mkdir "$RESCTRL/gold/mon_groups/$ID"
	update_config '.linux.intelRdt = {closID: "gold", enableMonitoring: true}'
	fails 'linux.intelRdt: monitoring group: .*exists' create "$ID"
	exists "$RESCTRL/gold/mon_groups/$ID"
}

@test "intelRdt: events has the schemata and what is monitored" {
	start_container '.linux.intelRdt = {closID: "gold", enableMonitoring: true}'
	monitor "$RESCTRL/gold/mon_groups/$ID" llc_occupancy 1234 mbm_total_bytes 5678 mbm_local_bytes Unavailable
	monitor "$RESCTRL/gold" llc_occupancy 1 mbm_total_bytes 1 mbm_local_bytes 1
	ok events --stats "$ID"
	equal '{"l3_cache_info":{"cbm_mask":"7ff","min_cbm_bits":1,"num_closids":16},"l3_cache_schema_root":"L3:0=7ff","l3_cache_schema":"L3:0=7f0","mem_bw_info":{"bandwidth_gran":10},"mem_bw_schema_root":"MB:0=100","mem_bw_schema":"MB:0= 20","mbm_stats":[{"mbm_total_bytes":5678,"mbm_local_bytes":0}],"cmt_stats":[{"llc_occupancy":1234}]}' \
		"$(jq -c .data.intel_rdt <<<"$output")"
}

@test "intelRdt: events does not tell what others in the class did" {
	start_container '.linux.intelRdt = {closID: "gold"}'
	monitor "$RESCTRL/gold" llc_occupancy 1
	ok events --stats "$ID"
	equal '"L3:0=7f0" null' "$(jq -r '.data.intel_rdt | "\(.l3_cache_schema | tojson) \(.cmt_stats)"' <<<"$output")"
}

@test "intelRdt: update changes the lines of the container's own class" {
	start_container '.linux.intelRdt = {l3CacheSchema: "L3:0=f", memBwSchema: "MB:0=50"}'
	ok update --mem-bw-schema MB:0=70 "$ID"
	# The kernel keeps the other lines.
	equal "MB:0=70" "$(<"$RESCTRL/$ID/schemata")"
	ok update --l3-cache-schema L3:0=3 --mem-bw-schema MB:0=80 "$ID"
	equal "$(printf 'L3:0=3\nMB:0=80')" "$(<"$RESCTRL/$ID/schemata")"
	equal '["L3:0=3","MB:0=80"]' "$(jq -c .plan.rdt.schemata "$ROOT/$ID/state.json")"
}

@test "intelRdt: update makes a class for a container that has none, with all its processes" {
	sh_script 'sleep 100000 & wait'
	start_container
	eventually two_processes
	ok update --l3-cache-schema L3:0=3 "$ID"
	# The kernel takes a task with each write; of a file the last one is left.
	equal "$(hako ps -f json "$ID" | jq 'max')" "$(tasks "$ID")"
	equal "L3:0=3" "$(<"$RESCTRL/$ID/schemata")"
	has_status "$ID" running
	equal "$ID" "$(jq -r .plan.rdt.closID "$ROOT/$ID/state.json")"
	rm -f "$RESCTRL/$ID"/*
	ok delete --force "$ID"
	not exists "$RESCTRL/$ID"
}

two_processes() { [[ $(hako ps -f json "$ID" | jq length) == 2 ]]; }

@test "intelRdt: update refuses a class that others may be in, and wrong lines" {
	start_container '.linux.intelRdt = {closID: "gold"}'
	fails '"gold" may be shared with other containers' update --mem-bw-schema MB:0=70 "$ID"
	equal "$(printf '    L3:0=7f0\n    MB:0= 20')" "$(<"$RESCTRL/gold/schemata")"
	ok delete --force "$ID"
	start_container 'del(.linux.intelRdt)'
	fails 'memBwSchema: does not start with "MB:"' update --mem-bw-schema L3:0=1 "$ID"
	not exists "$RESCTRL/$ID"
}

@test "intelRdt: update without resctrl is a clear error, and changes nothing else" {
	HAKO=$REAL_HAKO
	! grep -qw resctrl /proc/filesystems || skip "the machine has resctrl"
	start_container
	fails 'linux.intelRdt: resctrl is not mounted at /sys/fs/resctrl' update --mem-bw-schema MB:0=70 --pids-limit 5 "$ID"
	not grep -q '"tasks":5' "$ROOT/$ID/state.json"
}
