// Package host identifies this machine and reads its clocks.
package host

import (
	"bytes"
	"os"

	"golang.org/x/sys/unix"
)

// Machine identifies this machine, its kernel and its boot.
type Machine struct {
	// Node is the host name, or NODE_NAME where that is set.
	Node string
	// BootID is the kernel's random id of this boot.
	BootID string
	// Kernel is the running kernel's release.
	Kernel string
}

// Identify reads what identifies this machine; what cannot be read is empty.
func Identify() Machine {
	// In a pod the host name is the pod's; its manifest passes the node's.
	node := os.Getenv("NODE_NAME")
	if node == "" {
		node, _ = os.Hostname()
	}
	return Machine{Node: node, BootID: bootID(), Kernel: kernelRelease()}
}

// bootID reads Documentation/admin-guide/sysctl/kernel.rst, random.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(b))
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
