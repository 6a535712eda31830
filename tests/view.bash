# For tests/run-bats and tests/guest/suite: bats in one view of what a machine may
# be. The caller is in the checkout's root and sets files. Environment: JOBS,
# BATS_TIMEOUT.
# shellcheck shell=bash
# shellcheck disable=SC2154 # files is the caller's
out=.cache/test
mkdir -p $out
# A test that hangs must not cost the run: a view has so much time. (Bats' own
# BATS_TEST_TIMEOUT is a child of the test, for which a bare `wait` waits too.)
limit=${BATS_TIMEOUT:-20m}
within=(timeout -k 30 "$limit")
jobs=()
[[ ${JOBS:-1} == 1 ]] || jobs=(--jobs "$JOBS")

# to_results VIEW <TAP: "pass|fail|skip TAB VIEW TAB NAME TAB REASON".
to_results() {
	awk -v view="$1" -v OFS='\t' '
		/^(not )?ok [0-9]+ / {
			end = /^not/ ? "fail" : "pass"; reason = ""
			sub(/^(not )?ok [0-9]+ /, "")
			if (i = match($0, / # skip( |$)/)) {
				if (end == "pass") end = "skip"
				reason = substr($0, i + 8); $0 = substr($0, 1, i - 1)
			}
			sub(/ in [0-9]+ms$/, ""); sub(/ in [0-9]+ sec$/, "")
			print end, view, $0, reason
		}'
}

# run_view VIEW [WRAPPER…]: the files in that view.
run_view() {
	local view=$1 rc planned
	shift
	echo "bats in the $view view"
	"${within[@]}" "$@" env HAKO_VIEW="$view" bats --timing --formatter tap "${jobs[@]}" "${files[@]}" \
		</dev/null 2>&1 | tee "$out/bats-$view.tap"
	rc=${PIPESTATUS[0]}
	to_results "$view" <"$out/bats-$view.tap" >"$out/bats-$view.tsv"
	# Tests without a result: bats itself failed, or ran out of time.
	planned=$(sed -n 's/^1\.\.//p' "$out/bats-$view.tap")
	if (($(wc -l <"$out/bats-$view.tsv") != ${planned:--1})); then
		printf 'fail\t%s\tbats\t%s tests planned; exit status %d (124: not done after %s)\n' \
			"$view" "${planned:-no}" "$rc" "$limit" | tee -a "$out/bats-$view.tsv"
		((rc)) || rc=1
	fi
	return "$rc"
}
