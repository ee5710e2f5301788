package kernlog

import (
	"slices"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// begun is a report by its first line, and what came of it: people put an excerpt beside the
// whole, and then the end is lost in one of the two only.
type begun struct {
	at      stamp
	caller  int
	trigger string
	mask    oom.Opt[uint32]
	id      string // the record's
	worth   int
}

// maxBegun is among how many reports one is looked for that was read before.
const maxBegun = 16

func begunAs(r *report) begun {
	return begun{at: r.stamp, caller: r.caller, trigger: r.trigger.Comm, mask: r.trigger.GFPMask}
}

// same says whether two reports have one first line. Without the kernel's clock that is not
// known: within a second a task may begin another.
func (b *begun) same(o *begun) bool {
	return b.at.uptime.Known && b.at.uptime == o.at.uptime && b.at.sameOrigin(&o.at) && b.trigger == o.trigger && b.mask == o.mask &&
		(b.caller == 0 || o.caller == 0 || b.caller == o.caller)
}

// before finds what came of a report that was read already, and nil for another.
func (p *Parser) before(r *report) *begun {
	now := begunAs(r)
	for i := range p.begun {
		if !r.headless && now.same(&p.begun[i]) {
			return &p.begun[i]
		}
	}
	return nil
}

// worth orders what a report may come to by how much it says.
func worth(rec *oom.Record) int {
	n := 2 * slices.Index([]oom.Kind{oom.KindOOM, oom.KindNoVictim, oom.KindPanic, oom.KindKill}, rec.Kind)
	if rec.Incomplete.Value {
		n--
	}
	return n
}

// decided takes note of what came of a report, and says whether that is to be given out. Of
// two that begin with the same line it is the one that says more, unless the other is out.
func (p *Parser) decided(r *report, rec *oom.Record) bool {
	now := begunAs(r)
	now.id, now.worth = rec.ID, worth(rec)
	old := p.before(r)
	if old == nil {
		if len(p.begun) == maxBegun {
			p.begun = slices.Delete(p.begun, 0, 1)
		}
		p.begun = append(p.begun, now)
		return true
	}
	switch i := p.holds(old.id); {
	case i >= 0 && old.worth < now.worth:
		if p.held[i].rec.Kind == oom.KindKill {
			p.stats.Kills--
		}
		p.held = slices.Delete(p.held, i, i+1)
		p.stats.Duplicates++
	case rec.Kind != oom.KindKill:
		return false
	}
	*old = now
	return true
}

// holds is where a record waits; negative for nowhere.
func (p *Parser) holds(id string) int {
	return slices.IndexFunc(p.held, func(h held) bool { return h.rec.ID == id && !h.out })
}

// giveHeld gives out a record that waited.
func (p *Parser) giveHeld(h *held) {
	if h.again && h.rec.Kind == oom.KindNoVictim {
		p.stats.Duplicates++
		return
	}
	p.put(h.rec, h.second)
}

// dropCopies drops what waits beside the i-th held record and is the same OOM without its
// panic: where the whole machine has no process to kill, the kernel panics next, and it
// does so once.
func (p *Parser) dropCopies(i int) {
	h := p.held[i]
	p.held = slices.DeleteFunc(p.held, func(o held) bool {
		same := o.rec != h.rec && !o.out && o.rec.Kind == oom.KindNoVictim && o.rec.Scope != oom.ScopeCgroup && !o.rec.Sysrq.Value &&
			o.at.canBe(&h.at) && triggerTID(o.rec) == triggerTID(h.rec)
		if same {
			p.stats.Duplicates++
		}
		return same
	})
}
