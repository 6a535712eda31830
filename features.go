package main

import (
	"context"
	"encoding/json"

	"github.com/hako-runtime/hako/libct/caps"
	"github.com/hako-runtime/hako/libct/plan"
	"github.com/hako-runtime/hako/libct/proc"
	"github.com/hako-runtime/hako/libct/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	"github.com/urfave/cli/v3"
)

// featuresCommand describes features.
func (a *app) featuresCommand() *cli.Command {
	return &cli.Command{
		Usage: "show what this runtime implements",
		Description: `Prints the features structure of the runtime specification as JSON. It tells what
is implemented, whether or not this machine offers it.`,
		Action: a.features,
	}
}

// features runs features.
func (a *app) features(_ context.Context, c *cli.Command) error {
	if err := noArgs(c); err != nil {
		return err
	}
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "    ")
	return enc.Encode(implemented())
}

// implemented is the features structure; features.md, features-linux.md.
// What a later issue brings is false until it is there.
func implemented() features.Features {
	yes := new(true)
	return features.Features{
		OCIVersionMin: "1.0.0",
		OCIVersionMax: specs.Version,
		Hooks:         []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		MountOptions:  plan.KnownMountOptions(),
		Linux: &features.Linux{
			Namespaces:   plan.KnownNamespaces(),
			Capabilities: caps.Known(),
			Cgroup:       &features.Cgroup{V1: yes, V2: yes, Systemd: yes, SystemdUser: yes, Rdma: yes},
			Seccomp:      seccompFeatures(),
			Apparmor:     &features.Apparmor{Enabled: yes},
			Selinux:      &features.Selinux{Enabled: yes},
			IntelRdt:     &features.IntelRdt{Enabled: yes, Schemata: yes, Monitoring: yes},
			MemoryPolicy: &features.MemoryPolicy{Modes: proc.MemoryPolicyModes(), Flags: proc.MemoryPolicyFlags()},
			MountExtensions: &features.MountExtensions{
				IDMap: &features.IDMap{Enabled: yes},
			},
			NetDevices: &features.NetDevices{Enabled: yes},
		},
		Annotations: map[string]string{
			"io.github.hako-runtime.checkpoint.enabled": "false",
			"io.github.hako-runtime.commit":             commit,
			"io.github.hako-runtime.version":            version,
		},
		PotentiallyUnsafeConfigAnnotations: plan.UnsafeAnnotations(),
	}
}

// seccompFeatures are all that a profile may say; the supported flags are those
// of the running kernel.
func seccompFeatures() *features.Seccomp {
	f := &features.Seccomp{
		Enabled:    new(true),
		Actions:    plan.KnownSeccompActions(),
		Operators:  plan.KnownSeccompOperators(),
		KnownFlags: plan.KnownSeccompFlags(),
	}
	for _, arch := range seccomp.KnownArches() {
		f.Archs = append(f.Archs, string(arch))
	}
	for _, name := range f.KnownFlags {
		if seccomp.KernelKnows(plan.SeccompFlag(name)) {
			f.SupportedFlags = append(f.SupportedFlags, name)
		}
	}
	return f
}
