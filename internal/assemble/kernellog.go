package assemble

import (
	"time"

	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/kernlog"
)

// KernelLog is the kernel's log buffer as a source.
type KernelLog = kernlog.Kmsg

// logOptions: the log is read from its start, or what comes from here on.
type logOptions struct{ fromStart, untilNow, atOnce bool }

// openKernelLog opens the kernel's log as a source.
func openKernelLog(o logOptions) (*KernelLog, error) {
	options := machineLog()
	if !o.untilNow {
		// Each line gets the wall clock of its own time, which may have been set
		// since the last one.
		options.BootTime = time.Time{}
	}
	return kernlog.OpenKmsg(kernlog.KmsgOptions{Options: options, FromStart: o.fromStart, UntilNow: o.untilNow, AtOnce: o.atOnce})
}

// machineLog says what the log of this machine leaves out.
func machineLog() kernlog.Options {
	m := host.Identify()
	return kernlog.Options{Node: m.Node, BootID: m.BootID, Kernel: m.Kernel, BootTime: host.MonotonicStart()}
}
