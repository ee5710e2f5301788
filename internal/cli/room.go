package cli

import (
	"errors"
	"sync/atomic"
	"syscall"
	"time"
)

// How often a file that could not grow is tried again.
const (
	roomFirst = 100 * time.Millisecond
	roomMost  = 5 * time.Second
)

// room lets an output wait until its disk has room again: the records behind it
// wait in the ring meanwhile.
type room struct {
	env     Env
	stop    <-chan struct{} // ends a wait
	waiting atomic.Bool
}

// noRoom says that a file could not grow: the disk, the quota or the largest file
// is reached. It may be otherwise in a while.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// await calls again until it fails by something else than err, or not, or the
// trace ends.
func (r *room) await(err error, again func() error) error {
	r.waiting.Store(true)
	defer r.waiting.Store(false)
	told := false
	for pause := roomFirst; noRoom(err); pause = min(2*pause, roomMost) {
		select {
		case <-r.stop:
			return err
		default:
		}
		if !told {
			told = true
			say(r.env, "%v; records wait until there is room", err)
		}
		select {
		case <-r.stop:
			return err
		case <-time.After(pause):
			err = again()
		}
	}
	if err == nil && told {
		say(r.env, "there is room again: writing goes on")
	}
	return err
}
