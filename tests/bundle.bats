# The command line of bundle: what it prints, how it exits, what it leaves.

setup_file() {
	export BUNDLE=${BUNDLE:-$BATS_TEST_DIRNAME/../bin/bundle}
	export IMAGE=$BATS_FILE_TMPDIR/image
	local tools=$BATS_FILE_TMPDIR/tools
	mkdir "$tools"
	cd "$BATS_TEST_DIRNAME/.." || return
	# /bin/true stands for a program: the bytes do not matter here.
	CGO_ENABLED=0 go build -o "$tools/mkimage" ./tests/demo/mkimage
	"$tools/mkimage" "$IMAGE" latest /bin/true
	"$tools/mkimage" "$BATS_FILE_TMPDIR/again" latest /bin/true
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
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

# one_line: the last run printed one line, and not the help.
one_line() {
	[[ ${#lines[@]} -eq 1 ]] || {
		echo "${#lines[@]} lines: $output"
		return 1
	}
}

# field JQ: of the config.json that was made.
field() {
	jq -c "$1" b/config.json
}

# corrupt BLOB FILTER...: rewrite a blob of a copy of the image.
corrupt() {
	local blob=$1
	shift
	"$@" <"$blob" >changed
	cat changed >"$blob"
}

# complete DIR: it holds a bundle and nothing else.
complete() {
	local base
	base=sha256_$(jq -r '.from_descriptor_path.descriptor_walk[-1].digest | sub("sha256:"; "")' "$1/umoci.json")
	[[ $(ls -A "$1") == $'config.json\nrootfs\n'"$base.mtree"$'\n'"$base.snapshot"$'\numoci.json' ]]
}

# copy_image: a copy in ./image, with its blobs' paths in manifest and layer.
copy_image() {
	cp -r "$IMAGE" image
	manifest=image/blobs/$(jq -r '.manifests[0].digest | sub(":"; "/")' image/index.json)
	layer=image/blobs/$(jq -r '.layers[0].digest | sub(":"; "/")' "$manifest")
}

@test "bundle --version names program, specifications and Go" {
	run "$BUNDLE" --version
	status 0
	[[ ${lines[0]} =~ ^bundle\ version\ [0-9]+\.[0-9]+\.[0-9]+ ]]
	says "image spec: 1."
	says "runtime spec: 1."
	says "go: go1."
	run "$BUNDLE" -v
	status 0
}

@test "bundle without a command, help, --help and -h show the help" {
	run "$BUNDLE"
	status 0
	[[ ${lines[0]} == NAME:* ]]
	for args in help h --help -h; do
		run "$BUNDLE" "$args"
		status 0
		[[ ${lines[0]} == NAME:* ]]
		[[ ${lines[1]} == "   bundle - "* ]]
	done
}

@test "every command shows its help under its full name" {
	for command in commit config diff gc init insert list log new remove repack rollback stat tag unpack "raw add-layer" "raw unpack" "raw runtime-config"; do
		# shellcheck disable=SC2086 # two words
		run "$BUNDLE" $command --help
		status 0
		[[ ${lines[1]} == "   bundle $command - "* ]]
	done
	run "$BUNDLE" ls --help
	[[ ${lines[1]} == "   bundle list - "* ]]
}

@test "an unknown command exits 3" {
	run "$BUNDLE" nosuch
	status 3
	one_line
	says "No help topic for 'nosuch'"
}

@test "an unknown flag is one line and exits 1" {
	run "$BUNDLE" unpack --nosuch --image "$IMAGE" b
	status 1
	one_line
	says "flag provided but not defined: -nosuch"
	run "$BUNDLE" --nosuch
	status 1
	one_line
}

@test "--log and --verbose exclude each other, unknown levels are refused" {
	run "$BUNDLE" --log=info list --layout "$IMAGE"
	status 0
	run "$BUNDLE" --verbose list --layout "$IMAGE"
	status 0
	run "$BUNDLE" --verbose --log=info list --layout "$IMAGE"
	status 1
	run "$BUNDLE" --log=loud list --layout "$IMAGE"
	status 1
	one_line
}

@test "list prints the tags, one a line" {
	run "$BUNDLE" list --layout "$IMAGE"
	status 0
	[[ $output == latest ]]
	run "$BUNDLE" ls --layout="$IMAGE"
	status 0
	[[ $output == latest ]]
}

@test "list without a layout, or with arguments, is an error" {
	run "$BUNDLE" list
	status 1
	says "missing mandatory argument: --layout"
	run "$BUNDLE" list --layout "$IMAGE" more
	status 1
	says "invalid number of positional arguments"
	run "$BUNDLE" list --layout "$PWD/none"
	status 1
	one_line
	run "$BUNDLE" list --layout ""
	status 1
	run "$BUNDLE" list --layout "$IMAGE:latest"
	status 1
}

@test "unpack prints nothing and leaves rootfs, config.json, umoci.json and a snapshot" {
	run "$BUNDLE" unpack --image "$IMAGE:latest" b
	status 0
	[[ -z $output ]]
	complete b
	[[ $(stat -c %a b) == 700 ]]
	cmp b/rootfs/usr/bin/hello /bin/true
	[[ $(stat -c '%a %u' b/rootfs/home/demo) == "750 1000" ]]
	[[ $(readlink b/rootfs/hello) == usr/bin/hello ]]
}

@test "unpack takes the tag latest if there is none, and flags after the bundle" {
	run "$BUNDLE" unpack b --image "$IMAGE"
	status 0
	[[ -f b/config.json ]]
}

@test "unpack applies whiteouts and hides them" {
	"$BUNDLE" unpack --image "$IMAGE" b
	[[ ! -e b/rootfs/etc/draft ]]
	[[ -z $(find b -name '.wh.*') ]]
}

@test "unpack converts the image's configuration" {
	"$BUNDLE" unpack --image "$IMAGE" b
	[[ $(field .ociVersion) == '"1.3.0"' ]]
	[[ $(field .process.args) == '["/hello"]' ]]
	[[ $(field .process.cwd) == '"/home/demo"' ]]
	[[ $(field .process.user) == '{"uid":1000,"gid":1000,"additionalGids":[29]}' ]]
	[[ $(field .process.env) == '["PATH=/usr/bin","TERM=xterm","GREETING=hello from inside","HOME=/home/demo"]' ]]
	[[ $(field .process.noNewPrivileges) == true ]]
	[[ $(field .root.path) == '"rootfs"' ]]
	[[ $(field '.annotations["org.opencontainers.image.title"]') == '"hello"' ]]
	[[ $(head -n 2 b/config.json | tail -n 1) == $'\t"ociVersion"'* ]]
}

@test "umoci.json records the way to the manifest" {
	"$BUNDLE" unpack --image "$IMAGE" b
	[[ $(jq -r .umoci_version b/umoci.json) == 2 ]]
	[[ $(jq -c '.from_descriptor_path.descriptor_walk' b/umoci.json) == "$(jq -c .manifests "$IMAGE/index.json")" ]]
	[[ $(jq -c .map_options b/umoci.json) == '{"uid_mappings":null,"gid_mappings":null,"rootless":false}' ]]
}

@test "unpack of the same image twice gives the same tree" {
	diff -r "$IMAGE" "$BATS_FILE_TMPDIR/again"
	"$BUNDLE" unpack --image "$IMAGE" one
	(umask 077 && "$BUNDLE" unpack --image "$IMAGE" two)
	list() { (cd "$1/rootfs" && find . -printf '%p %M %U:%G %T@ %s %l\n' | sort); }
	diff <(list one) <(list two)
	diff -r -x '*.snapshot' one two
}

@test "unpack refuses a wrong number of arguments" {
	run "$BUNDLE" unpack --image "$IMAGE"
	status 1
	one_line
	says "invalid number of positional arguments: expected <bundle>"
	run "$BUNDLE" unpack --image "$IMAGE" a b
	status 1
	one_line
	says "invalid number of positional arguments: expected <bundle>"
	run "$BUNDLE" unpack --image "$IMAGE" ""
	status 1
	run "$BUNDLE" unpack b
	status 1
	says "missing mandatory argument: --image"
}

@test "unpack refuses a bad reference before it touches anything" {
	for image in "" ":latest" "$IMAGE:" "$IMAGE:a b" "$IMAGE:-x" "$IMAGE:a//b" "$IMAGE:../x"; do
		run "$BUNDLE" unpack --image "$image" b
		status 1
		one_line
		[[ ! -e b ]]
	done
}

@test "unpack of an unknown tag is an error that names it" {
	run "$BUNDLE" unpack --image "$IMAGE:none" b
	status 1
	one_line
	says "tag not found: none"
	[[ ! -e b ]]
}

@test "unpack refuses and keeps a bundle that is there" {
	mkdir -p b/rootfs
	echo mine >b/rootfs/file
	run "$BUNDLE" unpack --image "$IMAGE" b
	status 1
	says "rootfs exists already"
	[[ $(cat b/rootfs/file) == mine ]]
	[[ $(ls -A b) == rootfs ]]
	rm -r b/rootfs
	echo '{}' >b/config.json
	run "$BUNDLE" unpack --image "$IMAGE" b
	status 1
	[[ $(cat b/config.json) == '{}' ]]
}

@test "unpack into a directory with other files keeps them" {
	mkdir b
	echo mine >b/notes
	"$BUNDLE" unpack --image "$IMAGE" b
	[[ $(cat b/notes) == mine ]]
	[[ -f b/config.json ]]
}

@test "a blob with other bytes: digest mismatch, nothing is left" {
	copy_image
	corrupt "$layer" sh -c 'head -c 20; head -c 1 >/dev/null; printf X; cat'
	run "$BUNDLE" unpack --image image b
	status 1
	one_line
	says "verified reader digest mismatch"
	says "$(jq -r '.layers[0].digest' "$manifest")"
	[[ ! -e b ]]
}

@test "a blob of another size: size mismatch, nothing is left" {
	copy_image
	corrupt "$layer" head -c 50
	run "$BUNDLE" unpack --image image b
	status 1
	one_line
	says "verified reader size mismatch"
	[[ ! -e b ]]
}

@test "a failed unpack keeps the empty directory it was given" {
	copy_image
	rm "$layer"
	mkdir -m 750 b
	run "$BUNDLE" unpack --image image b
	status 1
	says "no such file or directory"
	[[ -z $(ls -A b) ]]
	[[ $(stat -c %a b) == 750 ]]
}

@test "an image larger than the bounds is refused" {
	run "$BUNDLE" unpack --max-entries 3 --image "$IMAGE" b
	status 1
	says "more than 3 entries"
	run "$BUNDLE" unpack --max-bytes 100 --image "$IMAGE" b
	status 1
	says "100 bytes"
	run "$BUNDLE" unpack --max-bytes=-1 --image "$IMAGE" b
	status 1
	[[ ! -e b ]]
}

@test "one of two unpacks into the same directory wins" {
	mkdir b
	for i in 1 2 3 4; do
		"$BUNDLE" unpack --image "$IMAGE" b 2>"err.$i" && echo "$i" >>won &
	done
	wait
	[[ $(wc -l <won) -eq 1 ]]
	complete b
}

@test "SIGKILL at any moment leaves a bundle, or a directory that can be unpacked into" {
	for delay in 0.001 0.003 0.005 0.008 0.012 0.02; do
		rm -rf b
		"$BUNDLE" unpack --image "$IMAGE" b &
		sleep "$delay"
		kill -KILL $! 2>/dev/null || true
		wait $! || true
		[[ -e b/config.json ]] || "$BUNDLE" unpack --image "$IMAGE" b
		complete b
	done
}

@test "--cpu-profile writes a profile" {
	run "$BUNDLE" --cpu-profile prof list --layout "$IMAGE"
	status 0
	[[ $(head -c 2 prof | xxd -p) == 1f8b ]]
	go tool pprof -top prof >/dev/null
}
