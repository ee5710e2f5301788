package harden

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// archCalls are those that only this architecture has.
func archCalls() []Call {
	return []Call{
		{"newfstatat", unix.SYS_NEWFSTATAT, ""},
		{"epoll_wait", unix.SYS_EPOLL_WAIT, "whether stdout has a reader"},
		{"poll", unix.SYS_POLL, "a C library's wait, in a build with cgo"},
	}
}
