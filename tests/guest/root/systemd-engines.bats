#!/usr/bin/env bats
# Podman with hako and --cgroup-manager=systemd; users outside of their session.
# shellcheck disable=SC2016,SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

load ../../helpers
load ../systemd-helpers

setup() { make_bundle; }
teardown() {
	podman --runtime "$HAKO" --cgroup-manager systemd rm -f -t 0 "$MARK" >/dev/null 2>&1
	clean_up && no_units
}

pod() { podman --runtime "$HAKO" --cgroup-manager systemd "$@" 3>&-; }

@test "podman: its systemd manager gets a scope with its limits, and nothing is left" {
	local id
	pod run -d --network none --memory 50m --pids-limit 60 --security-opt seccomp=unconfined --name "$MARK" \
		--rootfs "$BUNDLE/rootfs" sleep 1000 >"$T/id"
	id=$(<"$T/id")
	UNIT=libpod-$id.scope DIR=/machine.slice/libpod-$id.scope
	equal "active machine.slice 52428800 60" "$(property ActiveState) $(property Slice) $(property MemoryMax) $(property TasksMax)"
	equal 10s "$(property TimeoutStopUSec)" # by an annotation of Podman's
	equal "52428800 60" "$(files memory.max pids.max)"
	equal hello "$(pod exec "$MARK" echo hello)"
	pod pause "$MARK"
	equal paused "$(pod inspect -f '{{.State.Status}}' "$MARK")"
	pod unpause "$MARK"
	pod rm -f -t 0 "$MARK"
	no_unit
	not exists "/sys/fs/cgroup$DIR"
}

# The user's manager may not move a process out of root's cgroup, where these
# commands are: it asks the system's, for create and for exec.
@test "user: create and exec from a cgroup that is not the user's manager's" {
	local as=(runuser -u tester -- env XDG_RUNTIME_DIR=/run/user/1000 "$HAKO" --root "$T/user-state")
	UNIT=hako-$ID.scope SYSTEMCTL=(systemctl --user --machine=tester@)
	mkdir "$T/user-state"
	rm config.json
	chown -R tester: "$T"
	chmod 755 "$FILE_DIR" "$T"
	runuser -u tester -- "$HAKO" spec --rootless
	update_config '.process.terminal = false | .process.args = ["sleep", "100000"] | .root.readonly = false'
	"${as[@]}" --systemd-cgroup create "$ID" </dev/null >"$T/log" 2>&1 3>&- || {
		cat "$T/log"
		return 1
	}
	"${as[@]}" start "$ID" 3>&-
	"${as[@]}" exec --detach --pid-file "$T/pid" "$ID" sleep 1000 </dev/null >/dev/null 3>&-
	contains "/user@1000.service/user.slice/$UNIT\$" "$(cgroup_of "$(<"$T/pid")")"
	"${as[@]}" delete --force "$ID" 3>&-
	eventually gone "$(<"$T/pid")"
	rmdir "$T/user-state"
}
