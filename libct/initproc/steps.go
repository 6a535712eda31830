package initproc

import (
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/rootfs"
	"golang.org/x/sys/unix"
)

// row is one step. Its name is the trace line, the timeline entry and the
// prefix of its errors.
type row struct {
	name string
	run  func(*stage) error
	skip func(*stage) bool // nil: never
}

// Names that errors depend on.
const (
	stepCreateHooks = "run createContainer hooks"
	stepStartHooks  = "run startContainer hooks"
	stepFilter      = "install the seccomp filter"
	stepProgram     = "find the program"
	stepExecute     = "execute the program"
)

// createSteps is the life of a container's first process until execve.
func createSteps() []row {
	return append([]row{
		{"new session", (*stage).newSession, nil},
		// The host has placed us: our cgroup becomes the root of the namespace.
		{"new cgroup namespace", (*stage).newCgroupNamespace, hostCgroupNamespace},
		{"bring up the loopback device", (*stage).loopback, unless(func(p *plan.Setup) bool { return p.Loopback })},
		{"set the host name", (*stage).setNames, nil},
		// The host's own /proc, before anything of the image is in sight.
		{"open procfs", (*stage).openHostProc, nil},
		{"join a session keyring", (*stage).joinKeyring, oldKeyring},
		// Rootless, the host cannot; here they are its paths still.
		{"open the sources of mounts", (*stage).openSources, sourcesSent},
		// From here on every path is resolved beneath the container's root.
		{"attach the root", (*stage).attachRoot, unless(mounts)},
		{"open the root", (*stage).openRoot, unless(chrootOnly)},
		{"mount filesystems", (*stage).mountAll, unless(mounts)},
		{"create devices", (*stage).makeDevices, nil},
		{"create the working directory", (*stage).makeCwd, nil},
		{"open the terminal", (*stage).openTerminal, noTerminal},
		// Before pivot_root: these hooks look their programs up on the host.
		{"run hooks on the host", (*stage).hostHooks, noHostHooks},
		{stepCreateHooks, (*stage).createContainerHooks, nil},
		{"enter the root", (*stage).enterRoot, nil},
		{"set sysctls", (*stage).setSysctls, nil},
		// After sysctls, which need /proc/sys writable; before any code of the
		// image runs.
		{"make mounts read-only", (*stage).freezeMounts, unless(mounts)},
		{"hide and freeze paths", (*stage).restrict, unless(mounts)},
		{"set the propagation of the root", (*stage).finishPropagation, unless(func(p *plan.Setup) bool { return p.Root.PostponesPropagation() })},
		{"make the root read-only", (*stage).freezeRoot, unless(func(p *plan.Setup) bool { return p.Root.Readonly })},
	}, append(processSteps(), []row{
		// Its listener goes to the host while somebody serves us there.
		{stepFilter, (*stage).installEarly, noFilterOrLater(true)},
		{"let go of descriptors", (*stage).letGo, nil},
		{"wait for start", (*stage).waitForStart, nil},
		// These hooks run under the filter; else it comes with execve.
		{stepFilter, (*stage).installEarly, noFilterOrLater(false)},
		{stepStartHooks, (*stage).startContainerHooks, nil},
		{stepExecute, (*stage).execute, nil},
	}...)...)
}

// execSteps is the life of a process executed in a running container.
func execSteps() []row {
	return append([]row{
		{"new session", (*stage).newSession, nil},
		// The container's /proc may be anything: a private instance or a
		// verified one.
		{"open procfs", (*stage).openOwnProc, nil},
		{"join a session keyring", (*stage).joinKeyring, oldKeyring},
		{"open the root", (*stage).openRoot, nil},
		{"open the terminal", (*stage).openTerminal, noTerminal},
		// Else the mount namespace has brought us there.
		{"change the root directory", (*stage).changeRoot, mountNamespaceOnly},
	}, append(processSteps(), []row{
		{stepFilter, (*stage).installEarly, noFilterOrLater(true)},
		{"report", (*stage).reportReady, nil},
		{stepExecute, (*stage).execute, nil},
	}...)...)
}

// processSteps make the calling thread what the config says a process is.
func processSteps() []row {
	return []row{
		{"use the terminal", (*stage).useTerminal, noTerminal},
		{"own standard streams", (*stage).ownStdio, nil},
		{"set the oom score", (*stage).setOOMScore, oomScoreSet},
		{"set resource limits", (*stage).setLimits, nil},
		{"set scheduling", (*stage).setScheduling, nil},
		{"set the memory policy", (*stage).setMemory, nil},
		{"look up the environment", (*stage).setEnv, nil},
		// Written now, effective at execve: labels need privileges.
		{"set security labels", (*stage).setLabels, nil},
		{"enter the working directory", (*stage).chdirAsRoot, nil},
		{"drop privileges", (*stage).dropPrivileges, nil},
		{"enter the working directory as the user", (*stage).chdirAsUser, nil},
		{stepProgram, (*stage).findProgram, nil},
	}
}

func unless(has func(*plan.Setup) bool) func(*stage) bool {
	return func(s *stage) bool { return !has(s.plan.Setup) }
}

func mounts(p *plan.Setup) bool     { return p.Root.Enter != rootfs.EnterChroot }
func chrootOnly(p *plan.Setup) bool { return !mounts(p) }

func hostCgroupNamespace(s *stage) bool {
	return s.plan.Namespaces.New&unix.CLONE_NEWCGROUP == 0
}

func mountNamespaceOnly(s *stage) bool { return s.files[plan.File{Role: plan.FileRoot}] == nil }

func sourcesSent(s *stage) bool { return !s.boot.OpenSources }
func oomScoreSet(s *stage) bool { return !s.boot.AdjustOOM }

func oldKeyring(s *stage) bool { return !s.boot.Keyring }
func noTerminal(s *stage) bool { return !s.plan.Process.Terminal }
func noHostHooks(s *stage) bool {
	return len(s.plan.Hooks.Prestart)+len(s.plan.Hooks.CreateRuntime) == 0
}
