package main

// config is what the host passes to init, in /vm/config.json. The host's side of
// it is vmtest.guestConfig.
type config struct {
	// Port is the device that carries frames to the host.
	Port string `json:"port"`
	// Command is run with Env added to its environment.
	Command []string `json:"command"`
	Env     []string `json:"env"`
	// Modules are files to load, in order.
	Modules []string `json:"modules"`
	// Cgroup is "v2", "v1" or "hybrid".
	Cgroup   string `json:"cgroup"`
	Hostname string `json:"hostname"`
	// Systemd has systemd become the first process; init then runs as its unit.
	Systemd bool `json:"systemd"`
}
