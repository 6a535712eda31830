#!/usr/bin/env bats
# features, spec and --version say what is true. See runtime-spec features.md,
# features-linux.md.
# shellcheck disable=SC2016 # $names are jq's or of the container's shell
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

load helpers
load process-helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() {
	DONORS=()
	make_bundle
}
teardown() { clean_up; }

# feature JQ-FILTER
feature() { hako features | jq -r "$1"; }

# --- features

@test "features: one JSON object, nothing on standard error" {
	ok features
	equal object "$(jq -r type <<<"$output")"
	equal '["ociVersionMin","ociVersionMax","hooks","mountOptions","linux","annotations","potentiallyUnsafeConfigAnnotations"]' "$(jq -c keys_unsorted <<<"$output")"
}

@test "features: needs neither root nor a state root" {
	chmod 755 "$T"
	setpriv --reuid 1000 --regid 1000 --clear-groups "$HAKO" --root "$T/missing" features >"$T/o" 3>&-
	cmp "$T/o" <(hako features)
	not exists "$T/missing"
}

@test "features: takes no argument" {
	call features extra
	differ 0 "$status"
	contains 'argument' "$stderr"
}

@test "features: ociVersionMin and ociVersionMax are accepted, those beyond are not" {
	local version
	set_args true
	equal "1.0.0 1.3.0" "$(feature '"\(.ociVersionMin) \(.ociVersionMax)"')"
	for version in $(feature '.ociVersionMin, .ociVersionMax'); do
		update_config --arg v "$version" '.ociVersion = $v'
		ok run "$ID"
	done
	refused 'ociVersion: "2.0.0" is not supported' '.ociVersion = "2.0.0"'
	refused 'ociVersion: "0.9.0" is not supported' '.ociVersion = "0.9.0"'
}

@test "features: each of the hooks is run" {
	local point
	set_args true
	equal "prestart createRuntime createContainer startContainer poststart poststop" "$(feature '.hooks | join(" ")')"
	for point in $(feature '.hooks[]'); do
		add_hook "$point" "{\"path\": \"/bin/sh\", \"args\": [\"sh\", \"-c\", \"echo $point >>$T/$point || echo $point >>/ran\"], \"env\": [\"PATH=/bin\"]}"
	done
	call run "$ID"
	equal 0 "$status"
	for point in $(feature '.hooks[] | select(. != "startContainer")'); do
		equal "$point" "$(<"$T/$point")"
	done
	equal startContainer "$(<"$BUNDLE/rootfs/ran")"
}

@test "features: each of the mount options is accepted" {
	local option
	mkdir "$T/volume"
	set_args true
	(($(feature '.mountOptions | length') > 40))
	for option in $(feature '.mountOptions[]'); do
		case $option in
		tmpcopyup) update_config '.mounts[7] = {destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"]}' ;;
		remount) update_config '.mounts[7] = {destination: "/proc", type: "bind", source: "none", options: ["bind", "remount", "ro"]}' ;;
		idmap | ridmap)
			update_config --arg o "$option" --arg v "$T/volume" '.mounts[7] = {destination: "/volume", type: "bind", source: $v, options: ["rbind", $o],
				uidMappings: [{containerID: 0, hostID: 1000, size: 10}], gidMappings: [{containerID: 0, hostID: 1000, size: 10}]}'
			;;
		# They are of the file system, not of the mount.
		sync | async | dirsync | mand | nomand | lazytime | nolazytime | iversion | noiversion | silent | loud)
			update_config --arg o "$option" '.mounts[7] = {destination: "/volume", type: "tmpfs", source: "tmpfs", options: [$o]}'
			;;
		*) update_config --arg o "$option" --arg v "$T/volume" '.mounts[7] = {destination: "/volume", type: "bind", source: $v, options: ["rbind", $o]}' ;;
		esac
		call run "$ID"
		[[ $status == 0 && -z $stderr ]] || {
			echo "option $option: $stderr"
			return 1
		}
	done
}

@test "features: an option that is not listed is refused for a bind mount" {
	mkdir "$T/volume"
	not grep -qx foo <<<"$(feature '.mountOptions[]')"
	update_config --arg v "$T/volume" '.mounts += [{destination: "/volume", type: "bind", source: $v, options: ["rbind", "foo"]}]'
	call run "$ID"
	equal 1 "$status"
	contains 'mounts\[7\].*foo' "$stderr"
}

@test "features: the namespaces are all there are, and each can be made" {
	local type
	equal "cgroup ipc mount network pid time user uts" "$(feature '.linux.namespaces | join(" ")')"
	update_config "$MAPS"
	# shellcheck disable=SC2046 # words
	namespaces $(feature '.linux.namespaces[]')
	start_container
	equal "${TYPES[*]}" "$(own_types "$(init)")"
}

@test "features: the capabilities are the kernel's, and each is known" {
	local last
	last=$(</proc/sys/kernel/cap_last_cap)
	(($(feature '.linux.capabilities | length') >= last + 1))
	update_config --argjson caps "$(feature '.linux.capabilities | tojson')" '.process.capabilities = {bounding: $caps}'
	set_args true
	call run "$ID"
	equal 0 "$status"
	# What this machine's root has not got itself is told of, and no other.
	local missing
	missing=$(comm -23 <(feature '.linux.capabilities[]' | sort) <(capsh_names | sort))
	equal "$missing" "$(grep -o 'CAP_[A-Z_]*' <<<"$stderr" | sort)"
}

# capsh_names: of our bounding set.
capsh_names() {
	local names bits n=0 name
	bits=0x$(status_field CapBnd)
	names=(CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE
		NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
		SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE
		MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE)
	for name in "${names[@]}"; do
		! ((bits >> n & 1)) || echo "CAP_$name"
		n=$((n + 1))
	done
}

@test "features: cgroup v1 and v2 are true, and containers run in this view" {
	equal "true true" "$(feature '"\(.linux.cgroup.v1) \(.linux.cgroup.v2)"')"
	set_args true
	ok run "$ID"
}

@test "features: cgroups by systemd, the system's and a user's, are true" {
	equal "true true" "$(feature '"\(.linux.cgroup.systemd) \(.linux.cgroup.systemdUser)"')"
}

@test "features: rdma is true, a config with it is not refused as unknown" {
	equal true "$(feature .linux.cgroup.rdma)"
	refused 'linux.resources.rdma: .*(the rdma controller|the kernel has no rdma controller|rdma.max)' \
		'.linux.resources = {rdma: {mlx: {hcaHandles: 1}}}'
}

@test "features: every seccomp action, operator, architecture and supported flag starts a container" {
	equal true "$(feature .linux.seccomp.enabled)"
	equal "$(feature '.linux.seccomp.knownFlags | tojson')" "$(feature '.linux.seccomp.supportedFlags | tojson')"
	local profile
	profile=$(feature '.linux.seccomp | {
		defaultAction: "SCMP_ACT_ALLOW", architectures: .archs, flags: .supportedFlags,
		syscalls: ([.actions[] | select(. != "SCMP_ACT_NOTIFY") | {names: ["acct"], action: .}] +
			[.operators[] | {names: ["swapon"], action: "SCMP_ACT_ERRNO", args: [{index: 0, value: 1, op: .}]}]) }')
	set_args true
	update_config --argjson profile "$profile" '.linux.seccomp = $profile'
	ok run "$ID"
}

@test "features: what seccomp does not list is refused" {
	refused 'linux.seccomp.defaultAction: unknown action' '.linux.seccomp = {defaultAction: "SCMP_ACT_NONE"}'
	refused 'linux.seccomp.flags\[0\]: unknown flag' '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_NEW_LISTENER"]}'
	refused 'linux.seccomp.architectures\[0\]: unknown architecture' '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_VAX"]}'
}

@test "features: what is implemented is true" {
	equal "true true true true true true true true" "$(feature '[.linux.apparmor.enabled, .linux.selinux.enabled, .linux.intelRdt.enabled,
		.linux.intelRdt.schemata, .linux.intelRdt.monitoring, .linux.mountExtensions.idmap.enabled,
		.linux.netDevices.enabled, .linux.cgroup.v2] | map(tostring) | join(" ")')"
}

@test "features: each mode and flag of memoryPolicy is known" {
	local mode flag
	equal 7 "$(feature '.linux.memoryPolicy.modes | length')"
	for mode in $(feature '.linux.memoryPolicy.modes[]'); do
		update_config --arg m "$mode" '.linux.memoryPolicy = {mode: $m, nodes: (if $m == "MPOL_DEFAULT" or $m == "MPOL_LOCAL" then "" else "0" end)}'
		set_args true
		call run "$ID"
		not grep -q 'unknown' <<<"$stderr"
	done
	for flag in $(feature '.linux.memoryPolicy.flags[]'); do
		update_config --arg f "$flag" '.linux.memoryPolicy = {mode: "MPOL_BIND", nodes: "0", flags: [$f]}'
		call run "$ID"
		not grep -q 'unknown' <<<"$stderr"
	done
}

@test "features: the annotations agree with --version and with checkpoint" {
	ok --version
	equal "hako version $(feature '.annotations["io.github.hako-runtime.version"]')" "$(head -1 <<<"$output")"
	local commit
	commit=$(feature '.annotations["io.github.hako-runtime.commit"]')
	equal "commit: ${commit:-unknown}" "$(sed -n 2p <<<"$output")"
	equal false "$(feature '.annotations["io.github.hako-runtime.checkpoint.enabled"]')"
	start_container
	fails 'not supported yet' checkpoint "$ID"
	has_status "$ID" running
}

@test "commands that are not implemented say so, and change nothing" {
	start_container
	fails 'not supported yet' checkpoint "$ID"
	fails 'not supported yet' restore "$ID-2"
	has_status "$ID" running
	equal "$ID" "$(hako list -q)"
}

# --- spec

@test "spec: writes config.json, readable for all" {
	mkdir "$T/new"
	cd "$T/new"
	ok spec
	equal "" "$output"
	equal config.json "$(ls -A)"
	equal 644 "$(stat -c %a config.json)"
	equal object "$(jq -r type config.json)"
}

@test "spec: does not touch an existing config.json" {
	mkdir "$T/new"
	cd "$T/new"
	echo mine >config.json
	fails 'config.json.*exist' spec
	equal mine "$(<config.json)"
}

@test "spec: --bundle is the folder" {
	mkdir "$T/new"
	ok spec --bundle "$T/new"
	exists "$T/new/config.json"
	fails 'no such file or directory' spec --bundle "$T/missing"
}

@test "spec: what engines and people know from runc" {
	mkdir "$T/new"
	ok spec --bundle "$T/new"
	equal '["1.3.0",true,true,"rootfs",["sh"],"/",true]' \
		"$(jq -c '[.ociVersion, .process.terminal, .root.readonly, .root.path, .process.args, .process.cwd, .process.noNewPrivileges]' "$T/new/config.json")"
	equal '["CAP_AUDIT_WRITE","CAP_KILL","CAP_NET_BIND_SERVICE"]' "$(jq -c '.process.capabilities.bounding | sort' "$T/new/config.json")"
	equal "true true" "$(jq -r '.process.capabilities | "\(.bounding == .effective) \(.bounding == .permitted)"' "$T/new/config.json")"
	equal '[{"type":"RLIMIT_NOFILE","hard":1024,"soft":1024}]' "$(jq -c .process.rlimits "$T/new/config.json")"
	local want="ipc mount network pid uts"
	[[ $(stat -f -c %T /sys/fs/cgroup) != cgroup2fs ]] || want="cgroup $want"
	equal "$want" "$(jq -r '.linux.namespaces | map(.type) | sort | join(" ")' "$T/new/config.json")"
	equal "true true" "$(jq -r '"\(.linux.maskedPaths | length > 5) \(.linux.readonlyPaths | length >= 5)"' "$T/new/config.json")"
}

@test "spec: its config runs, at a terminal" {
	rm config.json
	ok spec
	update_config --arg m "/$MARK" '.linux.cgroupsPath = $m | .process.args = ["id", "-u"]'
	python3 "$TESTDATA/pty.py" -- "$HAKO" --root "$ROOT" run "$ID" </dev/null >"$T/screen" 3>&-
	equal 0 "$(tr -d '\r' <"$T/screen")"
}

@test "spec --rootless: maps the caller to root, and needs no group and no cgroup" {
	mkdir "$T/new"
	chmod 777 "$T/new"
	setpriv --reuid 1234 --regid 1235 --clear-groups "$HAKO" spec --rootless --bundle "$T/new" 3>&-
	equal '[[{"containerID":0,"hostID":1234,"size":1}],[{"containerID":0,"hostID":1235,"size":1}]]' \
		"$(jq -c '[.linux.uidMappings, .linux.gidMappings] | map(map({containerID, hostID, size}))' "$T/new/config.json")"
	jq -e '.linux.namespaces | any(.type == "user")' "$T/new/config.json"
	jq -e '.linux.namespaces | any(.type == "network") | not' "$T/new/config.json"
	jq -e '.linux | has("resources") | not' "$T/new/config.json"
	jq -e '.mounts | any(.options // [] | any(startswith("gid="))) | not' "$T/new/config.json"
}

@test "spec: takes no argument" {
	mkdir "$T/new"
	cd "$T/new"
	call spec extra
	differ 0 "$status"
	equal "" "$(ls -A)"
}

# --- version

@test "--version: four lines, which Docker reads" {
	ok --version
	equal 4 "$(wc -l <<<"$output")"
	contains '^hako version [0-9]+\.[0-9]+\.[0-9]+$' "$(sed -n 1p <<<"$output")"
	contains '^commit:' "$(sed -n 2p <<<"$output")"
	equal "spec: 1.3.0" "$(sed -n 3p <<<"$output")"
	contains '^go: go1\.[0-9]+' "$(sed -n 4p <<<"$output")"
}

@test "-v is --version" {
	ok --version
	local long=$output
	ok -v
	equal "$long" "$output"
}

@test "--version: needs no root, no state root and no /proc" {
	equal "$(hako --version)" "$(setpriv --reuid 1000 --regid 1000 --clear-groups "$HAKO" --version 3>&-)"
	equal "$(hako --version)" "$(unshare -m --propagation private sh -c 'umount -l /proc; "$1" --version' sh "$HAKO" 3>&-)"
}
