# What this guest promises to the tests in it, as root.

load ../../helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() { make_bundle; }
teardown() { clean_up; }

@test "guest: systemd is up, and nothing of it failed" {
	equal running "$(systemctl is-system-running)"
	contains '^systemd 257 ' "$(systemctl --version)"
}

@test "guest: the controllers of a pure cgroup v2" {
	equal cgroup2fs "$(stat -f -c %T /sys/fs/cgroup)"
	equal "cpuset cpu io memory hugetlb pids rdma misc" "$(</sys/fs/cgroup/cgroup.controllers)"
}

@test "guest: a container's whole life" {
	start_container
	equal "hello" "$(hako exec "$ID" echo hello)"
	equal "/$MARK" "$(cut -d: -f3 "/proc/$(field "$ID" .pid)/cgroup")"
	ok kill "$ID" KILL
	eventually status_is "$ID" stopped
	ok delete "$ID"
}

@test "guest: the other runtimes are there" {
	local runtime
	for runtime in runc crun podman; do
		"$runtime" --version
	done
}
