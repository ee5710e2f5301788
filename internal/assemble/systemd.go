package assemble

import (
	"context"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// NotifySystemd reports to systemd, where that started this process: that it is
// ready, and to the watchdog as long as the line is alive, until the function
// returned is called. Nothing depends on systemd's answer.
func (l *Live) NotifySystemd(ctx context.Context) (stop func()) {
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	if every, err := daemon.SdWatchdogEnabled(false); err == nil && every > 0 {
		wg.Go(func() { watchdog(ctx, every/2, l.Alive) })
	}
	return func() {
		_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
		cancel()
		wg.Wait()
	}
}

func watchdog(ctx context.Context, every time.Duration, alive func() bool) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if alive() {
				_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
			}
		}
	}
}
