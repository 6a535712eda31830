// Package runconf converts an image's configuration to a runtime's
// config.json (image-spec conversion.md).
//
// It works on values; the two files it needs from the root filesystem come
// through [Files].
package runconf

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// defaultPath is the PATH of an image that sets none.
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Annotations that conversion.md derives from the configuration.
const (
	annotationOS           = "org.opencontainers.image.os"
	annotationArchitecture = "org.opencontainers.image.architecture"
	annotationVariant      = "org.opencontainers.image.variant"
	annotationOSVersion    = "org.opencontainers.image.os.version"
	annotationOSFeatures   = "org.opencontainers.image.os.features"
	annotationAuthor       = "org.opencontainers.image.author"
	annotationCreated      = "org.opencontainers.image.created"
	annotationStopSignal   = "org.opencontainers.image.stopSignal"
	annotationExposedPorts = "org.opencontainers.image.exposedPorts"
)

// Files gives access to files of the root filesystem, resolved inside it.
type Files interface {
	// ReadFile reads a regular file; the error matches fs.ErrNotExist if
	// there is none.
	ReadFile(unsafePath string, maxBytes int64) ([]byte, error)
}

// New converts the configuration of an image whose root filesystem is in
// rootfs and will be found at rootPath, relative to the bundle.
func New(image *v1.Image, rootfs Files, rootPath string) (*specs.Spec, error) {
	if image.OS != "linux" {
		return nil, fmt.Errorf("image is for os %q, want linux", image.OS)
	}
	identity, err := lookupUser(image.Config.User, rootfs)
	if err != nil {
		return nil, fmt.Errorf("user %q: %w", image.Config.User, err)
	}
	env, err := environment(image.Config.Env, identity.home)
	if err != nil {
		return nil, err
	}
	volumes, err := volumeMounts(image.Config.Volumes)
	if err != nil {
		return nil, err
	}
	spec := defaults()
	spec.Root.Path = rootPath
	spec.Process.User = identity.user
	spec.Process.Env = env
	spec.Process.Args = arguments(&image.Config)
	spec.Process.Cwd = workingDir(image.Config.WorkingDir)
	spec.Mounts = append(spec.Mounts, volumes...)
	spec.Annotations = annotations(image)
	return spec, checkStrings(spec)
}

func arguments(config *v1.ImageConfig) []string {
	args := slices.Concat(config.Entrypoint, config.Cmd)
	if len(args) == 0 {
		return []string{"sh"}
	}
	return args
}

// workingDir is absolute: process.cwd MUST be (config.md), and images made by
// hand have relative ones.
func workingDir(dir string) string {
	if strings.HasPrefix(dir, "/") {
		return dir
	}
	return path.Join("/", dir)
}

// environment puts the image's variables over the defaults. An implementation
// SHOULD NOT add a variable that the image sets (conversion.md).
func environment(imageEnv []string, home string) ([]string, error) {
	env := []string{defaultPath, "TERM=xterm"}
	for _, entry := range imageEnv {
		name, _, ok := strings.Cut(entry, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("config.Env: %q is not NAME=VALUE", entry)
		}
		env = setVariable(env, name, entry)
	}
	if indexVariable(env, "HOME") < 0 {
		env = append(env, "HOME="+home)
	}
	return env, nil
}

func setVariable(env []string, name, entry string) []string {
	if i := indexVariable(env, name); i >= 0 {
		env[i] = entry
		return env
	}
	return append(env, entry)
}

func indexVariable(env []string, name string) int {
	return slices.IndexFunc(env, func(entry string) bool {
		return strings.HasPrefix(entry, name+"=")
	})
}

// volumeMounts keeps what is written to a volume out of the root filesystem,
// and so out of images made from it.
func volumeMounts(volumes map[string]struct{}) ([]specs.Mount, error) {
	var mounts []specs.Mount
	for volume := range volumes {
		destination := path.Join("/", volume)
		if destination == "/" {
			return nil, fmt.Errorf("config.Volumes: %q would hide the whole root filesystem", volume)
		}
		mounts = append(mounts, specs.Mount{
			Destination: destination,
			Type:        "tmpfs",
			Source:      "none",
			Options:     []string{"rw", "nosuid", "nodev", "noexec", "relatime"},
		})
	}
	slices.SortFunc(mounts, func(a, b specs.Mount) int { return strings.Compare(a.Destination, b.Destination) })
	return slices.CompactFunc(mounts, func(a, b specs.Mount) bool { return a.Destination == b.Destination }), nil
}

// annotations are those implied by the configuration, overridden by the
// labels that somebody wrote on purpose.
func annotations(image *v1.Image) map[string]string {
	ports := make([]string, 0, len(image.Config.ExposedPorts))
	for port := range image.Config.ExposedPorts {
		ports = append(ports, port)
	}
	slices.Sort(ports)
	implied := map[string]string{
		annotationOS:           image.OS,
		annotationArchitecture: image.Architecture,
		annotationVariant:      image.Variant,
		annotationOSVersion:    image.OSVersion,
		annotationOSFeatures:   strings.Join(image.OSFeatures, ","),
		annotationAuthor:       image.Author,
		annotationStopSignal:   image.Config.StopSignal,
		annotationExposedPorts: strings.Join(ports, ","),
	}
	if image.Created != nil {
		implied[annotationCreated] = image.Created.Format(time.RFC3339Nano)
	}
	all := map[string]string{}
	for key, value := range implied {
		if value != "" {
			all[key] = value
		}
	}
	for key, value := range image.Config.Labels {
		all[key] = value
	}
	return all
}

// checkStrings refuses NUL in what becomes arguments of system calls: it
// would cut them short.
func checkStrings(spec *specs.Spec) error {
	for _, s := range slices.Concat(spec.Process.Args, spec.Process.Env, []string{spec.Process.Cwd}) {
		if strings.IndexByte(s, 0) >= 0 {
			return errors.New("NUL in the image's Entrypoint, Cmd, Env or WorkingDir")
		}
	}
	for _, m := range spec.Mounts {
		if strings.IndexByte(m.Destination, 0) >= 0 {
			return errors.New("NUL in the image's Volumes")
		}
	}
	return nil
}
