package harden

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// archCalls are those that only this architecture has.
func archCalls() []Call {
	return []Call{
		{"newfstatat", unix.SYS_NEWFSTATAT, ""},
		{"stat", unix.SYS_STAT, ""},
		{"lstat", unix.SYS_LSTAT, ""},
		{"open", unix.SYS_OPEN, ""},
		{"access", unix.SYS_ACCESS, ""},
		{"readlink", unix.SYS_READLINK, ""},
		{"unlink", unix.SYS_UNLINK, ""},
		{"rename", unix.SYS_RENAME, ""},
		{"mkdir", unix.SYS_MKDIR, ""},
		{"rmdir", unix.SYS_RMDIR, ""},
		{"chmod", unix.SYS_CHMOD, ""},
		{"pipe", unix.SYS_PIPE, ""},
		{"dup2", unix.SYS_DUP2, ""},
		{"poll", unix.SYS_POLL, ""},
		{"select", unix.SYS_SELECT, ""},
		{"epoll_wait", unix.SYS_EPOLL_WAIT, ""},
		{"epoll_create", unix.SYS_EPOLL_CREATE, ""},
		{"arch_prctl", unix.SYS_ARCH_PRCTL, ""},
		{"time", unix.SYS_TIME, ""},
		{"getpgrp", unix.SYS_GETPGRP, ""},
		{"alarm", unix.SYS_ALARM, ""},
	}
}
