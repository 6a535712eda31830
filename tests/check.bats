#!/usr/bin/env bats
# hako check: what is wrong or weak in a bundle; hako-check(8).
# shellcheck disable=SC2016,SC2154 # $names are jq's; the helpers assign

load helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() { make_bundle; }
teardown() { clean_up; }

@test "check: text, a finding a line, and the sum; warnings are no failure" {
	update_config '.process.noNewPrivileges = false'
	ok check
	contains 'warning: process.noNewPrivileges: setuid programs .* \(new-privileges, config.md#linux-process\)' "$output"
	contains $'\n0 errors, [0-9]+ warnings$' "$output"
}

@test "check --format json: keys, and exit status 1 on errors" {
	update_config '.process.args = ["/missing"] | .process.capabilities.bounding += ["CAP_SYS_ADMIN"] | .mounts += [{destination: "/x", type: "foo", source: "/etc", options: ["bind"]}]'
	call check --format json
	equal 1 "$status"
	equal "$BUNDLE" "$(jq -r .bundle <<<"$output")"
	equal '["id","level","message","path","section"]' "$(jq -c '.findings[0] | keys' <<<"$output")"
	equal "error no-program process.args[0]" "$(jq -r '.findings[0] | [.level, .id, .path] | join(" ")' <<<"$output")"
	jq -e '[.findings[].id] | contains(["admin-without-user-namespace", "host-path"])' <<<"$output" >/dev/null
}

@test "check: what it calls an error, create refuses, and the other way round" {
	local change
	for change in . '.process.args = ["/missing"]' '.process.args = ["missing"]' '.root.path = "none"' '.linux.namespaces[0].path = "/none"' \
		'.mounts += [{destination: "/x", source: "/none", options: ["bind"]}]' '.process.cwd = "x"' '.hostname = ("x" * 65)' \
		'.hooks.createRuntime = [{path: "/none"}]' '.linux.sysctl = {"kernel.core_pattern": "x"}' '.process.apparmorProfile = "none"' '.ociVersion = "9.0.0"'; do
		jq "$change" "$FILE_DIR/config.json" | jq --arg c "/$MARK" '.process.terminal = false | .linux.cgroupsPath = $c' >"$BUNDLE/config.json"
		call check
		local checked=$status found=$output
		call create "$ID"
		equal "$checked" "$status" || { echo "$change"; echo "$found"; show; false; }
		ok delete --force "$ID"
	done
}

@test "check: the bundle is an argument, --bundle, or the current directory; nothing is made" {
	local before
	before=$(find "$T" | sort)
	cd /
	ok check "$BUNDLE"
	ok check --bundle "$BUNDLE"
	fails 'given twice' check --bundle "$BUNDLE" "$BUNDLE"
	fails 'must be text or json' check --format xml "$BUNDLE"
	call check "$T"
	equal 1 "$status"
	contains 'error: .*config.json: no such file or directory \(unreadable-config\)' "$output"
	rm "$T"/call.*
	equal "$before" "$(find "$T" | sort)"
}
