#!/usr/bin/env bats
# The root file system: how it is entered, what is hidden and frozen in it, and
# hostile ones. The host of these tests is a mount namespace of their own, and
# victims are files made for the test.
# shellcheck disable=SC2016,SC2153,SC2154 # $names are jq's or of the container's shell, or set by the helpers

load helpers
load rootfs-helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() {
	make_host
	SRC=$T/source
	R=$BUNDLE/rootfs
	mkdir "$SRC"
}
teardown() { clean_up_host; }

# no_mount_namespace: and nothing that needs one.
no_mount_namespace() {
	drop_namespace mount
	update_config '.mounts = [] | .linux.maskedPaths = [] | .linux.readonlyPaths = []'
}

# plain_mounts: without those that depend on the host.
plain_mounts() {
	drop_mount /sys/fs/cgroup
	update_config '.linux.maskedPaths = [] | .linux.readonlyPaths = []'
}

mount_points() { awk '{ print $5 }' <<<"$output" | sort | tr '\n' ' '; }

# --- root.readonly

@test "root.readonly: nothing can be written, mounts in it stay writable" {
	update_config '.root.readonly = true'
	tmpfs /tmp
	run_script 'touch /etc/x 2>/dev/null || echo refused; touch /tmp/x && echo written; cat /proc/self/mountinfo'
	equal $'refused\nwritten' "$(head -2 <<<"$output")"
	has ro "$(mount_options /)"
	has rw "$(mount_options /dev)"
	not exists "$R/etc/x"
}

@test "root.readonly: the host's file system stays writable" {
	update_config '.root.readonly = true'
	background
	host touch "$R/etc/x"
	inside test -e /etc/x
}

@test "root.readonly: mount points and devices are still made" {
	update_config '.root.readonly = true'
	drop_mount /dev
	tmpfs /made/here
	run_script 'test -c /dev/null && cat /proc/self/mountinfo'
	equal tmpfs "$(fs_type /made/here)"
	has ro "$(mount_options /)"
}

@test "root.readonly false: it can be written" {
	run_script 'echo text >/etc/x'
	equal text "$(<"$R/etc/x")"
}

# --- the way in

@test "pivot_root: the container's mounts are the configured ones, nothing of the old root" {
	plain_mounts
	mounted
	equal "/ /dev /dev/mqueue /dev/pts /dev/shm /proc /sys " "$(mount_points)"
}

@test "pivot_root: nothing leads out of the root" {
	touch "$R/inside"
	give_caps "${nearly_all_caps[@]}"
	run_script 'ls -d /../inside /../../../inside /proc/self/root/../inside /proc/self/cwd/../inside
		mkdir /x; chroot /x /bin/sh 2>/dev/null; pwd; readlink /proc/self/cwd'
	equal $'/../../../inside\n/../inside\n/proc/self/cwd/../inside\n/proc/self/root/../inside\n/\n/' "$output"
}

@test "pivot_root: the classic escape from a chroot ends in the root" {
	touch "$R/inside"
	give_caps "${nearly_all_caps[@]}"
	cp "$(command -v busybox)" "$R/escape"
	# chroot below the working directory, then up.
	run_script 'mkdir -p /x/bin; cp /bin/busybox /x/bin/sh; cd /; chroot /x /bin/sh -c "cd ../../../../..; pwd; echo *"; ls -d /inside'
	equal $'/\nbin\n/inside' "$output"
}

@test "pivot_root: no descriptor of the host is left" {
	run_script 'ls /proc/self/fd | wc -l; for i in /proc/1/fd/*; do readlink $i; done; true'
	not grep -qF "$T/bundle" <<<"$output"
	not grep -q '^/proc/' <<<"$output"
}

@test "--no-pivot: the root is entered, and the mounts are the configured ones" {
	plain_mounts
	touch "$R/inside"
	update_config '.process.args = ["sh", "-c", "ls -d /inside /../inside; cat /proc/self/mountinfo"]'
	ok run --no-pivot "$ID"
	equal $'/../inside\n/inside' "$(head -2 <<<"$output")"
	output=$(sed 1,2d <<<"$output")
	equal "/ /dev /dev/mqueue /dev/pts /dev/shm /proc /sys " "$(mount_points)"
}

@test "--no-pivot: masked and read-only paths and a read-only root hold" {
	update_config '.process.args = ["sh", "-c", "cat /proc/keys; touch /x 2>/dev/null || echo refused; echo 1 2>/dev/null >/proc/sys/net/ipv4/ip_forward || echo refused"] | .root.readonly = true'
	ok run --no-pivot "$ID"
	equal $'refused\nrefused' "$output"
}

@test "--no-pivot: private propagation is refused" {
	update_config '.linux.rootfsPropagation = "private"'
	fails 'linux.rootfsPropagation: .*pivot_root' create --no-pivot "$ID"
}

@test "no mount namespace: the root is entered by chroot, the host's mounts stay" {
	no_mount_namespace
	touch "$R/inside"
	run_script 'ls -d /inside /../inside; pwd'
	equal $'/../inside\n/inside\n/' "$output"
}

@test "no mount namespace: the process is in the host's" {
	no_mount_namespace
	background
	equal "$(readlink "/proc/$HOST_PID/ns/mnt")" "$(readlink "/proc/$PID/ns/mnt")"
	equal "$R" "$(host readlink "/proc/$PID/root")"
}

@test "no mount namespace: devices and links are made in the root file system" {
	no_mount_namespace
	run_script true
	equal "character special file 1 3" "$(stat -c '%F %t %T' "$R/dev/null")"
	equal /proc/self/fd "$(readlink "$R/dev/fd")"
}

@test "no mount namespace: what needs one is refused, all of it at once" {
	drop_namespace mount
	update_config '.root.readonly = true | .linux.rootfsPropagation = "slave"'
	call create "$ID"
	equal 1 "$status"
	local name
	for name in root.readonly linux.rootfsPropagation mounts linux.maskedPaths linux.readonlyPaths; do
		contains "$name: needs a mount namespace" "$stderr"
	done
	nothing_left
}

# other_namespace: a mount namespace of the host's host; $OTHER is in it.
other_namespace() {
	nsenter --mount --target "$HOST_PID" unshare --mount --propagation private \
		sh -c 'echo >"$1"; exec sleep infinity' sh "$T/ready" 3>&- &
	OTHER=$!
	HOST_PIDS+=("$OTHER")
	read -r _ <"$T/ready"
	drop_namespace mount
	update_config --arg p "/proc/$OTHER/ns/mnt" '.linux.namespaces += [{type: "mount", path: $p}]'
}

@test "mount namespace by path: the process is in it, and in its root" {
	other_namespace
	touch "$R/inside"
	background
	equal "$(readlink "/proc/$OTHER/ns/mnt")" "$(readlink "/proc/$PID/ns/mnt")"
	inside test -e /inside
}

# The opposite would be a pivot_root of the host, here of one made for it.
@test "mount namespace by path: the runtime's own is no mount namespace, the host's mounts stay" {
	other_namespace
	no_mount_namespace
	touch "$R/inside"
	update_config --arg p "/proc/$OTHER/ns/mnt" '.linux.namespaces += [{type: "mount", path: $p}] | .process.args = ["ls", "/inside"]'
	HOST_PIDS+=("$HOST_PID")
	HOST_PID=$OTHER
	ok run "$ID"
	equal /inside "$output"
	update_config '.linux.maskedPaths = ["/etc"]'
	fails 'linux.maskedPaths: needs a mount namespace' create "$ID"
}

# --- root.path

# moved_root DIRECTORY: the root file system is there.
runs_in() {
	update_config --arg p "$1" '.root.path = $p'
	run_script 'cat /marker'
	equal marker "$output"
}

@test "root.path: relative to the bundle, absolute, through symlinks, with dots" {
	echo marker >"$R/marker"
	runs_in rootfs
	runs_in "$R"
	ln -s rootfs "$BUNDLE/link"
	runs_in link
	ln -s "$BUNDLE" "$T/elsewhere"
	runs_in "$T/elsewhere/link"
	runs_in ../bundle/./rootfs/
}

@test "root.path: a name with spaces, newlines and backslashes" {
	echo marker >"$R/marker"
	mv "$R" "$BUNDLE/a b"$'\n''c\d'
	runs_in "a b"$'\n''c\d'
	mv "$BUNDLE/a b"$'\n''c\d' "$R"
}

@test "root.path: on a disk" {
	cp -a "$R" "$BATS_TEST_TMPDIR/rootfs"
	echo marker >"$BATS_TEST_TMPDIR/rootfs/marker"
	runs_in "$BATS_TEST_TMPDIR/rootfs"
}

@test "root.path: an overlay, which takes what is written" {
	host_tmpfs "$SRC"
	host mkdir "$SRC/upper" "$SRC/work" "$SRC/merged"
	host mount -t overlay -o "lowerdir=$R,upperdir=$SRC/upper,workdir=$SRC/work" overlay "$SRC/merged"
	echo marker >"$R/marker"
	runs_in "$SRC/merged"
	run_script 'echo new >/written'
	equal new "$(host cat "$SRC/upper/written")"
	not exists "$R/written"
}

@test "root.path: what is mounted in it belongs to it" {
	host mkdir "$R/more"
	host_tmpfs "$R/more"
	host touch "$R/more/file"
	run_script 'ls /more'
	equal file "$output"
}

@test "root.path: a read-only file system that has all mount points" {
	mkdir -p "$R"/dev/{pts,shm,mqueue} "$R/sys/fs/cgroup"
	host mount --bind "$R" "$R"
	host mount -o remount,bind,ro "$R"
	echo marker >"$R/marker"
	runs_in rootfs
}

@test "root.path: missing" {
	update_config '.root.path = "missing"'
	fails 'missing: no such file or directory' create "$ID"
	nothing_left
}

@test "root.path: a file" {
	touch "$BUNDLE/file"
	update_config '.root.path = "file"'
	fails 'not a directory' create "$ID"
	nothing_left
}

@test "root.path: empty" {
	update_config '.root.path = ""'
	fails 'root.path' create "$ID"
	update_config 'del(.root)'
	fails 'root' create "$ID"
}

# --- linux.maskedPaths

mask() { update_config '.linux.maskedPaths = $ARGS.positional' --args "$@"; }
freeze() { update_config '.linux.readonlyPaths = $ARGS.positional' --args "$@"; }

@test "maskedPaths: a file is the null device" {
	echo secret >"$R/etc/secret"
	mask /etc/secret
	run_script 'cat /etc/secret; stat -c "%F %t %T" /etc/secret; echo x >/etc/secret'
	equal "character special file 1 3" "$output"
	equal secret "$(<"$R/etc/secret")"
}

@test "maskedPaths: a directory is empty and read-only" {
	mkdir "$R/hidden"
	echo secret >"$R/hidden/file"
	mask /hidden
	run_script 'ls -A /hidden; touch /hidden/x 2>/dev/null || echo refused; cat /proc/self/mountinfo'
	equal refused "$(head -1 <<<"$output")"
	for option in ro nosuid nodev noexec; do
		has $option "$(mount_options /hidden)"
	done
}

@test "maskedPaths: a missing one is left out and not made" {
	mask /etc/missing /etc/passwd/below /missing/deep
	mounted
	not exists "$R/etc/missing"
	not exists "$R/missing"
}

@test "maskedPaths: duplicates are one mount" {
	mkdir "$R/hidden"
	echo secret >"$R/etc/secret"
	mask /hidden /etc/secret /hidden /etc/../hidden/ /etc//secret
	mounted
	equal 1 "$(mounts_at /hidden)"
	equal 1 "$(mounts_at /etc/secret)"
}

@test "maskedPaths: directories share one file system" {
	mkdir "$R/a" "$R/b" "$R/c"
	mask /a /b /c
	mounted
	equal "$(mount_device /a)" "$(mount_device /b)"
	equal "$(mount_device /a)" "$(mount_device /c)"
}

@test "maskedPaths: a symlink is resolved inside the root, its target is hidden" {
	echo secret >"$R/etc/secret"
	ln -s ../../../../etc/secret "$R/link"
	mask /link
	run_script 'cat /link /etc/secret'
	equal "" "$output"
}

@test "maskedPaths: below a mount, and over one" {
	echo secret >"$SRC/file"
	bind /data "$SRC"
	bind /all "$SRC"
	mask /data/file /all
	run_script 'cat /data/file; ls -A /all'
	equal "" "$output"
}

@test "maskedPaths: the host's null device cannot be changed through it" {
	echo secret >"$R/etc/secret"
	mask /etc/secret
	give_caps "${nearly_all_caps[@]}"
	# A copy of the null device, so that a failure costs nothing.
	host_tmpfs "$SRC"
	run_script 'chown 1:1 /etc/secret 2>/dev/null; chmod 640 /etc/secret 2>/dev/null; true'
	equal "666 0 0" "$(host stat -c '%a %u %g' /dev/null)"
}

# cannot_undo: root with all capabilities but SYS_ADMIN.
@test "maskedPaths, readonlyPaths: root without SYS_ADMIN cannot undo them" {
	mkdir "$R/hidden" "$R/frozen"
	echo secret >"$R/hidden/file"
	echo secret >"$R/etc/secret"
	mask /hidden /etc/secret
	freeze /frozen
	give_caps "${nearly_all_caps[@]}"
	run_script 'for p in /hidden /etc/secret /frozen; do
			umount $p; umount -l $p; mount -o remount,bind,rw $p; mount --bind / $p; unshare -m umount $p; mv $p /moved; rm -rf $p
		done 2>/dev/null
		cat /hidden/file /etc/secret 2>/dev/null; touch /frozen/x 2>/dev/null || echo refused'
	equal refused "$output"
}

@test "maskedPaths: root without SYS_ADMIN in a user namespace cannot undo them" {
	mkdir "$R/hidden"
	echo secret >"$R/hidden/file"
	use_userns
	mask /hidden
	give_caps "${nearly_all_caps[@]}"
	run_script 'umount /hidden 2>/dev/null; umount -l /hidden 2>/dev/null; ls -A /hidden'
	equal "" "$output"
}

@test "maskedPaths, readonlyPaths: a new user namespace in the container does not help" {
	mkdir "$R/hidden"
	echo secret >"$R/hidden/file"
	mask /hidden
	freeze /etc
	update_config '.process.user = {uid: 1000, gid: 1000}'
	run_script 'unshare -Urm sh -c "umount /hidden; umount -l /hidden; cat /hidden/file; mount -o remount,bind,rw /etc; touch /etc/x && echo written" 2>/dev/null; true'
	equal "" "$output"
	not exists "$R/etc/x"
}

@test "maskedPaths: exec sees them, too" {
	echo secret >"$R/etc/secret"
	mask /etc/secret
	background
	ok exec "$ID" cat /etc/secret
	equal "" "$output"
}

@test "maskedPaths, readonlyPaths: a path that is not absolute" {
	mask etc/secret
	freeze ../etc /
	call create "$ID"
	equal 1 "$status"
	contains 'linux.maskedPaths\[0\]: .*absolute' "$stderr"
	contains 'linux.readonlyPaths\[0\]: .*absolute' "$stderr"
	contains 'linux.readonlyPaths\[1\]: .*below /' "$stderr"
}

# --- linux.readonlyPaths

@test "readonlyPaths: a directory and a file cannot be written" {
	mkdir "$R/frozen"
	touch "$R/etc/file"
	freeze /frozen /etc/file
	run_script 'touch /frozen/x 2>/dev/null || echo 1; echo x 2>/dev/null >/etc/file || echo 2; touch /etc/x && echo 3'
	equal $'1\n2\n3' "$output"
	equal "" "$(<"$R/etc/file")"
}

@test "readonlyPaths: with all that is mounted below" {
	host_tmpfs "$SRC"
	host_tmpfs "$SRC/below"
	rbind /frozen "$SRC"
	freeze /frozen
	run_script 'touch /frozen/below/x 2>/dev/null || echo refused'
	equal refused "$output"
}

@test "readonlyPaths: the other flags of the mount stay" {
	bind /frozen "$SRC" nosuid nodev noexec noatime
	mkdir "$SRC/below"
	freeze /frozen/below
	mounted
	for option in ro nosuid nodev noexec noatime; do
		has $option "$(mount_options /frozen/below)"
	done
	has rw "$(mount_options /frozen)"
}

@test "readonlyPaths: a missing one is left out, duplicates are one mount" {
	freeze /missing /etc /etc/ /bin/../etc
	mounted
	not_mounted /missing
	equal 1 "$(mounts_at /etc)"
	not exists "$R/missing"
}

@test "readonlyPaths: a path that is masked as well stays hidden" {
	mkdir "$R/both"
	echo secret >"$R/both/file"
	mask /both
	freeze /both
	run_script 'ls -A /both'
	equal "" "$output"
}

@test "readonlyPaths: /proc/sys for root without SYS_ADMIN" {
	freeze /proc/sys /proc/sysrq-trigger
	give_caps "${nearly_all_caps[@]}"
	run_script 'echo 1 2>/dev/null >/proc/sys/net/ipv4/ip_forward || echo refused; cat /proc/sys/net/ipv4/ip_forward'
	equal $'refused\n0' "$output"
}

# --- linux.sysctl

sysctl_is() { update_config --arg k "$1" --arg v "$2" '.linux.sysctl[$k] = $v'; }

@test "sysctl: set in the container's network, ipc and uts namespaces, although /proc/sys is read-only" {
	sysctl_is net.ipv4.ip_forward 1
	sysctl_is kernel.shm_rmid_forced 1
	sysctl_is fs.mqueue.queues_max 17
	sysctl_is kernel.domainname inside.test
	local before
	before=$(cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced /proc/sys/fs/mqueue/queues_max /proc/sys/kernel/domainname)
	run_script 'cd /proc/sys; cat net/ipv4/ip_forward kernel/shm_rmid_forced fs/mqueue/queues_max kernel/domainname'
	equal $'1\n1\n17\ninside.test' "$output"
	equal "$before" "$(cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shm_rmid_forced /proc/sys/fs/mqueue/queues_max /proc/sys/kernel/domainname)"
}

@test "sysctl: in a user namespace" {
	use_userns
	sysctl_is net.ipv4.ip_forward 1
	run_script 'cat /proc/sys/net/ipv4/ip_forward'
	equal 1 "$output"
}

@test "sysctl: slashes separate as well" {
	sysctl_is net/ipv4/conf/lo/forwarding 1
	run_script 'cat /proc/sys/net/ipv4/conf/lo/forwarding'
	equal 1 "$output"
}

# refused_sysctl NAME: it would change the host.
refused_sysctl() {
	update_config --arg k "$1" '.linux.sysctl = {($k): "1"}'
	fails "linux.sysctl.*${1//./\\.}" create "$ID"
	nothing_left
}

@test "sysctl: what is not namespaced is refused" {
	local name
	for name in vm.swappiness kernel.panic kernel.core_pattern fs.file-max kernel.randomize_va_space vm.overcommit_memory \
		dev.cdrom.debug kernel.hostname/../panic net.ipv4/../../kernel/panic ../kernel/panic; do
		refused_sysctl "$name"
	done
}

@test "sysctl: those of a namespace that is the host's are refused" {
	drop_namespace network
	refused_sysctl net.ipv4.ip_forward
	drop_namespace ipc
	refused_sysctl kernel.shmmax
	refused_sysctl fs.mqueue.queues_max
	drop_namespace uts
	refused_sysctl kernel.domainname
}

@test "sysctl: those of a namespace joined by path that is the host's are refused" {
	drop_namespace network
	update_config --arg p "/proc/$HOST_PID/ns/net" '.linux.namespaces += [{type: "network", path: $p}]
		| .linux.sysctl["net.nosuch.parameter"] = "1"'
	fails "not allowed in the host's network namespace" create "$ID"
	nothing_left
}

@test "sysctl: one that does not exist" {
	sysctl_is net.nosuch 1
	fails 'linux.sysctl\["net.nosuch"\]: .*no such file or directory' create "$ID"
	nothing_left
}

@test "sysctl: a value that the kernel refuses" {
	sysctl_is net.ipv4.ip_forward much
	fails 'linux.sysctl\["net.ipv4.ip_forward"\]: .*invalid argument' create "$ID"
	nothing_left
}

# --- hostile root file systems

# to_victim PATH [BELOW]: PATH of the image is a symlink to the victim, as the
# host would resolve it.
to_victim() {
	rm -rf "${R:?}$1"
	mkdir -p "$(dirname "$R$1")"
	ln -s "$VICTIM${2:-}" "$R$1"
}

@test "hostile: /proc is a symlink (CVE-2019-16884, CVE-2019-19921, CVE-2023-27561)" {
	make_victim
	to_victim /proc /dir
	fails 'mounts\[0\] /proc: .*must be mounted on ordinary directory' create "$ID"
	victim_safe
	rm "$R/proc"
	mkdir "$R/fake"
	ln -s fake "$R/proc"
	fails 'mounts\[0\] /proc: .*must be mounted on ordinary directory' create "$ID"
	nothing_left
}

@test "hostile: /proc is a file" {
	rmdir "$R/proc"
	touch "$R/proc"
	fails 'mounts\[0\] /proc: .*must be mounted on ordinary directory' create "$ID"
}

@test "hostile: /sys is a symlink" {
	make_victim
	to_victim /sys /dir
	fails '/sys: .*must be mounted on ordinary directory' create "$ID"
	victim_safe
	nothing_left
}

@test "hostile: /sys is a symlink, and the host's sysfs would stand in" {
	make_victim
	use_userns
	drop_namespace network
	to_victim /sys /dir
	fails '/sys: .*must be mounted on ordinary directory' create "$ID"
	victim_safe
}

@test "hostile: no /proc is mounted, the image's is a directory of fakes (CVE-2019-19921)" {
	make_victim
	update_config '.mounts = [] | .linux.maskedPaths = [] | .linux.readonlyPaths = []'
	mkdir -p "$R/proc/self/attr" "$R/proc/sys/net/ipv4" "$R/proc/sys/kernel"
	to_victim /proc/self/attr/exec /file
	to_victim /proc/sys/net/ipv4/ip_forward /file
	to_victim /proc/self/loginuid /file
	to_victim /proc/self/oom_score_adj /file
	sysctl_is net.ipv4.ip_forward 1
	update_config '.process.oomScoreAdj = 100 | .process.args = ["true"]'
	call run "$ID"
	victim_safe
}

@test "hostile: /dev is a symlink (CVE-2026-41579)" {
	make_victim
	to_victim /dev /dir
	chmod 777 "$VICTIM/dir"
	VICTIM_STATE=$(victim_state)
	mounted
	victim_safe_inside
	[[ -L $R/dev ]]
}

# The mounts follow the symlink beneath the root: that place is the image's.
victim_safe_inside() {
	equal "$VICTIM_STATE" "$(victim_state)"
	contains "$VICTIM" "$(mount_points)"
}

@test "hostile: /dev is a symlink and not mounted: devices, links and console are made beneath the root" {
	make_victim
	drop_mount /dev
	to_victim /dev /dir
	run_tty 'test -c /dev/null && test -L /dev/fd && echo inside'
	equal inside "$output"
	equal "$VICTIM_STATE" "$(victim_state)"
	[[ -c $R$VICTIM/dir/null ]]
}

@test "hostile: /dev/pts is a symlink" {
	make_victim
	drop_mount /dev
	to_victim /dev/pts /dir
	mounted
	equal "$VICTIM_STATE" "$(victim_state)"
	equal devpts "$(fs_type "$VICTIM/dir")"
}

@test "hostile: /dev/console is a symlink (CVE-2025-52565)" {
	make_victim
	drop_mount /dev
	to_victim /dev/console /file
	not run_tty 'echo ran'
	contains '/dev/console' "$stderr"
	equal "$VICTIM_STATE" "$(victim_state)"
	# Inside the root as well: the target could be a file of /proc.
	ln -sf /etc/passwd "$R/dev/console"
	rm "$T/tty.sock"
	not run_tty 'echo ran'
	contains '/dev/console' "$stderr"
	nothing_left
}

@test "hostile: /dev/console is a directory" {
	drop_mount /dev
	mkdir "$R/dev/console"
	not run_tty 'echo ran'
	contains '/dev/console' "$stderr"
	nothing_left
}

@test "hostile: /dev/pts/ptmx of the image is no multiplexer" {
	make_victim
	drop_mount /dev/pts
	drop_mount /dev
	mkdir "$R/dev/pts"
	to_victim /dev/pts/ptmx /file
	not run_tty 'echo ran'
	contains '/dev/pts' "$stderr"
	victim_safe
	nothing_left
}

@test "hostile: a default device is a symlink" {
	local name
	make_victim
	drop_mount /dev
	for name in null zero full random urandom tty; do
		to_victim "/dev/$name" /file
		fails "/dev/$name: file exists" create "$ID"
		rm "$R/dev/$name"
	done
	victim_safe
	nothing_left
}

@test "hostile: /dev/null is a regular file, masked paths hide nevertheless (CVE-2025-31133)" {
	echo secret >"$R/etc/secret"
	drop_mount /dev
	echo fake >"$R/dev/null"
	mask /etc/secret
	fails '/dev/null: file exists' create "$ID"
	nothing_left
}

@test "hostile: /dev of a volume with a symlink as null, masked paths hide nevertheless (CVE-2025-31133)" {
	make_victim
	ln -s "$VICTIM/file" "$SRC/null"
	echo inside >"$R/etc/inside"
	drop_mount /dev
	drop_mount /dev/pts
	drop_mount /dev/shm
	drop_mount /dev/mqueue
	bind /dev "$SRC"
	mask /etc/inside
	run_script 'cat /etc/inside; stat -c "%F %t %T" /etc/inside; echo x >/etc/inside'
	equal "character special file 1 3" "$output"
	victim_safe
}

@test "hostile: the links of /dev are symlinks to the victim" {
	local name
	make_victim
	drop_mount /dev
	for name in fd stdin stdout stderr core ptmx; do
		to_victim "/dev/$name" /file
	done
	run_script 'readlink /dev/ptmx; cat /proc/self/mountinfo'
	equal pts/ptmx "$(head -1 <<<"$output")"
	victim_safe
}

@test "hostile: /dev/fd and its like are left to the image, not followed" {
	drop_mount /dev
	mkdir "$R/dev/fd"
	run_script 'test -d /dev/fd && ls -A /dev/fd'
	equal "" "$output"
}

# lands_inside DESTINATION: a bind mount there, a directory of the victim for
# the host, lands inside the root.
lands_inside() {
	touch "$SRC/mark"
	bind "$1" "$SRC"
	mounted
	equal "$VICTIM_STATE" "$(victim_state)"
	equal 1 "$(mounts_at "$VICTIM/dir")"
}

@test "hostile: a mount point is an absolute symlink to the host" {
	make_victim
	to_victim /data /dir
	lands_inside /data
}

@test "hostile: a mount point is a relative symlink that climbs out" {
	make_victim
	ln -s "../../../../../../../../../../..$VICTIM/dir" "$R/data"
	lands_inside /data
}

@test "hostile: the parent of a mount point is a symlink to the host" {
	make_victim
	to_victim /data
	lands_inside /data/dir
}

@test "hostile: a mount point is a chain of symlinks to the host" {
	make_victim
	ln -s one "$R/data"
	ln -s /two/.. "$R/one"
	ln -s "../../../..$VICTIM" "$R/two"
	ln -s "$VICTIM" "$R/three"
	lands_inside /three/dir
	tmpfs /data/dir
	mounted
	equal "$VICTIM_STATE" "$(victim_state)"
}

@test "hostile: a missing mount point through a symlink is not made on the host (CVE-2024-45310)" {
	make_victim
	to_victim /data /dir
	tmpfs /data/made/deep
	touch "$SRC/file"
	bind /data/file-made "$SRC/file"
	mounted
	equal "$VICTIM_STATE" "$(victim_state)"
	equal tmpfs "$(fs_type "$VICTIM/dir/made/deep")"
}

@test "hostile: a mount point in a volume is a symlink to the host" {
	make_victim
	ln -s "$VICTIM/dir" "$SRC/data"
	bind /volume "$SRC"
	tmpfs /volume/data/made
	mounted
	equal "$VICTIM_STATE" "$(victim_state)"
}

@test "hostile: a masked path is a symlink to the host" {
	make_victim
	to_victim /hidden /file
	to_victim /hidden-dir /dir
	mask /hidden /hidden-dir
	mounted
	victim_safe
}

@test "hostile: a read-only path is a symlink to the host" {
	make_victim
	to_victim /frozen /dir
	freeze /frozen
	mounted
	victim_safe
	touch "$VICTIM/dir/still-writable"
}

@test "hostile: a mount point leads into /proc by a symlink (CVE-2025-52881)" {
	local where
	touch "$SRC/file"
	for where in /proc/self/attr/exec /proc/sys/kernel/core_pattern /proc/1/root /proc/self/fd/0; do
		ln -sfn "$where" "$R/data"
		bind /data "$SRC/file"
		fails "mounts\[$(row)\] /data: " create "$ID"
		update_config 'del(.mounts[-1])'
	done
	nothing_left
}

@test "hostile: /proc/sys and files in it cannot be covered, sysctls would go elsewhere (CVE-2025-52881)" {
	local where
	make_victim
	sysctl_is net.ipv4.ip_forward 1
	for where in /proc/sys /proc/sys/net /proc/sys/net/ipv4/ip_forward /proc/self/attr /proc/thread-self; do
		bind "$where" "$VICTIM"
		fails "mounts\[$(row)\] $where: " create "$ID"
		update_config 'del(.mounts[-1])'
	done
	victim_safe
	nothing_left
}

@test "hostile: the working directory is a symlink to the host" {
	make_victim
	to_victim /work /dir
	update_config '.process.cwd = "/work/made"'
	run_script '/bin/pwd -P'
	equal "$VICTIM/dir/made" "$output"
	equal "$VICTIM_STATE" "$(victim_state)"
}

@test "hostile: the working directory is a descriptor of the runtime (CVE-2024-21626)" {
	local n
	for n in {3..20}; do
		update_config --arg d "/proc/self/fd/$n" '.process.cwd = $d'
		call run "$ID"
		[[ $status != 0 ]] || {
			echo "descriptor $n"
			show
			false
		}
	done
	nothing_left
}

@test "hostile: the program is a symlink to the runtime (CVE-2019-5736)" {
	update_config '.process.args = ["/proc/self/exe", "--version"]'
	local before
	before=$(sha256sum <"$HAKO")
	call run "$ID"
	equal "$before" "$(sha256sum <"$HAKO")"
	update_config '.process.args = ["sh", "-c", "true"]'
	ln -sf /proc/self/exe "$R/bin/sh"
	call run "$ID"
	equal "$before" "$(sha256sum <"$HAKO")"
}

# exchanging DIRECTORY LINK: until killed, the two change places in turn. $! is
# the process.
exchanging() {
	python3 - "$1" "$2" 3>&- <<-'END' &
		import ctypes, os, sys
		libc = ctypes.CDLL(None, use_errno=True)
		a, b = (p.encode() for p in sys.argv[1:])
		while os.path.isdir(os.path.dirname(a)):
		    libc.renameat2(-100, a, -100, b, 2)  # RENAME_EXCHANGE
	END
}

# race COUNT SCRIPT: containers run it while the volume's point is exchanged
# for a symlink to the victim. Each runs as if nothing were, or is an error.
race() {
	local n racer bad=0
	mkdir "$SRC/point"
	ln -s "$VICTIM/dir" "$SRC/link"
	exchanging "$SRC/point" "$SRC/link"
	racer=$!
	update_config --arg text "$2" '.process.args = ["sh", "-c", $text]'
	for ((n = 0; n < $1 && !bad; n++)); do
		call run "$ID"
		[[ $status != 99 ]] && equal "$VICTIM_STATE" "$(victim_state)" && not grep -F secret <<<"$output$stderr" || bad=1
	done
	kill "$racer"
	wait "$racer" || true
	((!bad)) || show
	return $bad
}

@test "hostile: a mount point exchanged for a symlink during the start (CVE-2021-30465)" {
	make_victim
	bind /volume "$SRC"
	tmpfs /volume/point
	race 40 'cat /volume/point/file /volume/link/file 2>/dev/null; true'
	nothing_left
}

@test "hostile: the parent of a mount point exchanged for a symlink during the start (CVE-2024-45310)" {
	make_victim
	bind /volume "$SRC"
	tmpfs /volume/point/made/deep
	race 40 'cat /volume/point/file /volume/link/file 2>/dev/null; true'
	nothing_left
}

@test "hostile: a masked path exchanged for a symlink during the start (CVE-2025-31133)" {
	make_victim
	bind /volume "$SRC"
	mask /volume/point
	freeze /volume/link
	race 40 'cat /volume/point/file /volume/link/file 2>/dev/null; true'
	nothing_left
}

@test "hostile: a root file system that is a symlink to the host's is what the config says, nothing more" {
	make_victim
	mkdir "$VICTIM/root"
	VICTIM_STATE=$(victim_state)
	update_config --arg p "$VICTIM/root" '.root.path = $p | .root.readonly = true'
	# An empty folder: nothing to execute there.
	call create "$ID"
	not equal 0 "$status"
	not exists "$VICTIM/root/bin"
	nothing_left
}
