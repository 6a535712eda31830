# SELinux: process.selinuxLabel, linux.mountLabel and exec --process-label, under
# Debian's policy. The guest is permissive, so these tests look at the labels that
# the kernel would decide by.
#
# Seen when it was enforcing: systemd-tmpfiles was denied /var/lib/containers, the
# boot was "degraded", and initrc_t, as which the tests run, could not read the
# checkout from 9p. Not verified: whether these are all that is in the way,
# whether rules for them, or a copy of the checkout, would be enough, and so how
# containers fare when the policy is enforced.

# shellcheck disable=SC2016 # $names are jq's
load ../../helpers

LABEL=system_u:system_r:container_t:s0:c1,c2
FILES=system_u:object_r:container_file_t:s0:c1,c2
OTHER=system_u:system_r:container_t:s0:c3,c4

setup_file() {
	make_rootfs
	chcon -R $FILES "$FILE_DIR/rootfs"
}

teardown_file() { remove_rootfs; }

setup() {
	make_bundle
	update_config --arg label $LABEL --arg files $FILES '.process.selinuxLabel = $label | .linux.mountLabel = $files'
}

teardown() { clean_up; }

# label_of PATH: as the kernel has it.
label_of() { stat --format %C "$1"; }

# label_of_process PID
label_of_process() { tr -d '\0' <"/proc/$1/attr/current"; }

# SHOW prints the process's own label.
SHOW="tr -d '\\0' </proc/self/attr/current"

@test "selinuxLabel: the guest has SELinux, and features tells" {
	equal Permissive "$(getenforce)"
	equal true "$(hako features | jq .linux.selinux.enabled)"
}

@test "selinuxLabel: is the container's program's, with and without noNewPrivileges" {
	local no_new_privs
	for no_new_privs in true false; do
		update_config --argjson nnp $no_new_privs '.process.noNewPrivileges = $nnp'
		sh_script "$SHOW"
		ok run "$ID"
		equal $LABEL "$output"
	done
}

@test "selinuxLabel: without one the policy decides" {
	update_config 'del(.process.selinuxLabel)'
	sh_script "$SHOW"
	ok run "$ID"
	differ $LABEL "$output"
}

@test "selinuxLabel: exec has the container's, or the one of --process-label" {
	start_container
	equal $LABEL "$(label_of_process "$(field "$ID" .pid)")"
	ok exec "$ID" sh -c "$SHOW"
	equal $LABEL "$output"
	ok exec --process-label $OTHER "$ID" sh -c "$SHOW"
	equal $OTHER "$output"
	ok exec --process-label $OTHER --no-new-privs --user 7:7 "$ID" sh -c "$SHOW"
	equal $OTHER "$output"
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
	ok exec "$ID" touch /dev/shm/file
	equal $FILES "$(label_of "$root/dev/shm/file")"
}

@test "selinuxLabel: hooks of the host are not confined, those in the container are" {
	hook createContainer <<-HOOK
		cat /proc/self/attr/current >"$T/createContainer"
	HOOK
	add_hook createContainer '{"path": "'"$T/hooks/createContainer"'"}'
	add_hook startContainer '{"path": "/bin/sh", "args": ["sh", "-c", "cat /proc/self/attr/current >/tmp/startContainer"]}'
	start_container
	equal "$(label_of_process self)" "$(tr -d '\0' <"$T/createContainer")"
	equal $LABEL "$(tr -d '\0' <"$BUNDLE/rootfs/tmp/startContainer")"
}
