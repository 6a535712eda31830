#!/usr/bin/env bats
# Cgroups of an unprivileged user to whom one has been delegated: where the
# container is, what is limited, pause, exec, and what cannot be had.
# See docs/design.md#rootless, cgroups(7), "Delegation".
# shellcheck disable=SC2016,SC2317 # $names are jq's; hako is redefined
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

load helpers
load process-helpers
load rootless-helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() {
	DONORS=()
	pure_v2 || skip "cgroup v1 cannot be delegated"
	make_user_bundle
	TOP=/sys/fs/cgroup/$MARK
	mkdir "$TOP"
	CALLER=$TOP/caller
}
teardown() {
	[[ -n ${TOP:-} ]] || return 0
	end_donors
	[[ ! -d $CALLER ]] || rmdir "$CALLER"
	[[ ! -d $TOP ]] || { find "$TOP" -mindepth 1 -type d && rmdir "$TOP"; }
	clean_up_user
}

# delegate DIRECTORY: it is the user's; cgroups(7).
delegate() {
	mkdir -p "$1"
	chown "$USER_ID" "$1" "$1/cgroup.procs" "$1/cgroup.subtree_control"
}

# called_in CGROUP: hako's caller is there from now on.
called_in() {
	delegate "$1"
	AT=$1
	hako() { (echo "$BASHPID" >"$AT/cgroup.procs" && as_user "$HAKO" --root "$ROOT" "$@" 3>&-); }
}

# denied TEXT [JQ-FILTER]: neither create nor run, and no cgroup is left.
denied() {
	[[ $# == 1 ]] || update_config "$2"
	fails "$1" create "$ID"
	fails "$1" run "$ID"
	equal "" "$(find "$TOP" -mindepth 1 -type d ! -path "$CALLER")"
	equal "" "$(ls "$ROOT")"
}

path_of() { sed -n 's/^0:://p' "/proc/$1/cgroup"; }

@test "rootless: the container is beside its caller, below what is delegated" {
	delegate "$TOP"
	called_in "$CALLER"
	ok run -d "$ID"
	equal "/$MARK/$ID" "$(path_of "$(init)")"
	ok exec -d --pid-file "$T/pid" "$ID" sleep 100000
	equal "/$MARK/$ID" "$(path_of "$(<"$T/pid")")"
	ok pause "$ID"
	has_status "$ID" paused
	ok resume "$ID"
	ok ps --format json "$ID"
	equal "$(jq -s -c sort <"$TOP/$ID/cgroup.procs")" "$(jq -c sort <<<"$output")"
	ok kill --all "$ID" KILL
	eventually status_is "$ID" stopped
	ok delete "$ID"
	not exists "$TOP/$ID"
}

@test "rootless: a relative cgroupsPath starts at what is delegated, an absolute one at the root" {
	delegate "$TOP"
	called_in "$CALLER"
	update_config '.linux.cgroupsPath = "a/b"'
	ok run -d "$ID"
	equal "/$MARK/a/b" "$(path_of "$(init)")"
	ok delete --force "$ID"
	rmdir "$TOP/a"
	update_config --arg path "/$MARK/c" '.linux.cgroupsPath = $path'
	ok run -d "$ID"
	equal "/$MARK/c" "$(path_of "$(init)")"
	ok delete --force "$ID"
	update_config '.linux.cgroupsPath = "/not-the-users"'
	denied 'mkdir /sys/fs/cgroup/not-the-users: permission denied'
}

@test "rootless: the caller's own cgroup, if its parent is not the user's" {
	called_in "$CALLER"
	ok run -d "$ID"
	equal "/$MARK/caller/$ID" "$(path_of "$(init)")"
	ok delete --force "$ID"
	not exists "$CALLER/$ID"
}

@test "rootless: a slice of systemd's is never taken for a delegated cgroup" {
	delegate "$TOP/x.slice"
	called_in "$TOP/x.slice/caller"
	ok run -d "$ID"
	equal "/$MARK/x.slice/caller/$ID" "$(path_of "$(init)")"
	ok delete --force "$ID"
	rmdir "$TOP/x.slice/caller" "$TOP/x.slice"
}

@test "rootless: nothing is delegated, so there is no cgroup" {
	mkdir "$CALLER"
	AT=$CALLER
	hako() { (echo "$BASHPID" >"$AT/cgroup.procs" && as_user "$HAKO" --root "$ROOT" "$@" 3>&-); }
	ok run -d "$ID"
	equal "/$MARK/caller" "$(path_of "$(init)")"
	ok delete --force "$ID"
	denied 'linux.resources.pids: takes a cgroup, and none is delegated to this user' '.linux.resources.pids.limit = 9'
}

@test "rootless: limits hold where the controller is delegated" {
	grep -qw hugetlb /sys/fs/cgroup/cgroup.controllers || skip "the hugetlb controller is not in cgroup v2"
	echo +hugetlb >/sys/fs/cgroup/cgroup.subtree_control
	delegate "$TOP"
	called_in "$CALLER"
	update_config '.linux.resources.hugepageLimits = [{pageSize: "2MB", limit: 4194304}]'
	ok run -d "$ID"
	equal 4194304 "$(<"$TOP/$ID/hugetlb.2MB.max")"
	ok delete --force "$ID"
}

@test "rootless: a controller that is not delegated, or cannot be handed down, is named with the property" {
	delegate "$TOP"
	called_in "$CALLER"
	denied 'linux.resources.*: .*controller' '.linux.resources.rdma = {mlx5_0: {hcaHandles: 3}}'
}

@test "rootless: limits in the caller's own cgroup: its processes are in the way" {
	grep -qw hugetlb /sys/fs/cgroup/cgroup.controllers || skip "the hugetlb controller is not in cgroup v2"
	echo +hugetlb >/sys/fs/cgroup/cgroup.subtree_control
	echo +hugetlb >"$TOP/cgroup.subtree_control"
	called_in "$CALLER"
	denied 'hugepageLimits.*has processes itself, so that it cannot hand the hugetlb controller down' \
		'.linux.resources.hugepageLimits = [{pageSize: "2MB", limit: 4194304}]'
}

@test "rootless: exec from where the container's cgroup is out of reach says so" {
	delegate "$TOP"
	called_in "$CALLER"
	ok run -d "$ID"
	hako() { as_user "$HAKO" --root "$ROOT" "$@" 3>&-; }
	fails_with 255 'permission denied.*(cgroup)' exec "$ID" true
	ok delete --force "$ID"
}
