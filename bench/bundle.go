package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Children are in a process group of their own where Ctrl-C must not reach
// them before the clean-up does.
var (
	ownGroup      = &syscall.SysProcAttr{Setpgid: true}
	dieWithParent = &syscall.SysProcAttr{Pdeathsig: unix.SIGTERM}
)

func rootfsDir() string             { return filepath.Join(scratch, "rootfs") }
func stateRoot(r target) string     { return filepath.Join(scratch, "state", r.Name) }
func cgroupName(rest string) string { return fmt.Sprintf("bench-%d-%s", os.Getpid(), rest) }

// makeRootfs makes one root filesystem for all, of static busybox alone.
func (w *worker) makeRootfs() error {
	for _, dir := range []string{"bin", "dev", "etc", "proc", "sys", "tmp", "run", "root"} {
		if err := os.MkdirAll(filepath.Join(rootfsDir(), dir), 0o755); err != nil {
			return err
		}
	}
	data, err := os.ReadFile(w.opts.Busybox)
	if err != nil {
		return err
	}
	bin := filepath.Join(rootfsDir(), "bin")
	if err := os.WriteFile(filepath.Join(bin, "busybox"), data, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"true", "sleep", "sh"} {
		if err := os.Symlink("busybox", filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(rootfsDir(), "etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\n"), 0o644)
}

// makeSpec takes the default config of one runtime for all of them.
func (w *worker) makeSpec() error {
	dir := filepath.Join(scratch, "spec")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	cmd := exec.Command(w.opts.SpecMaker, "spec")
	cmd.Dir = dir
	cmd.Env = cleanEnv
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s spec: %w: %s", w.opts.SpecMaker, err, strings.TrimSpace(string(out)))
	}
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return err
	}
	return json.Unmarshal(data, &w.spec)
}

// bundle writes a bundle for one container of runtime r, with a cgroup of
// its own below the hierarchy's root, outside the caller's cgroup.
func (w *worker) bundle(r target, use string, args ...string) (id, dir string, err error) {
	id = cgroupName(r.Name + "-" + use)
	process, ok1 := w.spec["process"].(map[string]any)
	linux, ok2 := w.spec["linux"].(map[string]any)
	if !ok1 || !ok2 {
		return "", "", fmt.Errorf("%s spec: no process or linux object", w.opts.SpecMaker)
	}
	w.spec["ociVersion"] = "1.0.2" // oldest peer: runc 1.1
	w.spec["root"] = map[string]any{"path": rootfsDir(), "readonly": true}
	process["terminal"] = false
	process["args"] = args
	linux["cgroupsPath"] = "/" + id
	data, err := json.MarshalIndent(w.spec, "", "\t")
	if err != nil {
		return "", "", err
	}
	dir = filepath.Join(scratch, "bundle", id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", err
	}
	if err := os.MkdirAll(stateRoot(r), 0o700); err != nil {
		return "", "", err
	}
	return id, dir, os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644)
}

// deleteContainers removes what is left in the state folders.
func (w *worker) deleteContainers() {
	for _, r := range w.opts.Runtimes {
		entries, _ := os.ReadDir(stateRoot(r)) // absent: nothing was created
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), cgroupName("")) {
				continue
			}
			if err := quiet(r, "delete", "--force", e.Name()); err != nil {
				fmt.Fprintln(os.Stderr, "bench: clean up:", err)
			}
		}
	}
}

// cleanUp leaves no container, process or cgroup of this worker behind, even
// where a runtime's own delete does not work. The mounts and the scratch
// space end with the mount namespace.
func (w *worker) cleanUp() {
	w.deleteContainers()
	left := ownCgroups()
	for range 100 {
		killMembers(left)
		killChildren()
		reapOrphans()
		if left = removeCgroups(left); len(left) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Fprintln(os.Stderr, "bench: clean up: cgroups left:", strings.Join(left, " "))
}

func reapOrphans() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if pid <= 0 || err != nil {
			return
		}
	}
}

// ownCgroups lists this worker's cgroups in every hierarchy, deepest first.
func ownCgroups() []string {
	var found []string
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		tops, _ := filepath.Glob(pattern + cgroupName("*"))
		for _, top := range tops {
			var below []string
			filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
				if err == nil && e.IsDir() {
					below = append([]string{path}, below...)
				}
				return nil // best effort: it may vanish meanwhile
			})
			found = append(found, below...)
		}
	}
	return found
}

// killMembers kills the processes in cgroups that this worker named.
func killMembers(cgroups []string) {
	for _, dir := range cgroups {
		data, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for field := range strings.FieldsSeq(string(data)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 1 {
				unix.Kill(pid, unix.SIGKILL)
			}
		}
	}
}

// removeCgroups returns those that could not be removed yet.
func removeCgroups(cgroups []string) (left []string) {
	for _, dir := range cgroups {
		var fs unix.Statfs_t
		if unix.Statfs(dir, &fs) == nil && fs.Type == unix.TMPFS_MAGIC {
			continue // in our own mount over the unified hierarchy
		}
		if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
			left = append(left, dir)
		}
	}
	return left
}
