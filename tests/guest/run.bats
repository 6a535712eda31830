# What tests/guest/run promises to its callers.

bats_require_minimum_version 1.5.0

setup() {
	mkdir "$BATS_TEST_TMPDIR/tmp"
	RUN=(env "TMPDIR=$BATS_TEST_TMPDIR/tmp" "$BATS_TEST_DIRNAME/run")
	CHECKOUT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
}

# left: what a run left behind: files, and processes that work there.
left() {
	ls -A "$BATS_TEST_TMPDIR/tmp"
	find /proc/[0-9]*/cwd -maxdepth 0 -lname "$BATS_TEST_TMPDIR/tmp*" 2>/dev/null || :
}

nothing_is_left() { [[ -z $(left) ]] || { left && false; }; }

@test "guest: words, streams and the exit status come through" {
	cd "$CHECKOUT/tests/testdata"
	# shellcheck disable=SC2016 # the guest's
	run --separate-stderr "${RUN[@]}" sh -c 'pwd; echo "$1|$2"; echo err >/dev/stderr; exit 7' sh 'two  words' "it's \$1"
	[[ $status == 7 ]]
	[[ $output == "$PWD"$'\n'"two  words|it's \$1" ]]
	# shellcheck disable=SC2154 # set by run
	[[ $stderr == err ]]
	nothing_is_left
}

@test "guest: all of a long output comes through" {
	[[ $("${RUN[@]}" seq 200000 | sha256sum) == $(seq 200000 | sha256sum) ]]
	nothing_is_left
}

@test "guest: the checkout can be read and changed, and keeps nothing of it" {
	run "${RUN[@]}" sh -ec "cd '$CHECKOUT'; sha256sum <go.mod; echo changed >go.mod; cat go.mod; : >new; ls new"
	[[ $status == 0 && $output == "$(sha256sum <"$CHECKOUT/go.mod")"$'\nchanged\nnew' ]]
	[[ ! -e $CHECKOUT/new && $(head -n 1 "$CHECKOUT/go.mod") == module* ]]
}

@test "guest: two at a time, one as root, one as the user" {
	"${RUN[@]}" id -un >"$BATS_TEST_TMPDIR/root" &
	"${RUN[@]}" -u id -un >"$BATS_TEST_TMPDIR/user"
	wait
	[[ $(<"$BATS_TEST_TMPDIR/root") == root && $(<"$BATS_TEST_TMPDIR/user") == tester ]]
	nothing_is_left
}

@test "guest: a process that the command leaves keeps nobody waiting" {
	run "${RUN[@]}" -t 60 sh -c 'sleep 100000 & echo started'
	[[ $status == 0 && $output == started ]]
}

@test "guest: the time limit ends it, and nothing is left" {
	run "${RUN[@]}" -t 2 sh -c 'echo started; sleep 100000'
	[[ $status == 124 && $output == *"not done after 2 s"* ]]
	nothing_is_left
}

@test "guest: what runs at the time limit is told" {
	run "${RUN[@]}" -t 2 sh -c 'sleep 4711'
	[[ $status == 124 && $output == *" sleep 4711"* ]]
}

@test "guest: one that is silent and answers is waited for" {
	GUEST_SILENCE=1 run "${RUN[@]}" sh -c 'sleep 8; echo done'
	[[ $status == 0 && $output == "done" ]]
}

@test "guest: one whose kernel stands still has failed, with its console, and nothing is left" {
	GUEST_SILENCE=2 run "${RUN[@]}" sh -c 'echo c >/proc/sysrq-trigger'
	[[ $status == 125 && $output == *"Kernel panic"*"guest: it is stuck" ]]
	nothing_is_left
}

@test "guest: a signal ends it, and nothing is left" {
	local pid
	"${RUN[@]}" sh -c 'echo started; sleep 100000' >"$BATS_TEST_TMPDIR/out" 3>&- &
	pid=$!
	until [[ -s $BATS_TEST_TMPDIR/out ]]; do
		kill -0 "$pid"
		sleep 0.1
	done
	kill -TERM "$pid"
	status=0
	wait "$pid" || status=$?
	[[ $status == 143 ]]
	nothing_is_left
}
