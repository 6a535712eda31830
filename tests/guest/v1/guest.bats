# What this guest promises to the tests in it: cgroup v1 under systemd 252.

load ../../helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() { make_bundle; }
teardown() { clean_up; }

@test "guest: systemd is up with a tree of each cgroup v1 controller" {
	local controller
	equal running "$(systemctl is-system-running)"
	contains '^systemd 252 ' "$(systemctl --version)"
	for controller in blkio cpu cpuacct cpuset devices freezer hugetlb memory misc net_cls net_prio perf_event pids rdma; do
		equal cgroupfs "$(stat -f -c %T "/sys/fs/cgroup/$controller")"
		grep -q "^$controller	.*	1$" /proc/cgroups
	done
}

@test "guest: a container's whole life" {
	start_container
	equal "hello" "$(hako exec "$ID" echo hello)"
	contains ":pids:/$MARK" "$(<"/proc/$(field "$ID" .pid)/cgroup")"
	contains ":cpu,cpuacct:/$MARK" "$(<"/proc/$(field "$ID" .pid)/cgroup")"
	ok kill "$ID" KILL
	eventually status_is "$ID" stopped
	ok delete "$ID"
}
