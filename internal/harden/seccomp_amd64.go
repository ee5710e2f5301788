package harden

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// archCalls are those that only this architecture has.
func archCalls() []uintptr {
	return []uintptr{
		unix.SYS_NEWFSTATAT, unix.SYS_STAT, unix.SYS_LSTAT, unix.SYS_OPEN, unix.SYS_ACCESS, unix.SYS_READLINK, unix.SYS_UNLINK, unix.SYS_RENAME, unix.SYS_MKDIR,
		unix.SYS_RMDIR, unix.SYS_CHMOD, unix.SYS_PIPE, unix.SYS_DUP2, unix.SYS_POLL, unix.SYS_SELECT, unix.SYS_EPOLL_WAIT, unix.SYS_EPOLL_CREATE,
		unix.SYS_ARCH_PRCTL, unix.SYS_TIME, unix.SYS_GETPGRP, unix.SYS_ALARM,
	}
}
