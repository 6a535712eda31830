# For tests of update.
# shellcheck shell=bash
# shellcheck disable=SC2154 # variables of the helpers

# updated CONTROLLER FLAG…: update the container, which runs; where the
# controller is missing, prove that the error says so.
updated() {
	C=$1
	shift
	if present "$C"; then
		ok update "$@" "$ID"
		return
	fi
	local name=$C
	[[ $name != io ]] || name='(io|blkio)'
	fails "linux\\.resources\\.[a-zA-Z]+: .*(no hierarchy of the|the kernel has no) $name controller" update "$@" "$ID"
	equal null "$(saved)"
}

# update_by OBJECT: through standard input, as engines do.
update_by() {
	status=0
	hako update --resources - "$ID" <<<"$1" >"$T/update.out" 2>"$T/update.err" || status=$?
	output=$(<"$T/update.out")
	stderr=$(<"$T/update.err")
	[[ $status == 0 && -z $output$stderr ]] || {
		show
		return 1
	}
}

# saved: the limits in the record.
saved() { jq -c .plan.cgroup.limits "$ROOT/$ID/state.json"; }

# unchanged COMMAND…: and the record is as before.
unchanged() {
	local before
	before=$(sha256sum "$ROOT/$ID/state.json")
	"$@"
	equal "$before" "$(sha256sum "$ROOT/$ID/state.json")"
}
