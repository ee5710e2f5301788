// Package enrich adds to a record whose processes they were: unit, container and
// pod by the cgroup path, names by the runtimes' cache.
package enrich

import (
	"context"
	"sync"
	"time"

	"github.com/oomtrace/oomtrace/internal/cgroup"
	"github.com/oomtrace/oomtrace/internal/container"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// Lookup gives the names of containers and pods; *container.Cache does.
type Lookup interface {
	// Lookup and Pod answer at once, of a container or a pod on a cgroup path.
	Lookup(path, id string) (container.Info, bool)
	Pod(path, uid string) (container.PodInfo, bool)
	// Wait asks for a container that is not known, and returns once it is known,
	// no source knows it, or the context ends.
	Wait(ctx context.Context, path, id string) bool
}

// Options are the settings of an Enricher. The zero value works: no names.
type Options struct {
	// Containers gives names; nil leaves them out.
	Containers Lookup
	// Wait bounds how long a record waits for names that were not known at
	// the kill; zero means 500 ms, negative not at all.
	Wait time.Duration
	// Pending says that another kill waits behind the one that is being enriched:
	// it ends a wait for names. Nil is never.
	Pending func() bool
	// Log is that the records are of a log, read at leisure: of any age, they
	// are waited for, but once for each container.
	Log bool
}

const (
	defaultWait = 500 * time.Millisecond
	// recent is how old a record of the kernel's log may be for its container to
	// be waited for: a runtime may know it still.
	recent = time.Minute
	// pendingPause is how often a wait asks whether another kill is pending; a
	// healthy runtime has answered by the first time.
	pendingPause = 10 * time.Millisecond
	// maxAsked bounds the containers of a log that are asked for.
	maxAsked = 1024
)

// Enricher fills in records. It may be used by several goroutines.
type Enricher struct {
	containers Lookup
	wait       time.Duration
	pending    func() bool
	log        bool

	mu    sync.Mutex
	asked map[string]bool // containers of a log
}

// New returns an Enricher.
func New(o Options) *Enricher {
	if o.Wait == 0 {
		o.Wait = defaultWait
	}
	return &Enricher{
		containers: o.Containers, wait: o.Wait, pending: o.Pending, log: o.Log,
		asked: map[string]bool{},
	}
}

// Record fills in the owners of victim and trigger and the level of the limit. It
// returns within Options.Wait; what cannot be had stays out.
func (e *Enricher) Record(ctx context.Context, rec *oom.Record) {
	owners := e.Paths(rec)
	if e.containers == nil {
		return
	}
	var unknown [roleCount]bool
	for i, o := range owners {
		unknown[i] = e.missing(o) != ""
	}
	if unknown != [roleCount]bool{} {
		e.await(ctx, rec, owners)
	}
	for i, o := range owners {
		if o.Owner == nil {
			continue
		}
		switch named := e.names(o); {
		case !named:
			rec.NamesMissing = append(rec.NamesMissing, roles[i])
		case unknown[i]:
			rec.Sampled = append(rec.Sampled, roles[i]+".container")
		}
	}
}

const roleCount = 3

// roles are whose the owners of Paths are, in the record's words.
var roles = [roleCount]string{"victim", "trigger", "sender"}

// owner is one of a record's, and the cgroup path that it was read from.
type owner struct {
	*oom.Owner
	path string
}

// Paths fills in what the cgroup paths say, without asking anything else. It returns
// the owners found.
func (e *Enricher) Paths(rec *oom.Record) (owners [roleCount]owner) {
	if v := rec.Victim; v != nil && memberOf(v) != "" {
		v.Owner = cgroup.Parse(memberOf(v)).Owner
		owners[0] = owner{&v.Owner, memberOf(v)}
	}
	if t := rec.Trigger; t != nil && t.Cgroup != "" {
		t.Owner = cgroup.Parse(t.Cgroup).Owner
		owners[1] = owner{&t.Owner, t.Cgroup}
	}
	if s := rec.Sender; s != nil && s.Cgroup != "" {
		s.Owner = cgroup.Parse(s.Cgroup).Owner
		owners[2] = owner{&s.Owner, s.Cgroup}
	}
	if l := rec.Limit; l != nil && l.Cgroup != "" {
		member := ""
		if rec.Victim != nil {
			member = memberOf(rec.Victim)
		}
		l.Level = cgroup.LevelOf(l.Cgroup, member)
	}
	return owners
}

// memberOf is the victim's cgroup or, where the kernel's log names only the first victim's of a
// memory.oom.group, the group's: it is in it or below.
func memberOf(v *oom.Victim) string {
	if v.Cgroup != "" {
		return v.Cgroup
	}
	for i := range v.CgroupLimits {
		if v.CgroupLimits[i].OOMGroup.Or(false) {
			return v.CgroupLimits[i].Cgroup
		}
	}
	return ""
}

// await waits for containers that the cache does not know yet, but not for those
// of an old log: they are known already, or never will be.
func (e *Enricher) await(ctx context.Context, rec *oom.Record, owners [roleCount]owner) {
	if !e.mayWait(rec) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, e.wait)
	defer cancel()
	if e.pending != nil {
		go e.watch(ctx, cancel)
	}
	for _, o := range owners {
		if id := e.missing(o); id != "" && e.first(id) {
			e.containers.Wait(ctx, o.path, id)
		}
	}
}

// mayWait says whether metadata may be waited for.
func (e *Enricher) mayWait(rec *oom.Record) bool {
	switch {
	case e.wait < 0 || rec.Kind == oom.KindExit, rec.Kind == oom.KindSigkill:
		return false // of many at once none shall hold up a kill
	case e.log || rec.Source == oom.SourceBPF:
		return true
	}
	age := time.Since(rec.Time)
	return !rec.Time.IsZero() && age < recent && age > -recent
}

// watch ends a wait once another kill is pending.
func (e *Enricher) watch(ctx context.Context, cancel context.CancelFunc) {
	t := time.NewTicker(pendingPause)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if e.pending() {
			cancel()
			return
		}
	}
}

// first says that a container is to be asked for: of a log only once.
func (e *Enricher) first(id string) bool {
	if !e.log {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.asked[id] || len(e.asked) >= maxAsked {
		return false
	}
	e.asked[id] = true
	return true
}

// missing gives the id of an owner's container that is to be waited for.
func (e *Enricher) missing(o owner) string {
	if o.Owner == nil || o.Container == nil || o.Container.ID == "" {
		return ""
	}
	id := o.Container.ID
	if _, ok := e.containers.Lookup(o.path, id); ok {
		return ""
	}
	return id
}

// names fills in an owner's names, and says whether its container could be named,
// if it has one. What contradicts the path, package container does not give.
func (e *Enricher) names(o owner) (named bool) {
	named = o.Container == nil || o.Container.ID == ""
	for _, c := range [...]*oom.Container{o.Container, o.OuterContainer} {
		if c == nil || c.ID == "" {
			continue
		}
		info, ok := e.containers.Lookup(o.path, c.ID)
		if !ok {
			continue
		}
		inner := c == o.Container
		named = named || inner
		fill(c, &info)
		e.podOf(o.Owner, &info, inner)
	}
	if o.Pod != nil && o.Pod.UID != "" && o.Pod.Name == "" {
		if p, ok := e.containers.Pod(o.path, o.Pod.UID); ok {
			fillPod(o.Pod, &p)
		}
	}
	return named
}

// Name fills in the names of an owner that a cgroup's path gave, without waiting for
// them.
func (e *Enricher) Name(path string, o *oom.Owner) {
	if e.containers != nil {
		e.names(owner{o, path})
	}
}

// podOf takes the pod from a container's information, unless the path names
// another: around a node in a container there may be a second cluster.
func (e *Enricher) podOf(o *oom.Owner, info *container.Info, inner bool) {
	if info.Pod == nil {
		return
	}
	if o.Pod == nil && inner {
		o.Pod = &oom.Pod{UID: info.Pod.UID}
	}
	if o.Pod == nil || !samePod(o.Pod, info.Pod) {
		return
	}
	fillPod(o.Pod, info.Pod)
	if o.Pod.Container == "" {
		o.Pod.Container = info.PodContainer
	}
}

// fill takes what the runtime knows of a container; the path's own runtime
// stays.
func fill(c *oom.Container, info *container.Info) {
	runtime := c.Runtime
	id := c.ID
	*c = info.Container
	c.ID = id
	if runtime != "" {
		c.Runtime = runtime
	}
}

// fillPod takes a pod's names; the path's QoS class stays.
func fillPod(p *oom.Pod, info *container.PodInfo) {
	p.Namespace, p.Name, p.Labels = info.Namespace, info.Name, info.Labels.Map()
	p.SwapBehavior = info.SwapBehavior
	p.MemoryRequestBytes, p.MemoryLimitBytes = info.MemoryRequestBytes, info.MemoryLimitBytes
	if p.QoS == "" {
		p.QoS = info.QoS
	}
}

// samePod says that a source does not contradict the path's pod; the log links
// of kubelet have no uid.
func samePod(p *oom.Pod, info *container.PodInfo) bool {
	return info == nil || info.UID == "" || info.UID == p.UID
}
