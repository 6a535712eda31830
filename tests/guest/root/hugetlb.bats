#!/usr/bin/env bats
# Huge pages, counted for real: files of a hugetlbfs. On cgroup v2 and v1.
# shellcheck disable=SC2034,SC2153,SC2154 # variables of the helpers

load ../../helpers
load ../../process-helpers
load ../../resource-helpers

C=hugetlb # the controller that has is about

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() {
	DONORS=()
	make_bundle
	update_config '.linux.namespaces -= [{type: "cgroup"}]'
	PAGES=$(</proc/sys/vm/nr_hugepages)
}
teardown() {
	local rc=0
	clean_up || rc=1
	echo "$PAGES" >/proc/sys/vm/nr_hugepages
	return $rc
}

stat_of() { hako events --stats "$ID" | jq -c "$1"; }

@test "hugepageLimits: two pages are all that a container gets" {
	echo 8 >/proc/sys/vm/nr_hugepages
	equal 8 "$(</proc/sys/vm/nr_hugepages)"
	update_config '.mounts += [{destination: "/huge", type: "hugetlbfs", source: "hugetlbfs", options: ["pagesize=2M"]}]'
	start_container '.linux.resources += {hugepageLimits: [{pageSize: "2MB", limit: 4194304}]}'
	has 4194304 hugetlb.2MB.limit_in_bytes hugetlb.2MB.max
	has 4194304 hugetlb.2MB.rsvd.limit_in_bytes hugetlb.2MB.rsvd.max
	ok exec "$ID" fallocate -l 4194304 /huge/two
	equal 4194304 "$(stat_of '.data.hugetlb["2MB"].usage')"
	call exec "$ID" fallocate -l 2097152 /huge/third
	differ 0 "$status"
	contains 'No space left' "$stderr"
	equal "4194304 true" "$(stat_of '.data.hugetlb["2MB"] | [.usage, .failcnt > 0] | map(tostring) | join(" ")' | tr -d '"')"
	# As reservations and as use, an update gives room to both.
	echo '{"hugepageLimits": [{"pageSize": "2MB", "limit": 6291456}]}' >"$T/update"
	ok update --resources "$T/update" "$ID"
	has 6291456 hugetlb.2MB.limit_in_bytes hugetlb.2MB.max
	has 6291456 hugetlb.2MB.rsvd.limit_in_bytes hugetlb.2MB.rsvd.max
	ok exec "$ID" fallocate -l 2097152 /huge/third
	equal 6291456 "$(stat_of '.data.hugetlb["2MB"].usage')"
}
