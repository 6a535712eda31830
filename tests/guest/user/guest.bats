# What this guest promises to the tests in it, as the unprivileged user.

load ../../helpers

@test "guest: an unprivileged user with subordinate ids" {
	equal tester "$(id -un)"
	equal tester:100000:65536 "$(grep '^tester:' /etc/subuid)"
	equal tester:100000:65536 "$(grep '^tester:' /etc/subgid)"
	unshare --user --map-auto --map-root-user chown 1000:1000 "$BATS_TEST_TMPDIR"
}

@test "guest: a systemd session of the user's own" {
	equal running "$(systemctl --user is-system-running)"
	systemd-run --user --quiet --wait true
}

@test "guest: a cgroup that is the user's to divide" {
	local dir
	dir=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)
	equal "cpuset cpu io memory pids" "$(<"$dir/cgroup.controllers")"
	mkdir "$dir/child"
	rmdir "$dir/child"
}
