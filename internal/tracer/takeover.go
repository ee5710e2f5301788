package tracer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/oomtrace/oomtrace/internal/probe"
	"github.com/oomtrace/oomtrace/internal/ring"
	"github.com/oomtrace/oomtrace/internal/wire"
)

// older is a set of pins of another build whose programs are detached. Its ring stays
// pinned until all of its records are done, so that a reader that dies before
// leaves them for the next one.
type older struct {
	path string
	set  Tracer // its maps and its ring

	mu      sync.Mutex // Waiting comes from any goroutine
	removed bool       // all of its records are done
}

// takeOver detaches the programs of other builds' sets, once this build's own are
// attached: what both see has the same id. The records in their rings are read
// first of all.
func (t *Tracer) takeOver(paths []string) error {
	for _, path := range paths {
		if err := removeHooks(path); err != nil {
			return err
		}
		old := &older{path: path}
		if err := old.set.openPinned(path); err != nil {
			// Its name says that it can be read, and it cannot.
			_ = old.set.Close()
			t.others.foreign = append(t.others.foreign, path)
			continue
		}
		t.older = append(t.older, old)
		if err := t.inherit(&old.set); err != nil {
			return err
		}
		t.notes = append(t.notes, "took over from another version: "+path)
	}
	return nil
}

// inherit adds the unreported losses of another set to this one's.
func (t *Tracer) inherit(old *Tracer) error {
	losses, err := old.unreported(nil)
	if err != nil {
		return err
	}
	for _, l := range losses {
		if err := t.counters.inherit(t.maps[probe.OomtraceMapLedger], l.counter, l.To-l.From); err != nil {
			return err
		}
		if err := old.reported(l); err != nil {
			return err
		}
	}
	return nil
}

// replace removes a set with another record layout: its records can be counted,
// but not read.
func (t *Tracer) replace(paths []string) error {
	for _, path := range paths {
		n, err := undelivered(path)
		if err != nil {
			t.warnings = append(t.warnings, fmt.Sprintf("replacing %s, pinned by an incompatible version; its unread records are lost (how many is not known: %v)", path, err))
		} else {
			t.warnings = append(t.warnings, fmt.Sprintf("replacing %s, pinned by an incompatible version; its %d unread records are lost", path, n))
		}
		if err := removeHooks(path); err != nil {
			return err
		}
		if err := t.counters.inherit(t.maps[probe.OomtraceMapLedger], probe.OomtraceCounterCOUNTER_UNREADABLE, n); err != nil {
			return err
		}
		if err := removeSet(path); err != nil {
			return err
		}
	}
	return nil
}

// undelivered counts the records in the ring of a set whose layout is not known:
// the kernel puts the same header before each record.
func undelivered(path string) (n uint64, err error) {
	events, err := ebpf.LoadPinnedMap(filepath.Join(path, probe.OomtraceMapEvents), nil)
	if err != nil {
		return 0, plainError(err)
	}
	defer func() { _ = events.Close() }()
	r, err := ring.Open(events.FD(), int(events.MaxEntries()))
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Close() }()
	_, unread := r.Unread(func(ring.Head) bool { return true })
	return uint64(unread), nil
}

// removeHooks ends the links and programs of a set, and leaves its maps.
func removeHooks(path string) error {
	set, err := openOwnDir(path)
	if err != nil {
		return err
	}
	defer func() { _ = set.Close() }()
	pins, _, err := lookSet(set.FS(), ".", newOwnNames(), uint32(os.Geteuid()))
	if err != nil {
		return err
	}
	for _, name := range pins {
		if _, ok := parsePinned(name); !ok {
			continue
		}
		if err := ignoreMissing(set.Remove(name)); err != nil {
			return fmt.Errorf("%w: remove: %w", ErrPin, err)
		}
	}
	return nil
}

// readOlder reads what the rings of other builds still hold.
func (t *Tracer) readOlder(ev *wire.Event) (bool, error) {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	for t.draining < len(t.older) {
		old := t.older[t.draining]
		rec, err := old.set.ring.Next(done)
		if errors.Is(err, io.EOF) {
			t.draining++
			if err := old.remove(); err != nil {
				return false, err
			}
			continue
		}
		if err != nil {
			return false, fmt.Errorf("read older ring: %w", err)
		}
		took, err := t.take(old.set.ring, rec, ev)
		if err != nil {
			return false, err
		}
		if took {
			if isRecord(ev) {
				t.drained.Add(1)
			}
			return true, nil
		}
	}
	return false, nil
}

// remove removes the set, whose records are all done: the last was before its ring
// could be found empty.
func (o *older) remove() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.removed = true
	return errors.Join(removeSet(o.path), o.set.Close())
}

func (o *older) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.removed {
		return 0
	}
	return waiting(o.set.ring)
}

func (o *older) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.removed {
		return nil
	}
	return o.set.Close()
}
