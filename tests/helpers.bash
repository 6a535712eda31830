# Common to tests/*.bats: a fresh bundle, state root and cgroup per test, and
# the proof afterwards that nothing of them is left.
#
# Environment: HAKO, the binary to test; HAKO_TEST_PATIENCE, seconds until a
# condition that is waited for counts as never met.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2016 # variables are for the tests; $names are jq's

status='' output='' stderr='' out_file='' err_file=''
TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
HAKO=${HAKO:-${TESTS%/*}/bin/hako}
TESTDATA=$TESTS/testdata

# make_rootfs: once per file, in $FILE_DIR on a tmpfs.
make_rootfs() {
	((EUID == 0)) || skip "root is needed"
	local base=${HAKO_TMP:-/dev/shm}
	FILE_DIR=$(mktemp -d "$base/hako-bats.XXXXXX")
	chmod 755 "$FILE_DIR"
	export FILE_DIR
	mkdir -p "$FILE_DIR"/rootfs/{bin,dev,etc,proc,root,sys,tmp,home/user}
	cp "$(command -v busybox)" "$FILE_DIR/rootfs/bin/busybox"
	chroot "$FILE_DIR/rootfs" /bin/busybox --install -s /bin
	printf '%s\n' root:x:0:0:root:/root:/bin/sh user:x:1000:1000::/home/user:/bin/sh \
		>"$FILE_DIR/rootfs/etc/passwd"
	(cd "$FILE_DIR" && "$HAKO" spec)
}

remove_rootfs() { rm -rf "${FILE_DIR:?}"; }

# make_bundle: $T is the test's folder; $BUNDLE, $ROOT and $ID are in it. The
# container sleeps, and each of its processes carries $MARK in the environment.
make_bundle() {
	T=$(mktemp -d "$FILE_DIR/t.XXXXXX")
	chmod 755 "$T"
	BUNDLE=$T/bundle ROOT=$T/state
	MARK=hb-${FILE_DIR##*.}-${T##*.}
	ID=$MARK
	CALLS=0 # of call
	mkdir -p "$BUNDLE" "$T/hooks"
	cp -a "$FILE_DIR/rootfs" "$BUNDLE/rootfs"
	cp "$FILE_DIR/config.json" "$BUNDLE/config.json"
	update_config --arg mark "$MARK" '
		.process.terminal = false | .process.args = ["sleep", "100000"] |
		.process.env += ["MARK=" + $mark] | .root.readonly = false |
		.linux.cgroupsPath = "/" + $mark'
	cd "$BUNDLE" || return
}

# update_config JQ-ARGUMENTS: change config.json.
update_config() {
	jq "$@" <"$BUNDLE/config.json" >"$BUNDLE/config.json.new" &&
		mv "$BUNDLE/config.json.new" "$BUNDLE/config.json"
}

# set_args ARG…: what the container executes.
set_args() {
	local arg
	update_config --argjson args "$(for arg; do jq -n --arg arg "$arg" '$arg'; done | jq -s .)" '.process.args = $args'
}

# sh_script TEXT: the container executes it by its shell.
sh_script() { set_args sh -c "$1"; }

# hako ARG…: as a user calls it, with the test's --root. Descriptor 3 is bats'.
hako() { "$HAKO" --root "$ROOT" "$@" 3>&-; }

# call ARG…: hako, through files and not pipes, because a container keeps its
# standard streams open. Sets status, output, stderr; out_file is the file.
call() {
	CALLS=$((CALLS + 1))
	out_file=$T/call.$CALLS.out
	err_file=$T/call.$CALLS.err
	status=0
	hako "$@" </dev/null >"$out_file" 2>"$err_file" || status=$?
	output=$(<"$out_file")
	stderr=$(<"$err_file")
}

show() {
	printf 'status %s\n--- stdout\n%s\n--- stderr\n%s\n' "$status" "$output" "$stderr"
}

# ok ARG…: call that has to succeed, without a word on standard error.
ok() {
	call "$@"
	[[ $status == 0 && -z $stderr ]] || {
		echo "hako $*"
		show
		return 1
	}
}

# fails TEXT ARG…: call that has to exit with 1 and one line with TEXT (a
# regular expression) on standard error.
fails() { fails_with 1 "$@"; }

fails_with() {
	local want=$1 text=$2
	shift 2
	call "$@"
	[[ $status == "$want" && $stderr != *$'\n'* && $stderr =~ $text ]] || {
		echo "hako $*: want status $want and one line with: $text"
		show
		return 1
	}
}

# equal WANT GOT
equal() {
	[[ $1 == "$2" ]] || {
		printf 'want: %s\n got: %s\n' "$1" "$2"
		return 1
	}
}

differ() {
	[[ $1 != "$2" ]] || {
		printf 'both are: %s\n' "$1"
		return 1
	}
}

# contains TEXT GOT: TEXT is a regular expression.
contains() {
	[[ $2 =~ $1 ]] || {
		printf 'want: %s\n  in: %s\n' "$1" "$2"
		return 1
	}
}

# not COMMAND…: ! alone does not fail a test.
not() {
	! "$@" || {
		echo "succeeded: $*"
		return 1
	}
}

# eventually COMMAND…: wait until it succeeds. Half a minute means never.
eventually() {
	local n
	for ((n = 0; n < ${HAKO_TEST_PATIENCE:-30} * 50; n++)); do
		! "$@" || return 0
		sleep 0.02
	done
	echo "never: $*"
	return 1
}

# field ID JQ-FILTER: of the state.
field() { hako state "$1" | jq -r "$2"; }

status_is() { [[ $(field "$1" .status 2>/dev/null) == "$2" ]]; }
has_status() { equal "$2" "$(field "$1" .status)"; }
exists() { [[ -e $1 ]]; }
filled() { [[ -s $1 ]]; }
gone() { [[ ! -e /proc/$1 ]] || [[ $(proc_state "$1") == [ZX]* ]]; }
proc_state() { sed -n 's/^State:\t//p' "/proc/$1/status" 2>/dev/null; }

# start_container [JQ-FILTER]: create and start $ID; the program is sleeping.
start_container() {
	[[ $# == 0 ]] || update_config "$1"
	ok create "$ID"
	ok start "$ID"
}

# hook NAME: a script from standard input, as a hook of the host.
hook() {
	{
		echo '#!/bin/bash'
		cat
	} >"$T/hooks/$1"
	chmod 755 "$T/hooks/$1"
}

# add_hook POINT JSON-OBJECT
add_hook() { update_config --arg point "$1" --argjson hook "$2" '.hooks[$point] += [$hook]'; }

# cgroup_dirs: the test's cgroups in all hierarchies. process_api is not ours.
cgroup_dirs() {
	local dir
	for dir in /sys/fs/cgroup/"$MARK"* /sys/fs/cgroup/*/"$MARK"*; do
		[[ ! -d $dir ]] || echo "$dir"
	done
}

# processes: pids of the test's containers, of their hooks, and of hako itself.
processes() {
	local dir
	{
		grep -lsaF "$MARK" /proc/[0-9]*/environ
		grep -lsaF -e "$MARK" -e "$T" /proc/[0-9]*/cmdline
		find /proc/[0-9]*/fd /proc/[0-9]*/cwd /proc/[0-9]*/root -maxdepth 1 -lname "$T/state*" 2>/dev/null
		for dir in $(cgroup_dirs); do
			find "$dir" -name cgroup.procs -exec sed 's,^,/proc/,' {} + 2>/dev/null
		done
	} | cut -d/ -f3 | sort -un | grep -vxF -e "$$" -e "$BASHPID"
}

no_processes() { [[ -z $(processes) ]]; }

# nothing_left: no mount, cgroup, process, state folder of the test.
nothing_left() {
	local left pid bad=0
	left=$(grep -F "$T" /proc/self/mountinfo) || true
	[[ -z $left ]] || { echo "left mounts: $left"; bad=1; }
	left=$(cgroup_dirs)
	[[ -z $left ]] || { echo "left cgroups: $left"; bad=1; }
	left=$(ls -A "$ROOT" 2>/dev/null) || true
	[[ -z $left ]] || { echo "left in the state root: $left"; bad=1; }
	for pid in $(processes); do
		echo "left process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
		bad=1
	done
	return $bad
}

# clean_up deletes all containers, and then there must be nothing left.
clean_up() {
	[[ -n ${T:-} ]] || return 0
	local dir rc=0 pid
	cd / || return
	for dir in "$ROOT"/*/; do
		[[ ! -d $dir ]] || hako delete --force "$(basename "$dir")" || rc=1
	done
	nothing_left || rc=1
	# For the sake of the next tests; the verdict stands.
	for pid in $(processes); do
		kill -KILL "$pid" 2>/dev/null
		eventually gone "$pid"
	done
	for dir in $(cgroup_dirs | sort -r); do
		rmdir "$dir"
	done
	rm -rf "$T"
	return $rc
}
