#!/usr/bin/env bats
# Mounts: config.md#mounts with the table of options, and what runc and crun
# add to it. The host of these tests is a mount namespace of their own.
# shellcheck disable=SC2016,SC2154 # $names are jq's or of the container's shell, or set by the helpers

load helpers
load rootfs-helpers

setup_file() { make_rootfs; }
teardown_file() { remove_rootfs; }
setup() {
	make_host
	SRC=$T/source
	mkdir "$SRC"
}
teardown() { clean_up_host; }

# --- flags of one mount

# sets OPTION FLAG [OTHER]: on a new file system and on a bind mount, whose
# source has the flag OTHER instead.
sets() {
	host_tmpfs "$SRC" "${3:-}"
	tmpfs /new ${3:+"$3"} "$1"
	bind /bound "$SRC" "$1"
	mounted
	has "$2" "$(mount_options /new)"
	has "$2" "$(mount_options /bound)"
	[[ -z ${3:-} ]] || {
		lacks "$3" "$(mount_options /new)"
		lacks "$3" "$(mount_options /bound)"
	}
}

# clears OPTION FLAG: the flag of an earlier option and of a bind's source. The
# later option of a pair wins.
clears() {
	host_tmpfs "$SRC" "$2"
	tmpfs /new "$2" "$1"
	tmpfs /opposite "$1" "$2"
	bind /bound "$SRC" "$1"
	bind /kept "$SRC"
	mounted
	lacks "$2" "$(mount_options /new)"
	has "$2" "$(mount_options /opposite)"
	lacks "$2" "$(mount_options /bound)"
	has "$2" "$(mount_options /kept)"
}

@test "option ro: set" { sets ro ro rw; }
@test "option nosuid: set" { sets nosuid nosuid; }
@test "option nodev: set" { sets nodev nodev; }
@test "option noexec: set" { sets noexec noexec; }
@test "option noatime: set" { sets noatime noatime relatime; }
@test "option nodiratime: set" { sets nodiratime nodiratime; }
@test "option relatime: set" { sets relatime relatime noatime; }
@test "option atime: the kernel's default instead of noatime" { sets atime relatime noatime; }
@test "option nostrictatime: the kernel's default" { host_tmpfs "$SRC" strictatime && sets nostrictatime relatime; }
@test "option norelatime: as mount(8), the kernel's default" { sets norelatime relatime noatime; }
@test "option nosymfollow: set" { sets nosymfollow nosymfollow; }

@test "option rw: clears ro" { clears rw ro; }
@test "option suid: clears nosuid" { clears suid nosuid; }
@test "option dev: clears nodev" { clears dev nodev; }
@test "option exec: clears noexec" { clears exec noexec; }
@test "option diratime: clears nodiratime" { clears diratime nodiratime; }
@test "option symfollow: clears nosymfollow" { clears symfollow nosymfollow; }
@test "option strictatime: clears noatime" { clears strictatime noatime; }
@test "option strictatime: clears relatime" { clears strictatime relatime; }

@test "option ro: writing is refused" {
	tmpfs /new ro
	bind /bound "$SRC" ro
	run_script 'touch /new/x 2>&1; touch /bound/x 2>&1; true'
	equal 2 "$(grep -c 'Read-only file system' <<<"$output")"
	not exists "$SRC/x"
}

@test "option ro on a bind mount: the host's mount stays writable" {
	host_tmpfs "$SRC"
	bind /bound "$SRC" ro
	background
	host touch "$SRC/x"
	inside test -e /bound/x
}

@test "option ro on a tmpfs: later mounts in it find their mount points" {
	tmpfs /new ro
	tmpfs /new/below
	run_script 'touch /new/below/x && ! touch /new/x 2>/dev/null && echo as wanted'
	equal "as wanted" "$output"
}

@test "option nosuid: a setuid program changes nothing, with suid it does" {
	local lib
	mkdir "$BUNDLE/rootfs/nosuid" "$BUNDLE/rootfs/suid"
	# Not busybox: it gives up the privilege itself.
	install -m 4755 /bin/cat "$SRC/cat"
	for lib in $(ldd /bin/cat | grep -o '/[^ ]*'); do
		mkdir -p "$BUNDLE/rootfs${lib%/*}"
		cp -L "$lib" "$BUNDLE/rootfs$lib"
	done
	bind /nosuid "$SRC" nosuid
	bind /suid "$SRC" suid
	update_config '.process.user = {uid: 1000, gid: 1000} | .process.noNewPrivileges = false'
	run_script 'for i in nosuid suid; do /$i/cat /proc/self/status | grep ^Uid; done'
	equal $'Uid:\t1000\t1000\t1000\t1000\nUid:\t1000\t0\t0\t0' "$output"
}

@test "option nodev: a device node cannot be opened, with dev it can" {
	mknod -m 666 "$SRC/zero" c 1 5
	bind /nodev "$SRC" nodev
	bind /dev-allowed "$SRC" dev
	run_script 'for i in nodev dev-allowed; do head -c 1 /$i/zero 2>&1 | wc -c; head -c 1 /$i/zero >/dev/null 2>&1 && echo $i; done; true'
	equal dev-allowed "$(tail -1 <<<"$output")"
	not grep -q '^nodev' <<<"$output"
}

@test "option noexec: a program cannot be executed, with exec it can" {
	cp "$BUNDLE/rootfs/bin/busybox" "$SRC/echo"
	bind /noexec "$SRC" noexec
	bind /exec "$SRC" exec
	run_script '/noexec/echo noexec 2>/dev/null; /exec/echo exec'
	equal exec "$output"
}

@test "option nosymfollow: a symlink is not followed, with symfollow it is" {
	echo text >"$SRC/file"
	ln -s file "$SRC/link"
	bind /no "$SRC" nosymfollow
	bind /yes "$SRC" symfollow
	run_script 'cat /no/link 2>/dev/null && echo followed; cat /yes/link'
	equal text "$output"
}

@test "options noatime, relatime, strictatime: when reading changes the time" {
	local name past=1000 future=4000000000
	for name in noatime relatime strictatime; do
		mkdir "$SRC/$name"
		for t in past future; do
			echo text >"$SRC/$name/$t"
			touch -a -d "@${!t}" "$SRC/$name/$t"
		done
		bind "/$name" "$SRC/$name" "$name"
	done
	run_script 'cat /*time/* >/dev/null'
	changed() { differ "$2" "$(stat -c %X "$SRC/$1")"; }
	equal $past "$(stat -c %X "$SRC/noatime/past")"
	changed relatime/past $past
	equal $future "$(stat -c %X "$SRC/relatime/future")"
	changed strictatime/future $future
}

@test "option nodiratime: reading a directory does not change its time" {
	mkdir -p "$SRC/no/d" "$SRC/yes/d"
	touch "$SRC/no/d/f" "$SRC/yes/d/f"
	bind /no "$SRC/no" strictatime nodiratime
	bind /yes "$SRC/yes" strictatime diratime
	touch -a -d @1000 "$SRC"/*/d "$SRC"/*/d/f
	run_script 'ls /no/d /yes/d >/dev/null; cat /no/d/f'
	equal 1000 "$(stat -c %X "$SRC/no/d")"
	differ 1000 "$(stat -c %X "$SRC/no/d/f")"
	differ 1000 "$(stat -c %X "$SRC/yes/d")"
}

# --- flags of the file system

# super_sets OPTION, super_clears OPTION FLAG
super_sets() {
	tmpfs /new "$1"
	tmpfs /plain
	mounted
	has "$1" "$(fs_options /new)"
	lacks "$1" "$(fs_options /plain)"
}
super_clears() {
	tmpfs /new "$2" "$1"
	mounted
	lacks "$2" "$(fs_options /new)"
}

@test "option sync: set on the file system" { super_sets sync; }
@test "option dirsync: set on the file system" { super_sets dirsync; }
@test "option lazytime: set on the file system" { super_sets lazytime; }
@test "option async: clears sync" { super_clears async sync; }
@test "option nolazytime: clears lazytime" { super_clears nolazytime lazytime; }

@test "options mand, nomand, iversion, noiversion, silent, loud, defaults: accepted, and not the file system's" {
	local option
	for option in mand nomand iversion noiversion silent loud defaults; do
		tmpfs "/$option" "$option"
	done
	mounted
	for option in mand nomand iversion noiversion silent loud defaults; do
		equal tmpfs "$(fs_type "/$option")"
	done
}

@test "options of the file system on a bind mount: without effect on it" {
	host_tmpfs "$SRC"
	bind /bound "$SRC" sync dirsync lazytime mand iversion silent
	mounted
	lacks sync "$(fs_options /bound)"
	lacks lazytime "$(fs_options /bound)"
}

@test "every option of the specification's table is in features" {
	local known option
	known=$("$HAKO" features | jq -r '.mountOptions[]')
	for option in async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev \
		nodiratime noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime \
		rbind rdev rdiratime relatime remount rexec rnoatime rnodiratime rnoexec rnorelatime rnostrictatime rnosuid \
		rnosymfollow ro rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared \
		silent slave strictatime suid symfollow sync tmpcopyup unbindable idmap ridmap rnodev; do
		grep -qxF "$option" <<<"$known" || { echo "missing: $option"; false; }
	done
}

# --- recursive flags

# nested [OPTIONS]: a source with two mounts below each other.
nested() {
	local dir
	for dir in "$SRC" "$SRC/a" "$SRC/a/b"; do
		host_tmpfs "$dir"
	done
	for dir in "$SRC" "$SRC/a" "$SRC/a/b"; do
		host mount -o "remount,bind,${1:-rw}" "$dir"
	done
}

# sets_all OPTION FLAG [OTHER]: on the mount and all below; the option without
# its r on the mount only, and without rbind there is nothing below.
sets_all() {
	local dir
	nested "${3:-}"
	rbind /all "$SRC" "$1"
	rbind /one "$SRC" "${1#r}"
	bind /bound "$SRC" "$1"
	tmpfs /new "$1"
	mounted
	for dir in /all /all/a /all/a/b /one /bound /new; do
		has "$2" "$(mount_options $dir)"
	done
	for dir in /one/a /one/a/b; do
		lacks "$2" "$(mount_options $dir)"
	done
	not_mounted /bound/a
}

# clears_all OPTION FLAG
clears_all() {
	local dir
	nested "$2"
	rbind /all "$SRC" "$1"
	rbind /one "$SRC" "${1#r}"
	mounted
	for dir in /all /all/a /all/a/b /one; do
		lacks "$2" "$(mount_options $dir)"
	done
	for dir in /one/a /one/a/b; do
		has "$2" "$(mount_options $dir)"
	done
}

@test "option rro: read-only with all below" { sets_all rro ro; }
@test "option rnosuid: with all below" { sets_all rnosuid nosuid; }
@test "option rnodev: with all below" { sets_all rnodev nodev; }
@test "option rnoexec: with all below" { sets_all rnoexec noexec; }
@test "option rnoatime: with all below" { sets_all rnoatime noatime; }
@test "option rnodiratime: with all below" { sets_all rnodiratime nodiratime; }
@test "option rnosymfollow: with all below" { sets_all rnosymfollow nosymfollow; }
@test "option rrelatime: with all below" { sets_all rrelatime relatime noatime; }
@test "option ratime: with all below" { sets_all ratime relatime noatime; }
@test "option rnorelatime: with all below" { sets_all rnorelatime relatime noatime; }
@test "option rnostrictatime: with all below" { sets_all rnostrictatime relatime strictatime; }
@test "option rrw: writable with all below" { clears_all rrw ro; }
@test "option rsuid: with all below" { clears_all rsuid nosuid; }
@test "option rdev: with all below" { clears_all rdev nodev; }
@test "option rexec: with all below" { clears_all rexec noexec; }
@test "option rdiratime: with all below" { clears_all rdiratime nodiratime; }
@test "option rsymfollow: with all below" { clears_all rsymfollow nosymfollow; }
@test "option rstrictatime: with all below" { clears_all rstrictatime noatime; }

@test "option rro: nothing can be written below, and ro leaves what is below" {
	nested
	rbind /all "$SRC" rro
	rbind /one "$SRC" ro
	run_script 'for d in all all/a all/a/b one one/a one/a/b; do touch /$d/x 2>/dev/null && echo $d; done; true'
	equal $'one/a\none/a/b' "$output"
}

@test "recursive flags: the host's mounts keep theirs" {
	nested
	rbind /all "$SRC" rro rnoexec
	mounted
	output=$(host_mounts)
	lacks noexec "$(mount_options "$SRC/a/b")"
	has rw "$(mount_options "$SRC/a/b")"
}

# --- bind

@test "bind: what is mounted below is not seen, with rbind it is" {
	nested
	host touch "$SRC/a/file"
	bind /bound "$SRC"
	rbind /rbound "$SRC"
	run_script 'ls /bound/a /rbound/a'
	equal $'/bound/a:\n\n/rbound/a:\nb\nfile' "$output"
}

@test "bind: writing reaches the source" {
	bind /bound "$SRC"
	run_script 'echo text >/bound/file'
	equal text "$(<"$SRC/file")"
}

@test "bind: a relative source begins at the bundle" {
	mkdir "$BUNDLE/folder"
	touch "$BUNDLE/folder/file"
	bind /bound folder
	cd /
	update_config '.process.args = ["ls", "/bound"]'
	ok run -b "$BUNDLE" "$ID"
	equal file "$output"
}

@test "bind: the type bind is enough" {
	touch "$SRC/file"
	add_mount /bound bind "$SRC"
	run_script 'ls /bound'
	equal file "$output"
}

@test "bind: the option makes it one whatever the type" {
	touch "$SRC/file"
	add_mount /bound tmpfs "$SRC" bind
	add_mount /rbound none "$SRC" rbind
	run_script 'ls /bound /rbound'
	equal $'/bound:\nfile\n\n/rbound:\nfile' "$output"
}

@test "bind: a file onto a file" {
	echo text >"$SRC/file"
	echo covered >"$BUNDLE/rootfs/etc/file"
	bind /etc/file "$SRC/file" ro
	run_script 'cat /etc/file; ! echo x 2>/dev/null >/etc/file'
	equal text "$output"
	equal covered "$(<"$BUNDLE/rootfs/etc/file")"
}

@test "bind: a device, a socket and a FIFO" {
	mknod -m 666 "$SRC/zero" c 1 5
	mkfifo "$SRC/fifo"
	python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$SRC/socket"
	bind /a/zero "$SRC/zero"
	bind /a/fifo "$SRC/fifo"
	bind /a/socket "$SRC/socket"
	run_script 'test -c /a/zero && test -p /a/fifo && test -S /a/socket && echo all'
	equal all "$output"
}

@test "bind: a source that is a symlink is followed on the host" {
	echo text >"$SRC/file"
	ln -s "$SRC/file" "$SRC/link"
	bind /bound "$SRC/link"
	run_script 'cat /bound; test -L /bound || echo file'
	equal $'text\nfile' "$output"
}

@test "src-nofollow: a source that is a symlink is mounted itself" {
	echo text >"$SRC/file"
	ln -s "$SRC/file" "$SRC/link"
	bind /bound "$SRC/link" src-nofollow
	run_script 'readlink /bound; cat /bound 2>/dev/null || echo nothing'
	equal "$SRC/file"$'\nnothing' "$output"
}

@test "dest-nofollow: a destination that is a symlink is covered itself" {
	echo text >"$SRC/file"
	echo target >"$BUNDLE/rootfs/etc/target"
	ln -s target "$BUNDLE/rootfs/etc/link"
	bind /etc/link "$SRC/file" dest-nofollow
	run_script 'cat /etc/link /etc/target'
	equal $'text\ntarget' "$output"
}

@test "dest-nofollow: a missing destination is made" {
	echo text >"$SRC/file"
	bind /etc/made "$SRC/file" dest-nofollow
	bind /etc/made-too "$SRC" dest-nofollow
	run_script 'cat /etc/made /etc/made-too/file'
	equal $'text\ntext' "$output"
}

@test "bind: a missing source is named with its row" {
	bind /data "$T/missing"
	fails "mounts\[$(row)\] /data: .*$T/missing.*no such file or directory$" create "$ID"
	nothing_left
}

@test "bind: no source" {
	add_mount /data "" "" bind
	fails "mounts\[$(row)\]\.source" create "$ID"
	nothing_left
}

@test "bind: an option that is unknown is refused, not ignored" {
	bind /data "$SRC" size=5m
	fails "mounts\[$(row)\]\.options: .*size=5m" create "$ID"
}

# --- mount points

@test "mount points: a missing directory is made, with its parents, 0755" {
	tmpfs /p/q/r
	mounted
	equal tmpfs "$(fs_type /p/q/r)"
	equal "755 0 0" "$(stat -c '%a %u %g' "$BUNDLE/rootfs/p/q/r")"
	equal 755 "$(stat -c %a "$BUNDLE/rootfs/p")"
}

@test "mount points: the caller's umask does not matter" {
	umask 077
	tmpfs /p/q
	mounted
	equal 755 "$(stat -c %a "$BUNDLE/rootfs/p")"
	equal 755 "$(stat -c %a "$BUNDLE/rootfs/p/q")"
}

@test "mount points: a missing file is made for a file, empty" {
	echo text >"$SRC/file"
	bind /p/q/file "$SRC/file"
	run_script 'cat /p/q/file'
	equal text "$output"
	equal "regular empty file" "$(stat -c %F "$BUNDLE/rootfs/p/q/file")"
}

@test "mount points: in a user namespace they belong to the container's root" {
	use_userns
	tmpfs /p/q
	mounted
	equal "100000 100000" "$(stat -c '%u %g' "$BUNDLE/rootfs/p/q")"
}

@test "mount points: setgid of the parent is inherited" {
	install -d -m 2755 -g 1234 "$BUNDLE/rootfs/p"
	tmpfs /p/q/r
	mounted
	equal "2755 1234" "$(stat -c '%a %g' "$BUNDLE/rootfs/p/q")"
	equal "2755 1234" "$(stat -c '%a %g' "$BUNDLE/rootfs/p/q/r")"
}

@test "mount points: through a symlink, which is resolved inside the root" {
	mkdir "$BUNDLE/rootfs/real"
	ln -s /real "$BUNDLE/rootfs/absolute"
	ln -s ../../../../../../../real "$BUNDLE/rootfs/etc/relative"
	tmpfs /absolute/a
	tmpfs /etc/relative/b
	mounted
	equal tmpfs "$(fs_type /real/a)"
	equal tmpfs "$(fs_type /real/b)"
}

@test "mount points: through a dangling symlink, whose target is made inside the root" {
	local away=$BATS_TEST_TMPDIR/away
	echo text >"$SRC/file"
	ln -s "$away/dir" "$BUNDLE/rootfs/dir"
	ln -s "$away/file" "$BUNDLE/rootfs/file"
	bind /dir "$SRC"
	bind /file "$SRC/file"
	run_script "cat /dir/file /file $away/dir/file"
	equal $'text\ntext\ntext' "$output"
	not exists "$away"
	[[ -d $BUNDLE/rootfs$away/dir && -f $BUNDLE/rootfs$away/file ]]
}

@test "mount points: a loop of symlinks is an error" {
	ln -s loop "$BUNDLE/rootfs/loop"
	tmpfs /loop/dir
	fails "mounts\[$(row)\] /loop/dir: .*too many levels of symbolic links" create "$ID"
	nothing_left
}

@test "mount points: a read-only root whose mount points exist is enough" {
	mkdir "$BUNDLE/rootfs/p"
	host mount --bind "$BUNDLE/rootfs" "$BUNDLE/rootfs"
	host mount -o remount,bind,ro "$BUNDLE/rootfs"
	tmpfs /p
	mkdir -p "$BUNDLE/rootfs/dev" "$BUNDLE/rootfs/proc" "$BUNDLE/rootfs/sys"
	mounted
	equal tmpfs "$(fs_type /p)"
}

@test "mount points: one missing in a read-only file system" {
	host_tmpfs "$SRC"
	host mount -o remount,bind,ro "$SRC"
	bind /bound "$SRC"
	tmpfs /bound/missing
	fails "mounts\[$(row)\] /bound/missing: .*read-only file system" create "$ID"
	nothing_left
}

@test "mount points: '..' in a destination ends at the root" {
	tmpfs /../../p
	mounted
	equal tmpfs "$(fs_type /p)"
}

@test "mount over a file: a directory is refused" {
	touch "$BUNDLE/rootfs/file"
	bind /file "$SRC"
	fails "mounts\[$(row)\] /file: .*not a directory" create "$ID"
	nothing_left
}

@test "mount over a file: a file system is refused" {
	touch "$BUNDLE/rootfs/file"
	tmpfs /file
	fails "mounts\[$(row)\] /file: .*not a directory" create "$ID"
	nothing_left
}

@test "mount over a directory: a file is refused" {
	touch "$SRC/file"
	bind /etc "$SRC/file"
	fails "mounts\[$(row)\] /etc: .*" create "$ID"
	nothing_left
}

@test "destination: / is refused" {
	tmpfs /
	fails "mounts\[$(row)\] /: .*root" create "$ID"
	nothing_left
}

@test "destination: a symlink to / is refused" {
	ln -s / "$BUNDLE/rootfs/top"
	tmpfs /top
	fails "mounts\[$(row)\] /top: .*root" create "$ID"
	nothing_left
}

@test "destination: missing" {
	add_mount "" tmpfs tmpfs
	fails "mounts\[$(row)\]\.destination" create "$ID"
}

@test "destination: a relative one begins at / and warns" {
	tmpfs relative/dir
	sh_script true
	update_config '.process.args = ["cat", "/proc/self/mountinfo"]'
	call run "$ID"
	equal 0 "$status"
	equal tmpfs "$(fs_type /relative/dir)"
	contains "mounts\[$(row)\]\.destination: .*relative" "$stderr"
}

@test "order: rows are mounted one after the other, the later covers the earlier" {
	mkdir "$SRC/1" "$SRC/2"
	touch "$SRC/1/first" "$SRC/2/second"
	bind /m "$SRC/1"
	bind /m "$SRC/2"
	run_script 'ls /m; cat /proc/self/mountinfo >/tmp/m'
	equal second "$output"
	output=$(<"$BUNDLE/rootfs/tmp/m")
	equal 2 "$(mounts_at /m)"
}

@test "order: a row for a parent hides an earlier one below it" {
	tmpfs /a/b
	bind /a "$SRC"
	run_script 'ls -A /a'
	equal "" "$output"
}

@test "order: the mount point of a later row is made in the mount of an earlier one" {
	tmpfs /a
	tmpfs /a/b
	mounted
	equal "$(mount_id /a)" "$(mount_line /a/b | cut -d' ' -f2)"
	not exists "$BUNDLE/rootfs/a/b"
}

# --- new file systems

@test "tmpfs: the options of the file system reach it" {
	tmpfs /new size=64k,nr_inodes=7 mode=1757 uid=12 gid=34
	run_script 'stat -c "%a %u %g" /new; grep " /new " /proc/self/mountinfo; head -c 100k /dev/zero >/new/f 2>/dev/null; stat -c %s /new/f'
	equal "1757 12 34" "$(head -1 <<<"$output")"
	contains 'size=64k,nr_inodes=7' "$output"
	equal 65536 "$(tail -1 <<<"$output")"
}

@test "tmpfs: keeps the mode of the directory that it covers" {
	install -d -m 1711 "$BUNDLE/rootfs/p"
	tmpfs /p
	tmpfs /tmp
	chmod 1777 "$BUNDLE/rootfs/tmp"
	run_script 'stat -c %a /p /tmp'
	equal $'1711\n1777' "$output"
}

@test "tmpfs: an explicit mode wins over that of the directory" {
	install -d -m 711 "$BUNDLE/rootfs/p"
	tmpfs /p mode=750
	run_script 'stat -c %a /p'
	equal 750 "$output"
}

@test "tmpcopyup: the directory's contents are in the tmpfs" {
	local p=$BUNDLE/rootfs/p
	install -d -m 751 "$p" "$p/sub"
	echo text >"$p/sub/file"
	chown 12:34 "$p/sub" "$p/sub/file"
	chmod 4754 "$p/sub/file"
	ln -s /nowhere "$p/link"
	touch -d @1000 "$p/sub/file"
	tmpfs /p tmpcopyup
	run_script 'stat -c "%a %u %g" /p /p/sub /p/sub/file; stat -c %Y /p/sub/file; cat /p/sub/file; readlink /p/link; rm /p/link'
	equal $'751 0 0\n751 12 34\n4754 12 34\n1000\ntext\n/nowhere' "$output"
	equal text "$(<"$p/sub/file")"
	[[ -L $p/link ]]
}

@test "tmpcopyup: read-only, and of a directory that is missing" {
	mkdir "$BUNDLE/rootfs/p"
	touch "$BUNDLE/rootfs/p/file"
	tmpfs /p tmpcopyup ro
	tmpfs /missing tmpcopyup
	run_script 'ls /p; touch /p/x 2>/dev/null; ls -A /p /missing'
	equal $'file\n/missing:\n\n/p:\nfile' "$output"
}

@test "tmpcopyup: symlinks of the image are copied, never followed" {
	mkdir "$SRC/secret" "$BUNDLE/rootfs/p"
	echo secret >"$SRC/secret/file"
	ln -s "$SRC/secret" "$BUNDLE/rootfs/p/dir"
	ln -s "$SRC/secret/file" "$BUNDLE/rootfs/p/file"
	tmpfs /p tmpcopyup
	run_script 'readlink /p/dir; readlink /p/file; cat /p/file 2>/dev/null; true'
	equal "$SRC/secret"$'\n'"$SRC/secret/file" "$output"
}

@test "tmpcopyup: only on a tmpfs" {
	bind /p "$SRC" tmpcopyup
	fails "mounts\[$(row)\]\.options: .*tmpcopyup" create "$ID"
}

@test "proc: shows the container's processes" {
	run_script 'readlink /proc/self; echo $$; ls -d /proc/[0-9]* | wc -l'
	equal 1 "$(sed -n 2p <<<"$output")"
	((${output%%$'\n'*} < 10))
}

@test "proc: its options reach it" {
	update_config '(.mounts[] | select(.type == "proc")).options = ["hidepid=2", "nosuid", "noexec", "nodev"]'
	mounted
	contains 'hidepid=(2|invisible)' "$(fs_options /proc)"
	has noexec "$(mount_options /proc)"
}

@test "proc: nothing else may be mounted on /proc" {
	tmpfs /proc
	fails "mounts\[$(row)\].*proc" create "$ID"
	drop_mount /proc
	bind /proc "$SRC"
	fails "mounts\[$(row)\] /proc: .*not of type proc" create "$ID"
	nothing_left
}

@test "proc: a bind mount of a procfs may be mounted on /proc" {
	drop_mount /proc
	rbind /proc /proc
	mounted
	equal proc "$(fs_type /proc)"
}

@test "proc: inside it nothing is mounted but what lxcfs emulates" {
	touch "$SRC/file"
	bind /proc/meminfo "$SRC/file"
	bind /proc/uptime "$SRC/file"
	mounted
	equal tmpfs "$(fs_type /proc/meminfo)"
	bind /proc/version "$SRC/file"
	fails "mounts\[$(row)\] /proc/version: .*inside /proc" create "$ID"
	nothing_left
}

@test "sysfs: shows the network devices of the container's network namespace" {
	run_script 'ls /sys/class/net; grep " /sys " /proc/self/mountinfo'
	equal lo "$(head -1 <<<"$output")"
	contains ' - sysfs ' "$output"
}

@test "sysfs: read-only is the mount; the instance of the host's namespace stays writable" {
	drop_namespace network
	mounted
	has ro "$(mount_options /sys)"
	host sh -c 'grep " /sys " /proc/self/mountinfo' >"$T/sys"
	contains ' - sysfs sysfs rw' "$(<"$T/sys")"
}

# own_procs: the list of processes at the top of what a container sees.
own_procs() {
	if pure_v2; then
		echo /sys/fs/cgroup/cgroup.procs
	else
		echo /sys/fs/cgroup/pids/cgroup.procs
	fi
}

# The kernel lets nobody mount sysfs who has no power over the network.
sysfs_fallback() {
	use_userns
	drop_namespace network
	# Unlike the test's others: a mount below /sys, as the host's cgroups are.
	drop_mount /sys/fs/cgroup
}

@test "sysfs: the host's network in a user namespace: a copy of the host's, read-only" {
	sysfs_fallback
	update_config '(.mounts[] | select(.type == "sysfs")).options = ["nosuid", "noexec", "nodev", "rw"]'
	mounted
	equal sysfs "$(fs_type /sys)"
	has ro "$(mount_options /sys)"
	has nosuid "$(mount_options /sys)"
	has ro "$(mount_options /sys/fs/cgroup)"
}

@test "sysfs: the copy shows the devices of the host's network namespace" {
	sysfs_fallback
	run_script 'ls /sys/class/net'
	equal "$(ls /sys/class/net)" "$output"
}

@test "sysfs: a cgroup mount goes on top of the copy" {
	use_userns
	drop_namespace network
	run_script "grep -x 1 $(own_procs)"
	equal 1 "$output"
}

@test "mqueue: belongs to the container's ipc namespace" {
	host mkdir -p "$SRC/mq"
	host mount -t mqueue mqueue "$SRC/mq"
	host touch "$SRC/mq/$MARK"
	run_script "ls /dev/mqueue; touch /dev/mqueue/inside; ls /dev/mqueue"
	host rm "$SRC/mq/$MARK"
	equal inside "$output"
	equal "" "$(host ls "$SRC/mq")"
}

@test "mqueue: read-only is the mount, not the instance" {
	drop_namespace ipc
	update_config '(.mounts[] | select(.type == "mqueue")).options += ["ro"]'
	mounted
	has ro "$(mount_options /dev/mqueue)"
	has rw "$(fs_options /dev/mqueue)"
}

@test "devpts: an instance of its own, with the options of the row" {
	run_script 'ls /dev/pts; stat -c %a /dev/pts/ptmx; grep " /dev/pts " /proc/self/mountinfo'
	equal $'ptmx\n666' "$(head -2 <<<"$output")"
	contains 'gid=5,mode=620,ptmxmode=666' "$output"
}

@test "file system: an unknown type is named with its row" {
	add_mount /x nosuchfs none
	fails "mounts\[$(row)\] /x: .*\"nosuchfs\".*no such device$" create "$ID"
	nothing_left
}

@test "file system: no type" {
	add_mount /x "" none
	fails "mounts\[$(row)\]\.type: .*bind" create "$ID"
}

@test "file system: an unknown option is named, with what the kernel says" {
	tmpfs /x nosuchoption=1
	fails "mounts\[$(row)\] /x: .*\"nosuchoption=1\".*invalid argument.*Unknown parameter" create "$ID"
	nothing_left
}

@test "file system: a bad value is named, with what the kernel says" {
	tmpfs /x size=much
	fails "mounts\[$(row)\] /x: .*\"size=much\".*Bad value" create "$ID"
	nothing_left
}

@test "file system: an owner that is not mapped in the user namespace" {
	use_userns
	tmpfs /x uid=70000 gid=70001
	fails "mounts\[$(row)\]\.options: .*uid=70000.*not mapped.*gid=70001" create "$ID"
	nothing_left
}

@test "file system: overlay, with commas and colons escaped and more than 255 bytes" {
	local dir lower="" n
	for n in {1..9}; do
		dir=$SRC/lower-with-a-rather-long-name-$n
		mkdir "$dir"
		touch "$dir/$n"
		lower+=:$dir
	done
	mkdir "$SRC/upper" "$SRC/work"
	host_tmpfs "$SRC/top"
	host mkdir "$SRC/top/upper" "$SRC/top/work"
	add_mount /o overlay overlay "lowerdir=${lower#:},upperdir=$SRC/top/upper,workdir=$SRC/top/work"
	# The folders of an overlay are found by the process that mounts.
	run_script 'ls /o; touch /o/new'
	equal "1 2 3 4 5 6 7 8 9 " "$(tr "\n" " " <<<"$output")"
	host test -e "$SRC/top/upper/new"
}

# --- id-mapped mounts

ids() { jq -cn '$ARGS.positional | map(tonumber) | [{containerID: .[0], hostID: .[1], size: .[2]}]' --args "$@"; }

# with_ids MAP: mappings of the last row.
with_ids() { update_config --argjson m "$1" '.mounts[-1] += {uidMappings: $m, gidMappings: $m}'; }

owned() {
	host_tmpfs "$SRC"
	host sh -c 'cd "$1" && touch zero one && chown 1000:1000 one && mkdir sub && mount -t tmpfs tmpfs sub && touch sub/zero' sh "$SRC"
}

@test "idmap: mappings of the mount" {
	owned
	bind /bound "$SRC" idmap
	with_ids "$(ids 0 5000 2000)"
	run_script 'stat -c "%u %g" /bound/zero /bound/one; touch /bound/new 2>&1; stat -c %u /tmp'
	equal $'5000 5000\n6000 6000' "$(head -2 <<<"$output")"
}

@test "idmap: what the mapped owner makes belongs to the source's owner" {
	owned
	host chmod 777 "$SRC"
	bind /bound "$SRC" idmap
	with_ids "$(ids 0 5000 2000)"
	update_config '.process.user = {uid: 6000, gid: 6000}'
	run_script 'touch /bound/new'
	equal "1000 1000" "$(host stat -c '%u %g' "$SRC/new")"
}

@test "idmap: the container's mapping, if the mount has none" {
	owned
	use_userns
	bind /bound "$SRC" idmap
	bind /plain "$SRC"
	run_script 'stat -c "%u %g" /bound/zero /bound/one; stat -c %u /plain/zero; touch /bound/new'
	equal $'0 0\n1000 1000\n65534' "$output"
	equal "0 0" "$(host stat -c '%u %g' "$SRC/new")"
}

@test "idmap: mappings of the mount in a user namespace are of the host's ids" {
	owned
	use_userns
	bind /bound "$SRC" idmap
	with_ids "$(ids 0 100007 2000)"
	run_script 'stat -c "%u %g" /bound/zero'
	equal "7 7" "$output"
}

@test "idmap: mappings are enough, the option is not needed" {
	owned
	bind /bound "$SRC"
	with_ids "$(ids 0 5000 2000)"
	run_script 'stat -c %u /bound/zero'
	equal 5000 "$output"
}

@test "idmap: the mounts below keep their ids, with ridmap they do not" {
	owned
	rbind /one "$SRC" idmap
	with_ids "$(ids 0 5000 2000)"
	rbind /all "$SRC" ridmap
	with_ids "$(ids 0 5000 2000)"
	run_script 'stat -c %u /one/zero /one/sub/zero /all/zero /all/sub/zero'
	equal $'5000\n0\n5000\n5000' "$output"
}

@test "idmap: together with ro and propagation" {
	owned
	bind /bound "$SRC" idmap ro rprivate
	with_ids "$(ids 0 5000 2000)"
	mounted
	has ro "$(mount_options /bound)"
	has idmapped "$(mount_options /bound)"
}

@test "idmap: neither mappings nor a user namespace" {
	bind /bound "$SRC" idmap
	fails "mounts\[$(row)\]\.options: .*idmap.*user namespace" create "$ID"
}

@test "idmap: only uidMappings" {
	bind /bound "$SRC" idmap
	update_config '.mounts[-1].uidMappings = [{containerID: 0, hostID: 5, size: 5}]'
	fails "mounts\[$(row)\]\.gidMappings" create "$ID"
}

@test "idmap: not on a new file system" {
	tmpfs /new idmap
	with_ids "$(ids 0 5000 2000)"
	fails "mounts\[$(row)\]\.options: .*bind" create "$ID"
}

@test "idmap: a file system that cannot says so" {
	bind /bound /proc idmap
	with_ids "$(ids 0 5000 2000)"
	fails "mounts\[$(row)\] /bound: .*does not support" create "$ID"
	nothing_left
}

# --- propagation of a row

# shared_source: the source is a shared mount of the host, with one below.
shared_source() {
	host_tmpfs "$SRC"
	host mount --make-shared "$SRC"
	host_tmpfs "$SRC/sub"
	host mkdir "$SRC/late"
}

# tagged OPTION TAGS BELOW: regular expressions of what mountinfo says.
tagged() {
	shared_source
	rbind /bound "$SRC" "$1"
	mounted
	contains "^$2\$" "$(mount_tags /bound)"
	contains "^$3\$" "$(mount_tags /bound/sub)"
}

slave='master:[0-9]+( propagate_from:[0-9]+)?'

@test "propagation: by default a slave of the host" { tagged rw "$slave" "$slave"; }
@test "option private: this mount" { tagged private '' "$slave"; }
@test "option rprivate: with all below" { tagged rprivate '' ''; }
@test "option slave: this mount" { tagged slave "$slave" "$slave"; }
@test "option rslave: with all below" { tagged rslave "$slave" "$slave"; }
@test "option shared: this mount, in a group of its own" { tagged shared "shared:[0-9]+ $slave" "$slave"; }
@test "option rshared: with all below" { tagged rshared "shared:[0-9]+ $slave" "shared:[0-9]+ $slave"; }
@test "option unbindable: this mount" { tagged unbindable unbindable "$slave"; }
@test "option runbindable: with all below" { tagged runbindable unbindable unbindable; }

@test "propagation: several options act in order" {
	shared_source
	rbind /bound "$SRC" rprivate shared
	mounted
	contains '^shared:[0-9]+$' "$(mount_tags /bound)"
	equal "" "$(mount_tags /bound/sub)"
}

@test "propagation: of a new file system" {
	tmpfs /s shared
	tmpfs /u unbindable
	tmpfs /p
	mounted
	contains '^shared:' "$(mount_tags /s)"
	equal unbindable "$(mount_tags /u)"
	equal "" "$(mount_tags /p)"
}

# host_mount_appears OPTION: a mount that the host makes in the source later.
host_mount_appears() {
	shared_source
	bind /bound "$SRC" "$1"
	background
	host_tmpfs "$SRC/late"
	mountinfo_of
	equal "$2" "$(mounts_at /bound/late)"
}

@test "propagation: a later mount of the host appears by default" { host_mount_appears rw 1; }
@test "option slave: a later mount of the host appears" { host_mount_appears slave 1; }
@test "option rslave: a later mount of the host appears" { host_mount_appears rslave 1; }
@test "option shared: a later mount of the host appears" { host_mount_appears shared 1; }
@test "option private: a later mount of the host does not appear" { host_mount_appears private 0; }
@test "option rprivate: a later mount of the host does not appear" { host_mount_appears rprivate 0; }
@test "option unbindable: a later mount of the host does not appear" { host_mount_appears unbindable 0; }

@test "propagation: what the host unmounts disappears" {
	shared_source
	rbind /bound "$SRC"
	background
	host umount "$SRC/sub"
	mountinfo_of
	equal 0 "$(mounts_at /bound/sub)"
}

# container_mount_appears OPTION COUNT: on the host.
container_mount_appears() {
	shared_source
	bind /bound "$SRC" "$1"
	background
	nsenter --target "$PID" --mount mount -t tmpfs tmpfs /bound/late
	mountinfo_of
	equal 1 "$(mounts_at /bound/late)"
	output=$(host_mounts)
	equal "$2" "$(mounts_at "$SRC/late")"
}

@test "option slave: a mount of the container does not reach the host" { container_mount_appears slave 0; }
@test "option rprivate: a mount of the container does not reach the host" { container_mount_appears rprivate 0; }
@test "option shared: a mount of the container does not reach the host" { container_mount_appears shared 0; }

@test "option rshared: with a shared root, a mount of the container reaches the host" {
	update_config '.linux.rootfsPropagation = "shared"'
	container_mount_appears rshared 1
}

@test "option unbindable: a bind mount of it is refused" {
	bind /no "$SRC" unbindable
	bind /yes "$SRC"
	background
	not nsenter --target "$PID" --mount mount --bind /no /tmp
	nsenter --target "$PID" --mount mount --bind /yes /tmp
}

# --- rootfsPropagation

# shared_root: the root file system is a shared mount of the host.
shared_root() {
	host mount --bind "$BUNDLE/rootfs" "$BUNDLE/rootfs"
	host mount --make-shared "$BUNDLE/rootfs"
	host mkdir "$BUNDLE/rootfs/late"
}

# root_is VALUE TAGS: what mountinfo says of /; "" is not given.
root_is() {
	shared_root
	[[ -z $1 ]] || update_config --arg p "$1" '.linux.rootfsPropagation = $p'
	mounted
	contains "^$2\$" "$(mount_tags /)"
}

@test "rootfsPropagation: by default a slave" { root_is '' 'master:[0-9]+'; }
@test "rootfsPropagation slave" { root_is slave 'master:[0-9]+'; }
@test "rootfsPropagation rslave" { root_is rslave 'master:[0-9]+'; }
@test "rootfsPropagation private" { root_is private ''; }
@test "rootfsPropagation rprivate" { root_is rprivate ''; }
@test "rootfsPropagation shared: a peer group of its own" { root_is shared 'shared:[0-9]+'; }
@test "rootfsPropagation rshared" { root_is rshared 'shared:[0-9]+'; }
@test "rootfsPropagation unbindable" { root_is unbindable unbindable; }
@test "rootfsPropagation runbindable" { root_is runbindable unbindable; }

@test "rootfsPropagation unbindable: masked and read-only paths work" {
	mkdir "$BUNDLE/rootfs/masked"
	update_config '.linux.rootfsPropagation = "unbindable" | .linux.maskedPaths += ["/masked"] | .linux.readonlyPaths += ["/etc"]'
	mounted
	equal unbindable "$(mount_tags /)"
	has ro "$(mount_options /etc)"
	equal tmpfs "$(fs_type /masked)"
}

@test "rootfsPropagation: another value is an error" {
	update_config '.linux.rootfsPropagation = "public"'
	fails 'linux.rootfsPropagation: .*"public"' create "$ID"
	update_config '.linux.rootfsPropagation = "ro"'
	fails 'linux.rootfsPropagation: .*"ro"' create "$ID"
}

# root_receives VALUE COUNT: a later mount of the host in the root.
root_receives() {
	shared_root
	update_config --arg p "$1" '.linux.rootfsPropagation = $p'
	background
	host_tmpfs "$BUNDLE/rootfs/late"
	mountinfo_of
	equal "$2" "$(mounts_at /late)"
}

@test "rootfsPropagation slave: a later mount of the host appears" { root_receives slave 1; }
@test "rootfsPropagation private: a later mount of the host does not appear" { root_receives private 0; }
@test "rootfsPropagation unbindable: a later mount of the host does not appear" { root_receives unbindable 0; }

@test "rootfsPropagation shared: a mount of the container does not reach the host" {
	shared_root
	update_config '.linux.rootfsPropagation = "shared"'
	background
	nsenter --target "$PID" --mount mount -t tmpfs tmpfs /late
	output=$(host_mounts)
	not_mounted "$BUNDLE/rootfs/late"
}

@test "rootfsPropagation shared: a mount reaches a namespace made in the container" {
	update_config '.linux.rootfsPropagation = "shared"'
	mkdir "$BUNDLE/rootfs/late"
	give_caps "${nearly_all_caps[@]}" SYS_ADMIN
	run_script 'unshare -m --propagation slave sh -c "mkfifo /tmp/go && echo ready >/tmp/up && read _ </tmp/go && grep -c \" /late \" /proc/self/mountinfo" &
		until test -s /tmp/up; do :; done
		mount -t tmpfs tmpfs /late && echo go >/tmp/go && wait'
	equal 1 "$output"
}

@test "rootfsPropagation unbindable: the root cannot be bind-mounted" {
	update_config '.linux.rootfsPropagation = "unbindable"'
	background
	not nsenter --target "$PID" --mount mount --bind / /tmp
}

@test "rootfsPropagation: mounts made for a container stay in it, whatever the host's propagation" {
	local value
	host mount --make-rshared /
	for value in slave private shared unbindable; do
		update_config --arg p "$value" '.linux.rootfsPropagation = $p'
		mounted # hako sees to it that the host's mounts are the same
	done
}

# --- remount

@test "remount: ro makes a mount of an earlier row read-only, its other flags stay" {
	bind /bound "$SRC" nosuid noexec
	add_mount /bound "" "" remount bind ro
	mounted
	equal 1 "$(mounts_at /bound)"
	for option in ro nosuid noexec; do
		has $option "$(mount_options /bound)"
	done
}

@test "remount,bind: the file system of the host stays writable" {
	host_tmpfs "$SRC"
	bind /bound "$SRC"
	add_mount /bound "" "" remount bind ro
	mounted
	has rw "$(fs_options /bound)"
	host touch "$SRC/file"
}

@test "remount: options of the file system are changed" {
	tmpfs /new size=64k
	add_mount /new "" "" remount size=128k
	mounted
	equal 1 "$(mounts_at /new)"
	has size=128k "$(fs_options /new)"
}

@test "remount: nothing is mounted there" {
	mkdir "$BUNDLE/rootfs/p"
	add_mount /p "" "" remount bind ro
	add_mount /missing "" "" remount bind ro
	fails "mounts\[$(($(row) - 1))\] /p: |mounts\[$(row)\] /missing: .*no such file or directory" create "$ID"
	nothing_left
}

# locked_source: flags that a user namespace may not clear.
locked_source() {
	host_tmpfs "$SRC" nosuid,nodev,noexec,noatime
	use_userns
}

@test "user namespace: a read-only bind mount keeps the flags of its source" {
	locked_source
	bind /bound "$SRC" ro
	mounted
	for option in ro nosuid nodev noexec noatime; do
		has $option "$(mount_options /bound)"
	done
}

@test "user namespace: rro keeps the flags of the sources" {
	nested nosuid,nodev,noexec
	use_userns
	rbind /bound "$SRC" rro
	mounted
	for option in ro nosuid nodev noexec; do
		has $option "$(mount_options /bound)"
		has $option "$(mount_options /bound/a/b)"
	done
}

@test "user namespace: remount to read-only keeps locked flags" {
	locked_source
	bind /bound "$SRC"
	add_mount /bound "" "" remount bind ro
	mounted
	for option in ro nosuid nodev noexec noatime; do
		has $option "$(mount_options /bound)"
	done
}

@test "locked flags: a read-only bind mount keeps them" {
	host_tmpfs "$SRC" nosuid,nodev,noexec,noatime
	nested_host
	bind /bound "$SRC" ro
	mounted
	for option in ro nosuid nodev noexec noatime; do
		has $option "$(mount_options /bound)"
	done
}

@test "locked flags: a remount that clears one and asks for ro keeps it" {
	host_tmpfs "$SRC" nosuid,nodev,noexec,noatime
	nested_host
	bind /bound "$SRC"
	add_mount /bound "" "" remount bind ro exec relatime
	mounted
	for option in ro noexec noatime; do
		has $option "$(mount_options /bound)"
	done
}

@test "locked flags: a remount that only clears one is refused" {
	host_tmpfs "$SRC" nosuid,nodev,noexec
	nested_host
	bind /bound "$SRC"
	add_mount /bound "" "" remount bind exec
	fails "mounts\[$(row)\] /bound: .*locked" create "$ID"
	nothing_left
}

@test "locked flags: a bind mount that clears one is refused" {
	host_tmpfs "$SRC" nosuid,nodev,noexec
	nested_host
	bind /bound "$SRC" exec
	fails "mounts\[$(row)\] /bound: .*locked" create "$ID"
	nothing_left
}

@test "user namespace: without SYS_ADMIN the container cannot make a read-only bind mount writable" {
	use_userns
	host_tmpfs "$SRC" mode=777
	bind /bound "$SRC" ro
	give_caps "${nearly_all_caps[@]}"
	run_script 'mount -o remount,bind,rw /bound 2>/dev/null; touch /bound/x 2>/dev/null || echo refused'
	equal refused "$output"
}

@test "user namespace: a source in a folder that only root may enter" {
	install -d -m 700 "$SRC/private"
	mkdir "$SRC/private/data"
	touch "$SRC/private/data/file"
	use_userns
	bind /bound "$SRC/private/data"
	run_script 'ls /bound'
	equal file "$output"
}

# --- cgroup

# cgroup_options OPTION…: of the row.
cgroup_options() {
	update_config '(.mounts[] | select(.type == "cgroup")).options = $ARGS.positional' --args nosuid noexec nodev "$@"
}
cgroup_namespace() { update_config '.linux.namespaces |= map(select(.type != "cgroup")) + [{type: "cgroup"}]'; }

# hierarchy_mounts: mount points of the hierarchies in $output.
hierarchy_mounts() { awk '$5 ~ "^/sys/fs/cgroup" && / - cgroup2? / { print $5 }' <<<"$output"; }

# views_are ROOT FLAG: the root and a flag of each hierarchy's mount.
views_are() {
	local dir
	for dir in $(hierarchy_mounts); do
		equal "$1" "$(mount_root "$dir")"
		has "$2" "$(mount_options "$dir")"
		has nosuid "$(mount_options "$dir")"
	done
}

@test "cgroup: one mount of cgroup2, or a tmpfs with every hierarchy of the host" {
	mounted
	if pure_v2; then
		equal cgroup2 "$(fs_type /sys/fs/cgroup)"
		equal /sys/fs/cgroup "$(hierarchy_mounts)"
	else
		equal tmpfs "$(fs_type /sys/fs/cgroup)"
		equal "$(awk '/ - cgroup2? / { print $5 }' /proc/self/mountinfo | sort)" "$(hierarchy_mounts | sort)"
	fi
}

@test "cgroup: without a namespace the container sees its own cgroup as the top" {
	drop_namespace cgroup
	mounted
	views_are "/$MARK" ro
}

@test "cgroup: in a namespace the container sees its own cgroup as the root" {
	cgroup_namespace
	mounted
	views_are / ro
	run_script 'cut -d: -f3 /proc/self/cgroup | sort -u'
	equal / "$output"
}

@test "cgroup: the container's process is in the cgroup that it sees" {
	drop_namespace cgroup
	run_script "grep -x 1 $(own_procs)"
	equal 1 "$output"
	cgroup_namespace
	run_script "grep -x 1 $(own_procs)"
	equal 1 "$output"
}

# make_cgroups: in each hierarchy; prints a line for each that could be made.
make_cgroups='for d in /sys/fs/cgroup /sys/fs/cgroup/*/; do
		test ! -e $d/cgroup.procs || mkdir $d/inner 2>/dev/null && test -e $d/inner/cgroup.procs && echo made
		test ! -e /sys/fs/cgroup/cgroup.procs || break
	done; true'

@test "cgroup: read-only, nothing can be made or written, with or without a namespace" {
	drop_namespace cgroup
	run_script "$make_cgroups"
	equal "" "$output"
	cgroup_namespace
	run_script "$make_cgroups"
	equal "" "$output"
}

@test "cgroup: read-only in a user namespace with and without a cgroup namespace" {
	use_userns
	drop_namespace cgroup
	run_script "$make_cgroups; cat /proc/self/mountinfo"
	not grep -qx made <<<"$output"
	views_are "/$MARK" ro
	cgroup_namespace
	run_script "$make_cgroups; cat /proc/self/mountinfo"
	not grep -qx made <<<"$output"
	views_are / ro
}

@test "cgroup: read-only cannot be undone by the container's root without SYS_ADMIN" {
	give_caps "${nearly_all_caps[@]}"
	run_script "mount -o remount,bind,rw /sys/fs/cgroup 2>/dev/null; $make_cgroups"
	equal "" "$output"
}

@test "cgroup: writable if the row is, and delete removes what was made" {
	drop_namespace cgroup
	cgroup_options rw
	run_script "$make_cgroups; cat /proc/self/mountinfo"
	contains '^made' "$output"
	views_are "/$MARK" rw
	nothing_left
}

@test "cgroup: writable in a namespace" {
	cgroup_options rw
	cgroup_namespace
	run_script "$make_cgroups; cat /proc/self/mountinfo"
	contains '^made' "$output"
	views_are / rw
}

@test "cgroup: the type cgroup2 is the same row" {
	drop_namespace cgroup
	update_config '(.mounts[] | select(.type == "cgroup")).type = "cgroup2"'
	mounted
	views_are "/$MARK" ro
}

@test "cgroup: two mounts in one config, each with its own options" {
	local namespace root dir
	add_mount /second cgroup cgroup rw nosuid
	for namespace in drop_namespace cgroup_namespace; do
		root=/
		[[ $namespace == cgroup_namespace ]] || root=/$MARK
		$namespace cgroup
		mounted
		views_are "$root" ro
		differ "" "$(hierarchy_mounts)"
		for dir in $(hierarchy_mounts); do
			dir=/second${dir#/sys/fs/cgroup}
			equal "$root" "$(mount_root "$dir")"
			has rw "$(mount_options "$dir")"
		done
	done
}

@test "cgroup: the host's mounts stay writable" {
	mounted
	output=$(host_mounts)
	for dir in $(hierarchy_mounts); do
		has rw "$(mount_options "$dir")"
		has rw "$(fs_options "$dir")"
	done
}

@test "cgroup: propagation of the row" {
	cgroup_options ro rprivate
	mounted
	for dir in /sys/fs/cgroup $(hierarchy_mounts); do
		equal "" "$(mount_tags "$dir")"
	done
}
