#!/usr/bin/env bats
# RDMA devices, counted for real: software RDMA (rxe) over a dummy interface. On
# cgroup v2 and v1, each in a guest of its own: twice what came after this test in
# the same guest hung, once under each kernel, with the device long gone.
# shellcheck disable=SC2016,SC2034,SC2153,SC2154 # $names are perl's; variables of the helpers

load ../../helpers
load ../../process-helpers
load ../../resource-helpers

C=rdma # the controller that has is about

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() {
	DONORS=() DEVICE=
	make_bundle
	update_config '.linux.namespaces -= [{type: "cgroup"}]'
}
# The device ends with the guest.
teardown() { clean_up; }

# make_device: an interface and an RDMA device of that name, $DEVICE, and $VERBS
# to open it by.
make_device() {
	modprobe rdma_rxe
	DEVICE=hb$$
	ip link add "$DEVICE" type dummy
	ip link set "$DEVICE" up
	rdma link add "$DEVICE" type rxe netdev "$DEVICE"
	local dir
	for dir in /sys/class/infiniband_verbs/uverbs*; do
		[[ $(<"$dir/ibdev") != "$DEVICE" ]] || VERBS=/dev/infiniband/${dir##*/}
	done
	eventually test -c "$VERBS"
}

# contexts N: a process opens the device N times, joins the container's cgroup
# (which may not open it) and asks for a context each: that is an HCA handle. It
# says how many it got, and the error. What is written is struct
# ib_uverbs_cmd_hdr, IB_USER_VERBS_CMD_GET_CONTEXT, and where the answer goes;
# rdma/ib_user_verbs.h.
contexts() {
	perl -e 'use Fcntl;
		my ($procs, $verbs, $n) = @ARGV;
		my @open = map { sysopen(my $dev, $verbs, O_RDWR) or die "$verbs: $!"; $dev } 1 .. $n;
		open(my $join, ">", $procs) or die "$procs: $!";
		syswrite($join, "$$\n") or die "$procs: $!";
		my ($answer, $got) = ("\0" x 64, 0);
		for (@open) {
			syswrite($_, pack("LSSQ", 0, 4, 2, unpack("Q", pack("P", $answer)))) or last;
			$got++;
		}
		printf "%d %s\n", $got, $got < $n ? $! : "";' "$(cg rdma)/cgroup.procs" "$VERBS" "$1"
}

@test "rdma: a device's handles and objects are limited, updated and given back" {
	make_device
	start_container ".linux.resources += {rdma: {$DEVICE: {hcaHandles: 2, hcaObjects: 30}}}"
	contains "$DEVICE hca_handle=2 hca_object=30" "$(cg rdma rdma.max)"
	equal "2 Resource temporarily unavailable" "$(contexts 3)"
	# What is not said stays.
	echo "{\"rdma\": {\"$DEVICE\": {\"hcaHandles\": 3}}}" >"$T/update"
	ok update --resources "$T/update" "$ID"
	contains "$DEVICE hca_handle=3 hca_object=30" "$(cg rdma rdma.max)"
	equal "3 Resource temporarily unavailable" "$(contexts 5)"
	ok delete --force "$ID"
	refused 'linux.resources.rdma: .*rdma.max: ' '.linux.resources.rdma = {none0: {hcaHandles: 3, hcaObjects: 10}}'
}
