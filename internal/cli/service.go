package cli

import (
	"context"
	"errors"
	"fmt"
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

// stuck is how long a record has been between its source and the output, once
// that is too long; else 0. One that waits for room on a disk is not stuck: a
// restart would not help it.
func (s *session) stuck() time.Duration {
	since := s.busySince.Load()
	if since == 0 || s.room.waiting.Load() {
		return 0
	}
	if d := time.Since(time.Unix(0, since)); d >= stuckAfter {
		return d
	}
	return 0
}

// alive is what the watchdog asks.
func (s *session) alive() bool { return s.stuck() == 0 }

// healthy tells why kills are not written just now, if that is so.
func (s *session) healthy() error {
	if !s.pumping.Load() {
		return errors.New("not tracing")
	}
	if s.room.waiting.Load() {
		return errors.New("the output file cannot grow: records wait")
	}
	if d := s.stuck(); d > 0 {
		return fmt.Errorf("output is stuck for %v", d.Round(time.Second))
	}
	if s.ring == nil {
		return nil
	}
	_, err := s.ring.Stats()
	return err
}
