#!/usr/bin/env bats
# Devices: nodes, links and the terminal in /dev, and which devices the cgroup
# lets a container use. config-linux.md#devices.
# shellcheck disable=SC2016,SC2154 # $names are jq's or of the container's shell, or set by the helpers

load helpers
load rootfs-helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() {
	make_host
	R=$BUNDLE/rootfs
}
teardown() { clean_up_host; }

# device PATH TYPE [MAJOR MINOR [MODE UID GID]]: a row of linux.devices.
device() {
	update_config '.linux.devices += [$ARGS.positional | {path: .[0], type: .[1]}
		+ (if (.[3] // "") != "" then {major: (.[2] | tonumber), minor: (.[3] | tonumber)} else {} end)
		+ (if .[6] then {fileMode: (.[4] | tonumber), uid: (.[5] | tonumber), gid: (.[6] | tonumber)} else {} end)]' --args "$@"
}

# rule ALLOW ACCESS [TYPE [MAJOR [MINOR]]]: a row of linux.resources.devices.
rule() {
	update_config '.linux.resources.devices += [$ARGS.positional | {allow: (.[0] == "allow"), access: .[1]}
		+ (if .[2] then {type: .[2]} else {} end) + (if .[3] then {major: (.[3] | tonumber)} else {} end)
		+ (if .[4] then {minor: (.[4] | tonumber)} else {} end)]' --args "$@"
}

# what: a container shell's description of nodes.
what='what() { stat -c "%n %F %t:%T %a %u:%g" "$@"; }'

# --- nodes

@test "default devices: type, number, mode and owner" {
	run_script "$what; what /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty"
	equal "/dev/null character special file 1:3 666 0:0
/dev/zero character special file 1:5 666 0:0
/dev/full character special file 1:7 666 0:0
/dev/random character special file 1:8 666 0:0
/dev/urandom character special file 1:9 666 0:0
/dev/tty character special file 5:0 666 0:0" "$output"
}

@test "default devices: whatever the caller's umask" {
	umask 077
	run_script 'stat -c %a /dev/null /dev/tty'
	equal $'666\n666' "$output"
}

@test "default devices: they work" {
	run_script 'echo x >/dev/null && cat /dev/null; head -c 3 /dev/zero | od -An -tx1; echo x 2>&1 >/dev/full; head -c 5 /dev/urandom | wc -c; head -c 5 /dev/random | wc -c'
	contains '00 00 00' "$output"
	contains 'No space left' "$output"
	equal $'5\n5' "$(tail -2 <<<"$output")"
}

@test "default devices: also where nothing is mounted at /dev" {
	drop_mount /dev
	run_script true
	equal "1 3 666" "$(stat -c '%t %T %a' "$R/dev/null")"
}

@test "default devices: nothing else is in /dev" {
	run_script 'ls /dev'
	local want="core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero "
	[[ -e /proc/kcore ]] || want=${want#core }
	equal "$want" "$(tr '\n' ' ' <<<"$output")"
}

@test "default links" {
	run_script 'for i in fd stdin stdout stderr ptmx; do readlink /dev/$i; done'
	equal $'/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\npts/ptmx' "$output"
}

@test "default links: /dev/core only if the kernel has kcore" {
	run_script 'readlink /dev/core || true'
	if [[ -e /proc/kcore ]]; then
		equal /proc/kcore "$output"
	else
		equal "" "$output"
	fi
}

@test "default links: /dev/ptmx is the container's own multiplexer" {
	run_script 'test -c /dev/ptmx && stat -Lc "%t:%T %a" /dev/ptmx; exec 5<>/dev/ptmx; ls /dev/pts'
	equal $'5:2 666\n0\nptmx' "$output"
}

@test "default devices: a right one of the image is kept" {
	drop_mount /dev
	mknod -m 600 "$R/dev/zero" c 1 5
	run_script true
	equal 600 "$(stat -c %a "$R/dev/zero")"
}

@test "default devices: another object of the image at the path is an error" {
	drop_mount /dev
	touch "$R/dev/zero"
	fails '/dev/zero: file exists' create "$ID"
	rm "$R/dev/zero"
	mknod "$R/dev/zero" c 1 3
	fails '/dev/zero: file exists' create "$ID"
	nothing_left
}

@test "devices: character, block and FIFO with mode and owner" {
	device /dev/c c 10 229 $((0640)) 12 34
	device /dev/b b 7 99 $((0604)) 56 78
	device /dev/u u 1 5 $((0600)) 0 0
	device /dev/p p "" "" $((0622)) 9 8
	run_script "$what; what /dev/c /dev/b /dev/u /dev/p"
	equal "/dev/c character special file a:e5 640 12:34
/dev/b block special file 7:63 604 56:78
/dev/u character special file 1:5 600 0:0
/dev/p fifo 0:0 622 9:8" "$output"
}

@test "devices: without mode and owner" {
	device /dev/c c 10 229
	umask 077
	run_script "$what; what /dev/c"
	equal "/dev/c character special file a:e5 666 0:0" "$output"
}

@test "devices: setuid, setgid and sticky bits, and the type of Podman's modes" {
	device /dev/c c 10 229 $((020000 | 03640)) 12 34
	run_script 'stat -c "%a %u" /dev/c'
	equal "3640 12" "$output"
}

@test "devices: anywhere, missing folders are made" {
	device /a/b/c c 1 5
	run_script "$what; what /a/b/c; stat -c %a /a/b"
	equal "/a/b/c character special file 1:5 666 0:0"$'\n'755 "$output"
}

@test "devices: a default one can be described, mode and owner count" {
	device /dev/null c 1 3 $((0620)) 5 6
	run_script "$what; what /dev/null"
	equal "/dev/null character special file 1:3 620 5:6" "$output"
}

@test "devices: one at a path where another object is, is an error" {
	drop_mount /dev
	touch "$R/dev/c"
	device /dev/c c 10 229
	fails '/dev/c: file exists' create "$ID"
	nothing_left
}

@test "devices: the same twice is one, two at one path are an error" {
	device /dev/c c 10 229
	device /dev/c c 10 229
	run_script 'test -c /dev/c'
	device /dev/c c 10 230
	fails 'linux.devices\[2\].path: .*twice' create "$ID"
}

@test "devices: an unknown type, a relative path, a number out of range" {
	device /dev/a x 1 1
	device dev/c c 1 1
	device /dev/d c 1 -1
	device /dev/e c 5000 1
	call create "$ID"
	equal 1 "$status"
	contains 'linux.devices\[0\].type: "x"' "$stderr"
	contains 'linux.devices\[1\].path: "dev/c"' "$stderr"
	contains 'linux.devices\[2\].minor: -1' "$stderr"
	contains 'linux.devices\[3\].major: 5000' "$stderr"
	nothing_left
}

@test "devices: a mount of /dev from the host gets no nodes and no links" {
	local src=$T/dev
	mkdir "$src"
	mknod -m 666 "$src/null" c 1 3
	for d in /dev/pts /dev/shm /dev/mqueue; do drop_mount $d; done
	drop_mount /dev
	bind /dev "$src"
	device /dev/c c 10 229
	device /other c 10 229
	run_script 'ls /dev; test -c /other && echo other'
	equal $'null\nother' "$output"
	equal null "$(ls "$src")"
}

# --- in a user namespace

@test "user namespace: default devices are the host's, and work" {
	use_userns
	run_script "$what; what /dev/null /dev/zero; echo x >/dev/null; head -c 3 /dev/zero | wc -c; cat /proc/self/mountinfo"
	contains '/dev/null character special file 1:3 666 65534:65534' "$output"
	equal 3 "$(sed -n 3p <<<"$output")"
	equal devtmpfs "$(fs_type /dev/null)"
	equal /null "$(mount_root /dev/null)"
}

@test "user namespace: the container cannot change the host's nodes" {
	use_userns
	give_caps "${nearly_all_caps[@]}"
	run_script 'chmod 600 /dev/null 2>/dev/null || echo refused; chown 0 /dev/null 2>/dev/null || echo refused; mv /dev/null /dev/x 2>/dev/null || echo refused'
	equal $'refused\nrefused\nrefused' "$output"
	equal "666 0" "$(stat -c '%a %u' /dev/null)"
}

@test "user namespace: linux.devices are bound from the host, FIFOs are made" {
	use_userns
	device /dev/kmsg c 1 11 $((0600)) 3 4
	device /dev/pipe p "" "" $((0640)) 1 2
	run_script "$what; what /dev/kmsg /dev/pipe; cat /proc/self/mountinfo"
	equal "/dev/kmsg character special file 1:b $(stat -c %a /dev/kmsg) 65534:65534
/dev/pipe fifo 0:0 640 1:2" "$(head -2 <<<"$output")"
	equal /kmsg "$(mount_root /dev/kmsg)"
}

@test "user namespace: a device that the host does not have is an error" {
	use_userns
	device /dev/mine c 240 77
	fails 'linux.devices /dev/mine: .*no such file or directory' create "$ID"
	update_config '.linux.devices[0].path = "/dev/kmsg"'
	fails 'linux.devices /dev/kmsg: ' create "$ID"
	nothing_left
}

@test "user namespace: a node cannot be made" {
	use_userns
	give_caps "${nearly_all_caps[@]}"
	run_script 'mknod /tmp/zero c 1 5 2>/dev/null || echo refused'
	equal refused "$output"
}

# --- device cgroup

# probing: nodes of the image, made beforehand by the host. With SYSLOG only the
# cgroup decides over kmsg.
probing() {
	give_caps SYSLOG
	mknod -m 666 "$R/zero" c 1 5
	mknod -m 666 "$R/fuse" c 10 229
	mknod -m 666 "$R/mem" c 1 1
	mknod -m 666 "$R/kmsg" c 1 11
	mknod -m 666 "$R/loop" b 7 0
}

# may FILE: what a shell may do: r, w, or EPERM. Nothing is read or written.
may='may() { for f in "$@"; do w=; (exec 4<$f) 2>/dev/null && w=r; (exec 4>>$f) 2>/dev/null && w=${w}w; echo $f${w:+ $w}; done; }'

@test "device rules: by default only the default devices can be opened" {
	probing
	run_script "$may; may /zero /dev/null /kmsg /mem /loop"
	equal $'/zero rw\n/dev/null rw\n/kmsg\n/mem\n/loop' "$output"
}

@test "device rules: no rules at all is the same" {
	probing
	update_config 'del(.linux.resources.devices)'
	run_script "$may; may /zero /kmsg"
	equal $'/zero rw\n/kmsg' "$output"
}

@test "device rules: refused with EPERM" {
	probing
	run_script 'cat /kmsg 2>&1; true'
	contains 'Operation not permitted' "$output"
}

@test "device rules: an allowed device can be opened, as allowed" {
	probing
	rule allow r c 1 11
	run_script "$may; may /kmsg /mem"
	equal $'/kmsg r\n/mem' "$output"
}

@test "device rules: write only" {
	probing
	rule allow w c 1 11
	run_script "$may; may /kmsg"
	equal '/kmsg w' "$output"
}

@test "device rules: a missing minor is any" {
	probing
	rule allow rw c 1
	run_script "$may; may /kmsg /fuse"
	equal $'/kmsg rw\n/fuse' "$output"
}

@test "device rules: later ones win" {
	probing
	rule allow rwm c 1 11
	rule deny w c 1 11
	run_script "$may; may /kmsg"
	equal '/kmsg r' "$output"
	rule allow rwm a
	run_script "$may; may /kmsg"
	equal '/kmsg rw' "$output"
	rule deny rwm
	run_script "$may; may /kmsg /zero"
	equal $'/kmsg\n/zero rw' "$output"
}

@test "device rules: all but one" {
	probing
	rule allow rwm a
	rule deny r c 1 11
	run_script "$may; may /kmsg /zero"
	equal $'/kmsg w\n/zero rw' "$output"
}

@test "device rules: linux.devices are allowed, but the rules can take them away" {
	give_caps SYSLOG
	device /dev/kmsg c 1 11
	update_config '.linux.resources.devices = []'
	run_script "$may; may /dev/kmsg"
	equal '/dev/kmsg rw' "$output"
	rule deny w c 1 11
	run_script "$may; may /dev/kmsg"
	equal '/dev/kmsg r' "$output"
}

@test "device rules: of one type leave the other alone" {
	probing
	rule allow rw b 1 11
	run_script "$may; may /kmsg"
	equal '/kmsg' "$output"
}

@test "device rules: mknod is allowed for every device, to open it is not" {
	give_caps "${docker_caps[@]}"
	run_script "$may; mknod -m 666 /made c 1 11 && mknod -m 666 /block b 7 0 && echo made; may /made /block"
	equal $'made\n/made\n/block' "$output"
}

@test "device rules: mknod without the capability" {
	run_script 'mknod /made c 1 5 2>/dev/null || echo refused; mknod /pipe p && echo pipe'
	equal $'refused\npipe' "$output"
}

@test "device rules: hold for exec" {
	probing
	background
	ok exec "$ID" sh -c "$may; may /zero /kmsg"
	equal $'/zero rw\n/kmsg' "$output"
}

@test "device rules: a container cannot lift them by a cgroup of its own" {
	probing
	update_config '(.mounts[] | select(.type == "cgroup")).options = ["rw"]'
	run_script "$may"'; for d in /sys/fs/cgroup /sys/fs/cgroup/devices; do
			mkdir $d/inner && echo 0 >$d/inner/cgroup.procs && echo a >$d/inner/devices.allow
		done 2>/dev/null; may /kmsg'
	equal '/kmsg' "$output"
}

@test "device rules: the type or access is wrong" {
	update_config '.linux.resources.devices = [{allow: true, type: "x", access: "r"}, {allow: true, access: "rx"}, {allow: true, type: "c", access: ""}]'
	call create "$ID"
	equal 1 "$status"
	contains 'linux.resources.devices\[0\].type' "$stderr"
	contains 'linux.resources.devices\[1\].access' "$stderr"
	contains 'linux.resources.devices\[2\].access' "$stderr"
	nothing_left
}

# --- the terminal

@test "terminal: /dev/console is the terminal, a mount of the container's devpts" {
	run_tty 'tty; stat -c %F /dev/console; test $(stat -c %t:%T /dev/console) = $(stat -c %t:%T $(tty)) && echo same; cat /proc/self/mountinfo'
	equal $'/dev/pts/0\ncharacter special file\nsame' "$(head -3 <<<"$output")"
	equal devpts "$(fs_type /dev/console)"
	equal /0 "$(mount_root /dev/console)"
	equal "$(mount_device /dev/pts)" "$(mount_device /dev/console)"
}

@test "terminal: what is written to /dev/console, /dev/tty and /dev/stdout appears" {
	run_tty 'echo 1 >/dev/console; echo 2 >/dev/tty; echo 3 >/dev/stdout; echo 4 >/proc/self/fd/2'
	equal $'1\n2\n3\n4' "$output"
}

@test "terminal: in a user namespace" {
	use_userns
	run_tty 'tty; echo 1 >/dev/console; stat -c "%u %g" $(tty)'
	equal $'/dev/pts/0\n1\n0 5' "$output"
}

@test "terminal: belongs to the user of the process, mode as devpts says" {
	update_config '.process.user = {uid: 1000, gid: 1000}'
	run_tty 'stat -c "%a %u %g" $(tty); echo text >/dev/console'
	equal $'620 1000 5\ntext' "$output"
}

@test "terminal: with a read-only root" {
	update_config '.root.readonly = true'
	run_tty 'echo text >/dev/console'
	equal text "$output"
}

@test "terminal: /dev/console of the image, a file or a device, is covered and stays" {
	drop_mount /dev
	echo file >"$R/dev/console"
	run_tty 'test -c /dev/console && echo text >/dev/console'
	equal text "$output"
	equal file "$(<"$R/dev/console")"
}

@test "terminal: without one there is no /dev/console" {
	run_script 'test -e /dev/console || echo none'
	equal none "$output"
}

@test "terminal: no devpts at /dev/pts is a clear error" {
	drop_mount /dev/pts
	not run_tty 'echo ran'
	contains 'dev/pts: no such file or directory' "$stderr"
	nothing_left
}
