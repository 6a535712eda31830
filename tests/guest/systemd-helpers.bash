# For tests of hako --systemd-cgroup; after ../../helpers.
# shellcheck shell=bash
# shellcheck disable=SC2153,SC2154,SC2034 # variables of the helpers and tests

v2() { [[ $(stat -f -c %T /sys/fs/cgroup) == cgroup2fs ]]; }
MODE=v2
v2 || MODE=hybrid

SYSTEMCTL=(systemctl)

# What a file does not define itself. OTHERS are units that a test leaves to
# teardown.
setup_file() {
	[[ $(cat /proc/1/comm) == systemd ]] || skip "systemd is not running here"
	near_hako
}
teardown_file() { remove_rootfs; }
setup() {
	make_bundle
	update_config 'del(.linux.cgroupsPath)'
	UNIT=hako-$ID.scope DIR=/system.slice/$UNIT OTHERS=()
}
teardown() {
	local unit rc=0
	clean_up || rc=1
	no_units || rc=1
	for unit in "${OTHERS[@]}"; do
		systemctl stop "$unit" 2>/dev/null
		systemctl reset-failed "$unit" 2>/dev/null
	done
	return $rc
}

# hako: as engines call it, with the flag where a container is made.
hako() {
	case $1 in
	create | run) "$HAKO" --root "$ROOT" --systemd-cgroup "$@" 3>&- ;;
	*) "$HAKO" --root "$ROOT" "$@" 3>&- ;;
	esac
}

# processes: as in helpers.bash, without looking through all descriptors, which
# takes seconds in the guest.
processes() {
	{
		grep -lsaF "$MARK" /proc/[0-9]*/environ
		grep -lsaF -e "$MARK" -e "$T" /proc/[0-9]*/cmdline
	} | cut -d/ -f3 | sort -un | grep -vxF -e "$$" -e "$BASHPID"
}

# near_hako: the programs on a tmpfs, which is much nearer than the host.
near_hako() {
	make_rootfs
	cp "$HAKO" "$FILE_DIR/hako"
	export HAKO=$FILE_DIR/hako
}

# near_hako_of_user: for who cannot change the root to install links.
near_hako_of_user() {
	local name
	FILE_DIR=$(mktemp -d "/tmp/hako-bats.XXXXXX")
	mkdir -p "$FILE_DIR"/rootfs/{bin,dev,etc,proc,root,sys,tmp}
	cp "$(command -v busybox)" "$FILE_DIR/rootfs/bin/busybox"
	for name in sh sleep true cat; do
		ln -s busybox "$FILE_DIR/rootfs/bin/$name"
	done
	cp "$HAKO" "$FILE_DIR/hako"
	export FILE_DIR HAKO=$FILE_DIR/hako
	(cd "$FILE_DIR" && "$HAKO" spec --rootless)
}

# property NAME: of $UNIT.
property() { "${SYSTEMCTL[@]}" show -P "$1" "$UNIT"; }
is_active() { [[ $(property ActiveState) == active ]]; }
has_failed() { [[ $(property ActiveState) == failed ]]; }

# files NAME…: what control files of the container say, in one line. On v1 a
# NAME has the hierarchy before it.
files() {
	local name text=()
	for name; do
		if v2; then
			text+=("$(<"/sys/fs/cgroup$DIR/$name")")
		else
			text+=("$(<"/sys/fs/cgroup/${name%%/*}$DIR/${name#*/}")")
		fi
	done
	echo "${text[*]}"
}

# no_unit: systemd knows nothing of $UNIT any more. (To ask for the unit itself
# would make a slice known.)
no_unit() {
	local left
	left=$("${SYSTEMCTL[@]}" list-units --all --full --plain --no-legend "${UNIT//\\/\\\\}")
	[[ -z $left ]] || {
		echo "left: $left"
		return 1
	}
}

# no_units: nor of any unit of the test.
no_units() {
	local left
	left=$("${SYSTEMCTL[@]}" list-units --all --full --plain --no-legend "*$MARK*")
	[[ -z $left ]] || {
		echo "left units: $left"
		return 1
	}
	left=$(find /sys/fs/cgroup -type d -name "*$MARK*")
	[[ -z $left ]] || {
		echo "left cgroups: $left"
		return 1
	}
}

# cgroup_of PID: where systemd has it.
cgroup_of() {
	if v2; then
		sed -n 's/^0:://p' "/proc/$1/cgroup"
	else
		sed -n 's/^[0-9]*:name=systemd://p' "/proc/$1/cgroup"
	fi
}
