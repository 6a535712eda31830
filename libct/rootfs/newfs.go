package rootfs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// newFS mounts a new file system instance. src, if any, is the host's /sys.
func (mt *Mounter) newFS(src *os.File, m Mount) error {
	t, err := mt.target(m, true, nil)
	if err != nil {
		return err
	}
	defer t.close()
	late := staysWritable(m)
	tree, err := mt.place(m, t, late)
	if m.FSType == "sysfs" && src != nil && errors.Is(err, unix.EPERM) {
		return mt.hostSysfs(src, t, m)
	}
	if err != nil {
		return err
	}
	if late {
		mt.late = append(mt.late, tree) // Freeze closes it
		return nil
	}
	return tree.Close()
}

// place makes m's file system and attaches it to t; late leaves out
// "read-only".
func (mt *Mounter) place(m Mount, t target, late bool) (*os.File, error) {
	create, finish := mt.create, mt.fill
	if slices.ContainsFunc(m.Data, tooLong) {
		create, finish = mt.createAttached, propagate
	}
	tree, err := create(m, t, late)
	if err != nil {
		return nil, err
	}
	if err := finish(tree, t, m); err != nil {
		tree.Close()
		return nil, err
	}
	return tree, nil
}

func propagate(tree *os.File, _ target, m Mount) error {
	return setPropagation(int(tree.Fd()), m.Propagation)
}

// fill completes a new file system and attaches it.
func (mt *Mounter) fill(tree *os.File, t target, m Mount) error {
	if m.CopyUp && !t.made {
		if err := copyUp(t.fd(), int(tree.Fd())); err != nil {
			return fmt.Errorf("tmpcopyup: %w", err)
		}
	}
	if m.FSType == "mqueue" && mt.Label != "" {
		if err := labelRoot(int(tree.Fd()), mt.Label); err != nil {
			return err
		}
	}
	return mt.finish(tree, t, m)
}

// staysWritable says that a read-only file system has to wait for [Freeze]:
// devices, links and the mount points of later rows are made in it.
func staysWritable(m Mount) bool {
	ro := (m.Attr.Set|m.RecAttr.Set)&unix.MOUNT_ATTR_RDONLY != 0 || m.SuperFlags&unix.MS_RDONLY != 0
	return ro && (m.FSType == "tmpfs" || clean(m.UnsafeDest) == "/dev")
}

// hostSysfs stands in for a new sysfs, which needs privileges over the
// network namespace: a read-only copy of the host's.
func (mt *Mounter) hostSysfs(src *os.File, t target, m Mount) error {
	rec := m.RecAttr
	rec.Set |= unix.MOUNT_ATTR_RDONLY
	rec.Clear &^= unix.MOUNT_ATTR_RDONLY
	if err := mt.prepare(src, Attr{Set: m.Attr.Set}, rec); err != nil {
		return err
	}
	return mt.finish(src, t, m)
}

// create makes a detached instance of m's file system.
func (mt *Mounter) create(m Mount, t target, late bool) (*os.File, error) {
	flags, attrs := newFlags(m, late)
	return makeFS(m.FSType, m.Source, mt.options(m, t), flags, attrs)
}

// newFlags are the MS_* flags of the instance and the MOUNT_ATTR_* flags of
// its mount.
func newFlags(m Mount, late bool) (flags, attrs uint64) {
	attrs = m.Attr.Set&^m.RecAttr.Clear | m.RecAttr.Set
	flags = m.SuperFlags
	if late {
		attrs &^= unix.MOUNT_ATTR_RDONLY
		flags &^= unix.MS_RDONLY
	}
	if m.FSType == "sysfs" || m.FSType == "mqueue" {
		// One instance serves the whole network or ipc namespace, which other
		// containers may share: read-only is this mount, not the instance.
		flags &^= unix.MS_RDONLY
	}
	return flags, attrs
}

// options completes the options of the row.
func (mt *Mounter) options(m Mount, t target) []string {
	options := m.Data
	if m.FSType == "tmpfs" && !t.made && !hasOption(options, "mode") {
		// A tmpfs is 1777 by itself; people expect /run to stay what it is.
		options = append([]string{fmt.Sprintf("mode=%o", t.mode&0o7777)}, options...)
	}
	if mt.Label != "" && takesContext(m.FSType) && !hasOption(options, "context") {
		options = append(options[:len(options):len(options)], `context="`+mt.Label+`"`)
	}
	return options
}

// tooLong says that fsconfig(2) does not take the option, as happens to the
// paths of an overlay.
func tooLong(option string) bool {
	_, value, _ := strings.Cut(option, "=")
	return len(value) > maxValue
}

// createAttached is create by mount(2), which takes longer options but
// attaches at once. The target is still a descriptor, reached through procfs.
func (mt *Mounter) createAttached(m Mount, t target, late bool) (*os.File, error) {
	flags, attrs := newFlags(m, late)
	name := "/proc/self/fd/" + strconv.Itoa(t.fd())
	data := strings.Join(mt.options(m, t), ",")
	err := unix.Mount(m.Source, name, m.FSType, uintptr(flags|mountFlags(attrs)), data)
	if err != nil {
		return nil, os.NewSyscallError("mount", err)
	}
	f, err := mt.Root.Open(m.UnsafeDest, openFlags(m), 0)
	if err != nil {
		return nil, err
	}
	before, err := statx(t.fd())
	if err == nil {
		var now *unix.Statx_t
		if now, err = statx(int(f.Fd())); err == nil && now.Mnt_id == before.Mnt_id {
			err = errMoved
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// mountFlags translates MOUNT_ATTR_* to MS_* flags.
func mountFlags(attrs uint64) (flags uint64) {
	for _, f := range [...]struct{ attr, ms uint64 }{
		{unix.MOUNT_ATTR_RDONLY, unix.MS_RDONLY},
		{unix.MOUNT_ATTR_NOSUID, unix.MS_NOSUID},
		{unix.MOUNT_ATTR_NODEV, unix.MS_NODEV},
		{unix.MOUNT_ATTR_NOEXEC, unix.MS_NOEXEC},
		{unix.MOUNT_ATTR_NOATIME, unix.MS_NOATIME},
		{unix.MOUNT_ATTR_STRICTATIME, unix.MS_STRICTATIME},
		{unix.MOUNT_ATTR_NODIRATIME, unix.MS_NODIRATIME},
		{unix.MOUNT_ATTR_NOSYMFOLLOW, unix.MS_NOSYMFOLLOW},
	} {
		if attrs&f.attr != 0 {
			flags |= f.ms
		}
	}
	return flags
}

// takesContext says that the SELinux context is given as a mount option; the
// kernel's own file systems label themselves.
func takesContext(fsType string) bool {
	switch fsType {
	case "proc", "sysfs", "mqueue", "cgroup", "cgroup2":
		return false
	}
	return true
}

func hasOption(options []string, key string) bool {
	for _, o := range options {
		if k, _, _ := strings.Cut(o, "="); k == key {
			return true
		}
	}
	return false
}

// makeFS is fsopen(2), fsconfig(2) and fsmount(2): a detached new instance.
// superFlags are MS_* flags, attrs MOUNT_ATTR_* flags.
func makeFS(fsType, source string, options []string, superFlags, attrs uint64) (*os.File, error) {
	fsfd, err := unix.Fsopen(fsType, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("file system %q: %w", fsType, os.NewSyscallError("fsopen", err))
	}
	defer unix.Close(fsfd)
	if source != "" {
		if err := setOption(fsfd, "source="+source); err != nil {
			return nil, err
		}
	}
	if err := setOptions(fsfd, options, superFlags); err != nil {
		return nil, err
	}
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return nil, explain(fsfd, "fsconfig", err)
	}
	fd, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, int(attrs))
	if err != nil {
		return nil, explain(fsfd, "fsmount", err)
	}
	return os.NewFile(uintptr(fd), fsType), nil
}

// reconfigure changes the file system instance mounted at fd; fspick(2).
func reconfigure(fd int, m Mount) error {
	fsfd, err := unix.Fspick(fd, "", unix.FSPICK_EMPTY_PATH|unix.FSPICK_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("fspick", err)
	}
	defer unix.Close(fsfd)
	if err := setOptions(fsfd, m.Data, m.SuperFlags); err != nil {
		return err
	}
	if err := unix.FsconfigReconfigure(fsfd); err != nil {
		return explain(fsfd, "fsconfig", err)
	}
	return nil
}

func setOptions(fsfd int, options []string, superFlags uint64) error {
	for _, f := range [...]struct {
		flag uint64
		name string
	}{
		{unix.MS_RDONLY, "ro"},
		{unix.MS_SYNCHRONOUS, "sync"},
		{unix.MS_DIRSYNC, "dirsync"},
		{unix.MS_LAZYTIME, "lazytime"},
	} {
		if superFlags&f.flag != 0 {
			if err := setOption(fsfd, f.name); err != nil {
				return err
			}
		}
	}
	// Best effort: mandatory locks are gone since Linux 5.15, only some file
	// systems count inode versions, and MS_SILENT has no counterpart.
	if superFlags&unix.MS_MANDLOCK != 0 {
		_ = unix.FsconfigSetFlag(fsfd, "mand")
	}
	if superFlags&unix.MS_I_VERSION != 0 && unix.FsconfigSetFlag(fsfd, "i_version") != nil {
		_ = unix.FsconfigSetFlag(fsfd, "iversion")
	}
	for _, o := range options {
		if err := setOption(fsfd, o); err != nil {
			return err
		}
	}
	return nil
}

// maxValue is what fsconfig(2) copies of a string value.
const maxValue = 255

// setOption sets one "key" or "key=value".
func setOption(fsfd int, option string) error {
	key, value, hasValue := strings.Cut(option, "=")
	if tooLong(option) {
		return fmt.Errorf("option %s: longer than %d bytes: %w", key, maxValue, unix.E2BIG)
	}
	if strings.HasSuffix(key, "context") { // quoted for mount(8), whose options end at a comma
		value = strings.Trim(value, `"`)
	}
	var err error
	if hasValue {
		err = unix.FsconfigSetString(fsfd, key, value)
	} else {
		err = unix.FsconfigSetFlag(fsfd, key)
	}
	if err != nil {
		return fmt.Errorf("option %q: %w", option, explain(fsfd, "fsconfig", err))
	}
	return nil
}

// explain adds what the file system had to say; fsopen(2), "message
// retrieval interface".
func explain(fsfd int, op string, err error) error {
	wrapped := os.NewSyscallError(op, err)
	buf := make([]byte, 512)
	n, e := unix.Read(fsfd, buf)
	if e != nil || n < 3 {
		return wrapped
	}
	return fmt.Errorf("%w (%s)", wrapped, strings.TrimSpace(string(buf[2:n])))
}

// labelRoot sets the SELinux context of the root of a detached mount.
func labelRoot(fd int, label string) error {
	dir, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("openat", err)
	}
	defer unix.Close(dir)
	return os.NewSyscallError("fsetxattr", unix.Fsetxattr(dir, "security.selinux", []byte(label), 0))
}
