package assemble

import (
	"context"
	"io"
	"time"

	"github.com/oomtrace/oomtrace/internal/host"
	"github.com/oomtrace/oomtrace/internal/kernlog"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// KernelLog is the kernel's log buffer as a source.
type KernelLog struct{ kmsg *kernlog.Kmsg }

// OpenKernelLog opens the kernel's log as the source of a live line: from its
// start, or what comes from here on.
func OpenKernelLog(fromStart bool) (*KernelLog, error) {
	return openKernelLog(logOptions{fromStart: fromStart})
}

type logOptions struct{ fromStart, untilNow, atOnce bool }

func openKernelLog(o logOptions) (*KernelLog, error) {
	options := machineLog()
	if !o.untilNow {
		// Each line gets the wall clock of its own time, which may have been set
		// since the last one.
		options.BootTime = time.Time{}
	}
	k, err := kernlog.OpenKmsg(kernlog.KmsgOptions{Options: options, FromStart: o.fromStart, UntilNow: o.untilNow, AtOnce: o.atOnce})
	if err != nil {
		return nil, err
	}
	return &KernelLog{k}, nil
}

// machineLog says what the log of this machine leaves out.
func machineLog() kernlog.Options {
	m := host.Identify()
	return kernlog.Options{Node: m.Node, BootID: m.BootID, Kernel: m.Kernel, BootTime: host.MonotonicStart()}
}

// Next waits for the next record.
func (k *KernelLog) Next(ctx context.Context) (*oom.Record, error) {
	rec, err := k.kmsg.Read(ctx)
	if err != nil && ctx.Err() != nil {
		return nil, io.EOF
	}
	return rec, err
}

// Done has nothing to acknowledge: the log stays.
func (k *KernelLog) Done() error { return nil }

// Close ends a Next that waits.
func (k *KernelLog) Close() error { return k.kmsg.Close() }
