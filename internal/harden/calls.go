package harden

import "golang.org/x/sys/unix"

// Call is a system call that a hardened process may make.
type Call struct {
	Name   string
	Number uintptr
	// Rare says what it is made for, where a full run may do without it.
	Rare string
}

// Calls are those that a running trace and the Go runtime may make, whatever their
// arguments; callFilter has those that depend on them. All others fail with EPERM:
// programs, mounts, namespaces, modules, other processes, ids, keys, io_uring. A test
// records a full run on each kernel (TestPrivilegesCalls): what it never makes needs a
// reason here.
func Calls() []Call {
	return append(archCalls(), []Call{
		{"read", unix.SYS_READ, ""},
		{"write", unix.SYS_WRITE, ""},
		{"pread64", unix.SYS_PREAD64, ""},
		{"openat", unix.SYS_OPENAT, ""},
		{"close", unix.SYS_CLOSE, ""},
		{"fstat", unix.SYS_FSTAT, ""},
		{"getdents64", unix.SYS_GETDENTS64, ""},
		{"fcntl", unix.SYS_FCNTL, ""},
		{"flock", unix.SYS_FLOCK, ""},
		{"fsync", unix.SYS_FSYNC, ""},
		{"renameat", unix.SYS_RENAMEAT, ""},
		{"statfs", unix.SYS_STATFS, ""},
		{"epoll_ctl", unix.SYS_EPOLL_CTL, ""},
		{"epoll_pwait", unix.SYS_EPOLL_PWAIT, ""},
		{"futex", unix.SYS_FUTEX, ""},
		{"nanosleep", unix.SYS_NANOSLEEP, ""},
		{"munmap", unix.SYS_MUNMAP, ""},
		{"exit_group", unix.SYS_EXIT_GROUP, ""},
		{"getpid", unix.SYS_GETPID, "the runtime signals a thread of its own: one that runs for 10 ms, as none may on a fast machine"},
		{"rt_sigprocmask", unix.SYS_RT_SIGPROCMASK, ""},
		{"rt_sigreturn", unix.SYS_RT_SIGRETURN, ""},
		{"accept4", unix.SYS_ACCEPT4, ""},
		{"getsockname", unix.SYS_GETSOCKNAME, ""},
		{"setsockopt", unix.SYS_SETSOCKOPT, ""},
		{"sched_yield", unix.SYS_SCHED_YIELD, "a lock of the runtime is held by another thread"},
		{"epoll_create1", unix.SYS_EPOLL_CREATE1, "the runtime's poller, if nothing has waited before"},
		{"eventfd2", unix.SYS_EVENTFD2, "the same"},
		{"pipe2", unix.SYS_PIPE2, "the kernel log as a second source"},
		{"restart_syscall", unix.SYS_RESTART_SYSCALL, "a wait goes on after SIGSTOP and SIGCONT"},
		{"lseek", unix.SYS_LSEEK, "a half-written line is taken back; a file that is read"},
		{"ftruncate", unix.SYS_FTRUNCATE, "the same"},
		{"unlinkat", unix.SYS_UNLINKAT, "a rotated file too many; the pins of an older build"},
		{"readlinkat", unix.SYS_READLINKAT, "what a process that may be a runtime runs; symbolic links to sockets"},
		{"faccessat", unix.SYS_FACCESSAT, "whether a directory can be written to, so that the file can be rotated"},
		{"faccessat2", unix.SYS_FACCESSAT2, "the same, with the effective ids"},
		{"statx", unix.SYS_STATX, "whose a pin is"},
		{"fstatfs", unix.SYS_FSTATFS, "what file system a directory is on"},
		{"open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, "a cgroup's statistics, where the programs have none"},
		{"ioctl", unix.SYS_IOCTL, "whether a terminal reads, and how wide it is"},
		{"connect", unix.SYS_CONNECT, "a runtime's socket; systemd's"},
		{"getsockopt", unix.SYS_GETSOCKOPT, "who listens there"},
		{"getpeername", unix.SYS_GETPEERNAME, "the same"},
		{"sendto", unix.SYS_SENDTO, "systemd's socket"},
		{"sendmsg", unix.SYS_SENDMSG, "the same"},
		{"recvfrom", unix.SYS_RECVFROM, "a socket's answer"},
		{"recvmsg", unix.SYS_RECVMSG, "the same"},
		{"writev", unix.SYS_WRITEV, "the same, to several buffers"},
		{"shutdown", unix.SYS_SHUTDOWN, "a client that sends too much"},
		{"mmap", unix.SYS_MMAP, "the heap grows, a thread starts"},
		{"mprotect", unix.SYS_MPROTECT, "a C library's thread starts, in a build with cgo"},
		{"rseq", unix.SYS_RSEQ, "the same"},
		{"set_robust_list", unix.SYS_SET_ROBUST_LIST, "the same"},
		{"brk", unix.SYS_BRK, "a C library's heap, in a build with cgo"},
		{"mremap", unix.SYS_MREMAP, "the same"},
		{"madvise", unix.SYS_MADVISE, "the heap shrinks, or grows by a huge page"},
		{"prctl", unix.SYS_PRCTL, "the runtime names a mapping"},
		{"gettid", unix.SYS_GETTID, "a thread starts"},
		{"exit", unix.SYS_EXIT, "a thread ends"},
		{"sigaltstack", unix.SYS_SIGALTSTACK, "a thread starts"},
		{"rt_sigaction", unix.SYS_RT_SIGACTION, "a second signal is to end the process at once"},
		{"geteuid", unix.SYS_GETEUID, "whose a file may be"},
		{"getrandom", unix.SYS_GETRANDOM, "seeds, where the vDSO has none"},
		{"clock_gettime", unix.SYS_CLOCK_GETTIME, "the time, where the vDSO cannot tell it"},
	}...)
}
