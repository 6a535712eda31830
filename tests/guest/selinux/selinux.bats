# SELinux: process.selinuxLabel, linux.mountLabel and exec --process-label, under
# Debian's policy. The guest boots permissive; these tests turn enforcing on.

# shellcheck disable=SC2016 # $names are jq's
load ../../helpers

LABEL=system_u:system_r:container_t:s0:c1,c2
FILES=system_u:object_r:container_file_t:s0:c1,c2
OTHERS=system_u:object_r:container_file_t:s0:c3,c4

setup_file() {
	make_rootfs
	echo "for all" >"$FILE_DIR/rootfs/public"
	echo "of another container" >"$FILE_DIR/rootfs/foreign"
	echo "of the host" >"$FILE_DIR/rootfs/secret"
	chcon -R $FILES "$FILE_DIR/rootfs"
	chcon $OTHERS "$FILE_DIR/rootfs/foreign"
	chcon system_u:object_r:shadow_t:s0 "$FILE_DIR/rootfs/secret"
	setenforce 1
}

teardown_file() {
	setenforce 0
	remove_rootfs
}

setup() {
	make_bundle
	update_config --arg label $LABEL --arg files $FILES '.process.selinuxLabel = $label | .linux.mountLabel = $files'
}

teardown() { clean_up; }

# label_of PATH: as the kernel has it.
label_of() { stat --format %C "$1"; }

# LOOK leaves in /tmp/out the label, and what of the files can be read: standard
# output is a file of the host's.
LOOK='{ tr -d "\0" </proc/self/attr/current; echo; cat /public /foreign /secret; } >/tmp/out 2>&1'
SEEN="
for all
cat: can't open '/foreign': Permission denied
cat: can't open '/secret': Permission denied"

seen() { cat "$BUNDLE/rootfs/tmp/out"; }

@test "selinuxLabel: the guest enforces its policy" {
	equal Enforcing "$(getenforce)"
	equal true "$(hako features | jq .linux.selinux.enabled)"
}

@test "selinuxLabel: confines the container's program, with and without noNewPrivileges" {
	local no_new_privs
	for no_new_privs in true false; do
		update_config --argjson nnp $no_new_privs '.process.noNewPrivileges = $nnp'
		sh_script "$LOOK"
		call run "$ID"
		equal "$LABEL$SEEN" "$(seen)"
		rm "$BUNDLE/rootfs/tmp/out"
	done
}

@test "selinuxLabel: exec has the container's, or the one of --process-label" {
	start_container
	equal $LABEL "$(tr -d '\0' <"/proc/$(field "$ID" .pid)/attr/current")"
	call exec "$ID" sh -c "$LOOK"
	equal "$LABEL$SEEN" "$(seen)"
	rm "$BUNDLE/rootfs/tmp/out"
	# Without categories of its own it may not even execute the container's shell.
	call exec --process-label system_u:system_r:container_t:s0:c3,c4 "$ID" sh -c "$LOOK"
	differ 0 "$status"
	not exists "$BUNDLE/rootfs/tmp/out"
	call exec --process-label system_u:system_r:container_t:s0:c1,c2,c3,c4 "$ID" sh -c "$LOOK"
	contains '^system_u:system_r:container_t:s0:c1.c4' "$(seen)"
	contains 'of another container' "$(seen)"
}

@test "selinuxLabel: one that the policy lacks is refused before there is anything of the container" {
	update_config '.process.selinuxLabel = "system_u:system_r:no_such_t:s0"'
	fails 'process.selinuxLabel: selinux label system_u:system_r:no_such_t:s0 is not in the policy' create "$ID"
	nothing_left
	update_config --arg label $LABEL '.process.selinuxLabel = $label | .linux.mountLabel = "no label"'
	fails 'linux.mountLabel: selinux label no label is not in the policy' create "$ID"
	nothing_left
}

@test "selinuxLabel: one of exec that the policy lacks is refused, and the container runs on" {
	start_container
	fails_with 255 'selinux label no:such:label is not in the policy' exec --process-label no:such:label "$ID" true
	has_status "$ID" running
}

@test "mountLabel: the container's own file systems have it" {
	start_container
	local root dir
	root=/proc/$(field "$ID" .pid)/root
	for dir in /dev /dev/shm /dev/pts /dev/mqueue; do
		equal $FILES "$(label_of "$root$dir")"
	done
	# procfs and sysfs label themselves.
	contains ':proc_t:' "$(label_of "$root/proc")"
	contains ':sysfs_t:' "$(label_of "$root/sys")"
	call exec "$ID" sh -c 'echo written >/dev/shm/file && cat /dev/shm/file >/tmp/out'
	equal written "$(seen)"
}

@test "selinuxLabel: hooks of the host are not confined, those in the container are" {
	hook createContainer <<-HOOK
		cat /proc/self/attr/current >"$T/createContainer"
	HOOK
	add_hook createContainer '{"path": "'"$T/hooks/createContainer"'"}'
	add_hook startContainer '{"path": "/bin/sh", "args": ["sh", "-c", "cat /proc/self/attr/current >/tmp/startContainer"]}'
	start_container
	equal "$(tr -d '\0' </proc/self/attr/current)" "$(tr -d '\0' <"$T/createContainer")"
	equal $LABEL "$(tr -d '\0' <"$BUNDLE/rootfs/tmp/startContainer")"
}
