package senders

import (
	"path"
	"slices"
	"strings"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// program is something that kills as its job, and what it is recognised by. A name
// alone is nothing: any process can give itself one.
type program struct {
	name string
	role oom.Role
	// exes are base names of the executable.
	exes []string
	// clone is the executable of one that runs from a copy of itself in memory, so that a
	// container cannot write to the file: crun and runc do. memfd_create(2) names it, and
	// anybody may give it that name, as they may give a file of their own the name of
	// another program: what counts is that the process is root's, and in no container.
	clone string
	// units are systemd units of the system that run it.
	units []string
	// script is the base name of an interpreter's first argument, for a program that
	// is one.
	script string
	// reasons are parts of the messages in which it says why it kills, in its order.
	reasons []string
	// announces is the message before a kill, with the process; namesCgroup that the
	// reason names the cgroup. Either tells which kill a message is of.
	announces   string
	namesCgroup bool
}

func programs() []program {
	return []program{
		{name: "systemd-oomd", role: oom.RoleMemoryManager, exes: []string{"systemd-oomd"}, units: []string{"systemd-oomd.service"}, reasons: []string{"Killed /"}, namesCgroup: true},
		{name: "earlyoom", role: oom.RoleMemoryManager, exes: []string{"earlyoom"}, units: []string{"earlyoom.service"}, reasons: []string{"mem avail:", "low memory!"}, announces: "to process %d uid"},
		{name: "nohang", role: oom.RoleMemoryManager, script: "nohang", units: []string{"nohang.service", "nohang-desktop.service"}, reasons: []string{"hard_threshold_"}},
		{name: "oomd", role: oom.RoleMemoryManager, exes: []string{"oomd", "oomd_bin"}, units: []string{"oomd.service", "fb-oomd.service"}},
		{name: "bustd", role: oom.RoleMemoryManager, exes: []string{"bustd"}, units: []string{"bustd.service"}},
		{name: "runc", role: oom.RoleRuntime, exes: []string{"runc"}, clone: "/memfd:runc_cloned:/proc/self/exe"},
		{name: "crun", role: oom.RoleRuntime, exes: []string{"crun"}, clone: "/memfd:crun_cloned:/proc/self/exe"},
		{name: "containerd-shim", role: oom.RoleRuntime, exes: []string{"containerd-shim", "containerd-shim-runc-v1", "containerd-shim-runc-v2"}},
		{name: "containerd", role: oom.RoleRuntime, exes: []string{"containerd"}, units: []string{"containerd.service"}},
		{name: "dockerd", role: oom.RoleRuntime, exes: []string{"dockerd"}, units: []string{"docker.service"}},
		{name: "cri-o", role: oom.RoleRuntime, exes: []string{"crio"}, units: []string{"crio.service"}},
		{name: "conmon", role: oom.RoleRuntime, exes: []string{"conmon", "conmonrs"}},
		{name: "podman", role: oom.RoleRuntime, exes: []string{"podman"}},
		{name: "kubelet", role: oom.RoleRuntime, exes: []string{"kubelet"}, units: []string{"kubelet.service"}},
		{name: "systemd", role: oom.RoleServiceManager, exes: []string{"systemd"}},
	}
}

// recognise finds the program that a sender is: by the unit of the system that it
// runs in, which nobody without privileges can enter, or as a process of root, by
// its executable. A process in a container is what its container says, so no
// program of the machine's.
func recognise(s *oom.Sender) (program, bool) {
	if s.Container != nil || s.Pod != nil {
		return program{}, false
	}
	for _, p := range programs() {
		if p.runs(s) {
			return p, true
		}
	}
	return program{}, false
}

func (p *program) runs(s *oom.Sender) bool {
	if !p.isExecutable(s) {
		return false
	}
	if uid, known := s.UID.Get(); known && uid == 0 {
		return true
	}
	for _, unit := range p.units {
		if s.Unit == unit && inSystem(s.Cgroup) {
			return true
		}
	}
	return false
}

// isExecutable compares the executable; a unit that starts other helpers than its
// program does not make managers of them.
func (p *program) isExecutable(s *oom.Sender) bool {
	base := path.Base(s.Exe)
	if slices.Contains(p.exes, base) || p.clone != "" && s.Exe == p.clone {
		return true
	}
	return p.script != "" && strings.HasPrefix(base, "python") && runsScript(s.Args, p.script)
}

// runsScript says whether an interpreter's first argument that is no option is the
// script.
func runsScript(args, script string) bool {
	words := strings.Split(args, "\x00")
	for _, word := range words[min(1, len(words)):] {
		if !strings.HasPrefix(word, "-") {
			return path.Base(word) == script
		}
	}
	return false
}

// inSystem says whether a cgroup is one of the system's, not of a user's session.
func inSystem(cgroup string) bool { return strings.HasPrefix(cgroup, "/system.slice/") }
