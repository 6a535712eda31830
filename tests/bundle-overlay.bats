#!/usr/bin/env bats
bats_require_minimum_version 1.8.0
# Overlay bundles: layers shared by many, each with a folder of its own changes.

setup_file() {
	export BUNDLE=${BUNDLE:-$BATS_TEST_DIRNAME/../bin/bundle} HAKO=${HAKO:-$BATS_TEST_DIRNAME/../bin/hako}
	export FILES=$BATS_FILE_TMPDIR
	make_image
}

# make_image: three layers of busybox and files, made with bundle itself.
make_image() (
	cd "$FILES" || return
	mkdir -p one/bin one/dir/sub one/proc one/dev one/sys
	cp /bin/busybox one/bin/
	for name in sh cat rm touch true mount; do ln -s busybox "one/bin/$name"; done
	echo lower >one/dir/file
	echo hidden >one/dir/sub/hidden
	ln one/dir/file one/dir/hardlink
	setfattr -n user.attribute -v value one/dir/file
	mkdir two
	echo two >two/second
	# Times of a layer are whole seconds. In the second that the image is made
	# in, a directory that changes would sometimes look the same.
	find one two -exec touch -h -d 2020-01-01 {} +
	"$BUNDLE" init --layout image
	"$BUNDLE" new --image image:v1
	"$BUNDLE" insert --image image:v1 one /
	"$BUNDLE" insert --image image:v1 two /two
	"$BUNDLE" insert --image image:v1 --whiteout /dir/sub/hidden
	"$BUNDLE" config --image image:v1 --config.cmd /bin/sh
)

setup() {
	[[ $EUID -eq 0 ]] || skip "overlay mounts need root"
	cd "$BATS_TEST_TMPDIR" || return
	cp -r "$FILES/image" image
}

teardown() {
	local at
	awk '{print $5}' /proc/self/mountinfo | grep "^$BATS_TEST_TMPDIR/" | sort -r | while read -r at; do
		umount "$at"
	done
}

overlay() {
	"$BUNDLE" unpack --overlay --store "$PWD/store" --image image:v1 "$1"
}

says() {
	[[ $output == *"$1"* ]] || {
		echo "no \"$1\" in: $output"
		return 1
	}
}

@test "an overlay bundle has the files of a plain one" {
	overlay over
	"$BUNDLE" unpack --image image:v1 plain
	diff -r --no-dereference plain/rootfs over/rootfs
	(cd plain/rootfs && find . -printf '%P %y %m %U %G %T@ %l\n' | sort) >plain.list
	(cd over/rootfs && find . -printf '%P %y %m %U %G %T@ %l\n' | sort) >over.list
	diff plain.list over.list
	diff plain/config.json over/config.json
	[[ $(getfattr --only-values -n user.attribute over/rootfs/dir/file) == value ]]
	[[ ! -e over/rootfs/dir/sub/hidden ]]
}

@test "hako runs it, and what it writes stays in the bundle" {
	overlay one
	overlay two
	jq '.process.terminal = false | .process.args = ["/bin/sh", "-c", "echo changed >/dir/file; cat /second /two/second"] | .root.readonly = false' \
		one/config.json >c && mv c one/config.json
	run "$HAKO" --root "$PWD/state" run --bundle one "over-$$"
	says two
	[[ $(cat one/rootfs/dir/file) == changed ]]
	[[ $(cat two/rootfs/dir/file) == lower ]]
	[[ $(cat one/overlay/upper/dir/file) == changed ]]
}

@test "the second bundle of an image unpacks nothing" {
	overlay one
	local before after
	before=$(find store | sort | grep -v /users/)
	overlay two
	after=$(find store | sort | grep -v /users/)
	[[ $before == "$after" ]]
	[[ $(find two/overlay -type f | wc -l) -eq 0 ]]
}

# edit ROOT: changes of every kind.
edit() {
	cd "$1" || return
	echo new >new
	mkdir -p fresh/deep
	echo x >fresh/deep/file
	echo changed >dir/file
	chmod 700 two
	rm bin/true
	rm -r dir/sub
	mkdir dir/sub
	echo other >dir/sub/other
	rm -r bin/sh && mkdir bin/sh && echo y >bin/sh/inside
	ln two/second two/linked
	ln -s /nowhere dangling
	mkfifo pipe
	mknod device c 1 3
	touch -d @1000 two/second
	setfattr -n user.added -v 1 bin/cat 2>/dev/null || setfattr -n user.added -v 1 bin/busybox
}

@test "diff tells what a plain bundle tells" {
	overlay over
	"$BUNDLE" unpack --image image:v1 plain
	(edit over/rootfs)
	(edit plain/rootfs)
	# The one difference: writing to one name of a file gives it a file of its own.
	"$BUNDLE" diff plain | grep -v /dir/hardlink >plain.diff
	"$BUNDLE" diff over >over.diff
	diff plain.diff over.diff
	grep -q "^D.* /bin/true -> busybox$" over.diff
	grep -q "^A.* /dir/sub/other$" over.diff
	"$BUNDLE" diff --format json over | jq -e 'any(.[]; .path == "/new" and .kind == "A")'
}

@test "what was written and put back is no change" {
	overlay over
	touch -r over/rootfs/two/second stamp
	cp over/rootfs/two/second copy
	echo other >over/rootfs/two/second
	cat copy >over/rootfs/two/second
	touch -r stamp over/rootfs/two/second
	[[ -e over/overlay/upper/two/second ]]
	run "$BUNDLE" diff over
	[[ $status -eq 0 && -z $output ]]
}

@test "commit: the new image unpacks to what the bundle holds, and the bundle goes on" {
	overlay over
	(edit over/rootfs)
	"$BUNDLE" commit -m "edited" --author me over
	run "$BUNDLE" diff over
	[[ -z $output ]]
	"$BUNDLE" unpack --image image:v1 plain
	diff -r --no-dereference -x pipe -x device plain/rootfs over/rootfs
	[[ $(stat -c %i plain/rootfs/two/second) == "$(stat -c %i plain/rootfs/two/linked)" ]]
	echo again >over/rootfs/again
	"$BUNDLE" diff over | grep -q "/again$"
	"$BUNDLE" commit -m "again" over
	"$BUNDLE" unpack --image image:v1 plain2
	[[ $(cat plain2/rootfs/again) == again && ! -e plain2/rootfs/bin/true ]]
	[[ $(jq '.chain | length' over/overlay.json) -eq 5 ]]
	[[ $(find over/overlay -mindepth 1 -maxdepth 1 | wc -l) -eq 2 ]]
}

@test "commit is refused while files are in use, and nothing is lost" {
	overlay over
	echo new >over/rootfs/new
	exec 7<over/rootfs/new
	run ! "$BUNDLE" commit -m x over
	says "in use"
	[[ $(cat over/rootfs/new) == new ]]
	"$BUNDLE" repack --image image:other over 7<&-
	"$BUNDLE" diff over | grep -q /new
	exec 7<&-
	"$BUNDLE" commit -m x over
}

@test "mount and umount" {
	overlay over
	echo new >over/rootfs/new
	"$BUNDLE" umount over
	[[ -z $(ls over/rootfs) ]]
	"$BUNDLE" diff over | grep -q /new
	"$BUNDLE" umount over
	"$BUNDLE" mount over
	"$BUNDLE" mount over
	[[ $(cat over/rootfs/new) == new ]]
	[[ $(grep -c "$PWD/over/rootfs" /proc/self/mountinfo) -eq 1 ]]
	"$BUNDLE" umount over
	rm -r over
	run ! grep "$PWD/over" /proc/self/mountinfo
}

@test "prune keeps what a bundle needs" {
	overlay over
	local layers
	layers=$(ls store/layers)
	run "$BUNDLE" prune --store store
	says "0 layers removed"
	[[ $(ls store/layers) == "$layers" ]]
	"$BUNDLE" umount over
	rm -r over
	run "$BUNDLE" prune --store store
	says "3 layers removed"
	[[ -z $(ls store/layers) && -z $(ls store/users) ]]
	overlay over
}

@test "umoci and plain commands do not mistake an overlay bundle" {
	overlay over
	"$BUNDLE" unpack --image image:v1 plain
	run ! "$BUNDLE" mount plain
	says "not unpacked with --overlay"
	run ! "$BUNDLE" umount plain
	if command -v umoci >/dev/null; then
		run ! umoci repack --image image:x over
	fi
}

@test "flags that would make layers nobody can share are refused" {
	local flag
	for flag in --rootless --uid-map=0:0:1 --gid-map=0:0:1 --keep-dirlinks --skip-devices; do
		run ! "$BUNDLE" unpack --overlay --store store "$flag" --image image:v1 over
		says "exclude each other"
		[[ ! -e over ]]
	done
	run ! "$BUNDLE" unpack --overlay --store "with:colon" --image image:v1 over
	[[ ! -e over && ! -e with:colon ]]
}

@test "a damaged layer leaves neither bundle nor layer" {
	local blob
	blob=$("$BUNDLE" stat --json --image image:v1 | jq -r '.manifest.blob.layers[1].digest')
	printf X | dd of="image/blobs/sha256/${blob#sha256:}" conv=notrunc bs=1 seek=20 status=none
	run ! overlay over
	says "digest mismatch"
	[[ ! -e over ]]
	[[ $(find store/layers -mindepth 1 -maxdepth 1 | wc -l) -eq 1 ]]
	[[ -z $(ls store/users) ]]
	run ! grep "$PWD" /proc/self/mountinfo
}

@test "killed at any moment, the next one succeeds" {
	local i
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		"$BUNDLE" unpack --overlay --store "$PWD/store" --image image:v1 "b$i" 3>&- &
		sleep "0.00$((i * 7 % 10))"
		kill -9 $! 2>/dev/null || true
		wait $! 2>/dev/null || true
	done
	overlay last
	"$BUNDLE" unpack --image image:v1 plain
	diff -r --no-dereference plain/rootfs last/rootfs
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		[[ ! -e b$i/config.json ]] || "$BUNDLE" mount "b$i"
		[[ -e b$i/config.json ]] || overlay "b$i"
		diff -r --no-dereference plain/rootfs "b$i/rootfs"
	done
}

@test "twenty at once" {
	local pids=() i
	for i in $(seq 20); do
		"$BUNDLE" unpack --overlay --store "$PWD/store" --image image:v1 "b$i" 3>&- &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i"; done
	[[ $(find store/layers -mindepth 1 -maxdepth 1 | wc -l) -eq 3 ]]
	for i in $(seq 20); do [[ -e b$i/rootfs/bin/busybox ]]; done
}

@test "in a user namespace of one's own" {
	unshare -Urm true 2>/dev/null || skip "user namespaces are not permitted"
	local dir
	dir=$(mktemp -d)
	cp -r image "$BUNDLE" "$dir/"
	cat >"$dir/script" <<-'SH'
		cd "$1" && ./bundle unpack --overlay --store store --image image:v1 over &&
			echo new >over/rootfs/new && rm over/rootfs/bin/true && ./bundle diff over && ./bundle commit -m x over &&
			./bundle diff over
	SH
	chown -R 12345:12345 "$dir"
	# Only user 12345 exists in it: files of others could not be made.
	run setpriv --reuid 12345 --regid 12345 --clear-groups env HOME="$dir" unshare -Urm sh "$dir/script" "$dir"
	rm -r "$dir"
	says "/new"
	says "/bin/true"
	[[ $status -eq 0 ]]
}
