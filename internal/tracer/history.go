package tracer

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/oomtrace/oomtrace/internal/probe"
)

// The hook points of bpf/history.bpf.c. Where two programs are on one function, a
// word after its name distinguishes them.
const (
	hookTryCharge = "page_counter_try_charge"
	hookDrain     = "drain_stock"
	hookKillCopy  = "oom_kill_process history"
	hookMaxWrite  = "memory_max_write"
	hookHighWrite = "memory_high_write"
	hookV1Write   = "mem_cgroup_write"
	hookCpuset    = "cpuset_write_resmask"
	hookRmdir     = "cgroup_rmdir"
	hookAdj       = "oom_score_adj_update"
)

// historySpot is the number of the first of these hooks among pinned ones.
const historySpot = 100

// historyPlan says what counts growth. The charges come last: nothing is followed
// that would not be forgotten again.
func historyPlan() []hook {
	return []hook{
		rawHook(hookRmdir, probe.HistoryProgRawCgroupRmdir),
		rawHook(hookAdj, probe.HistoryProgRawAdj),
		functionHook(hookKillCopy, 0, probe.HistoryProgFentryKill, probe.HistoryProgKprobeKill),
		functionHook(hookMaxWrite, 0, probe.HistoryProgFentryMaxWrite, probe.HistoryProgKprobeMaxWrite),
		functionHook(hookHighWrite, 0, probe.HistoryProgFentryHighWrite, probe.HistoryProgKprobeHighWrite),
		functionHook(hookV1Write, 0, probe.HistoryProgFentryV1Write, probe.HistoryProgKprobeV1Write),
		functionHook(hookCpuset, 0, probe.HistoryProgFentryCpusetWrite, probe.HistoryProgKprobeCpusetWrite),
		functionHook(hookDrain, 0, probe.HistoryProgFentryDrainStock, probe.HistoryProgKprobeDrainStock),
		functionHook(hookTryCharge, 0, probe.HistoryProgFentryTryCharge, probe.HistoryProgKprobeTryCharge),
	}
}

// historyMaps are those that a reader needs.
func historyMaps() []string {
	return []string{probe.HistoryMapGrowths, probe.HistoryMapKilled, probe.HistoryMapLimits, probe.HistoryMapAdjs}
}

// growth is the part of a tracer that counts how cgroups grow. It has an object of
// its own, and nothing else depends on it.
type growth struct {
	maps        map[string]*ebpf.Map
	attachments []Attachment
	err         error // why there is none
}

// History says how the counting of charges is attached. The error says why it is
// not.
func (t *Tracer) History() (by Attachment, err error) {
	for _, a := range t.growth.attachments {
		if a.Hook == hookTryCharge {
			by = a
		}
	}
	return by, t.growth.err
}

// HistoryMaps are the maps of bpf/history.bpf.c, and of the command lines, by name, as long as the tracer is
// open; nil where growth is not counted.
func (t *Tracer) HistoryMaps() map[string]*ebpf.Map {
	if t.growth.err != nil {
		return nil
	}
	maps := maps.Clone(t.growth.maps)
	maps[probe.OomtraceMapCmdlines] = t.maps[probe.OomtraceMapCmdlines]
	return maps
}

// errNoHistory is why growth is not counted: no flag asked for it.
var errNoHistory = errors.New("not asked for")

// prepareHistory makes what counts growth ready to be attached, and begins to load it. The
// error is why growth will not be counted: nothing else is lost.
func (t *Tracer) prepareHistory(a *attacher, opts Options) (*attacher, error) {
	if opts.NoHistory {
		return nil, errNoHistory
	}
	if opts.Tier != TierAuto && opts.Tier != TierFentry && opts.Tier != TierKprobe {
		return nil, fmt.Errorf("%s has no functions to attach to", opts.Tier)
	}
	spec, err := probe.LoadHistory()
	if err != nil {
		return nil, fmt.Errorf("BPF object: %w", err)
	}
	forCPUs(spec.Maps[probe.HistoryMapAdjs], t.machine.CPUs)
	empty := *spec
	empty.Programs = nil
	coll, err := ebpf.NewCollectionWithOptions(&empty, ebpf.CollectionOptions{Cache: a.cache})
	if err != nil {
		return nil, fmt.Errorf("create BPF maps: %w", plainError(err))
	}
	t.growth.maps = coll.Maps
	coll.Maps = nil // closed by the tracer
	defer coll.Close()
	if err := t.pin.pinHistory(t.growth.maps); err != nil {
		return nil, err
	}
	own := &attacher{spec: spec, maps: t.growth.maps, cache: a.cache, types: a.types, symbols: a.symbols, watched: a.watched}
	own.hooks = historyPlan()
	for n, h := range own.hooks {
		own.hooks[n].candidates = allowed(h, opts.Tier)
	}
	own.loadAhead()
	return own, nil
}

// attachHistory attaches what it can: of the limits' writes and of the copies, any
// that fails costs only its own.
func (t *Tracer) attachHistory(a *attacher) error {
	for n, h := range a.hooks {
		at, l := a.hook(h, t.pin.spot(historySpot+n))
		t.growth.attachments = append(t.growth.attachments, at)
		if l != nil {
			t.links = append(t.links, l)
		} else if h.name == hookTryCharge {
			return &AttachError{Hook: h.name, Attempts: at.Tried}
		}
	}
	return nil
}

// pinHistory pins the maps beside the others.
func (d *pinDir) pinHistory(maps map[string]*ebpf.Map) error {
	if d == nil {
		return nil
	}
	for _, name := range historyMaps() {
		if err := maps[name].Pin(filepath.Join(d.path, name)); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrPin, name, plainError(err))
		}
	}
	return nil
}

// resumeHistory goes on with what an earlier reader of this build left: the past
// is still there.
func (t *Tracer) resumeHistory(path string) {
	t.growth.err = t.openPinnedHistory(path)
}

func (t *Tracer) openPinnedHistory(path string) error {
	t.growth.maps = map[string]*ebpf.Map{}
	for _, name := range historyMaps() {
		m, err := ebpf.LoadPinnedMap(filepath.Join(path, name), nil)
		if errors.Is(err, os.ErrNotExist) {
			return errors.New("the programs pinned in " + path + " go on without it")
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrPin, path, plainError(err))
		}
		t.growth.maps[name] = m
	}
	found, err := listPinned(path)
	if err != nil {
		return err
	}
	plan, a := historyPlan(), &attacher{symbols: t.symbols, watched: &t.watched}
	counts := false
	for _, p := range found {
		i := slices.IndexFunc(plan, func(h hook) bool { return h.name == p.hook })
		if i < 0 {
			continue
		}
		at := plan[i].attachment(p.kind)
		if p.what == pinProgram {
			again, l, err := a.again(filepath.Join(path, p.String()), &plan[i], p.kind)
			if err != nil {
				return fmt.Errorf("%s: %w", p.hook, plainError(err))
			}
			again.Unpinned = true
			at, t.links = again, append(t.links, l)
		} else {
			t.watched.addPinned(path, p)
		}
		t.growth.attachments = append(t.growth.attachments, at)
		counts = counts || p.hook == hookTryCharge
	}
	if !counts {
		return errors.New("the programs pinned in " + path + " go on without it")
	}
	return nil
}

func (g *growth) close() error {
	var errs []error
	for _, m := range g.maps {
		errs = append(errs, m.Close())
	}
	g.maps = nil
	return errors.Join(errs...)
}
