# Commands of bundle that write layouts: what they make, and that neither many
# at once nor a kill at any write spoils anything.

setup_file() {
	export BUNDLE=${BUNDLE:-$BATS_TEST_DIRNAME/../bin/bundle}
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	mkdir -p src/dir
	echo content >src/file
	ln src/file src/hard
	ln -s file src/link
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

# new_image: img:latest with one layer.
new_image() {
	"$BUNDLE" init --layout img
	"$BUNDLE" new --image img
	"$BUNDLE" insert --image img src /src
}

# stat_of JQ [TAG]: of stat --json, raw.
stat_of() {
	"$BUNDLE" stat --json --image "img:${2:-latest}" | jq -cr "$1"
}

# intact: every tag of img leads to an image that unpacks, and gc leaves a clean layout.
intact() {
	local tag
	for tag in $("$BUNDLE" ls --layout img); do
		rm -rf intact
		"$BUNDLE" raw unpack --image "img:$tag" intact
	done
	"$BUNDLE" gc --layout img
	[[ $(cd img && ls -A) == $'blobs\nindex.json\noci-layout' ]]
	for blob in img/blobs/sha256/*; do
		[[ ! -e $blob || $(sha256sum <"$blob") == "${blob##*/}  -" ]]
	done
}

@test "init makes a layout, and refuses a path that exists" {
	run "$BUNDLE" init --layout deep/er/img
	status 0
	[[ -z $output ]]
	[[ $(cat deep/er/img/index.json) == '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}' ]]
	[[ $(cat deep/er/img/oci-layout) == '{"imageLayoutVersion":"1.0.0"}' ]]
	[[ -d deep/er/img/blobs/sha256 ]]
	run "$BUNDLE" init --layout deep/er/img
	status 1
	run "$BUNDLE" init --layout a:b
	status 1
	run "$BUNDLE" init
	status 1
	says "missing mandatory argument: --layout"
}

@test "new makes an image without layers and history" {
	"$BUNDLE" init --layout img
	SOURCE_DATE_EPOCH=1000000000 "$BUNDLE" new --image img:x
	[[ $(stat_of .config.blob x) == '{"created":"2001-09-09T01:46:40Z","architecture":"'*'","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}' ]]
	[[ $(stat_of '.manifest.blob.layers' x) == '[]' ]]
	"$BUNDLE" new --image img:x
	[[ $("$BUNDLE" ls --layout img) == x ]]
}

@test "tag copies a descriptor, remove drops it, gc removes what it led to" {
	new_image
	"$BUNDLE" tag --image img v1
	[[ $("$BUNDLE" ls --layout img) == $'latest\nv1' ]]
	[[ $(stat_of .manifest.descriptor.digest v1) == "$(stat_of .manifest.descriptor.digest)" ]]
	"$BUNDLE" rm --image img
	run "$BUNDLE" remove --image img
	status 0
	[[ $("$BUNDLE" ls --layout img) == v1 ]]
	before=$(find img/blobs -type f | wc -l)
	"$BUNDLE" rm --image img:v1
	[[ $(find img/blobs -type f | wc -l) == "$before" ]]
	"$BUNDLE" gc --layout img
	[[ -z $(ls img/blobs/sha256) ]]
	run "$BUNDLE" tag --image img:nosuch v2
	status 1
	says "tag not found: nosuch"
	run "$BUNDLE" tag --image img:v1 ../x
	status 1
}

@test "twenty tags at once are twenty tags" {
	new_image
	for i in {1..20}; do
		"$BUNDLE" tag --image img "tag$i" 3>&- &
	done
	"$BUNDLE" gc --layout img
	wait
	[[ $("$BUNDLE" ls --layout img | grep -c '^tag') -eq 20 ]]
	intact
}

@test "inserts and gc at once lose nothing" {
	new_image
	for i in {1..6}; do
		"$BUNDLE" insert --image img --tag "i$i" src "/copy$i" 3>&- &
		"$BUNDLE" gc --layout img 3>&- &
	done
	wait
	[[ $("$BUNDLE" ls --layout img | grep -c '^i') -eq 6 ]]
	intact
	for i in {1..6}; do
		[[ $(stat_of '.manifest.blob.layers | length' "i$i") == 2 ]]
	done
}

@test "config sets, replaces, clears, and notes it in the history" {
	new_image
	"$BUNDLE" config --image img --author me --config.user 1:2 --config.env A=1 --config.env B=2 --config.env A=3 \
		--config.cmd -c --config.cmd 'a b' --config.entrypoint /bin/sh --config.exposedports 80/tcp --config.volume /v \
		--config.label k=v=w --config.workingdir /w --config.stopsignal SIGINT --platform.variant v9 \
		--manifest.annotation note=yes --created 2020-01-02T03:04:05.6Z
	[[ $(stat_of .config.blob.config) == '{"User":"1:2","ExposedPorts":{"80/tcp":{}},"Env":["A=3","B=2"],"Entrypoint":["/bin/sh"],"Cmd":["-c","a b"],"Volumes":{"/v":{}},"WorkingDir":"/w","Labels":{"k":"v=w"},"StopSignal":"SIGINT"}' ]]
	[[ $(stat_of '.config.blob | [.author, .variant, .created]') == '["me","v9","2020-01-02T03:04:05.6Z"]' ]]
	[[ $(stat_of .manifest.blob.annotations) == '{"note":"yes"}' ]]
	[[ $(stat_of '.history[-1] | [.layer, .created_by, .author, .empty_layer]') == '[null,"umoci config","me",true]' ]]
	"$BUNDLE" config --image img --tag other --clear config.env --clear config.labels --clear manifest.annotations --config.env C=4 --no-history
	[[ $(stat_of '[.config.blob.config.Env, .config.blob.config.Labels, .manifest.blob.annotations, (.history | length)]' other) == '[["C=4"],null,null,2]' ]]
	[[ $(stat_of .config.blob.config.Env) == '["A=3","B=2"]' ]]
	for bad in "--clear rootfs.diffids" "--config.env x" "--config.label =v" "--created yesterday" "--tag=" "--no-history --history.comment x"; do
		# shellcheck disable=SC2086 # words
		run "$BUNDLE" config --image img $bad
		status 1
	done
}

@test "config keeps what image-spec does not know" {
	new_image
	layer=$(stat_of .manifest.blob.layers)
	config=$(stat_of .config.blob | jq -c '. + {container: "x"} | .config += {Healthcheck: {Test: ["CMD", "true"]}, Shell: ["/bin/ash"]}')
	blob=$(printf %s "$config" | sha256sum | cut -d' ' -f1)
	printf %s "$config" >"img/blobs/sha256/$blob"
	manifest=$(jq -nc --arg d "sha256:$blob" --argjson s "${#config}" --argjson l "$layer" \
		'{schemaVersion: 2, config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $d, size: $s}, layers: $l}')
	blob=$(printf %s "$manifest" | sha256sum | cut -d' ' -f1)
	printf %s "$manifest" >"img/blobs/sha256/$blob"
	"$BUNDLE" tag --image "img:sha256:$blob" docker
	"$BUNDLE" config --image img:docker --config.user 5
	[[ $(stat_of '[.config.blob.container, .config.blob.config.Healthcheck.Test[1], .config.blob.config.Shell[0], .config.blob.config.User]' docker) == '["x","true","/bin/ash","5"]' ]]
}

@test "history flags say what is noted" {
	new_image
	"$BUNDLE" insert --image img --history.author a --history.comment c --history.created_by b --history.created 2001-02-03T04:05:06Z src /x
	[[ $(stat_of '.history[-1] | [.author, .comment, .created_by, .created]') == '["a","c","b","2001-02-03T04:05:06Z"]' ]]
	run "$BUNDLE" insert --image img --no-history src /y
	status 0
	says "warning: a layer without an entry in the history"
	[[ $(stat_of '[(.history | length), (.manifest.blob.layers | length)]') == '[3,3]' ]]
	[[ $(stat_of '.config.blob.history | length') == 2 ]]
}

@test "insert stores a tree, a whiteout, an opaque directory" {
	new_image
	diff_layer() { "$BUNDLE" stat --json --image img | jq -r '.manifest.blob.layers[-1].digest | "img/blobs/" + sub(":"; "/")' | xargs zcat | tar -t; }
	[[ $(diff_layer) == $'src/\nsrc/dir/\nsrc/file\nsrc/hard\nsrc/link' ]]
	"$BUNDLE" insert --image img --opaque src/dir /src
	[[ $(diff_layer) == $'src/.wh..wh..opq\nsrc/' ]]
	"$BUNDLE" insert --image img --whiteout /src/x
	[[ $(diff_layer) == src/.wh.x ]]
	"$BUNDLE" raw unpack --image img rootfs
	[[ -z $(ls -A rootfs/src) ]]
	run "$BUNDLE" insert --image img src /.wh.x
	status 1
	run "$BUNDLE" insert --image img src
	status 1
	run "$BUNDLE" insert --image img "$PWD/none" /x
	status 1
}

@test "--compress chooses the media type; auto is that of the newest layer" {
	new_image
	types() { stat_of '[.manifest.blob.layers[].mediaType | sub(".*tar"; "")]'; }
	"$BUNDLE" insert --image img --compress zstd src /z
	"$BUNDLE" insert --image img --compress none src /n
	"$BUNDLE" insert --image img src /auto
	[[ $(types) == '["+gzip","+zstd","","+zstd"]' ]]
	run "$BUNDLE" insert --image img --compress lzma src /l
	status 1
	"$BUNDLE" raw unpack --image img rootfs
	[[ $(cat rootfs/{src,z,n,auto}/file) == $'content\ncontent\ncontent\ncontent' ]]
	[[ $(stat_of '.manifest.blob.layers[0].annotations["ci.umo.uncompressed_blob_size"] | tonumber > 0') == true ]]
}

@test "raw add-layer stores an archive as it is" {
	new_image
	tar -cf layer.tar -C src file
	"$BUNDLE" raw add-layer --image img layer.tar
	[[ $(stat_of '.config.blob.rootfs.diff_ids[-1]') == "sha256:$(sha256sum <layer.tar | cut -d' ' -f1)" ]]
	[[ $(stat_of '.history[-1].created_by') == "umoci raw add-layer" ]]
	run "$BUNDLE" raw add-layer --image img src
	status 1
	says "not a regular file"
}

@test "raw runtime-config writes config.json only" {
	new_image
	"$BUNDLE" config --image img --config.user someone
	run "$BUNDLE" raw runtime-config --image img config.json
	status 0
	says 'user "someone" cannot be looked up'
	[[ $(jq -c '[.root.path, .process.user.uid, (.process.env | map(select(startswith("HOME"))) | length)]' config.json) == '[".",0,0]' ]]
	mkdir -p fs/etc
	echo someone:x:7:8::/home/s:/bin/sh >fs/etc/passwd
	"$BUNDLE" raw config --image img --rootfs fs config.json
	[[ $(jq -c '[.root.path, .process.user.uid, .process.user.gid]' config.json) == '["fs",7,8]' ]]
}

@test "raw unpack makes a root filesystem, and refuses one that is not empty" {
	new_image
	mkdir empty
	"$BUNDLE" raw unpack --image img empty
	[[ $(ls empty) == src ]]
	run "$BUNDLE" raw unpack --image img empty
	status 1
	says "not empty"
	[[ $(ls -A) == $'empty\nimg\nsrc' ]]
}

@test "stat shows an image to people and to programs" {
	new_image
	"$BUNDLE" config --image img --config.cmd 'a b' --author $'x\e[2Jy'
	run "$BUNDLE" stat --image img
	status 0
	[[ ${lines[0]} == "== MANIFEST ==" && ${lines[1]} == "Schema Version: 2" ]]
	says "== CONFIG =="
	says "== HISTORY =="
	says $'\tCommand:\n\t\t"a b"'
	says 'Author: "x\x1b[2Jy"'
	[[ $output != *$'\e'* ]]
	run "$BUNDLE" stat --image img:lates
	status 1
	says "did you mean latest?"
	[[ $(stat_of '.history | length') == 2 ]]
}

@test "layers are the same bytes, whoever makes them" {
	export SOURCE_DATE_EPOCH=1000000000
	new_image
	cp -r img first
	rm -r img
	(umask 077 && GOMAXPROCS=1 && export GOMAXPROCS && new_image)
	diff -r img first
}

@test "a full disk is one error, and the layout as it was" {
	mkdir small
	mount -t tmpfs -o size=200k tmpfs small
	"$BUNDLE" init --layout small/img
	"$BUNDLE" new --image small/img:x
	head -c 1000000 /dev/urandom >src/large
	run "$BUNDLE" insert --image small/img:x src /src
	left=$(ls -A small/img; "$BUNDLE" ls --layout small/img; "$BUNDLE" stat --image small/img:x >/dev/null && echo fine)
	umount small
	status 1
	[[ ${#lines[@]} -eq 1 ]]
	says "no space left on device"
	[[ $left == $'blobs\nindex.json\noci-layout\nx\nfine' ]]
}

# kill_at CALL COMMAND…: SIGKILL at the first, second, … of these system calls,
# until the command comes through; img is intact after each.
kill_at() {
	local call=$1 n
	shift
	for ((n = 1; n < 200; n++)); do
		rm -rf img
		cp -a pristine img
		strace -f -qq -o /dev/null -e trace="$call" -e inject="$call:signal=KILL:when=$n" "$@" >/dev/null 2>&1 3>&- && break
		[[ $("$BUNDLE" ls --layout img) == @("$tags_before"|"$tags_after") ]] || {
			echo "killed at $call $n: tags are $("$BUNDLE" ls --layout img)"
			return 1
		}
		intact
	done
	((n > 1)) || echo "$call is never called"
	((n > 1 && n < 200))
}

@test "SIGKILL at any write of tag, insert, config and gc leaves a layout that is intact" {
	command -v strace >/dev/null || skip "needs strace, to kill at a system call"
	new_image
	mv img pristine
	tags_before=latest
	tags_after=$'latest\nv2'
	for call in openat write fsync renameat; do
		kill_at "$call" "$BUNDLE" tag --image img v2
	done
	for command in "config --image img --tag v2 --config.user 5" "insert --image img --tag v2 src /more"; do
		for call in openat mkdirat write fsync renameat unlinkat; do
			# shellcheck disable=SC2086 # words
			kill_at "$call" "$BUNDLE" $command
		done
	done
	tags_after=latest
	echo garbage >pristine/blobs/sha256/0000
	mkdir pristine/.umoci-killed
	for call in openat unlinkat; do
		kill_at "$call" "$BUNDLE" gc --layout img
	done
}

@test "what cannot be read is one error, and leaves nothing" {
	command -v setpriv >/dev/null || skip "setpriv is not installed"
	local home
	home=$(mktemp -d /tmp/bundle-layout.XXXXXX)
	install "$BUNDLE" "$home/bundle"
	new_image
	cp -r img src "$home"
	chmod 0 "$home/src/file"
	chown -R 4242:4242 "$home/img"
	chmod 711 "$home"
	run setpriv --reuid 4242 --regid 4242 --clear-groups -- "$home/bundle" insert --rootless --image "$home/img" "$home/src" /x
	status 1
	[[ ${#lines[@]} -eq 1 && $(cd "$home/img" && ls -A) == $'blobs\nindex.json\noci-layout' ]]
	run setpriv --reuid 4242 --regid 4242 --clear-groups -- "$home/bundle" insert --image "$home/img" "$home/src" /x
	status 1
	says "permission denied"
	rm -rf "$home"
}

@test "unpack to a full disk is one error, and leaves nothing" {
	new_image
	head -c 1000000 /dev/urandom >src/large
	"$BUNDLE" insert --image img src /large
	mkdir small
	mount -t tmpfs -o size=300k tmpfs small
	run "$BUNDLE" unpack --image img small/b
	left=$(ls -A small)
	umount small
	status 1
	[[ ${#lines[@]} -eq 1 && -z $left ]]
	says "no space left on device"
}

@test "two looks at a bundle at once are allowed, two changes are not" {
	new_image
	"$BUNDLE" unpack --image img b
	exec 7<b
	flock -s 7
	run "$BUNDLE" diff b
	status 0
	run "$BUNDLE" commit b
	status 1
	says "another command changes it"
	exec 7<&-
	"$BUNDLE" commit b
}
