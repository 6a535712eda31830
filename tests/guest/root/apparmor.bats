# AppArmor: process.apparmorProfile and exec --apparmor, enforced by a kernel that
# has it. apparmor(7).

# shellcheck disable=SC2016 # $names are jq's
load ../../helpers

setup_file() {
	make_rootfs
	echo "for some" >"$FILE_DIR/rootfs/secret"
	echo "for all" >"$FILE_DIR/rootfs/public"
	apparmor_parser --skip-cache --replace <<-'PROFILES'
		profile hako-test flags=(attach_disconnected, mediate_deleted) {
			file, capability, network, mount, umount, signal, ptrace, unix, dbus,
			deny /secret r,
		}
		profile hako-test-other flags=(attach_disconnected, mediate_deleted) {
			file, capability, network, mount, umount, signal, ptrace, unix, dbus,
			deny /public r,
		}
	PROFILES
}

teardown_file() {
	local profile
	for profile in hako-test hako-test-other; do
		echo -n $profile >/sys/kernel/security/apparmor/.remove
	done
	remove_rootfs
}

setup() { make_bundle; }
teardown() { clean_up; }

profile_of() { cat "/proc/$1/attr/apparmor/current"; }

# SHOW prints the profile, and what of the two files can be read.
SHOW='cat /proc/self/attr/apparmor/current; cat /secret /public 2>&1 || true'
CONFINED='hako-test (enforce)
cat: can'\''t open '\''/secret'\'': Permission denied
for all'
OTHER='hako-test-other (enforce)
for some
cat: can'\''t open '\''/public'\'': Permission denied'
FREE='unconfined
for some
for all'

@test "apparmorProfile: confines the container's program, also with noNewPrivileges" {
	local no_new_privs
	for no_new_privs in true false; do
		update_config --argjson nnp $no_new_privs '.process.noNewPrivileges = $nnp |
			.process.apparmorProfile = "hako-test" | .process.args = ["sh", "-c", $show]' --arg show "$SHOW"
		ok run "$ID"
		equal "$CONFINED" "$output"
	done
}

@test "apparmorProfile: confines it in a user namespace, as another user" {
	set_args sh -c "$SHOW"
	chown -R 100000:100000 "$BUNDLE/rootfs"
	chmod 755 "$FILE_DIR" "$T"
	update_config '.process.apparmorProfile = "hako-test" | .process.user = {uid: 7, gid: 7} |
		.linux.namespaces += [{type: "user"}] |
		.linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings'
	ok run "$ID"
	equal "$CONFINED" "$output"
}

@test "apparmorProfile: exec has the container's, or the one of --apparmor" {
	start_container '.process.apparmorProfile = "hako-test"'
	equal "hako-test (enforce)" "$(profile_of "$(field "$ID" .pid)")"
	ok exec "$ID" sh -c "$SHOW"
	equal "$CONFINED" "$output"
	ok exec --apparmor hako-test-other "$ID" sh -c "$SHOW"
	equal "$OTHER" "$output"
	ok exec --apparmor hako-test-other --no-new-privs "$ID" sh -c "$SHOW"
	equal "$OTHER" "$output"
	ok exec --apparmor unconfined "$ID" sh -c "$SHOW"
	equal "$FREE" "$output"
}

@test "apparmorProfile: none and unconfined confine nothing" {
	local filter
	for filter in 'del(.process.apparmorProfile)' '.process.apparmorProfile = "unconfined"'; do
		update_config --arg show "$SHOW" "$filter"' | .process.args = ["sh", "-c", $show]'
		ok run "$ID"
		equal "$FREE" "$output"
	done
}

@test "apparmorProfile: one of exec's process.json" {
	start_container
	jq --arg show "$SHOW" '.process | .apparmorProfile = "hako-test" | .args = ["sh", "-c", $show]' \
		"$BUNDLE/config.json" >"$T/process.json"
	ok exec --process "$T/process.json" "$ID"
	equal "$CONFINED" "$output"
}

@test "apparmorProfile: a missing one is refused before there is anything of the container" {
	hook trace <<-HOOK
		echo called >>"$T/called"
	HOOK
	add_hook prestart '{"path": "'"$T/hooks/trace"'"}'
	add_hook createRuntime '{"path": "'"$T/hooks/trace"'"}'
	update_config '.process.apparmorProfile = "hako-test-missing"'
	fails 'process.apparmorProfile: apparmor profile hako-test-missing is not loaded' create "$ID"
	nothing_left
	not exists "$T/called"
}

@test "apparmorProfile: a missing one of exec is refused, and the container runs on" {
	start_container '.process.apparmorProfile = "hako-test"'
	local before
	before=$(processes)
	fails_with 255 'apparmor profile hako-test-missing is not loaded' exec --apparmor hako-test-missing "$ID" true
	equal "$before" "$(processes)"
	has_status "$ID" running
}

@test "apparmorProfile: hooks of the host are not confined, those in the container are" {
	local point
	for point in createRuntime createContainer; do
		hook $point <<-HOOK
			cat /proc/self/attr/apparmor/current >"$T/$point"
		HOOK
		add_hook $point '{"path": "'"$T/hooks/$point"'"}'
	done
	add_hook startContainer '{"path": "/bin/sh", "args": ["sh", "-c", "cat /proc/self/attr/apparmor/current >/tmp/startContainer"]}'
	start_container '.process.apparmorProfile = "hako-test"'
	equal unconfined "$(<"$T/createRuntime")"
	equal unconfined "$(<"$T/createContainer")"
	equal "hako-test (enforce)" "$(<"$BUNDLE/rootfs/tmp/startContainer")"
}

@test "features: AppArmor" {
	equal true "$(hako features | jq .linux.apparmor.enabled)"
}
