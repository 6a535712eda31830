package hooks

// Hook is one program to run; runtime-spec config.md#posix-platform-hooks.
type Hook struct {
	Path     string   `json:"path"`
	Args     []string `json:"args,omitempty"` // with args[0]; empty: just the path
	Env      []string `json:"env,omitempty"`
	TimeoutS int      `json:"timeoutS,omitempty"` // seconds; 0: none
}

// Set holds the hooks of all six points.
type Set struct {
	Prestart        []Hook `json:"prestart,omitempty"`
	CreateRuntime   []Hook `json:"createRuntime,omitempty"`
	CreateContainer []Hook `json:"createContainer,omitempty"`
	StartContainer  []Hook `json:"startContainer,omitempty"`
	Poststart       []Hook `json:"poststart,omitempty"`
	Poststop        []Hook `json:"poststop,omitempty"`
}
