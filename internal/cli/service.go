package cli

import (
	"context"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// service tells systemd how this process is doing, where systemd started it.
type service struct{}

// start says that it is ready and feeds the watchdog, as long as alive agrees,
// until the function returned is called. Nothing depends on systemd's answer.
func (service) start(ctx context.Context, alive func() bool) (stop func()) {
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	if every, err := daemon.SdWatchdogEnabled(false); err == nil && every > 0 {
		wg.Go(func() { watchdog(ctx, every/2, alive) })
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

// stuckAfter is how long one record may be on its way before the service counts
// as stuck: a consumer that stops reading for a while is no reason to restart.
const stuckAfter = 2 * time.Minute

// alive says that no record is stuck between the ring and the output.
func (s *session) alive() bool {
	since := s.busySince.Load()
	return since == 0 || time.Since(time.Unix(0, since)) < stuckAfter
}
