// Package enrich adds to a record whose processes they were: unit, container and
// pod by the cgroup path, names by the runtimes' cache; and the few numbers of
// the machine that the kernel side cannot see.
package enrich

import (
	"context"
	"path/filepath"
	"strings"
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

// Options are the settings of an Enricher. The zero value works: no names, this
// machine's /proc.
type Options struct {
	// Containers gives names; nil leaves them out.
	Containers Lookup
	// Wait bounds how long a record waits for names that were not known at
	// the kill; zero means 500 ms, negative not at all.
	Wait time.Duration
	// Hurry ends a wait: another kill is to be written. Nil is never.
	Hurry func() bool
	// Log is that the records are of a log, read at leisure: of any age, they
	// are waited for, but once for each container.
	Log bool
	// ProcRoot is where proc is mounted; empty means /proc.
	ProcRoot string
}

const (
	defaultWait = 500 * time.Millisecond
	// recent is how old a record of the kernel's log may be for its container to
	// be waited for: a runtime may know it still.
	recent = time.Minute
	// hurryPause is how often a wait looks whether there is reason to hurry; a
	// runtime that is well has answered by the first time.
	hurryPause = 10 * time.Millisecond
	// maxAsked bounds the containers of a log that are asked for.
	maxAsked = 1024
)

// Enricher fills in records. It may be used by several goroutines.
type Enricher struct {
	containers Lookup
	wait       time.Duration
	hurry      func() bool
	log        bool
	swaps      string

	mu    sync.Mutex
	dying map[int32]place // by process id, until the exit record
	asked map[string]bool // containers of a log
}

// place is where a victim was when it was killed.
type place struct {
	cgroup   string
	id       oom.Opt[uint64]
	incident string
}

// maxDying bounds the victims whose exit is awaited: exit records may be lost,
// and logs have few.
const maxDying = 4096

// New returns an Enricher.
func New(o Options) *Enricher {
	if o.Wait == 0 {
		o.Wait = defaultWait
	}
	if o.ProcRoot == "" {
		o.ProcRoot = "/proc"
	}
	return &Enricher{
		containers: o.Containers, wait: o.Wait, hurry: o.Hurry, log: o.Log,
		swaps: filepath.Join(o.ProcRoot, "swaps"), dying: map[int32]place{}, asked: map[string]bool{},
	}
}

// Record fills in the owners of victim and trigger, the level of the limit, and
// what can only be sampled. It returns within Options.Wait; what cannot be had
// stays out.
func (e *Enricher) Record(ctx context.Context, rec *oom.Record) {
	e.follow(rec)
	owners := e.paths(rec)
	e.sample(rec)
	if e.containers == nil {
		return
	}
	unknown := [2]bool{e.missing(owners[0]) != "", e.missing(owners[1]) != ""}
	if unknown[0] || unknown[1] {
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

// roles are whose the owners of paths are, in the record's words.
var roles = [2]string{"victim", "trigger"}

// follow gives a victim's exit the cgroup that it was killed in: by then it has
// left it (kernel/exit.c, cgroup_exit).
func (e *Enricher) follow(rec *oom.Record) {
	v := rec.Victim
	if v == nil || !v.PID.Known {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	was, ok := e.dying[v.PID.Value]
	switch rec.Kind {
	case oom.KindExit:
		delete(e.dying, v.PID.Value)
		if ok && v.Cgroup == "" && (was.incident == rec.Incident || rec.Incident == "") {
			v.Cgroup, v.CgroupID = was.cgroup, was.id
		}
	case oom.KindKill, oom.KindAlreadyExiting:
		if v.Cgroup == "" || ok && was.incident == rec.Incident {
			return
		}
		if !ok && len(e.dying) >= maxDying {
			for pid := range e.dying {
				delete(e.dying, pid)
				break
			}
		}
		// The record's memory is used again.
		e.dying[v.PID.Value] = place{cgroup: strings.Clone(v.Cgroup), id: v.CgroupID, incident: strings.Clone(rec.Incident)}
	}
}

// owner is one of a record's, and the cgroup path that it was read from.
type owner struct {
	*oom.Owner
	path string
}

// paths fills in what the cgroup paths say. It returns the owners found.
func (e *Enricher) paths(rec *oom.Record) (owners [2]owner) {
	if v := rec.Victim; v != nil && v.Cgroup != "" {
		v.Owner = cgroup.Parse(v.Cgroup).Owner
		owners[0] = owner{&v.Owner, v.Cgroup}
	}
	if t := rec.Trigger; t != nil && t.Cgroup != "" {
		t.Owner = cgroup.Parse(t.Cgroup).Owner
		owners[1] = owner{&t.Owner, t.Cgroup}
	}
	if l := rec.Limit; l != nil && l.Cgroup != "" {
		member := ""
		if rec.Victim != nil {
			member = rec.Victim.Cgroup
		}
		l.Level = cgroup.LevelOf(l.Cgroup, member)
	}
	return owners
}

// await waits for containers that the cache does not know yet, but not for those
// of an old log: they are known already, or never will be.
func (e *Enricher) await(ctx context.Context, rec *oom.Record, owners [2]owner) {
	if !e.worth(rec) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, e.wait)
	defer cancel()
	if e.hurry != nil {
		go e.watch(ctx, cancel)
	}
	for _, o := range owners {
		if id := e.missing(o); id != "" && e.first(id) {
			e.containers.Wait(ctx, o.path, id)
		}
	}
}

// worth says whether names may be waited for.
func (e *Enricher) worth(rec *oom.Record) bool {
	switch {
	case e.wait < 0 || rec.Kind == oom.KindExit:
		return false
	case e.log || rec.Source == oom.SourceBPF:
		return true
	}
	age := time.Since(rec.Time)
	return !rec.Time.IsZero() && age < recent && age > -recent
}

// watch ends a wait when there is reason to hurry.
func (e *Enricher) watch(ctx context.Context, cancel context.CancelFunc) {
	t := time.NewTicker(hurryPause)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if e.hurry() {
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
	e.asked[strings.Clone(id)] = true
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
// if it has one. The path is the kernel's word: what contradicts it, package
// container does not give.
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
