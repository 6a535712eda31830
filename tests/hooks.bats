#!/usr/bin/env bats
# Hooks: runtime-spec config.md#posix-platform-hooks and runtime.md#lifecycle.
# shellcheck disable=SC2016,SC2154 # $names are of the hooks; helpers assign

load helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() { make_bundle; }
teardown() { clean_up; }

host_points='prestart createRuntime createContainer poststart poststop'

# host_hook POINT [TEXT]: a hook whose program is on the host.
host_hook() {
	hook "$1" <<<"${2:-}"
	add_hook "$1" "{\"path\": \"$T/hooks/$1\", \"env\": [\"PATH=/bin:/usr/bin\", \"MARK=$MARK\"]}"
}

# inner_hook TEXT: a startContainer hook, whose program is in the container.
inner_hook() {
	printf '#!/bin/sh\n%s\n' "$1" >"$BUNDLE/rootfs/bin/startContainer"
	chmod 755 "$BUNDLE/rootfs/bin/startContainer"
	add_hook startContainer "{\"path\": \"/bin/startContainer\", \"env\": [\"PATH=/bin\", \"MARK=$MARK\"]}"
}

# all_hooks TEXT FILE-ON-HOST FILE-IN-CONTAINER: at all points; in TEXT, POINT
# and LOG are replaced.
all_hooks() {
	local point text
	for point in $host_points; do
		text=${1//LOG/$2}
		host_hook "$point" "${text//POINT/$point}"
	done
	text=${1//LOG/$3}
	inner_hook "${text//POINT/startContainer}"
}

@test "all six points run, in the order of the lifecycle" {
	all_hooks 'echo POINT >>LOG' "$BUNDLE/rootfs/log" /log
	sh_script 'echo program >>/log'
	ok create "$ID"
	equal "prestart createRuntime createContainer" "$(xargs <"$BUNDLE/rootfs/log")"
	ok start "$ID"
	eventually status_is "$ID" stopped
	equal "startContainer" "$(sed -n 4p "$BUNDLE/rootfs/log")"
	# The program runs while poststart hooks do.
	equal "poststart program" "$(sed -n 5,6p "$BUNDLE/rootfs/log" | sort | xargs)"
	ok delete "$ID"
	equal "poststop" "$(sed -n '7,$p' "$BUNDLE/rootfs/log")"
}

@test "run calls all six points" {
	all_hooks 'echo POINT >>LOG' "$BUNDLE/rootfs/log" /log
	set_args true
	ok run "$ID"
	equal "createContainer createRuntime poststart poststop prestart startContainer" "$(sort "$BUNDLE/rootfs/log" | xargs)"
}

@test "hooks of one point run in the listed order" {
	local point
	for point in $host_points; do
		hook "one" <<<'echo "$1" >>'"$T/log"
		add_hook "$point" "{\"path\": \"$T/hooks/one\", \"args\": [\"one\", \"$point-1\"]}"
		add_hook "$point" "{\"path\": \"$T/hooks/one\", \"args\": [\"one\", \"$point-2\"]}"
		add_hook "$point" "{\"path\": \"$T/hooks/one\", \"args\": [\"one\", \"$point-3\"]}"
	done
	set_args true
	ok run "$ID"
	for point in $host_points; do
		equal "$point-1 $point-2 $point-3" "$(grep "^$point" "$T/log" | xargs)"
	done
}

@test "poststart hooks are called before start returns" {
	host_hook poststart "echo done >$T/poststart"
	start_container
	equal "done" "$(<"$T/poststart")"
}

@test "poststop hooks are called after the container is deleted, before delete returns" {
	host_hook poststop "test ! -e $ROOT/$ID && ls -d /sys/fs/cgroup/*/$MARK /sys/fs/cgroup/$MARK >$T/left 2>/dev/null; echo done >$T/poststop"
	start_container
	ok delete --force "$ID"
	equal "done" "$(<"$T/poststop")"
	exists "$T/left"
	not filled "$T/left"
}

@test "createRuntime hooks see the container's mounts, before the root is entered" {
	update_config '.mounts += [{destination: "/mnt/t", type: "tmpfs", source: "tmpfs", options: ["size=1m"]}]'
	host_hook createRuntime "pid=\$(jq .pid); grep -c \"/mnt/t .*- tmpfs\" /proc/\$pid/mountinfo >$T/mounts; readlink /proc/\$pid/root >$T/root; ls /proc/\$pid/root/etc/debian_version /proc/\$pid/root$BUNDLE >>$T/root 2>&1"
	ok create "$ID"
	equal 1 "$(<"$T/mounts")"
	# The host's files are still there.
	contains config.json "$(<"$T/root")"
}

@test "prestart, createRuntime, poststart, poststop hooks run in the runtime's namespaces" {
	local point kind
	for point in prestart createRuntime poststart poststop; do
		host_hook "$point" "cd /proc/self/ns && for n in mnt pid net ipc uts cgroup user time; do readlink \$n; done >$T/$point.ns"
	done
	set_args true
	ok run "$ID"
	for kind in mnt pid net ipc uts cgroup user time; do
		readlink "/proc/self/ns/$kind"
	done >"$T/ours"
	for point in prestart createRuntime poststart poststop; do
		equal "$(<"$T/ours")" "$(<"$T/$point.ns")"
	done
}

@test "createContainer and startContainer hooks run in the container's namespaces" {
	local line='cd /proc/self/ns && for n in mnt net ipc uts pid; do readlink $n; done'
	host_hook createContainer "$line >$BUNDLE/rootfs/createContainer.ns"
	inner_hook "$line >/startContainer.ns"
	sh_script "$line >/program.ns"
	ok run "$ID"
	equal "$(<"$BUNDLE/rootfs/program.ns")" "$(<"$BUNDLE/rootfs/startContainer.ns")"
	equal "$(<"$BUNDLE/rootfs/program.ns")" "$(<"$BUNDLE/rootfs/createContainer.ns")"
	differ "$(readlink /proc/self/ns/mnt)" "$(sed -n 1p "$BUNDLE/rootfs/createContainer.ns")"
}

@test "createContainer hooks' programs resolve in the runtime namespace, startContainer's in the container" {
	host_hook createContainer "test -e $BUNDLE/config.json && echo host >$BUNDLE/rootfs/createContainer"
	inner_hook "test ! -e $BUNDLE/config.json && test -e /bin/busybox && echo container >/startContainer"
	set_args true
	ok run "$ID"
	equal host "$(<"$BUNDLE/rootfs/createContainer")"
	equal container "$(<"$BUNDLE/rootfs/startContainer")"
}

@test "a mount that a createContainer hook makes is seen by the program" {
	host_hook createContainer "mount -t tmpfs marked $BUNDLE/rootfs/tmp || mount --bind /etc $BUNDLE/rootfs/tmp"
	sh_script 'grep -c " /tmp " /proc/self/mounts'
	ok run "$ID"
	equal 1 "$output"
}

@test "the state on standard input: properties and status at each point" {
	update_config '.annotations = {a: "b"}'
	all_hooks 'cat >LOG.POINT' "$BUNDLE/rootfs/state" /state
	set_args sleep 100000
	start_container
	local pid point
	pid=$(field "$ID" .pid)
	ok delete --force "$ID"
	for point in $host_points startContainer; do
		equal "{\"annotations\":{\"a\":\"b\"},\"bundle\":\"$BUNDLE\",\"id\":\"$ID\",\"ociVersion\":\"1.3.0\"}" \
			"$(jq -cS 'del(.pid, .status)' "$BUNDLE/rootfs/state.$point")"
	done
	equal "creating $pid" "$(jq -r '"\(.status) \(.pid)"' "$BUNDLE/rootfs/state.prestart")"
	equal "creating $pid" "$(jq -r '"\(.status) \(.pid)"' "$BUNDLE/rootfs/state.createRuntime")"
	# Of hooks in the container namespace, the pid as the container sees it.
	equal "creating 1" "$(jq -r '"\(.status) \(.pid)"' "$BUNDLE/rootfs/state.createContainer")"
	equal "created 1" "$(jq -r '"\(.status) \(.pid)"' "$BUNDLE/rootfs/state.startContainer")"
	equal "running $pid" "$(jq -r '"\(.status) \(.pid)"' "$BUNDLE/rootfs/state.poststart")"
	equal "stopped" "$(jq -r .status "$BUNDLE/rootfs/state.poststop")"
	equal 0 "$(jq -r '.pid // 0' "$BUNDLE/rootfs/state.poststop")"
}

@test "a hook that does not read its standard input" {
	host_hook createRuntime 'exec <&-; sleep 0.1'
	# More than a pipe holds.
	update_config '.annotations = {big: ("x" * 200000)}'
	ok create "$ID"
}

@test "args are the hook's arguments, args[0] included; without args the path" {
	hook args <<<'tr "\0" " " </proc/$$/cmdline >>'"$T/log; echo >>$T/log"
	cp "$(command -v busybox)" "$T/hooks/echo"
	add_hook createRuntime "{\"path\": \"/bin/sh\", \"args\": [\"myname\", \"-c\", \"echo \$0 \$1 >$T/log\", \"zero\", \"one two\"]}"
	add_hook createRuntime "{\"path\": \"$T/hooks/args\"}"
	ok create "$ID"
	equal "zero one two" "$(sed -n 1p "$T/log")"
	contains "$T/hooks/args $" "$(sed -n 2p "$T/log")"
}

@test "env is the hook's whole environment" {
	add_hook createRuntime "{\"path\": \"$(command -v env)\", \"args\": [\"env\"]}"
	hook env <<<"$(command -v env) >$T/env"
	add_hook createRuntime "{\"path\": \"$T/hooks/env\", \"env\": [\"A=1\", \"B=two words\"]}"
	export LEAK=leak
	ok create "$ID"
	equal "A=1 B=two words" "$(grep -v -e '^PWD=' -e '^SHLVL=' -e '^_=' "$T/env" | sort | xargs)"
}

@test "startContainer hooks without env inherit the process's" {
	printf '#!/bin/sh\nenv >/env\n' >"$BUNDLE/rootfs/bin/env-hook"
	chmod 755 "$BUNDLE/rootfs/bin/env-hook"
	add_hook startContainer '{"path": "/bin/env-hook"}'
	update_config '.process.env += ["FROM=config"]'
	set_args true
	ok run "$ID"
	grep -qx FROM=config "$BUNDLE/rootfs/env"
}

@test "a hook path that is not absolute is refused" {
	local point
	for point in $host_points startContainer; do
		update_config --arg p "$point" '.hooks = {($p): [{path: "true"}]}'
		fails "hooks.$point\[0\].path: \"true\" is not an absolute path" create "$ID"
	done
	nothing_left
}

@test "a timeout of 0 is refused" {
	add_hook createRuntime '{"path": "/bin/true", "timeout": 0}'
	fails 'hooks.createRuntime\[0\].timeout' create "$ID"
	nothing_left
}

# --- failures

@test "prestart, createRuntime, createContainer: a failure fails create and leaves nothing" {
	local point
	for point in prestart createRuntime createContainer; do
		update_config 'del(.hooks)'
		host_hook "$point" 'echo some trouble >&2; exit 3'
		fails "error running $point hook #0: exit status 3.*some trouble" create "$ID"
		nothing_left
		fails "error running $point hook #0: exit status 3.*some trouble" run "$ID"
		nothing_left
	done
}

@test "the number of the hook that failed is told, and later hooks do not run" {
	hook good <<<'exit 0'
	hook bad <<<'exit 1'
	hook later <<<"echo >$T/later"
	add_hook createRuntime "{\"path\": \"$T/hooks/good\"}"
	add_hook createRuntime "{\"path\": \"$T/hooks/bad\"}"
	add_hook createRuntime "{\"path\": \"$T/hooks/later\"}"
	host_hook createContainer "echo >$T/later"
	fails 'error running createRuntime hook #1: exit status 1' create "$ID"
	not exists "$T/later"
	nothing_left
}

@test "a hook that is missing fails create" {
	add_hook createRuntime '{"path": "/missing/hook"}'
	fails 'error running createRuntime hook #0: .*/missing/hook: no such file or directory' create "$ID"
	nothing_left
}

@test "a hook that a signal ends fails create" {
	host_hook createRuntime 'kill -9 $$'
	fails 'error running createRuntime hook #0: signal: killed' create "$ID"
	nothing_left
}

@test "startContainer: a failure fails start, and the program does not run" {
	inner_hook 'echo inner trouble >&2; exit 4'
	sh_script 'echo >/ran'
	ok create "$ID"
	fails 'error running startContainer hook #0: exit status 4.*inner trouble' start "$ID"
	has_status "$ID" stopped
	not exists "$BUNDLE/rootfs/ran"
	ok delete "$ID"
	fails 'error running startContainer hook #0: exit status 4' run "$ID"
	nothing_left
}

@test "poststart: a failure fails start and stops the container" {
	host_hook poststart 'echo late trouble >&2; exit 5'
	ok create "$ID"
	fails 'error running poststart hook #0: exit status 5.*late trouble' start "$ID"
	eventually status_is "$ID" stopped
	ok delete "$ID"
	fails 'error running poststart hook #0: exit status 5' run "$ID"
	nothing_left
	fails 'error running poststart hook #0: exit status 5' run --detach "$ID"
	nothing_left
}

@test "poststop: a failure is a warning, the other hooks run, delete succeeds" {
	host_hook poststop 'echo last trouble >&2; exit 6'
	hook second <<<"echo >$T/second"
	add_hook poststop "{\"path\": \"$T/hooks/second\", \"env\": [\"PATH=/bin\"]}"
	set_args true
	start_container
	eventually status_is "$ID" stopped
	call delete "$ID"
	equal 0 "$status"
	contains 'level=warning.*error running poststop hook #0: exit status 6.*last trouble' "$stderr"
	exists "$T/second"
	nothing_left
}

# runtime.md#lifecycle: after a failure of steps 3 to 9, "continue the
# lifecycle at step 12", of which 13, poststop, is the next. runc does it too.
@test "poststop hooks run when create fails in a hook" {
	host_hook poststop "jq -r .status >$T/poststop"
	host_hook createRuntime 'exit 1'
	fails 'error running createRuntime hook' create "$ID"
	equal stopped "$(cat "$T/poststop")"
	nothing_left
}

@test "poststop hooks run when run fails in a startContainer hook" {
	host_hook poststop "jq -r .status >$T/poststop"
	inner_hook 'exit 1'
	fails 'error running startContainer hook' run "$ID"
	equal stopped "$(cat "$T/poststop")"
	nothing_left
}

# --- timeouts

@test "a hook that hangs is killed after its timeout, and create fails" {
	local point
	for point in prestart createRuntime createContainer; do
		update_config 'del(.hooks)'
		hook hang <<<"sleep 100000 & echo \$! >$T/child; sleep 100000"
		add_hook "$point" "{\"path\": \"$T/hooks/hang\", \"timeout\": 1, \"env\": [\"PATH=/bin:/usr/bin\", \"MARK=$MARK\"]}"
		fails "error running $point hook #0: hook ran past specified timeout of 1.0s" create "$ID"
		eventually no_processes
		nothing_left
	done
}

@test "a startContainer hook that hangs is killed after its timeout, and start fails" {
	printf '#!/bin/sh\nexec sleep 100000\n' >"$BUNDLE/rootfs/bin/hang"
	chmod 755 "$BUNDLE/rootfs/bin/hang"
	add_hook startContainer '{"path": "/bin/hang", "timeout": 1, "env": ["PATH=/bin"]}'
	ok create "$ID"
	fails 'error running startContainer hook #0: hook ran past specified timeout of 1.0s' start "$ID"
	has_status "$ID" stopped
}

@test "a poststart hook that hangs is killed after its timeout" {
	hook hang <<<'exec sleep 100000'
	add_hook poststart "{\"path\": \"$T/hooks/hang\", \"timeout\": 1, \"env\": [\"PATH=/bin:/usr/bin\", \"MARK=$MARK\"]}"
	ok create "$ID"
	fails 'error running poststart hook #0: hook ran past specified timeout of 1.0s' start "$ID"
	eventually no_processes
}

@test "a poststop hook that hangs is killed after its timeout, delete succeeds" {
	hook hang <<<'exec sleep 100000'
	add_hook poststop "{\"path\": \"$T/hooks/hang\", \"timeout\": 1, \"env\": [\"PATH=/bin:/usr/bin\", \"MARK=$MARK\"]}"
	ok create "$ID"
	call delete "$ID"
	equal 0 "$status"
	contains 'poststop hook #0: hook ran past specified timeout' "$stderr"
	nothing_left
}

@test "while a hook hangs, state, list and kill of other containers answer" {
	hook hang <<<"echo >$T/hanging; read <$T/go"
	mkfifo "$T/go"
	start_container
	add_hook createRuntime "{\"path\": \"$T/hooks/hang\"}"
	update_config --arg p "/$MARK-2" '.linux.cgroupsPath = $p'
	hako create "$ID-2" </dev/null >"$T/o" 2>&1 &
	local creator=$!
	eventually filled "$T/hanging"
	has_status "$ID-2" creating
	has_status "$ID" running
	ok list -q
	equal 2 "$(wc -l <<<"$output")"
	fails 'already exists' create "$ID-2"
	echo >"$T/go"
	wait "$creator"
	has_status "$ID-2" created
}

@test "a process that a hook leaves behind does not hold up create" {
	hook daemon <<<"sleep 100000 >/dev/null 2>&1 & echo \$! >$T/daemon"
	add_hook createRuntime "{\"path\": \"$T/hooks/daemon\", \"env\": [\"PATH=/bin:/usr/bin\", \"MARK=$MARK\"]}"
	ok create "$ID"
	local pid
	pid=$(<"$T/daemon")
	not gone "$pid"
	kill -KILL "$pid"
	eventually gone "$pid"
}

@test "a hook can move a network device into the container" {
	# The other end goes with the container's network namespace.
	host_hook createRuntime "pid=\$(jq .pid); ip link add ${ID##*-}0 type veth peer name ${ID##*-}1 netns \$pid && ip link set ${ID##*-}0 netns \$pid"
	sh_script 'ip link show'
	ok run "$ID"
	contains "${ID##*-}0" "$output"
}
