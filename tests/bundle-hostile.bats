# Images that attack whoever unpacks them (tests/mkhostile). Whatever they try,
# nothing outside changes; what is refused leaves nothing behind.

setup_file() {
	export BUNDLE=${BUNDLE:-$BATS_TEST_DIRNAME/../bin/bundle}
	export HOSTILE=$BATS_FILE_TMPDIR/hostile
	cd "$BATS_TEST_DIRNAME/.." || return
	CGO_ENABLED=0 go build -o "$BATS_FILE_TMPDIR/mkhostile" ./tests/mkhostile
	"$BATS_FILE_TMPDIR/mkhostile" "$HOSTILE" >"$BATS_FILE_TMPDIR/cases"
}

teardown_file() {
	rm -rf /tmp/hako-hostile-victim
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	local victim
	for victim in victim /tmp/hako-hostile-victim; do
		mkdir -p "$victim"
		chmod 711 "$victim"
		echo mine >"$victim/file"
		chmod 600 "$victim/file"
	done
}

# unharmed: the victims are as they were.
unharmed() {
	local victim
	for victim in victim /tmp/hako-hostile-victim; do
		[[ $(stat -c '%a %u %g %h' "$victim/file") == "600 0 0 1" && $(cat "$victim/file") == mine &&
			$(stat -c %a "$victim") == 711 && $(ls -A "$victim") == file ]] || {
			echo "$victim was changed by $name"
			return 1
		}
	done
}

# attack NAME EXPECTATION TEXT FLAG...: unpack one, as far as it lets itself.
attack() {
	local name=$1 expectation=$2 text=$3
	shift 3
	rm -rf b
	run timeout 60 "$BUNDLE" unpack --max-entries 10000 --max-bytes $((200 << 20)) "$@" --image "$HOSTILE/$name" b
	unharmed
	if [[ $expectation == inside ]]; then
		[[ $status -eq 0 && -f b/config.json ]] || {
			echo "$name: exit status $status: $output"
			return 1
		}
		return
	fi
	[[ $status -eq 1 && ${#lines[@]} -eq 1 && $output == *"$text"* && ! -e b ]] || {
		echo "$name: exit status $status, ${#lines[@]} lines, want \"$text\": $output; left: $(ls -A b 2>&1)"
		return 1
	}
}

@test "no hostile image changes anything outside, and a refused one leaves nothing" {
	local failed=0 name expectation text
	while IFS=$'\t' read -r name expectation text; do
		attack "$name" "$expectation" "$text" || failed=1
	done <"$BATS_FILE_TMPDIR/cases"
	[[ $failed == 0 ]]
	[[ $(wc -l <"$BATS_FILE_TMPDIR/cases") -ge 70 ]]
}

@test "the same with --keep-dirlinks, --rootless and mapped ids" {
	local failed=0 name expectation text
	while IFS=$'\t' read -r name expectation text; do
		case $name in
		bomb | many-entries | huge-config | nested-wide) continue ;; # the same for all
		esac
		attack "$name" "$expectation" "$text" --keep-dirlinks || failed=1
		attack "$name" "$expectation" "$text" --rootless || failed=1
		attack "$name" "$expectation" "$text" --uid-map 0:0:65536 --gid-map 0:0:65536 || failed=1
	done <"$BATS_FILE_TMPDIR/cases"
	[[ $failed == 0 ]]
}

@test "hostile images do no harm to diff, stat, log, gc and list" {
	local name command
	while IFS=$'\t' read -r name _; do
		case $name in
		bomb | many-entries | huge-config) continue ;;
		esac
		for command in "stat --image $HOSTILE/$name" "stat --json --image $HOSTILE/$name" "log $HOSTILE/$name" \
			"list --layout $HOSTILE/$name" "diff $HOSTILE/$name $HOSTILE/$name"; do
			# shellcheck disable=SC2086 # words
			run timeout 60 "$BUNDLE" $command
			[[ $status -le 1 && $output != *$'\e'* && $output != *panic* ]] || {
				echo "$command: exit status $status: $output"
				return 1
			}
		done
		cp -a "$HOSTILE/$name" copy
		run timeout 60 "$BUNDLE" gc --layout copy
		[[ $status -le 1 ]]
		rm -rf copy
	done <"$BATS_FILE_TMPDIR/cases"
	name=all
	unharmed
}

@test "an image's memory is bounded: a bomb of 300 MB takes no 100 MiB" {
	run /usr/bin/env time -f %M "$BUNDLE" unpack --max-bytes $((1 << 30)) --image "$HOSTILE/bomb" b
	[[ $status -eq 0 && ${lines[-1]} -lt 102400 ]] || {
		echo "exit status $status, ${lines[-1]} KB"
		return 1
	}
	[[ $(stat -c %s b/rootfs/zeros) -eq $((300 << 20)) ]]
	# Zeros are holes.
	[[ $(stat -c %b b/rootfs/zeros) -lt 2048 ]]
}
