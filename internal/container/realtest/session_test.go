//go:build hosttest || vmguest

package realtest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/container"
	"github.com/oomtrace/oomtrace/internal/enrich"
	"github.com/oomtrace/oomtrace/internal/explain"
	"github.com/oomtrace/oomtrace/internal/kernlog"
	"github.com/oomtrace/oomtrace/internal/oom"
	"github.com/oomtrace/oomtrace/internal/senders"
	"github.com/oomtrace/oomtrace/internal/tracer"
)

// got is a record, and how long it was held up for its names.
type got struct {
	rec  oom.Record
	took time.Duration
}

// sigkill is a record of that kind, and whether it is written by default.
type sigkill struct {
	rec       oom.Record
	byDefault bool
}

// session is what oomtrace does between the ring and the output.
type session struct {
	tracer   *tracer.Tracer
	cache    *container.Cache
	enricher *enrich.Enricher
	gate     sync.RWMutex  // held by a test that wants no record to be made yet
	log      *kernlog.Kmsg // where no hook sees the decision

	every, memory *senders.Tracker // as --sigkill all, and as its default

	mu       sync.Mutex
	limits   map[int32]*oom.Limit // of the log, by the thread that it names
	kills    []got
	sigkills []sigkill
	warns    []string
}

// decides says that a hook sees the decision, and with it the limit.
func decides(tr *tracer.Tracer) bool {
	return slices.ContainsFunc(tr.Attachments(), func(a tracer.Attachment) bool { return a.Decides && a.Kind != "" })
}

// readLog keeps the limits that the kernel's log tells, as the program does.
func (s *session) readLog(ctx context.Context) {
	for {
		rec, err := s.log.Read(ctx)
		if err != nil {
			return
		}
		if rec.Kind == oom.KindKill && rec.Victim != nil && rec.Limit != nil {
			s.mu.Lock()
			s.limits[rec.Victim.TID.Value] = rec.Limit
			s.mu.Unlock()
		}
	}
}

// logged gives the limit of a kill by the log, which may be a moment late.
func (s *session) logged(r *oom.Record) *oom.Limit {
	for range 20 {
		s.mu.Lock()
		l := s.limits[r.Victim.TID.Value]
		s.mu.Unlock()
		if l != nil {
			return l
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

// startSession opens a tracer and a cache, in the order of the program. It does
// not wait for the cache.
func startSession(t *testing.T, sockets ...string) *session {
	t.Helper()
	return startSessionThatWaits(t, namesWait, sockets...)
}

// startSessionThatWaits bounds how long a record waits for names; zero means the
// program's own bound.
func startSessionThatWaits(t *testing.T, wait time.Duration, sockets ...string) *session {
	t.Helper()
	s := &session{
		limits: map[int32]*oom.Limit{},
		every:  senders.New(senders.Options{Mode: senders.ModeAll}), memory: senders.New(senders.Options{}),
	}
	tr, err := tracer.Open(t.Context(), tracer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.tracer = tr
	s.cache = container.Open(t.Context(), container.Options{Sockets: sockets, Warn: s.warn, LabelsWait: namesWait})
	s.enricher = enrich.New(enrich.Options{Containers: s.cache, Wait: wait})
	ctx, cancel := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	if !decides(tr) {
		if s.log, err = kernlog.OpenKmsg(kernlog.KmsgOptions{}); err != nil {
			t.Fatal(err)
		}
		reading.Go(func() { s.readLog(ctx) })
	}
	done := make(chan error, 1)
	go func() { done <- s.collect(ctx) }()
	t.Cleanup(func() {
		cancel()
		err := <-done
		if reading.Wait(); s.log != nil {
			err = errors.Join(err, s.log.Close())
		}
		stats, serr := tr.Stats()
		if err := errors.Join(err, serr, s.cache.Close(), tr.Close()); err != nil {
			t.Error(err)
		}
		if stats.Lost+stats.LostCgroup+stats.Undecoded > 0 {
			t.Errorf("lost: %+v", stats)
		}
	})
	return s
}

// ready waits until everything that runs is known.
func (s *session) ready(t *testing.T) *session {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s.cache.Ready(ctx)
	return s
}

// until waits for a condition.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so in %v: %s", patience, what)
		}
	}
}

// knows waits until the cache knows a container's name, as it does before the
// kill where all goes as it should.
func (s *session) knows(t *testing.T, path, id string) {
	t.Helper()
	until(t, "container "+id+" is known", func() bool {
		i, ok := s.cache.Lookup(path, id)
		return ok && i.Name != ""
	})
}

func (s *session) warn(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.warns = append(s.warns, text)
}

func (s *session) collect(ctx context.Context) error {
	source := tracer.NewSource(s.tracer, tracer.SourceOptions{OnCgroup: s.cache.Seen})
	for {
		rec, err := source.Next(ctx)
		if errors.Is(err, io.EOF) {
			return source.Close()
		}
		if err == nil {
			err = s.take(ctx, rec)
		}
		if err == nil {
			err = source.Done()
		}
		if err != nil {
			return errors.Join(err, source.Close())
		}
	}
}

func (s *session) take(ctx context.Context, r *oom.Record) error {
	s.enricher.Paths(r)
	s.every.Observe(r)
	switch byDefault := s.memory.Observe(r); r.Kind {
	case oom.KindKill:
		return s.keep(ctx, r)
	case oom.KindSigkill:
		s.enricher.Record(ctx, r)
		explain.Explain(r)
		k := sigkill{byDefault: byDefault}
		if err := copied(r, &k.rec); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sigkills = append(s.sigkills, k)
	}
	return nil
}

// copied copies a record: the event is decoded into again.
func copied(from, to *oom.Record) error {
	b, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}

// keep enriches a record of a kill.
func (s *session) keep(ctx context.Context, r *oom.Record) error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if r.Limit == nil && s.log != nil {
		r.Limit = s.logged(r)
	}
	began := time.Now()
	s.enricher.Record(ctx, r)
	g := got{took: time.Since(began)}
	if err := copied(r, &g.rec); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kills = append(s.kills, g)
	return nil
}

// of gives the kills in a container.
func (s *session) of(id string) []got {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.kills), func(g got) bool {
		c := g.rec.Victim.Container
		return c == nil || c.ID != id
	})
}

// wait waits for a kill in a container.
func (s *session) wait(t *testing.T, id string) []got {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		all := s.of(id)
		if len(all) > 0 {
			return all
		}
		if time.Now().After(deadline) {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, g := range s.kills {
				t.Logf("other kill: %s in %s", g.rec.Victim.Comm, g.rec.Victim.Cgroup)
			}
			t.Fatalf("no kill in container %s", id)
		}
	}
}

// killed waits for the kill in a container that has just overrun its limit, and
// holds its owner against what is true.
func (s *session) killed(t *testing.T, ct *ctr) got {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("container %s: %s", ct.id, ct.describe())
		}
	}()
	g := s.wait(t, ct.id)[0]
	owned(t, ct, &g.rec.Victim.Owner)
	return g
}

// mine holds the part of an owner that the path gives against the container.
func mine(t *testing.T, ct *ctr, o *oom.Owner) bool {
	t.Helper()
	if o.Container == nil || o.Pod == nil {
		t.Errorf("owner %+v: container and pod expected", o)
		return false
	}
	want := func(name, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s %q, want %q", name, got, want)
		}
	}
	want("container id", o.Container.ID, ct.id)
	want("pod uid", o.Pod.UID, ct.pod.config.Metadata.Uid)
	want("qos", string(o.Pod.QoS), "burstable")
	if o.OuterContainer != nil {
		t.Errorf("outer container %+v", o.OuterContainer)
	}
	return true
}

// owned holds an owner with names against the container.
func owned(t *testing.T, ct *ctr, o *oom.Owner) {
	t.Helper()
	if !mine(t, ct, o) {
		return
	}
	want := func(name, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s %q, want %q", name, got, want)
		}
	}
	m := ct.pod.config.Metadata
	want("container", o.Container.Name, ct.name)
	want("runtime", o.Container.Runtime, "containerd")
	want("image", o.Container.Image, hogImage)
	want("pod", o.Pod.Name, m.Name)
	want("namespace", o.Pod.Namespace, m.Namespace)
	want("container of pod", o.Pod.Container, ct.name)
	if len(o.Pod.Labels) != 1 || o.Pod.Labels["app"] != "real-"+m.Name {
		t.Errorf("labels %v", o.Pod.Labels)
	}
	if n := o.Container.RestartCount; !n.Known || n.Value != 3 {
		t.Errorf("restarts %v, want 3", n)
	}
}

// named says whether an owner has all names.
func named(o *oom.Owner) bool {
	return o.Container != nil && o.Container.Name != "" && o.Pod != nil && o.Pod.Name != "" && o.Pod.Namespace != ""
}
