#!/usr/bin/env bats
# Terminals: by --console-socket, and in the foreground at a user's terminal.
# See runtime-spec config.md#process, docs/man/hako-run.8.
# shellcheck disable=SC2016 # $names are jq's or of the container's shell
# shellcheck disable=SC2030,SC2031,SC2034,SC2153,SC2154 # variables of the helpers

load helpers
load process-helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() {
	DONORS=()
	make_bundle
	update_config '.process.terminal = true'
}
teardown() {
	end_donors
	clean_up
}

# --- a terminal by --console-socket

# receive [TEXT]: somebody waits at $T/c.sock for a terminal, types TEXT there,
# and writes what comes to $T/seen.
receive() {
	MARK=$MARK python3 "$TESTDATA/sockets.py" console "$T/c.sock" "$@" </dev/null >"$T/seen" 2>"$T/receiver" 3>&- &
	RECEIVER=$!
	DONORS+=("$RECEIVER")
	eventually exists "$T/c.sock"
}

received() {
	wait "$RECEIVER"
	DONORS=()
	seen=$(tr -d '\r' <"$T/seen")
	rm -f "$T/c.sock"
}

# received_nothing: what goes wrong before there is a terminal.
received_nothing() {
	not wait "$RECEIVER"
	DONORS=()
	equal "" "$(<"$T/seen")"
}

@test "--console-socket: what the process writes comes there, of create and start" {
	sh_script 'echo out; echo error >&2'
	receive
	ok create --console-socket "$T/c.sock" "$ID"
	ok start "$ID"
	received
	equal "out error" "$(xargs <<<"$seen")"
}

@test "--console-socket: of run --detach" {
	sh_script 'echo out'
	receive
	ok run --detach --console-socket "$T/c.sock" "$ID"
	received
	equal out "$seen"
}

@test "--console-socket: what is typed there comes to the process" {
	sh_script 'read line; echo "[$line]"'
	receive hello
	ok run --detach --console-socket "$T/c.sock" "$ID"
	received
	contains '\[hello\]' "$seen"
}

@test "--console-socket: lines end as the kernel does it, in \r\n" {
	sh_script 'echo out'
	receive
	ok run --detach --console-socket "$T/c.sock" "$ID"
	received
	equal 'out\r\n' "$(od -An -c "$T/seen" | tr -d ' \n')"
}

@test "--console-socket: the terminal is stdin, stdout, stderr and the controlling one" {
	sh_script 'for fd in 0 1 2; do readlink /proc/$$/fd/$fd; done; tty; echo tty >/dev/tty; cut -d " " -f 5,6,8 /proc/$$/stat; true'
	receive
	ok run --detach --console-socket "$T/c.sock" "$ID"
	received
	equal "/dev/pts/0 /dev/pts/0 /dev/pts/0 /dev/pts/0 tty 1 1 1" "$(xargs <<<"$seen")"
}

@test "--console-socket: no descriptor is left inside but the terminal's three" {
	sh_script 'ls /proc/$$/fd; true'
	receive
	ok run --detach --console-socket "$T/c.sock" "$ID"
	received
	equal "0 1 2" "$(grep -vx 10 <<<"$seen" | sort -n | xargs)"
}

@test "--console-socket: consoleSize is the size" {
	update_config '.process.consoleSize = {height: 17, width: 71}'
	sh_script 'stty size'
	receive
	ok run --detach --console-socket "$T/c.sock" "$ID"
	received
	equal "17 71" "$seen"
}

@test "--console-socket: without consoleSize there is no size" {
	receive
	ok run --detach --console-socket "$T/c.sock" "$ID"
	# busybox would not say it.
	equal "0 0" "$(stty size <"/proc/$(init)/fd/0")"
	ok delete --force "$ID"
	received
}

@test "consoleSize: above 65535 is refused" {
	refused 'process.consoleSize.height' '.process.consoleSize = {height: 65536, width: 1}'
	refused 'process.consoleSize.width' '.process.consoleSize = {height: 1, width: 65536}'
}

@test "consoleSize: without a terminal it is ignored" {
	update_config '.process.terminal = false | .process.consoleSize = {height: 65536, width: 1}'
	in_container 'echo fine'
	equal fine "$output"
}

@test "--console-socket: the terminal belongs to the user, its group is tty" {
	update_config '.process.user = {uid: 1000, gid: 1000}'
	sh_script 'stat -c %u:%g:%a /dev/pts/0; echo again >/dev/pts/0'
	receive
	ok run --detach --console-socket "$T/c.sock" "$ID"
	received
	equal "1000:5:620 again" "$(xargs <<<"$seen")"
}

@test "--console-socket: in a user namespace" {
	namespaces "${TYPES[@]}"
	update_config "$MAPS"' | .process.user = {uid: 1000, gid: 1000}'
	sh_script 'tty; stat -c %u:%g /dev/pts/0 /dev/console'
	receive
	ok run --detach --console-socket "$T/c.sock" "$ID"
	received
	equal "/dev/pts/0 1000:5 1000:5" "$(xargs <<<"$seen")"
}

@test "/dev/console: is the terminal" {
	sh_script 'stat -c %t:%T /dev/pts/0 /dev/console; echo by the console >/dev/console; grep -c " /dev/console " /proc/self/mountinfo'
	receive
	ok run --detach --console-socket "$T/c.sock" "$ID"
	received
	equal "88:0 88:0 by the console 1" "$(xargs <<<"$seen")"
}

@test "/dev/console: without a terminal there is none" {
	update_config '.process.terminal = false'
	in_container 'ls /dev/console 2>&1; true'
	contains 'No such file' "$output"
}

@test "/dev/console: a symlink of the image is not followed" {
	local victim=$BATS_TEST_TMPDIR/victim
	echo precious >"$victim"
	update_config 'del(.mounts[] | select(.destination == "/dev"))'
	ln -s "$victim" "$BUNDLE/rootfs/dev/console"
	mkdir -p "$BUNDLE/rootfs/dev/pts" "$BUNDLE/rootfs$(dirname "$victim")"
	echo inside >"$BUNDLE/rootfs$victim"
	receive
	fails '/dev/console: neither a file nor a character device' run --detach --console-socket "$T/c.sock" "$ID"
	received_nothing
	nothing_left
	equal precious "$(<"$victim")"
	equal inside "$(<"$BUNDLE/rootfs$victim")"
}

@test "/dev/pts: a terminal needs a devpts file system" {
	update_config 'del(.mounts[] | select(.destination == "/dev/pts"))'
	receive
	fails 'open the terminal: .*dev/pts: no such file or directory$' run --detach --console-socket "$T/c.sock" "$ID"
	received_nothing
	nothing_left
}

@test "/dev/pts/ptmx: of the image is not opened" {
	update_config '.mounts |= map(if .destination == "/dev/pts" then .type = "bind" | .source = "/fake" | .options = ["bind"] else . end)'
	mkdir "$T/fake"
	mkfifo "$T/fake/ptmx"
	update_config --arg f "$T/fake" '.mounts |= map(if .source == "/fake" then .source = $f else . end)'
	receive
	fails 'open the terminal: /dev/pts: ' run --detach --console-socket "$T/c.sock" "$ID"
	received_nothing
	nothing_left
}

@test "--console-socket: is needed for a terminal, except in the foreground" {
	refused_socket() {
		fails 'console-socket' "$@" "$ID"
		nothing_left
	}
	refused_socket create
	refused_socket run --detach
}

@test "--console-socket: without process.terminal is refused" {
	update_config '.process.terminal = false'
	fails 'console-socket' create --console-socket "$T/c.sock" "$ID"
	fails 'console-socket' run --console-socket "$T/c.sock" "$ID"
	nothing_left
}

@test "--console-socket: a path that is missing, a file, and one where nobody listens" {
	fails 'console-socket: .*missing.sock: no such file or directory$' create --console-socket "$T/missing.sock" "$ID"
	fails 'console-socket: .*config.json: not a socket$' create --console-socket "$BUNDLE/config.json" "$ID"
	python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$T/dead.sock"
	fails 'console-socket: .*dead.sock: nobody listens' create --console-socket "$T/dead.sock" "$ID"
	nothing_left
}

@test "--console-socket: a datagram socket" {
	python3 -c 'import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind(sys.argv[1]); s.recv(1)' "$T/d.sock" 3>&- &
	DONORS+=("$!")
	eventually exists "$T/d.sock"
	fails 'console-socket: .*d.sock: not a stream socket' create --console-socket "$T/d.sock" "$ID"
	end_donors
	nothing_left
}

@test "--console-socket: one that is closed at once is an error, not a signal" {
	python3 "$TESTDATA/sockets.py" slam "$T/c.sock" 3>&- &
	RECEIVER=$!
	eventually exists "$T/c.sock"
	call run --detach --console-socket "$T/c.sock" "$ID"
	wait "$RECEIVER"
	# Whoever closes after the terminal was sent has got it.
	[[ $status == 0 ]] || {
		equal 1 "$status"
		contains 'console socket: sendmsg: (broken pipe|connection reset by peer)$' "$stderr"
		nothing_left
	}
}

@test "--console-socket: a path longer than a socket address" {
	local dir
	dir=$T/$(printf 'long%.0s' {1..40})
	mkdir "$dir"
	sh_script 'echo out'
	receive
	mv "$T/c.sock" "$dir/c.sock"
	ok run --detach --console-socket "$dir/c.sock" "$ID"
	received
	equal out "$seen"
}

@test "--console-socket: a relative path is the bundle's, as with runc; of exec the caller's" {
	sh_script 'echo out; exec sleep 100000'
	receive
	mv "$T/c.sock" "$BUNDLE/c.sock"
	cd "$T"
	ok run --detach --bundle bundle --console-socket c.sock "$ID"
	ok delete --force "$ID"
	received
	equal out "$seen"
	update_config '.process.terminal = false'
	cd "$BUNDLE"
	start_container
	receive
	cd "$T"
	ok exec --tty --detach --console-socket c.sock "$ID" echo out
	received
	equal out "$seen"
}

@test "exec --tty --console-socket: gets a terminal of its own" {
	update_config '.process.terminal = false'
	start_container
	receive hello
	ok exec --tty --detach --console-socket "$T/c.sock" "$ID" sh -c 'tty; read line; echo "[$line]"'
	received
	contains '/dev/pts/0' "$seen"
	contains '\[hello\]' "$seen"
}

@test "exec --process --console-socket: consoleSize" {
	update_config '.process.terminal = false'
	start_container
	jq '.process | .terminal = true | .args = ["stty", "size"] | .consoleSize = {height: 17, width: 71}' "$BUNDLE/config.json" >"$T/process.json"
	receive
	ok exec --process "$T/process.json" --detach --console-socket "$T/c.sock" "$ID"
	received
	equal "17 71" "$seen"
}

@test "exec --tty --detach: needs --console-socket; without --tty it is refused" {
	update_config '.process.terminal = false'
	start_container
	fails_with 255 'console-socket' exec --tty --detach "$ID" true
	fails_with 255 'console-socket' exec --detach --console-socket "$T/c.sock" "$ID" true
}

# --- a user's terminal

# at_terminal [PTY-OPTION…] -- COMMAND… :: STEP…: testdata/pty.py. $output is
# what the user sees, byte by byte; $code the exit status.
at_terminal() {
	code=0
	python3 "$TESTDATA/pty.py" "$@" </dev/null >"$T/screen" 2>"$T/pty.err" 3>&- || code=$?
	output=$(<"$T/screen")
	[[ $code != 99 ]] || {
		cat "$T/pty.err"
		return 1
	}
}

# foreground STEP…: hako run at a terminal.
foreground() { at_terminal --size 33x111 -- "$HAKO" --root "$ROOT" run "$ID" :: "$@"; }

# sees TEXT: with the escapes of printf.
sees() {
	# shellcheck disable=SC2059 # it is a format
	printf "$1" >"$T/want"
	cmp "$T/want" "$T/screen" || {
		od -c "$T/screen"
		return 1
	}
}

@test "run: lines on the user's screen end in \r\n, once" {
	sh_script 'echo one; echo two'
	foreground
	equal 0 "$code"
	sees 'one\r\ntwo\r\n'
}

@test "run: lines in a file or a pipe end in \n" {
	sh_script 'echo one; echo two'
	at_terminal -- bash -c '"$@" >"$0"' "$T/file" "$HAKO" --root "$ROOT" run "$ID"
	equal 'one\ntwo\n' "$(od -An -c "$T/file" | tr -d ' \n')"
	equal "" "$output"
	at_terminal -- bash -c '"$@" | od -An -c' sh "$HAKO" --root "$ROOT" run "$ID"
	equal 'one\ntwo\n' "$(tr -d ' \r\n' <<<"$output")"
}

@test "run: the terminal inside is another one, and reaches all streams" {
	sh_script 'tty; test -t 0 && test -t 1 && test -t 2 && echo all; cut -d " " -f 5,6,8 /proc/$$/stat; true'
	foreground
	equal "/dev/pts/0 all 1 1 1" "$(tr -d '\r' <<<"$output" | xargs)"
}

@test "run: what is typed is echoed once, by the container's terminal" {
	sh_script 'echo ready; read line; echo "[$line]"'
	foreground expect ready send 'hello\r' expect '\[hello\]'
	sees 'ready\r\nhello\r\n[hello]\r\n'
}

@test "run: a program that switches echo off is not echoed" {
	sh_script 'stty -echo; echo ready; read line; echo "[$line]"'
	foreground expect ready send 'secret\r' expect '\[secret\]'
	sees 'ready\r\n[secret]\r\n'
}

@test "run: every byte that is typed comes through" {
	sh_script 'stty raw -echo; echo ready; head -c 8 | od -An -t x1; echo'
	foreground expect ready send '\x03\x04\x1a\x1c\x11\x13\x7f\r' expect 0d
	contains '03 04 1a 1c 11 13 7f 0d' "$output"
}

@test "run: the user's terminal is raw meanwhile, but for the line ends" {
	sh_script 'echo ready; read line'
	foreground expect ready modes "$T/raw" send '\r'
	equal "OPOST ONLCR" "$(head -1 "$T/raw")"
}

# restored STEP…: the user's terminal is afterwards as it was before.
restored() {
	at_terminal -- sh -c 'stty ixon -echoctl intr ^X && "$@"; code=$?; stty -a >"$0.after"; exit $code' \
		"$T/stty" sh -c 'stty -a >"$0.before"; "$@"' "$T/stty" "$HAKO" --root "$ROOT" "${COMMAND[@]}" :: "$@"
	filled "$T/stty.before"
	cmp "$T/stty.before" "$T/stty.after"
}

@test "run: the user's terminal is restored" {
	sh_script 'echo ready; read line; exit 9'
	COMMAND=(run "$ID")
	restored expect ready send '\r'
	equal 9 "$code"
}

@test "run: the user's terminal is restored if the container is killed" {
	sh_script 'echo ready; kill -9 $$; exec sleep 100000'
	update_config '.linux.namespaces -= [{type: "pid"}]'
	COMMAND=(run "$ID")
	restored expect ready
	equal 137 "$code"
}

@test "run: the user's terminal is restored if the program cannot be executed" {
	set_args missing-program
	COMMAND=(run "$ID")
	restored
	equal 1 "$code"
	contains 'executable file not found in \$PATH' "$output"
	echo nothing >"$BUNDLE/rootfs/bin/broken"
	chmod 755 "$BUNDLE/rootfs/bin/broken"
	set_args broken
	restored
	equal 1 "$code"
	contains 'exec format error' "$output"
	# The message is whole lines for the user.
	not grep -q $'[^\r]$' "$T/screen"
}

@test "run: the user's terminal is restored if hako is told to end" {
	sh_script 'trap "exit 7" TERM; echo ready; while :; do sleep 0.05; done'
	COMMAND=(run --pid-file "$T/container.pid" "$ID")
	(
		eventually filled "$T/container.pid"
		eventually grep -q ready "$T/screen"
		kill -TERM "$(awk '{ print $4 }' "/proc/$(<"$T/container.pid")/stat")"
	) 3>&- &
	local killer=$!
	restored expect ready
	wait "$killer"
	equal 7 "$code"
}

@test "run: exits with the program's code, or 128 plus the signal" {
	sh_script 'exit 42'
	foreground
	equal 42 "$code"
	update_config '.linux.namespaces -= [{type: "pid"}]'
	sh_script 'kill -TERM $$'
	foreground
	equal 143 "$code"
}

@test "run: the size is the user's from the first instruction on" {
	sh_script 'stty size'
	foreground
	sees '33 111\r\n'
}

@test "run: the user's size goes before consoleSize" {
	update_config '.process.consoleSize = {height: 17, width: 71}'
	sh_script 'stty size'
	foreground
	sees '33 111\r\n'
}

@test "run: a new size is forwarded, with SIGWINCH" {
	sh_script 'trap "stty size; exit" WINCH; echo ready; while :; do sleep 0.02; done'
	foreground expect ready resize 44x99 expect '44 99'
	equal 0 "$code"
	contains '44 99' "$output"
}

@test "run: several new sizes, the last counts" {
	sh_script 'trap "stty size" WINCH; trap "exit 3" INT; echo ready; while :; do sleep 0.02; done'
	foreground expect ready resize 1x1 resize 2x2 resize 45x98 expect '45 98' send '\x03'
	equal 3 "$code"
}

@test "run: Ctrl-C, Ctrl-\\ and Ctrl-Z are the container's signals" {
	sh_script 'trap "echo int" INT; trap "echo quit" QUIT; trap "echo stop; exit 5" TSTP; echo ready; while :; do read -t 1 x; done'
	foreground expect ready send '\x03' expect int send '\x1c' expect quit send '\x1a' expect stop
	equal 5 "$code"
}

@test "run: Ctrl-C ends a program that does not mind it, with 130" {
	update_config '.linux.namespaces -= [{type: "pid"}]'
	sh_script 'echo ready; exec sleep 100000'
	foreground expect ready send '\x03'
	equal 130 "$code"
}

@test "run: Ctrl-D is the end of the input" {
	sh_script 'echo ready; cat; echo end'
	foreground expect ready send 'text\r' expect 'text.*text' send '\x04' expect end
	equal 0 "$code"
}

@test "run: much output is complete" {
	sh_script 'seq 200000'
	at_terminal -- bash -c '"$@" >"$0"' "$T/file" "$HAKO" --root "$ROOT" run "$ID"
	equal 0 "$code"
	cmp "$T/file" <(seq 200000)
}

@test "run: the last output before the end is complete, every time" {
	local n
	sh_script 'printf "%04000d\n" 7; exit 3'
	for n in {1..20}; do
		at_terminal -- bash -c '"$@" >"$0"' "$T/file" "$HAKO" --root "$ROOT" run "$ID"
		equal "3 4001" "$code $(stat -c %s "$T/file")"
	done
}

@test "run: much input is complete" {
	sh_script 'stty raw -echo; echo ready; head -c 100000 | md5sum'
	local text
	text=$(head -c 100000 /dev/zero | tr '\0' x)
	foreground expect ready send "$(head -c 50000 <<<"$text")" send "$(head -c 50000 <<<"$text")" expect "$(printf %s "$text" | md5sum | cut -d' ' -f1)"
}

@test "run: standard input from /dev/null, the terminal is found by /dev/tty" {
	sh_script 'test -t 0 && stty size'
	at_terminal --size 33x111 --stdin /dev/null -- "$HAKO" --root "$ROOT" run "$ID"
	equal 0 "$code"
	sees '33 111\r\n'
}

@test "run: standard input from /dev/null, the user's terminal is restored" {
	sh_script 'true'
	at_terminal -- sh -c 'stty -a >"$0.before"; "$@" </dev/null; stty -a >"$0.after"' "$T/stty" "$HAKO" --root "$ROOT" run "$ID"
	cmp "$T/stty.before" "$T/stty.after"
}

@test "run: standard input from a file is typed" {
	sh_script 'read line; echo "[$line]"'
	echo hello >"$T/in"
	at_terminal --stdin "$T/in" -- "$HAKO" --root "$ROOT" run "$ID"
	contains '\[hello\]' "$output"
}

# without_terminal ARG…: hako in a session that has none.
without_terminal() {
	status=0
	setsid --wait "$HAKO" --root "$ROOT" "$@" </dev/null >"$T/o" 2>"$T/e" 3>&- || status=$?
	output=$(<"$T/o") stderr=$(<"$T/e")
}

@test "run, exec --tty: without any terminal a clear error" {
	without_terminal run "$ID"
	equal "1 " "$status $output"
	contains 'process.terminal is true, but hako has no terminal' "$stderr"
	equal 1 "$(wc -l <"$T/e")"
	nothing_left
	start_container '.process.terminal = false'
	without_terminal exec --tty "$ID" true
	equal "255 " "$status $output"
	contains 'no terminal' "$stderr"
}

@test "run: under script(1)" {
	sh_script 'tty; echo hello'
	# What script types at the end of its input is echoed, maybe.
	equal "/dev/pts/0 hello" "$(script -qec "$HAKO --root $ROOT run $ID" /dev/null </dev/null 3>&- | sed 's/\^@//' | tr -d '\r\0' | xargs)"
}

@test "run: a process of the container that keeps the terminal does not keep hako" {
	update_config '.linux.namespaces -= [{type: "pid"}]'
	sh_script 'trap "" HUP; sleep 100000 & echo done; exit 4'
	foreground
	equal 4 "$code"
	contains "done" "$output"
	nothing_left
}

# --- exec at a user's terminal

# foreground_exec SCRIPT STEP…
foreground_exec() {
	local script=$1
	shift
	at_terminal --size 33x111 -- "$HAKO" --root "$ROOT" exec --tty "$ID" sh -c "$script" :: "$@"
}

start_without_terminal() { start_container '.process.terminal = false'; }

@test "exec --tty: a terminal, of the user's size, in all streams" {
	start_without_terminal
	foreground_exec 'tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all'
	equal 0 "$code"
	sees '/dev/pts/0\r\n33 111\r\nall\r\n'
}

@test "exec --tty: lines in a file end in \n" {
	start_without_terminal
	at_terminal -- bash -c '"$@" >"$0"' "$T/file" "$HAKO" --root "$ROOT" exec --tty "$ID" echo one
	equal 'one\n' "$(od -An -c "$T/file" | tr -d ' \n')"
}

@test "exec --tty: echo, Ctrl-C, and the exit code" {
	start_without_terminal
	# The kernel signals first: who closes the terminal then does not see the echo.
	local at_interrupt='read line; trap - INT; kill -INT $$'
	foreground_exec "trap '$at_interrupt' INT; echo ready; read line; echo \"[\$line]\"; while :; do sleep 0.02; done" \
		expect ready send 'hello\r' expect '\[hello\]' send '\x03' expect '\^C' send '\r'
	sees 'ready\r\nhello\r\n[hello]\r\n^C\r\n'
	equal 130 "$code"
	foreground_exec 'exit 6'
	equal 6 "$code"
}

@test "exec --tty: a new size is forwarded" {
	start_without_terminal
	foreground_exec 'trap "stty size; exit" WINCH; echo ready; while :; do sleep 0.02; done' expect ready resize 44x99 expect '44 99'
	equal 0 "$code"
}

@test "exec --tty: the user's terminal is raw meanwhile, and restored" {
	start_without_terminal
	foreground_exec 'echo ready; read line' modes "$T/before" expect ready modes "$T/raw" send '\r' wait modes "$T/after"
	equal "OPOST ONLCR" "$(head -1 "$T/raw")"
	equal "ECHO ICANON ISIG OPOST ONLCR" "$(head -1 "$T/after")"
}

@test "exec --tty: restored after a program that is missing" {
	start_without_terminal
	COMMAND=(exec --tty "$ID" missing-program)
	restored
	equal 255 "$code"
	contains 'executable file not found in \$PATH' "$output"
}

@test "exec --tty: standard input from /dev/null" {
	start_without_terminal
	at_terminal --size 33x111 --stdin /dev/null -- "$HAKO" --root "$ROOT" exec --tty "$ID" stty size
	sees '33 111\r\n'
}

@test "exec --tty: as another user, who owns the terminal" {
	start_without_terminal
	at_terminal -- "$HAKO" --root "$ROOT" exec --tty --user 1000:1000 "$ID" sh -c 'stat -c %u $(tty); echo again >$(tty)'
	sees '1000\r\nagain\r\n'
}

@test "exec --tty: a background process that keeps the terminal does not keep hako" {
	start_without_terminal
	foreground_exec 'trap "" HUP; sleep 100000 & echo done; exit 4'
	equal 4 "$code"
	contains "done" "$output"
}

@test "exec: without --tty there is none, also of a container with one" {
	sh_script 'exec sleep 100000'
	receive
	ok run --detach --console-socket "$T/c.sock" "$ID"
	ok exec "$ID" sh -c 'tty; true </dev/tty' || true
	contains 'not a tty' "$output"
	ok delete --force "$ID"
	received
}

@test "exec --tty: several at once, each has its own" {
	start_without_terminal
	local n pids=()
	for n in {1..5}; do
		python3 "$TESTDATA/pty.py" -- "$HAKO" --root "$ROOT" exec --tty "$ID" sh -c 'tty; read x' :: expect pts send '\r' \
			</dev/null >"$T/screen.$n" 2>&1 3>&- &
		pids+=("$!")
	done
	for n in "${pids[@]}"; do wait "$n"; done
	for n in {1..5}; do grep -q '^/dev/pts/[0-9]' "$T/screen.$n"; done
}
