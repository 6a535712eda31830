# For tests of limits: where a controller is, and what is in its files.
# shellcheck shell=bash

is_v2() { [[ $(stat -f -c %T /sys/fs/cgroup) == cgroup2fs ]]; }

# hierarchy CONTROLLER: the mount point of its hierarchy; "io" is "blkio" in v1.
hierarchy() {
	local c=$1 dir
	for dir in /sys/fs/cgroup /sys/fs/cgroup/unified; do
		if grep -qw "$c" "$dir/cgroup.controllers" 2>/dev/null; then
			echo "$dir"
			return
		fi
	done
	[[ $c != io ]] || c=blkio
	if ! is_v2 && [[ -f /sys/fs/cgroup/$c/cgroup.procs ]]; then
		echo "/sys/fs/cgroup/$c"
	fi
}

# in_v1 CONTROLLER
in_v1() { [[ -e $(hierarchy "$1")/cgroup.sane_behavior ]]; }

# cg CONTROLLER [FILE]: the container's folder, or what a file in it says.
cg() {
	local dir
	dir=$(hierarchy "$1")/$MARK
	if [[ $# == 1 ]]; then
		echo "$dir"
	else
		cat "$dir/$2"
	fi
}

present() { [[ -n $(hierarchy "$1") ]]; }

# has VALUE V1-FILE V2-FILE, of the controller $C: the kernel has the value,
# V1/V2 where it is not the same.
has() {
	local v1=$1 v2=$1
	if [[ $1 == */* ]]; then
		v1=${1%%/*} v2=${1#*/}
	fi
	if in_v1 "$C"; then
		equal "$v1" "$(cg "$C" "$2")"
	else
		equal "$v2" "$(cg "$C" "$3")"
	fi
}
