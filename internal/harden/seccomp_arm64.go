package harden

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// archCalls are those that only this architecture has.
func archCalls() []Call {
	return []Call{
		{"fstatat", unix.SYS_FSTATAT, ""},
		{"ppoll", unix.SYS_PPOLL, "a C library's wait, in a build with cgo"},
	}
}
