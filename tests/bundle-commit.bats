# Versions of a bundle: diff, commit, log, rollback, repack; with umoci's
# bundles and layouts, and the other way round.

setup_file() {
	export BUNDLE=${BUNDLE:-$BATS_TEST_DIRNAME/../bin/bundle}
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	mkdir -p src/dir src/vol
	echo content >src/dir/file
	ln src/dir/file src/hard
	ln -s dir/file src/link
	setfattr -n user.note -v yes src/dir
	"$BUNDLE" init --layout img
	"$BUNDLE" new --image img:v
	"$BUNDLE" insert --image img:v src /
	"$BUNDLE" config --image img:v --config.volume /vol --author first
	"$BUNDLE" unpack --image img:v b
}

# status N: the last run exited with it.
status() {
	[[ $status -eq $1 ]] || {
		echo "exit status $status, want $1: $output"
		return 1
	}
}

# says TEXT: the last run printed it, somewhere.
says() {
	[[ $output == *"$1"* ]] || {
		echo "no \"$1\" in: $output"
		return 1
	}
}

# needs_umoci: Debian's.
needs_umoci() {
	command -v umoci >/dev/null || skip "umoci is not installed"
}

# changes [ARG…]: what diff shows, letters and paths; without directories that
# are modified, as their time may be in the same second as before.
changes() {
	"$BUNDLE" diff "${@:-b}" | awk '$1 $2 !~ /^Md/ { print $1, $5 }'
}

# same_tree A B: two root filesystems are the same, with owners and links.
same_tree() {
	diff <(cd "$1" && find . -printf '%p %y %m %U:%G %n %l %Ts\n' | sort) <(cd "$2" && find . -printf '%p %y %m %U:%G %n %l %Ts\n' | sort)
	diff <(cd "$1" && find . -type f -exec sha256sum {} + | sort) <(cd "$2" && find . -type f -exec sha256sum {} + | sort)
}

@test "diff tells what was added, modified and deleted" {
	[[ -z $(changes) ]]
	echo more >>b/rootfs/hard
	mkdir b/rootfs/new
	chmod 4711 b/rootfs/dir
	rm b/rootfs/link
	run "$BUNDLE" diff b
	status 0
	says "M drws--x--x     0:0            - /dir"
	says "M -rw-r--r--     0:0          13B /dir/file"
	says "M -rw-r--r--     0:0          13B /hard"
	says "A drwxr-xr-x     0:0            - /new"
	says "D lrwxrwxrwx     0:0            - /link -> dir/file"
	run "$BUNDLE" diff --format json b
	[[ $(jq -c '.[] | select(.path == "/dir") | [.kind, .was.mode, .now.mode, .now.type]' <<<"$output") == '["M","0755","4711","dir"]' ]]
	run "$BUNDLE" diff --format xml b
	status 1
	run "$BUNDLE" diff
	status 1
	run "$BUNDLE" diff src
	status 1
	says "not a bundle that was unpacked from an image"
}

@test "commit moves the tag, refreshes the bundle, and says who and why" {
	echo new >b/rootfs/new
	run "$BUNDLE" commit -m "a reason" --author "A. Author" b
	status 0
	[[ $output == sha256:* ]]
	[[ -z $(changes) ]]
	run "$BUNDLE" log img:v
	status 0
	says "image $("$BUNDLE" stat --json --image img:v | jq -r .manifest.descriptor.digest) (v)"
	says "Author: A. Author"
	says "    a reason"
	says "By: bundle commit"
	says "bundle rollback IMAGE N"
	"$BUNDLE" unpack --image img:v again
	same_tree b/rootfs again/rootfs
	[[ $("$BUNDLE" log --format json img:v | jq -c '[.history[0].comment, (.previous | length)]') == '["a reason",1]' ]]
	rm b/rootfs/new
	"$BUNDLE" commit --image img:w b
	[[ $("$BUNDLE" ls --layout img) == $'v\nw' ]]
}

@test "rollback goes to earlier commits and back; nothing is lost until gc" {
	for n in 1 2 3; do
		echo "$n" >b/rootfs/version
		"$BUNDLE" commit -m "version $n" b
	done
	version() {
		rm -rf at
		"$BUNDLE" raw unpack --image img:v at
		cat at/version 2>/dev/null || echo none
	}
	[[ $(version) == 3 ]]
	run "$BUNDLE" rollback img:v
	status 0
	says "v is sha256:"
	[[ $(version) == 2 ]]
	"$BUNDLE" rollback img:v 2
	[[ $(version) == none ]]
	run "$BUNDLE" rollback img:v
	status 1
	"$BUNDLE" rollback --forward img:v 3
	[[ $(version) == 3 ]]
	for bad in 0 -1 x 1x ""; do
		run "$BUNDLE" rollback img:v -- "$bad"
		status 1
	done
	"$BUNDLE" gc --layout img
	run "$BUNDLE" rollback img:v
	status 1
	says "removed by gc"
	[[ $(version) == 3 ]]
}

@test "repack keeps the bundle's baseline unless --refresh-bundle" {
	echo new >b/rootfs/new
	"$BUNDLE" repack --image img:r1 b
	[[ $(changes) == $'A /new' ]]
	"$BUNDLE" repack --refresh-bundle --image img:r2 b
	[[ -z $(changes) ]]
	[[ $(find b -name "*.mtree" | wc -l) == 1 ]]
	layers() { "$BUNDLE" stat --json --image "img:$1" | jq '.manifest.blob.layers | length'; }
	[[ $(layers r1) == 2 && $(layers r2) == 2 ]]
	"$BUNDLE" repack --image img:r3 b
	[[ $(layers r3) == 2 ]]
	[[ $("$BUNDLE" stat --json --image img:r3 | jq -c '.history[-1] | [.created_by, .author, .empty_layer]') == '["umoci repack","first",true]' ]]
}

@test "volumes and masked paths are left out" {
	echo x >b/rootfs/vol/x
	echo x >b/rootfs/dir/x
	[[ $(changes) == $'A /dir/x' ]]
	"$BUNDLE" diff --no-mask-volumes b | grep /vol/x
	[[ -z $(changes --mask-path /dir b) ]]
	"$BUNDLE" repack --mask-path dir --no-mask-volumes --image img:r b
	[[ $(changes img:v img:r) == $'A /vol/x' ]]
}

@test "diff of two images unpacks neither" {
	rm b/rootfs/hard
	mkdir b/rootfs/d2
	echo x >b/rootfs/d2/f
	rm b/rootfs/link
	mkdir b/rootfs/link
	"$BUNDLE" repack --image img:r b
	[[ $(changes img:v img:r) == $'A /d2\nA /d2/f\nD /hard' ]]
	"$BUNDLE" diff img:v img:r | grep '^M d.* /link$'
	[[ $(changes img:r img:v) == $'D /d2\nA /hard\nM /link' ]]
	[[ -z $(changes img:v img:v) ]]
	chmod 700 b/rootfs
	"$BUNDLE" repack --image img:root b
	"$BUNDLE" diff img:v img:root | grep '^M drwx------ .* /$'
}

@test "diff of two images needs a disk for large ones, and says so" {
	mkdir many
	(cd many && seq -f file-number-%06.0f 200000 | xargs touch)
	"$BUNDLE" insert --image img:v --tag many many /many
	mkdir small
	mount -t tmpfs -o size=1m none small
	TMPDIR=$PWD/small run "$BUNDLE" diff img:v img:many
	umount small
	[[ $status -eq 1 && $output == *"no space left on device"* ]]
	[[ $(TMPDIR=$PWD/small "$BUNDLE" diff img:v img:many | wc -l) -gt 200000 ]]
}

@test "a directory that became a symlink is one change" {
	rm -r b/rootfs/dir
	ln -s /etc b/rootfs/dir
	[[ $(changes) == $'M /dir' ]]
	"$BUNDLE" repack --image img:r b
	"$BUNDLE" unpack --image img:r again
	[[ $(readlink again/rootfs/dir) == /etc ]]
	[[ ! -e /etc/.wh.file ]]
}

@test "what a layer cannot hold is refused, or told" {
	touch b/rootfs/.wh.x
	run "$BUNDLE" commit b
	status 1
	says "names that begin with .wh."
	[[ -z $(find img -name ".umoci*") ]]
	rm b/rootfs/.wh.x
	python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("b/rootfs/sock")'
	run "$BUNDLE" commit b
	status 0
	says "sockets: left out"
}

@test "a change that keeps size and time is found" {
	sleep 0.05
	touch -r b/rootfs/dir/file stamp
	echo CONTENT >b/rootfs/dir/file
	touch -r stamp b/rootfs/dir/file
	[[ $(changes) == $'M /dir/file\nM /hard' ]]
}

@test "umoci's bundle: diff, commit, unpack" {
	needs_umoci
	umoci unpack --image img:v u
	[[ -z $(changes u) ]]
	echo x >u/rootfs/dir/x
	rm u/rootfs/hard
	[[ $(changes u) == $'A /dir/x\nD /hard' ]]
	"$BUNDLE" repack --refresh-bundle --image img:r u
	umoci unpack --image img:r again
	same_tree u/rootfs again/rootfs
	# And umoci goes on with what was refreshed.
	# Debian's umoci rounds times to seconds, where others cut.
	echo y >u/rootfs/dir/y
	touch -d @1600000000 u/rootfs/dir/y u/rootfs/dir
	umoci repack --image img:r2 u
	"$BUNDLE" unpack --image img:r2 b2
	same_tree u/rootfs b2/rootfs
}

@test "umoci repacks a bundle of this tool, and this tool goes on with it" {
	needs_umoci
	echo x >b/rootfs/dir/x
	touch -d @1600000000 b/rootfs/dir/x b/rootfs/dir
	umoci repack --refresh-bundle --image img:r b
	[[ -z $(changes) ]]
	"$BUNDLE" unpack --image img:r again
	same_tree b/rootfs again/rootfs
	echo y >b/rootfs/y
	[[ $(changes) == $'A /y' ]]
}

@test "the manifest is umoci's" {
	needs_umoci
	mkfifo 'src/sp ace[*?#]é'
	chmod 4755 src/dir
	"$BUNDLE" insert --image img:v src /more
	"$BUNDLE" unpack --image img:v ours
	umoci unpack --image img:v theirs
	diff <(grep -v '^#' ours/*.mtree) <(grep -v '^#' theirs/*.mtree)
	same_tree ours/rootfs theirs/rootfs
	run "$BUNDLE" raw mtree-validate -f theirs/*.mtree -p ours/rootfs
	status 0
	[[ -z $output ]]
	echo x >>ours/rootfs/hard
	run "$BUNDLE" raw mtree-validate -K sha1digest -f theirs/*.mtree -p ours/rootfs
	status 1
	says 'keyword "sha1digest"'
	says 'keyword "size"'
}

@test "mapped ids go out and come back" {
	"$BUNDLE" unpack --uid-map 0:100000:65536 --gid-map 0:200000:65536 --image img:v m
	[[ $(stat -c %u:%g m/rootfs m/rootfs/dir/file) == $'100000:200000\n100000:200000' ]]
	[[ $(jq -c '[.linux.uidMappings[0].hostID, .linux.gidMappings[0].size, (.linux.namespaces | map(.type) | contains(["user"]))]' m/config.json) == '[100000,65536,true]' ]]
	echo x >m/rootfs/x
	chown 100005:200006 m/rootfs/x
	"$BUNDLE" repack --image img:r m
	"$BUNDLE" unpack --image img:r again
	[[ $(stat -c %u:%g again/rootfs/x) == 5:6 ]]
	chown 5:5 m/rootfs/x
	run "$BUNDLE" repack --image img:r m
	status 1
	says "not mapped"
	run "$BUNDLE" unpack --uid-map 5:5 --image img:v n
	status 1
	says "not mapped"
	[[ ! -e n ]]
	run "$BUNDLE" unpack --uid-map 5:x --image img:v n
	status 1
}

@test "rootless: an ordinary user unpacks, changes and commits" {
	command -v setpriv >/dev/null || skip "setpriv is not installed"
	chown 7:8 b/rootfs/hard
	mknod b/rootfs/null c 1 3
	mkdir -m 0 b/rootfs/closed
	chmod 111 b/rootfs/vol
	"$BUNDLE" repack --no-mask-volumes --image img:v b
	local home
	home=$(mktemp -d /tmp/bundle-rootless.XXXXXX)
	cp -r img "$home"
	install "$BUNDLE" "$home/bundle"
	chown -R 4242:4242 "$home"
	as_user() { (cd "$home" && setpriv --reuid 4242 --regid 4242 --clear-groups -- "$@"); }
	as_user ./bundle unpack --rootless --image img:v r
	[[ $(stat -c %u:%g "$home/r/rootfs/hard") == 4242:4242 ]]
	[[ $(stat -c %F "$home/r/rootfs/null") == "regular empty file" ]]
	[[ $(getfattr -n user.rootlesscontainers -e hex --only-values --absolute-names "$home/r/rootfs/hard" | xxd -p) == 08071008 ]]
	[[ $(jq -c '[(.linux.namespaces | map(.type) | sort), .linux.uidMappings[0].hostID, .linux.resources]' "$home/r/config.json") == '[["cgroup","ipc","mount","pid","user","uts"],4242,null]' ]]
	[[ -z $(as_user ./bundle diff --no-mask-volumes r) ]]
	as_user sh -c 'echo x >r/rootfs/new; echo more >>r/rootfs/hard'
	as_user ./bundle commit -m rootless r
	[[ -z $(as_user ./bundle diff r) ]]
	"$BUNDLE" unpack --image "$home/img:v" again
	[[ $(stat -c %u:%g again/rootfs/hard again/rootfs/new) == $'7:8\n0:0' ]]
	[[ $(stat -c %a again/rootfs/closed "$home/r/rootfs/closed") == $'0\n0' ]]
	run as_user ./bundle unpack --image img:v plain
	status 1
	says "or use --rootless"
	[[ ! -e $home/plain ]]
	rm -rf "$home"
}

@test "SIGKILL at any write of unpack and commit: the bundle is whole or as it was" {
	command -v strace >/dev/null || skip "needs strace, to kill at a system call"
	local call n
	for call in mkdirat renameat renameat2 fchmodat write; do
		for ((n = 1; n < 60; n++)); do
			rm -rf k
			strace -f -qq -o /dev/null -e trace="$call" -e inject="$call:signal=KILL:when=$n" "$BUNDLE" unpack --image img:v k >/dev/null 2>&1 3>&- && break
			[[ -e k/config.json ]] || "$BUNDLE" unpack --image img:v k
			[[ -z $(changes k) ]]
			[[ $(find k -maxdepth 1 | wc -l) == 6 ]]
		done
	done
	"$BUNDLE" tag --image img:v base
	for call in renameat write unlinkat fsync; do
		for ((n = 1; n < 60; n++)); do
			rm -rf k
			"$BUNDLE" tag --image img:base v
			"$BUNDLE" unpack --image img:v k
			echo x >k/rootfs/x
			strace -f -qq -o /dev/null -e trace="$call" -e inject="$call:signal=KILL:when=$n" "$BUNDLE" commit k >/dev/null 2>&1 3>&- && break
			# Either nothing happened to the bundle, or it is one of the new image.
			[[ $(changes k) == @(""|$'A /x') ]]
			"$BUNDLE" commit k
			[[ -z $(changes k) ]]
			rm -rf at
			"$BUNDLE" raw unpack --image img:v at
			[[ $(cat at/x) == x ]]
		done
	done
}
