// Package systemd has systemd make, limit and remove a container's cgroup: a
// transient scope, or a slice.
//
// It runs on the host and talks D-Bus to the system's manager, or to that of
// an unprivileged user. What is a unit's name and place is in unit.go, what
// systemd is told of limits in limits.go and devices.go, what a config may add
// in setting.go, the conversation in manager.go. It knows no control file:
// package cgroup writes those besides, since systemd has properties for only
// some of them.
//
// Needs systemd 244 (AllowedCPUs), which is older than the kernels that hako
// supports. See systemd.scope(5), systemd.resource-control(5),
// org.freedesktop.systemd1(5).
package systemd
