#!/usr/bin/env bats
# What happens between the host and the init stage, seen from outside.
# shellcheck disable=SC2016,SC2154 # $names are of the container's shell; the helpers assign

load helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() { make_bundle; }
teardown() { clean_up; }

@test "exec: without a mount namespace the process is in the container's root" {
	update_config '.linux.namespaces = [{type: "pid"}] | .mounts = [] |
		del(.linux.maskedPaths, .linux.readonlyPaths, .hostname)'
	touch "$BUNDLE/rootfs/inside"
	start_container
	ok exec "$ID" ls /inside
	equal /inside "$output"
}

@test "exec: a program that cannot be executed is told, also with --debug and --timeline" {
	start_container
	printf 'garbage\0' >"$BUNDLE/rootfs/bin/garbage"
	chmod 755 "$BUNDLE/rootfs/bin/garbage"
	fails_with 255 '^hako exec .*exec /bin/garbage: exec format error$' exec "$ID" /bin/garbage
	fails_with 255 'exec format error$' --timeline "$T/trace" exec "$ID" /bin/garbage
	call --debug exec "$ID" /bin/garbage
	equal 255 "$status"
	contains 'exec /bin/garbage: exec format error' "$stderr"
}

@test "start: init killed in any moment before is told, not success" {
	ok create "$ID"
	kill -KILL "$(field "$ID" .pid)"
	fails 'container not running' start "$ID"
}

@test "create: a name of the pid file that is taken by a FIFO or a link does no harm" {
	echo victim >"$T/victim"
	ln "$T/victim" "$T/.pid"
	ok create --pid-file "$T/pid" "$ID"
	equal victim "$(<"$T/victim")"
	equal "$(field "$ID" .pid)" "$(<"$T/pid")"
	ok delete --force "$ID"
	rm -f "$T/.pid" "$T/pid"
	mkfifo "$T/.pid"
	timeout 20 "$HAKO" --root "$ROOT" create --pid-file "$T/pid" "$ID" </dev/null >"$T/out" 2>&1 3>&-
	equal "$(field "$ID" .pid)" "$(<"$T/pid")"
}

@test "delete --force: a container that shares nothing with a cgroup it never had" {
	# A create that was killed before it had its cgroup, which others use.
	ok create "$ID"
	local pid
	pid=$(field "$ID" .pid)
	fails 'processes|not empty' create "$ID-2"
	has_status "$ID" created
	not exists "$ROOT/$ID-2"
	not gone "$pid"
}

@test "create: the caller's umask does not reach what is made for the container" {
	umask 077
	update_config '.process.cwd = "/made/here"'
	ok create "$ID"
	umask 022
	equal '755 755' "$(stat -c %a "$BUNDLE/rootfs/made" "$BUNDLE/rootfs/made/here" | paste -sd' ')"
}

@test "run: signals reach a program that never tells the service manager that it is ready" {
	sh_script 'trap "exit 7" TERM; echo up; while :; do sleep 0.05; done'
	(
		export NOTIFY_SOCKET=$T/manager
		"$HAKO" --root "$ROOT" run "$ID" </dev/null >"$T/out" 2>&1 3>&- &
		echo $! >"$T/run.pid"
		rc=0
		wait $! || rc=$?
		echo "$rc" >"$T/rc"
	) &
	eventually filled "$T/out"
	kill -TERM "$(<"$T/run.pid")"
	eventually filled "$T/rc"
	equal 7 "$(<"$T/rc")"
}

@test "run: the notify socket is for every user, whatever the umask" {
	local old
	old=$(umask)
	update_config '.process.user = {uid: 1000, gid: 1000}'
	sh_script 'test -w "$NOTIFY_SOCKET" && stat -c %a "$NOTIFY_SOCKET"'
	umask 077
	NOTIFY_SOCKET=$T/manager call run "$ID"
	umask "$old"
	equal 777 "$output"
}
