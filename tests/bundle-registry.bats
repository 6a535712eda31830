# bundle pull and push against Debian's docker-registry, and archives.
bats_require_minimum_version 1.8.0

setup_file() {
	export BUNDLE=${BUNDLE:-$BATS_TEST_DIRNAME/../bin/bundle}
	export FILES=$BATS_FILE_TMPDIR
	(cd "$BATS_TEST_DIRNAME/.." && CGO_ENABLED=0 go build -o "$FILES/mkimage" ./tests/demo/mkimage)
	"$FILES/mkimage" "$FILES/image" latest /bin/true
	# One registry for everybody, one with a password (user, secret).
	# shellcheck disable=SC2016 # no variables: bcrypt
	printf 'user:%s\n' '$2b$05$CbTrEahmWC4DtjJdB2e9k.euEnVDrhTkXWgUxtaKUh4ZZRNYs7tz2' >"$FILES/htpasswd"
	start_registry open ""
	start_registry closed "auth: {htpasswd: {realm: test, path: $FILES/htpasswd}}"
	OPEN=127.0.0.1:$(cat "$FILES/open.port")
	CLOSED=127.0.0.1:$(cat "$FILES/closed.port")
	export OPEN CLOSED
}

# start_registry NAME AUTH: on a free port of loopback.
start_registry() {
	local name=$1 port
	for _ in 1 2 3 4 5; do
		port=$((20000 + RANDOM % 20000))
		cat >"$FILES/$name.yml" <<-YAML
			version: 0.1
			log: {level: error}
			storage: {filesystem: {rootdirectory: $FILES/$name.data}, delete: {enabled: true}}
			http: {addr: 127.0.0.1:$port}
			$2
		YAML
		docker-registry serve "$FILES/$name.yml" >"$FILES/$name.log" 2>&1 3>&- &
		echo $! >"$FILES/$name.pid"
		for _ in $(seq 100); do
			kill -0 "$(cat "$FILES/$name.pid")" 2>/dev/null || break
			if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
				echo "$port" >"$FILES/$name.port"
				return
			fi
			sleep 0.1
		done
	done
	cat "$FILES/$name.log"
	return 1
}

teardown_file() {
	local name
	for name in open closed; do
		[[ ! -e $FILES/$name.pid ]] || kill "$(cat "$FILES/$name.pid")" || true
	done
}

setup() {
	cd "$BATS_TEST_TMPDIR" || return
	export HOME=$PWD/home XDG_RUNTIME_DIR=
	unset REGISTRY_AUTH_FILE DOCKER_CONFIG XDG_CONFIG_HOME
	mkdir home
}

says() {
	[[ $output == *"$1"* ]] || {
		echo "no \"$1\" in: $output"
		return 1
	}
}

digest_of() {
	"$BUNDLE" stat --json --image "$1" | jq -r .manifest.descriptor.digest
}

@test "push and pull give the same image" {
	"$BUNDLE" push --plain-http "$FILES/image:latest" "$OPEN/some/app:v1"
	"$BUNDLE" pull --plain-http "$OPEN/some/app:v1" copy:mine
	[[ $(digest_of copy:mine) == "$(digest_of "$FILES/image:latest")" ]]
	"$BUNDLE" unpack --image copy:mine bundle
	[[ -e bundle/rootfs ]]
}

@test "only what the other side lacks is transferred" {
	"$BUNDLE" push --plain-http "$FILES/image:latest" "$OPEN/lacks:v1"
	run --separate-stderr "$BUNDLE" push --plain-http "$FILES/image:latest" "$OPEN/lacks:v2"
	[[ $status -eq 0 && -z $output ]]
	[[ $stderr == *exists* && $stderr != *copied* ]]
	"$BUNDLE" pull --quiet --plain-http "$OPEN/lacks:v1" copy
	run "$BUNDLE" pull --plain-http "$OPEN/lacks:v2" copy:again
	says exists
	[[ $output != *copied* ]]
}

@test "a damaged blob in the layout is not pushed" {
	cp -r "$FILES/image" damaged
	local blob
	blob=$("$BUNDLE" stat --json --image damaged | jq -r '.manifest.blob.layers[-1].digest')
	printf X | dd of="damaged/blobs/sha256/${blob#sha256:}" conv=notrunc bs=1 seek=20 status=none
	run ! "$BUNDLE" push --plain-http damaged:latest "$OPEN/damaged:v1"
	says "verified reader digest mismatch"
	run ! "$BUNDLE" pull --plain-http "$OPEN/damaged:v1" copy
	says "not found"
	[[ ! -e copy ]]
}

@test "pull by digest" {
	"$BUNDLE" push -q --plain-http "$FILES/image:latest" "$OPEN/digest:v1"
	local digest
	digest=$(digest_of "$FILES/image:latest")
	"$BUNDLE" pull -q --plain-http "$OPEN/digest@$digest" copy:d
	[[ $(digest_of copy:d) == "$digest" ]]
	run ! "$BUNDLE" push --plain-http copy:d "$OPEN/digest@$digest"
	says "a tag is wanted"
}

@test "credentials come from podman's and docker's files" {
	run ! "$BUNDLE" push --plain-http "$FILES/image:latest" "$CLOSED/app:v1"
	says "$CLOSED/app:v1"
	mkdir -p home/.docker home/.config/containers
	local auth
	auth=$(printf user:secret | base64)
	echo "{\"auths\":{\"$CLOSED\":{\"auth\":\"$auth\"}}}" >home/.docker/config.json
	"$BUNDLE" push -q --plain-http "$FILES/image:latest" "$CLOSED/app:v1"
	mv home/.docker/config.json home/.config/containers/auth.json
	"$BUNDLE" pull -q --plain-http "$CLOSED/app:v1" copy
	mv home/.config/containers/auth.json elsewhere.json
	run ! "$BUNDLE" pull -q --plain-http "$CLOSED/app:v1" copy2
	[[ ! -e copy2 ]]
	"$BUNDLE" pull -q --plain-http --authfile elsewhere.json "$CLOSED/app:v1" copy2
	REGISTRY_AUTH_FILE=elsewhere.json "$BUNDLE" pull -q --plain-http "$CLOSED/app:v1" copy3
	run ! "$BUNDLE" pull --authfile missing.json "$CLOSED/app:v1" copy4
	says "--authfile"
}

@test "credentials of another registry are not used" {
	mkdir -p home/.docker
	echo "{\"auths\":{\"$OPEN\":{\"auth\":\"$(printf user:secret | base64)\"}}}" >home/.docker/config.json
	run ! "$BUNDLE" push --plain-http "$FILES/image:latest" "$CLOSED/app:v1"
}

@test "TLS is the default" {
	run ! "$BUNDLE" push "$FILES/image:latest" "$OPEN/app:v1"
	says "HTTP response to HTTPS client"
}

@test "what docker pushes has image-spec's media types when it is pulled" {
	skopeo copy --dest-tls-verify=false --format v2s2 "oci:$FILES/image:latest" "docker://$OPEN/dk:1"
	"$BUNDLE" pull -q --plain-http "$OPEN/dk:1" copy
	"$BUNDLE" stat --json --image copy | jq -e '.manifest.blob |
		.mediaType == "application/vnd.oci.image.manifest.v1+json" and
		.config.mediaType == "application/vnd.oci.image.config.v1+json" and
		all(.layers[]; .mediaType == "application/vnd.oci.image.layer.v1.tar+gzip")'
	"$BUNDLE" unpack --image copy bundle
	[[ $(jq -r '.process.args[0]' bundle/config.json) != null ]]
}

@test "an index: one platform, or all of them" {
	cp -r "$FILES/image" multi
	local d index
	d=$(jq -c '.manifests[0] | del(.annotations)' multi/index.json)
	jq -cn --argjson d "$d" '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: [
		$d + {platform: {os: "linux", architecture: "riscv64"}}, $d + {platform: {os: "linux", architecture: "s390x"}}]}' >index
	index=$(sha256sum <index | cut -d' ' -f1)
	cp index "multi/blobs/sha256/$index"
	jq -cn --arg d "sha256:$index" --argjson n "$(stat -c %s index)" '{schemaVersion: 2, manifests: [
		{mediaType: "application/vnd.oci.image.index.v1+json", digest: $d, size: $n,
		annotations: {"org.opencontainers.image.ref.name": "all"}}]}' >multi/index.json
	"$BUNDLE" push -q --plain-http multi:all "$OPEN/multi:all"
	run ! "$BUNDLE" pull --plain-http --platform linux/mips "$OPEN/multi:all" none
	says "linux/riscv64, linux/s390x"
	[[ ! -e none ]]
	"$BUNDLE" pull -q --plain-http --platform linux/s390x "$OPEN/multi:all" one
	[[ $(digest_of one) == "$(jq -r .digest <<<"$d")" ]]
	"$BUNDLE" pull -q --plain-http --all-platforms "$OPEN/multi:all" every
	[[ $(jq -r '.manifests[0].digest' every/index.json) == "sha256:$index" ]]
	run ! "$BUNDLE" pull --plain-http --all-platforms --platform linux/s390x "$OPEN/multi:all" x
	says "exclude each other"
}

@test "archives are what skopeo and podman understand" {
	"$BUNDLE" push -q "$FILES/image:latest" oci-archive:o.tar:v1
	skopeo copy -q oci-archive:o.tar:v1 oci:from-o:x
	[[ $(digest_of from-o:x) == "$(digest_of "$FILES/image:latest")" ]]
	"$BUNDLE" push -q "$FILES/image:latest" docker-archive:d.tar:some/app:v1
	skopeo copy -q docker-archive:d.tar:some/app:v1 oci:from-d:x
	"$BUNDLE" unpack --image from-d:x bundle
	skopeo copy -q "oci:$FILES/image:latest" docker-archive:s.tar:their/app:v2
	gzip -k s.tar
	"$BUNDLE" pull -q docker-archive:s.tar.gz:their/app:v2 back
	"$BUNDLE" unpack --image back bundle2
	diff -r bundle/rootfs bundle2/rootfs
	skopeo copy -q "oci:$FILES/image:latest" oci-archive:so.tar:v3
	"$BUNDLE" pull -q oci-archive:so.tar back:oci
	[[ $(digest_of back:oci) == "$(digest_of "$FILES/image:latest")" ]]
}

@test "an archive that cannot be written leaves nothing" {
	mkdir readonly.tar
	run ! "$BUNDLE" push "$FILES/image:latest" oci-archive:readonly.tar
	[[ -z $(find . -name '.bundle-archive-*') ]]
	run ! "$BUNDLE" push "$FILES/image:latest" oci-archive:missing/x.tar
	says "no such file"
}

@test "a terminal shows bars, and nothing on standard output" {
	"$BUNDLE" push -q --plain-http "$FILES/image:latest" "$OPEN/tty:v1"
	script -qec "'$BUNDLE' pull --plain-http $OPEN/tty:v1 copy" /dev/null >typescript
	grep -q $'\e\\[2K' typescript
	run --separate-stderr "$BUNDLE" pull -q --plain-http "$OPEN/tty:v1" copy2
	[[ -z $output && -z $stderr ]]
}

@test "bad references and flags" {
	local bad
	for bad in "" "UPPER" "$OPEN/a:b:c" "oci-archive:" "$OPEN/../x"; do
		run ! "$BUNDLE" pull --plain-http "$bad" copy
		[[ ! -e copy ]]
	done
	run ! "$BUNDLE" pull --plain-http --jobs 0 "$OPEN/a" copy
	says "--jobs"
	run ! "$BUNDLE" push "$FILES/image:nosuch" "$OPEN/a"
	says "tag not found"
	run ! "$BUNDLE" push "$FILES/none:latest" "$OPEN/a"
	[[ $status -eq 1 ]]
}

@test "two pulls of one image into one layout at once" {
	"$BUNDLE" push -q --plain-http "$FILES/image:latest" "$OPEN/twice:v1"
	"$BUNDLE" init --layout copy
	local pids=() i
	for i in 1 2 3 4; do
		"$BUNDLE" pull -q --plain-http "$OPEN/twice:v1" "copy:t$i" 3>&- &
		pids+=($!)
	done
	for i in "${pids[@]}"; do wait "$i"; done
	[[ $("$BUNDLE" list --layout copy | wc -l) -eq 4 ]]
	[[ -z $(find copy -name '.umoci-*') ]]
	"$BUNDLE" unpack --image copy:t3 bundle
}
