// Package libct is the host side of hako: the life of one container.
//
//	create   reserve the state folder, plan, cgroup, spawn init, serve it until ready
//	start    open the start FIFO; init executes the process
//	exec     a shorter plan over the same spawn, wire and steps
//	signal   kill, pause, resume
//	update   other limits, checked as at create, and taken back if the kernel refuses
//	events   statistics and out-of-memory events, until the process has ended
//	delete   end what is left, remove cgroup, state folder; poststop hooks
//
// Reading order: container.go (the handle), create.go (the host's list of
// steps), start.go, exec.go, signal.go, update.go, events.go, delete.go, attach.go
// (foreground).
// What happens inside the new namespaces is package initproc. What config.json
// means is package plan; libct hands plans on and does not interpret specs.
package libct
