#!/usr/bin/env bats
bats_require_minimum_version 1.8.0
# bundle build: Dockerfiles, with RUN in containers of hako.

setup_file() {
	export BUNDLE=${BUNDLE:-$BATS_TEST_DIRNAME/../bin/bundle} HAKO=${HAKO:-$BATS_TEST_DIRNAME/../bin/hako}
	export FILES=$BATS_FILE_TMPDIR
	make_base
}

# make_base: busybox with a user.
make_base() (
	cd "$FILES" || return
	mkdir -p root/bin root/etc root/real
	cp /bin/busybox root/bin/
	local name
	for name in sh cat ls mkdir echo id touch rm env ip sleep stat chmod ln true false test wc; do
		ln -s busybox "root/bin/$name"
	done
	printf 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/:/bin/sh\n' >root/etc/passwd
	printf 'root:x:0:\napp:x:1001:\n' >root/etc/group
	ln -s real root/link
	"$BUNDLE" init --layout image
	"$BUNDLE" new --image image:base
	"$BUNDLE" insert --image image:base root /
)

setup() {
	[[ $EUID -eq 0 ]] || skip "overlay mounts need root"
	cd "$BATS_TEST_TMPDIR" || return
	cp -r "$FILES/image" image
	mkdir ctx
}

teardown() {
	local at
	awk '{print $5}' /proc/self/mountinfo | grep "^$BATS_TEST_TMPDIR/" | sort -r | while read -r at; do
		umount "$at"
	done
}

# build [FLAG…]: the Dockerfile is standard input.
build() {
	cat >ctx/Dockerfile
	"$BUNDLE" build --store "$PWD/store" --runtime "$HAKO" -t image:out "$@" ctx
}

# built: unpacks what was built into ./out.
built() {
	rm -rf out
	"$BUNDLE" unpack --image image:out out
}

says() {
	[[ $output == *"$1"* ]] || {
		echo "no \"$1\" in: $output"
		return 1
	}
}

config() {
	"$BUNDLE" stat --json --image image:out | jq -ec "$1"
}

@test "RUN: shell, list, and the environment" {
	build <<-'D'
		FROM base
		ARG GREETING=hello
		ENV NAME=world
		WORKDIR /work
		RUN echo "$GREETING $NAME $PWD" >out && test "$(id -u)" = 0
		RUN ["sh", "-c", "echo list >list"]
		SHELL ["/bin/sh", "-ec"]
		RUN false || echo "$0" >shell
	D
	built
	[[ $(cat out/rootfs/work/out) == "hello world /work" ]]
	[[ $(cat out/rootfs/work/list) == list ]]
	[[ $(config '.config.blob.config.Shell') == '["/bin/sh","-ec"]' ]]
	config '.config.blob.config.Env == ["NAME=world"] and .config.blob.config.WorkingDir == "/work"'
}

@test "RUN: heredocs" {
	build <<-'D'
		FROM base
		RUN <<EOF
		echo one >/one
		echo "two $(cat /one)" >/two
		EOF
		RUN cat <<A >/a && cat <<B >/b
		in a
		A
		in b
		B
		RUN <<SCRIPT
		#!/bin/cat
		a program by itself
		SCRIPT
	D
	built
	[[ $(cat out/rootfs/two) == "two one" ]]
	[[ $(cat out/rootfs/a) == "in a" && $(cat out/rootfs/b) == "in b" ]]
	[[ ! -e out/rootfs/dev/pipes ]]
}

@test "RUN: no network, unless it is asked for" {
	build <<-'D'
		FROM base
		RUN ip -o link | wc -l >/links
	D
	built
	[[ $(cat out/rootfs/links) -eq 1 ]]
	build --network host <<-'D'
		FROM base
		RUN cat /etc/resolv.conf /etc/hosts >/seen; ip -o link | wc -l >/links
		RUN --network=none ip -o link | wc -l >/none
	D
	built
	[[ $(cat out/rootfs/none) -eq 1 ]]
	[[ $(cat out/rootfs/links) -eq $(ip -o link | wc -l) ]]
	# What was mounted for it is no part of the image.
	[[ ! -e out/rootfs/etc/resolv.conf && ! -e out/rootfs/etc/hosts ]]
	run ! build <<<$'FROM base\nRUN --network=host true'
	says "--network host"
}

@test "RUN: what the runtime mounts is no part of the layer" {
	build <<-'D'
		FROM base
		RUN touch /file
	D
	built
	[[ ! -e out/rootfs/proc && ! -e out/rootfs/sys && ! -e out/rootfs/dev ]]
	local layer
	layer=$("$BUNDLE" stat --json --image image:out | jq -r '.manifest.blob.layers[-1].digest')
	[[ $(tar tzf "image/blobs/sha256/${layer#sha256:}" | sort) == file ]]
}

@test "RUN: capabilities, and USER" {
	build <<-'D'
		FROM base
		RUN touch /f && chmod 4755 /f && stat -c %a /f >/mode
		USER app
		RUN id -u >/tmp/x || id >/dev/null && test "$(id -u):$(id -g)" = 1000:1001
		RUN ! touch /etc/forbidden
	D
	built
	[[ $(cat out/rootfs/mode) -eq 4755 ]]
	[[ $(stat -c %a out/rootfs/f) -eq 4755 ]]
	config '.config.blob.config.User == "app"'
}

@test "RUN that fails tells why, and leaves nothing" {
	run ! build <<-'D'
		FROM base
		RUN echo the reason >&2; exit 7
	D
	says "exit status 7: the reason"
	says "RUN echo the reason"
	run ! "$BUNDLE" stat --image image:out
	[[ -z $(find store/builds -mindepth 1) ]]
	run ! grep "$PWD" /proc/self/mountinfo
	[[ $(find store/layers -mindepth 1 -maxdepth 1 | wc -l) -eq 1 ]]
}

@test "COPY: files, folders, globs, owners and modes" {
	mkdir -p ctx/dir/sub
	echo a >ctx/a.txt
	echo b >ctx/b.txt
	echo c >ctx/c.md
	echo d >ctx/dir/sub/d
	chmod 640 ctx/dir/sub/d
	touch -d @1000000000 ctx/a.txt
	build <<-'D'
		FROM base
		COPY a.txt /named
		COPY *.txt /texts/
		COPY dir /dir
		COPY dir/ c.md /both/
		COPY --chown=app --chmod=600 a.txt /owned/
		COPY --chown=5:6 dir /numbers
		COPY a.txt /etc
		WORKDIR /rel
		COPY a.txt ./here/x
		COPY a.txt .
		COPY a.txt /link/through
	D
	built
	cd out/rootfs
	[[ $(cat named) == a && $(stat -c %Y named) -eq 1000000000 ]]
	[[ $(ls texts) == $'a.txt\nb.txt' ]]
	[[ $(cat dir/sub/d) == d && $(stat -c %a dir/sub/d) -eq 640 ]]
	[[ -e both/sub/d && -e both/c.md && ! -e both/dir ]]
	[[ $(stat -c '%u:%g %a' owned/a.txt) == "1000:1001 600" ]]
	[[ $(stat -c '%u:%g' numbers/sub/d) == 5:6 ]]
	[[ $(stat -c '%u:%g' dir/sub/d) == 0:0 ]]
	[[ -e etc/a.txt && -e etc/passwd ]]
	[[ -e rel/here/x && -e rel/a.txt ]]
	[[ -L link && -e real/through ]]
}

@test "COPY: heredocs" {
	build <<-'D'
		FROM base
		ARG V=7
		COPY <<EOF /expanded
		v=$V
		EOF
		COPY <<"EOF" /literal
		v=$V
		EOF
		COPY <<one <<two /dir/
		1
		one
		2
		two
	D
	built
	[[ $(cat out/rootfs/expanded) == v=7 && $(cat out/rootfs/literal) == "v=\$V" ]]
	[[ $(cat out/rootfs/dir/one) == 1 && $(cat out/rootfs/dir/two) == 2 ]]
}

@test "COPY: symlinks of the context lead nowhere outside" {
	echo secret >outside
	ln -s "$PWD/outside" ctx/absolute
	ln -s ../outside ctx/relative
	ln -s .. ctx/updir
	echo inside >ctx/inside
	ln -s inside ctx/good
	mkdir ctx/dir
	ln -s "$PWD/outside" ctx/dir/kept
	local bad
	for bad in absolute relative updir/outside ../outside; do
		run ! build <<<$'FROM base\nCOPY '"$bad /x"
		says "no such file"
	done
	build <<-'D'
		FROM base
		COPY good /good
		COPY dir /dir
	D
	built
	[[ $(cat out/rootfs/good) == inside && ! -L out/rootfs/good ]]
	[[ $(readlink out/rootfs/dir/kept) == "$PWD/outside" ]]
}

@test ".dockerignore" {
	mkdir -p ctx/node_modules/x ctx/src/deep
	touch ctx/node_modules/x/y ctx/src/main.go ctx/src/deep/a.tmp ctx/src/deep/keep.tmp ctx/README
	printf '%s\n' '# comment' node_modules '**/*.tmp' '!src/deep/keep.tmp' README >ctx/.dockerignore
	build <<-'D'
		FROM base
		COPY . /all
	D
	built
	[[ $(cd out/rootfs/all && find . -type f | sort | tr '\n' ' ') == "./.dockerignore ./Dockerfile ./src/deep/keep.tmp ./src/main.go " ]]
	run ! build <<<$'FROM base\nCOPY README /x'
	says ".dockerignore"
	echo src >ctx/Dockerfile.dockerignore
	build <<<$'FROM base\nCOPY . /all'
	built
	[[ -e out/rootfs/all/README && ! -e out/rootfs/all/src ]]
}

@test "ADD unpacks archives, COPY does not" {
	mkdir -p tree/sub
	echo x >tree/sub/file
	ln tree/sub/file tree/hard
	tar -C tree -cf ctx/plain.tar .
	tar -C tree -czf ctx/packed.tgz .
	tar -C tree -cjf ctx/packed.tbz .
	tar -C tree --zstd -cf ctx/packed.tzst .
	gzip -c /etc/hostname >ctx/file.gz
	build <<-'D'
		FROM base
		ADD plain.tar /plain/
		ADD packed.tgz /gz
		ADD packed.tbz /bz/
		ADD packed.tzst /zst/
		ADD file.gz /notar/
		COPY plain.tar /copied/
	D
	built
	local dir
	for dir in plain gz bz zst; do
		[[ $(cat "out/rootfs/$dir/sub/file") == x ]]
		[[ out/rootfs/$dir/hard -ef out/rootfs/$dir/sub/file ]]
	done
	[[ -f out/rootfs/notar/file.gz && -f out/rootfs/copied/plain.tar ]]
}

@test "ADD: a hostile archive stays in the root" {
	python3 - <<-'P'
		import tarfile, io
		t = tarfile.open("ctx/evil.tar", "w")
		def add(name, kind=tarfile.REGTYPE, link="", data=b"evil"):
		    i = tarfile.TarInfo(name); i.type = kind; i.linkname = link
		    i.size = len(data) if kind == tarfile.REGTYPE else 0
		    t.addfile(i, io.BytesIO(data))
		add("../../../up"); add("/absolute"); add("dir", tarfile.SYMTYPE, "/../../../../tmp"); add("dir/through")
		add("hard", tarfile.LNKTYPE, "../../up")
		t.close()
	P
	local before
	before=$(find /tmp .. -maxdepth 1 | sort)
	build <<-'D'
		FROM base
		ADD evil.tar /x/
	D
	[[ $(find /tmp .. -maxdepth 1 | sort) == "$before" ]]
	built
	[[ $(cat out/rootfs/x/up) == evil && -e out/rootfs/x/absolute ]]
}

@test "stages: COPY --from, FROM a stage, --target, and only what is needed" {
	build <<-'D'
		FROM base AS one
		RUN echo from one >/one
		FROM base AS unneeded
		RUN false
		FROM one AS two
		RUN echo "$(cat /one) and two" >/two
		FROM scratch
		COPY --from=two /two /
		COPY --from=0 /one /dir/
		COPY --from=base /etc/passwd /
	D
	built
	[[ $(cat out/rootfs/two) == "from one and two" && $(cat out/rootfs/dir/one) == "from one" ]]
	[[ $(ls out/rootfs) == $'dir\npasswd\ntwo' ]]
	"$BUNDLE" build --store store --runtime "$HAKO" -t image:out --target one ctx
	built
	[[ -e out/rootfs/one && ! -e out/rootfs/two ]]
	run ! "$BUNDLE" build --store store -t image:x --target nosuch ctx
	says nosuch
}

@test "FROM another layout" {
	build <<-D
		FROM $PWD/image:base
		RUN echo x >/x
	D
	mkdir other && cat >ctx/Dockerfile <<<$'FROM ./image:out\nRUN cat /x >/y'
	"$BUNDLE" build --store store --runtime "$HAKO" -t new:v1 ctx
	"$BUNDLE" unpack --image new:v1 out
	[[ $(cat out/rootfs/y) == x ]]
	run ! build <<<$'FROM nosuch'
	says "tag not found: nosuch"
}

@test "the configuration" {
	build --label built=by-me <<-'D'
		FROM base
		LABEL one=1 two="2 words"
		EXPOSE 80 90-91/udp
		VOLUME /data ["/more"]
		VOLUME ["/more"]
		STOPSIGNAL SIGINT
		ENTRYPOINT ["/entry"]
		CMD echo shell
		HEALTHCHECK --interval=5s CMD true
		MAINTAINER somebody
		USER app:app
	D
	config '.config.blob.config | .Labels == {"one": "1", "two": "2 words", "built": "by-me"} and .StopSignal == "SIGINT"
		and .Entrypoint == ["/entry"] and .Cmd == ["/bin/sh", "-c", "echo shell"] and .User == "app:app"
		and (.ExposedPorts | keys) == ["80/tcp", "90/udp", "91/udp"] and (.Volumes | has("/more"))
		and .Healthcheck == {"Test": ["CMD-SHELL", "true"], "Interval": 5000000000}'
	config '.config.blob.author == "somebody"'
	config '[.history[] | select(.empty_layer)] | length >= 10'
	build <<<$'FROM out\nENTRYPOINT ["/other"]'
	config '.config.blob.config | .Entrypoint == ["/other"] and .Cmd == null and .Healthcheck.Interval == 5000000000'
}

@test "the cache: what has not changed is not executed" {
	echo 1 >ctx/file
	local dockerfile=$'FROM base\nARG A=1\nRUN cat /proc/sys/kernel/random/uuid >/first\nCOPY file /file\nRUN cat /proc/sys/kernel/random/uuid >/second'
	build <<<"$dockerfile"
	built
	local first second
	first=$(cat out/rootfs/first) second=$(cat out/rootfs/second)
	touch ctx/file
	run build <<<"$dockerfile"
	[[ $(grep -c cached <<<"$output") -eq 3 ]]
	built
	[[ $(cat out/rootfs/first) == "$first" && $(cat out/rootfs/second) == "$second" ]]
	echo 2 >ctx/file
	build <<<"$dockerfile"
	built
	[[ $(cat out/rootfs/first) == "$first" && $(cat out/rootfs/second) != "$second" ]]
	build --build-arg A=2 <<<"$dockerfile"
	built
	[[ $(cat out/rootfs/first) != "$first" ]]
	first=$(cat out/rootfs/first)
	build --no-cache --build-arg A=2 <<<"$dockerfile"
	built
	[[ $(cat out/rootfs/first) != "$first" ]]
	# A layer that gc has removed is made again.
	"$BUNDLE" rm --image image:out
	"$BUNDLE" gc --layout image
	build <<<"$dockerfile"
	built
	# A mode that changed is a change.
	second=$(cat out/rootfs/second)
	chmod 600 ctx/file
	build <<<"$dockerfile"
	built
	[[ $(cat out/rootfs/second) != "$second" ]]
}

@test "SOURCE_DATE_EPOCH: the same sources give the same image" {
	echo x >ctx/file
	local one two dockerfile=$'FROM base\nCOPY file /dir/\nWORKDIR /work\nRUN echo y >/y'
	one=$(SOURCE_DATE_EPOCH=1000000000 build -q <<<"$dockerfile")
	sleep 1.1
	touch ctx/file
	two=$(SOURCE_DATE_EPOCH=1000000000 build -q --no-cache <<<"$dockerfile")
	[[ -n $one && $one == "$two" ]]
}

@test "the image runs, and the tag remembers what it named" {
	build <<<$'FROM base\nCMD ["echo", "first"]'
	build <<<$'FROM base\nCMD ["echo", "second"]'
	built
	jq '.process.terminal = false' out/config.json >c && mv c out/config.json
	[[ $("$HAKO" --root "$PWD/state" run --bundle out "build-$$") == second ]]
	"$BUNDLE" rollback image:out
	config '.config.blob.config.Cmd == ["echo", "first"]'
}

@test "what is not supported is refused by name" {
	local line want
	while IFS='|' read -r line want; do
		run build <<<$'FROM base\n'"$line"
		[[ $status -eq 1 ]] || echo "accepted: $line"
		[[ $status -eq 1 ]]
		says "$want"
	done <<-'T'
		ONBUILD RUN x|ONBUILD
		ADD https://example.com/x /x|https://example.com/x
		RUN --mount=type=cache,target=/x true|--mount=type=cache
		RUN --security=insecure true|--security=insecure
		COPY --parents a /b|--parents
		COPY nosuch /x|nosuch
		COPY --chown=nobody-here Dockerfile /x|nobody-here
		COPY --chmod=u+x Dockerfile /x|--chmod
		NOSUCH x|NOSUCH
		EXPOSE 99999|99999
		RUN|RUN
	T
	run ! build </dev/null
	rm ctx/Dockerfile
	run ! "$BUNDLE" build -t image:x --store store ctx
	says "ctx/Dockerfile"
	run ! "$BUNDLE" build --store store ctx
	says "--tag"
	run ! "$BUNDLE" build -t image:x --store store --network bridge ctx
	says "--network"
}

@test "killed in the middle of RUN: the next build cleans up" {
	cat >ctx/Dockerfile <<<$'FROM base\nRUN echo started >/dev/console 2>/dev/null; sleep 100'
	"$BUNDLE" build --store "$PWD/store" --runtime "$HAKO" -t image:out ctx 3>&- &
	local pid=$! i runtime
	for i in $(seq 100); do
		grep -q "$PWD/store/builds" /proc/self/mountinfo && runtime=$(pgrep -P "$pid" || true)
		[[ -z ${runtime:-} ]] || break
		sleep 0.1
	done
	[[ -n $runtime ]]
	kill -9 "$pid"
	wait "$pid" || true
	kill -0 "$runtime" # goes on without its parent
	build <<<$'FROM base\nRUN true'
	for i in $(seq 100); do
		kill -0 "$runtime" 2>/dev/null || break
		sleep 0.1
	done
	run ! kill -0 "$runtime"
	[[ -z $(find store/builds -mindepth 1 -maxdepth 1) ]]
	run ! grep "$PWD/store/builds" /proc/self/mountinfo
}

@test "interrupted: the container ends, and nothing is left" {
	cat >ctx/Dockerfile <<<$'FROM base\nRUN sleep 1000'
	"$BUNDLE" build --store "$PWD/store" --runtime "$HAKO" -t image:out ctx 3>&- &
	local pid=$! i
	for i in $(seq 100); do
		[[ $i -lt 0 || -n $(find store/builds -path '*/state/*' -name state.json 2>/dev/null) ]] && break
		sleep 0.1
	done
	kill -TERM "$pid"
	if wait "$pid"; then false; fi
	[[ -z $(find store/builds -mindepth 1 -maxdepth 1) ]]
	run ! grep "$PWD/store/builds" /proc/self/mountinfo
}
