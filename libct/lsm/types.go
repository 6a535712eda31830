package lsm

// Labels are what the security modules are told at execve(2).
type Labels struct {
	AppArmor string `json:"appArmor,omitempty"` // profile name; "" keeps the caller's
	SELinux  string `json:"selinux,omitempty"`  // process context; "" keeps the policy's default
}
