# For tests that look at processes: what is in /proc, and processes of the host
# beside the container.
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2016 # variables are for the tests; $names are jq's

# Types of namespace; ns_file names them as /proc/PID/ns does.
TYPES=(user mount pid network ipc uts cgroup time)

# A user namespace with the first 65536 ids of users at 100000, of groups at
# 200000 on the host.
MAPS='.linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] |
	.linux.gidMappings = [{containerID: 0, hostID: 200000, size: 65536}]'

# No mount but the root, nothing that needs a namespace.
BARE='.mounts = [] | del(.linux.maskedPaths, .linux.readonlyPaths, .hostname)'

# namespaces TYPE[=PATH]…: the container's namespaces, no others.
namespaces() {
	update_config '.linux.namespaces = [$ARGS.positional[] | split("=") |
		{type: .[0]} + if .[1] then {path: .[1]} else {} end]' --args "$@"
}

ns_file() {
	case $1 in
	mount) echo mnt ;;
	network) echo net ;;
	*) echo "$1" ;;
	esac
}

# ns TYPE PID: "net:[4026531833]"
ns() { readlink "/proc/$2/ns/$(ns_file "$1")"; }

# own_types PID: the types in which PID is not in our namespace.
own_types() {
	local type own=()
	for type in "${TYPES[@]}"; do
		[[ $(ns "$type" "$1") == "$(ns "$type" self)" ]] || own+=("$type")
	done
	echo "${own[*]}"
}

# init: the host's pid of the container's process.
init() { field "$ID" .pid; }

# in_container TEXT: what its shell prints, in a container of its own.
in_container() {
	sh_script "$1"
	ok run "$ID"
}

# refused TEXT [JQ-FILTER]: neither create nor run, and nothing is left.
refused() {
	[[ $# == 1 ]] || update_config "$2"
	fails "$1" create "$ID"
	fails "$1" run "$ID"
	nothing_left
}

# donor UNSHARE-OPTION…: a process of the host; $DONOR is its pid.
donor() {
	MARK=$MARK unshare "$@" sleep 100000 </dev/null >/dev/null 2>&1 3>&- &
	DONOR=$!
	DONORS+=("$DONOR")
	eventually executes "$DONOR" sleep
}

# pid_donor UNSHARE-OPTION…: $DONOR is process 1 of a pid namespace.
pid_donor() {
	MARK=$MARK unshare --pid --fork --kill-child "$@" sleep 100000 </dev/null >/dev/null 2>&1 3>&- &
	DONORS+=("$!")
	eventually has_child "$!"
	DONOR=$(child_of "$!")
	eventually executes "$DONOR" sleep
}

executes() { [[ $(<"/proc/$1/comm") == "$2" ]]; }
child_of() { awk '{ print $1 }' "/proc/$1/task/$1/children"; }
has_child() { [[ -n $(child_of "$1") ]]; }

# end_donors goes before clean_up.
end_donors() {
	local pid
	for pid in "${DONORS[@]}"; do
		kill -KILL "$pid"
		wait "$pid" 2>/dev/null || true
	done
	DONORS=()
	[[ -z ${T:-} ]] || eventually no_strangers
}

# no_strangers: nothing but containers.
no_strangers() {
	local pid
	for pid in $(processes); do
		[[ -e $ROOT/$ID ]] || return 1
	done
}

# status_field NAME [PID]: of /proc/PID/status, here as the host sees it.
status_field() { sed -n "s/^$1:[[:space:]]*//p" "/proc/${2:-self}/status"; }
