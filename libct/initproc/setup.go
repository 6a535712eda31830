package initproc

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/hako-runtime/hako/libct/hooks"
	"github.com/hako-runtime/hako/libct/lsm"
	"github.com/hako-runtime/hako/libct/netdev"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/proc"
	"github.com/hako-runtime/hako/libct/rootfs"
	"github.com/hako-runtime/hako/libct/safepath"
	"github.com/hako-runtime/hako/libct/wire"
	"golang.org/x/sys/unix"
)

// newSession leaves the caller's session and terminal; setsid(2).
func (s *stage) newSession() error {
	if _, err := unix.Setsid(); err != nil {
		return os.NewSyscallError("setsid", err)
	}
	return nil
}

// joinKeyring leaves the caller's keys. A process executed in a running
// container joins the keyring that its first process made.
func (s *stage) joinKeyring() error {
	if err := lsm.ApplyKeyring(s.proc, s.plan.Process.Labels); err != nil {
		return err
	}
	perm := proc.KeyNoChange
	switch {
	case s.plan.Setup == nil:
	case s.plan.Namespaces.Has(unix.CLONE_NEWUSER):
		perm = proc.KeyOtherSearch
	default:
		perm = proc.KeyUserSearch
	}
	err := proc.JoinSessionKeyring("_ses."+s.plan.ID, perm)
	if errors.Is(err, errors.ErrUnsupported) {
		s.warn("%v", err)
		return nil
	}
	return err
}

func (s *stage) newCgroupNamespace() error {
	return os.NewSyscallError("unshare", unix.Unshare(unix.CLONE_NEWCGROUP))
}

func (s *stage) loopback() error { return netdev.LoopbackUp() }

func (s *stage) setNames() error {
	if name := s.plan.Setup.Hostname; name != "" {
		if err := unix.Sethostname([]byte(name)); err != nil {
			return fmt.Errorf("hostname: %w", os.NewSyscallError("sethostname", err))
		}
	}
	if name := s.plan.Setup.Domainname; name != "" {
		if err := unix.Setdomainname([]byte(name)); err != nil {
			return fmt.Errorf("domainname: %w", os.NewSyscallError("setdomainname", err))
		}
	}
	return nil
}

func (s *stage) openHostProc() (err error) {
	s.proc, err = safepath.OpenProc()
	return err
}

func (s *stage) openOwnProc() (err error) {
	s.proc, err = safepath.NewProc()
	return err
}

// openSources does what the host does where it may mount.
func (s *stage) openSources() error {
	setup := s.plan.Setup
	give := func(part rootfs.Source, index int, f *os.File) {
		s.files[plan.File{Role: plan.Role(part), Index: index}] = f
	}
	trees, err := rootfs.OpenCgroupView(setup.CgroupView, setup.Mounts)
	if err != nil {
		return err
	}
	for i, t := range trees {
		give(rootfs.SourceCgroup, i, t)
	}
	return rootfs.OpenSources(rootfs.Wanted{
		RootPath: setup.Root.HostPath, Mounts: setup.Mounts, Devices: setup.Devices,
		Masks: len(setup.Restrict.UnsafeMasked) > 0, HostSysfs: true, Inside: true,
	}, give)
}

func (s *stage) attachRoot() (err error) {
	role := plan.File{Role: plan.FileRoot}
	tree := s.files[role]
	delete(s.files, role) // the root's from here on
	s.root, err = rootfs.Attach(s.plan.Setup.Root, tree)
	return err
}

// openRoot serves containers whose root is there already: executing in one,
// or starting one without a mount namespace. The host sends the root of a
// running container without a mount namespace.
func (s *stage) openRoot() (err error) {
	path := "/"
	if root := s.files[plan.File{Role: plan.FileRoot}]; root != nil {
		s.root = safepath.NewRoot(root)
		return nil
	}
	if s.plan.Setup != nil {
		path = s.plan.Setup.Root.HostPath
	}
	s.root, err = safepath.OpenRoot(path)
	return err
}

func (s *stage) mountAll() error {
	setup := s.plan.Setup
	s.mounter = &rootfs.Mounter{
		Root:        s.root,
		Propagation: setup.Root.Propagation,
		Sources:     s.role(plan.FileMount),
		View:        setup.CgroupView,
		Label:       setup.Root.MountLabel,
	}
	trees := s.role(plan.FileCgroup)
	for i := range len(trees) {
		s.mounter.Cgroups = append(s.mounter.Cgroups, trees[i])
	}
	return s.mounter.MountAll(setup.Mounts)
}

// role collects the descriptors of one role by their index.
func (s *stage) role(r plan.Role) map[int]*os.File {
	files := make(map[int]*os.File)
	for f, file := range s.files {
		if f.Role == r {
			files[f.Index] = file
		}
	}
	return files
}

func (s *stage) makeDevices() error {
	setup := s.plan.Setup
	// With HostDev plan has left only those that are not below /dev.
	if err := rootfs.MakeDevices(s.root, setup.Devices, s.role(plan.FileDevice)); err != nil {
		return err
	}
	if setup.HostDev {
		return nil
	}
	return rootfs.DefaultLinks(s.root)
}

// makeCwd creates the working directory where the image lacks it, as people
// expect of WORKDIR.
func (s *stage) makeCwd() error {
	f, err := s.root.Open(s.plan.Process.Cwd, unix.O_PATH, 0)
	if errors.Is(err, unix.ENOENT) {
		f, err = s.root.MkdirAll(s.plan.Process.Cwd, 0o755)
	}
	if err != nil {
		return fmt.Errorf("process.cwd: %w", err)
	}
	return f.Close()
}

// hostHooks lets the host run prestart and createRuntime hooks.
func (s *stage) hostHooks() error {
	if err := s.conn.Send(wire.Hooks, nil); err != nil {
		return err
	}
	return s.conn.Expect(wire.Go, nil, nil)
}

func (s *stage) createContainerHooks() error {
	return s.runHooks("createContainer", s.plan.Hooks.CreateContainer, "creating")
}

func (s *stage) startContainerHooks() error {
	// Without an environment of their own they get the process's, as with runc.
	hs := slices.Clone(s.plan.Hooks.StartContainer)
	for i := range hs {
		if len(hs[i].Env) == 0 {
			hs[i].Env = s.env
		}
	}
	return s.runHooks("startContainer", hs, "created")
}

// runHooks runs hooks in the container's namespaces. Their state has the pid
// as the container sees it; runtime-spec config.md#posix-platform-hooks.
func (s *stage) runHooks(point string, hs []hooks.Hook, status string) error {
	if len(hs) == 0 {
		return nil
	}
	var state map[string]any
	if err := json.Unmarshal(s.boot.State, &state); err != nil {
		return fmt.Errorf("state for hooks: %w", err)
	}
	state["pid"] = os.Getpid()
	state["status"] = status
	data, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return hooks.Run(point, hs, data)
}

func (s *stage) changeRoot() error {
	return rootfs.EnterRoot(rootfs.Root{Enter: rootfs.EnterChroot}, s.root)
}

func (s *stage) enterRoot() error { return rootfs.EnterRoot(s.plan.Setup.Root, s.root) }

func (s *stage) setSysctls() error {
	for _, c := range s.plan.Setup.Sysctls {
		if err := s.proc.WriteFile("sys/"+c.File, []byte(c.Value)); err != nil {
			return fmt.Errorf("linux.sysctl[%q]: %w", c.Name, err)
		}
	}
	return nil
}

// freezeMounts makes read-only what had to be writable until now.
func (s *stage) freezeMounts() error { return s.mounter.Freeze() }

func (s *stage) restrict() error {
	setup := s.plan.Setup
	return rootfs.ApplyRestrict(s.root, setup.Restrict, s.files[plan.File{Role: plan.FileNull}], setup.Root.MountLabel)
}

func (s *stage) finishPropagation() error { return rootfs.FinishPropagation(s.plan.Setup.Root) }

func (s *stage) freezeRoot() error { return rootfs.RemountReadonly(s.root) }
