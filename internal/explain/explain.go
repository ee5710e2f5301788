// Package explain turns the facts of a record into its explanation: a verdict,
// one sentence, and reasons with the numbers they rest on.
//
// Everything here is a pure function of an oom.Record, so a record from BPF and
// one from the kernel log are treated alike. A number that the record does not
// hold is never assumed: the reason that needs it is not given. Where the
// evidence allows for another verdict, Why.Unsure is set, the summary says what it
// could also be, and Why.Check how to find out. Names that a process chose itself
// enter a text only through name, which quotes what is not plain.
//
// The codes are documented in docs/why.md.
package explain

import (
	"cmp"
	"slices"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// finding is one fact: a reason, and what the summary says of it.
type finding struct {
	code string
	text string // of the reason; a finding without one is not among the reasons
	// lead begins the summary where this is the verdict; text stands for it where it
	// is empty.
	lead string
	// aside is what it adds to the summary of another verdict; most add nothing.
	aside string
	// doubt is what the verdict could also be.
	doubt string
	// settles makes it the verdict, unless a stronger one stands.
	settles bool
}

// explanation collects the findings on one record.
type explanation struct {
	facts
	found   []finding
	verdict string
	// beside is the verdict on the memory where the record's own is another: that the
	// kill was asked for, or that nothing was killed.
	beside  string
	special bool
	// zonesShort: all zones that the request may use, whose sums are in held, are at or
	// below their marks.
	zonesShort bool
	minKept    uint64 // what memory.min keeps from reclaim
	held       zoneSum
}

// Explain sets rec.Why from the facts of rec.
func Explain(rec *oom.Record) { rec.Why = Of(rec) }

// Of returns the explanation of rec.
func Of(rec *oom.Record) *oom.Why {
	e := explanation{facts: gather(rec), found: make([]finding, 0, 4)}
	switch rec.Kind {
	case oom.KindLost:
		e.lost()
	case oom.KindExit:
		e.exit()
	case oom.KindSigkill:
		e.sigkill()
	default:
		e.kill()
	}
	return e.why()
}

func (e *explanation) add(f finding) {
	e.found = append(e.found, f)
	if f.settles {
		e.settle(f.code)
	}
}

func (e *explanation) get(code string) *finding {
	for i := range e.found {
		if e.found[i].code == code {
			return &e.found[i]
		}
	}
	return nil
}

func (e *explanation) has(code string) bool { return e.get(code) != nil }

// settle makes code the verdict, unless a stronger one stands.
func (e *explanation) settle(code string) {
	switch {
	case e.verdict == "":
		e.verdict = code
	case e.special && e.beside == "":
		e.beside = code
	}
}

// settled reports that the memory has its verdict.
func (e *explanation) settled() bool { return e.cause() != "" }

// cause is the verdict on the memory.
func (e *explanation) cause() string {
	if e.special {
		return e.beside
	}
	return e.verdict
}

// unsure notes what code could also be. It counts only if code becomes the verdict.
func (e *explanation) unsure(code, other string) {
	if f := e.get(code); f != nil && f.doubt == "" {
		f.doubt = other
	}
}

// maxSummary is what fits on three lines of a terminal. An aside without room is left
// to the reasons.
const maxSummary = 300

func (e *explanation) why() *oom.Why {
	w := &oom.Why{Verdict: e.verdict}
	for _, f := range e.found {
		if f.text != "" {
			w.Reasons = append(w.Reasons, oom.Reason{Code: f.code, Text: f.text})
		}
	}
	v, beside := e.get(e.verdict), e.get(e.beside)
	doubt, check, tail := v.doubt, v.code, ""
	if doubt == "" && beside != nil {
		doubt, check = beside.doubt, beside.code
	}
	if e.childPossible() {
		const child = "a child of it that was killed: the log lacks that line or its end"
		if doubt == "" {
			doubt, check = child, codeUnknown
		} else {
			doubt += "; or " + child
		}
	}
	if doubt != "" {
		tail = " (could also be " + doubt + ")"
		w.Unsure = oom.Some(true)
		w.Check = checkOf(check)
	}
	w.Summary = v.summary()
	try := func(s string) {
		if s != "" && len(w.Summary)+len("; ")+len(s)+len(tail) <= maxSummary {
			w.Summary += "; " + s
		}
	}
	if beside != nil {
		try(beside.summary())
	}
	for i := range e.found {
		if f := &e.found[i]; f != v && f != beside {
			try(f.aside)
		}
	}
	w.Summary += tail
	return w
}

// childPossible: up to 5.0 the kernel names whom it chose, "or sacrifice child", and in the
// next line whom it killed. That line has the sizes.
func (e *explanation) childPossible() bool {
	r := e.rec
	return r.Kind == oom.KindKill && e.rowsLost() && e.victim.Score.Known && !e.victim.AnonRSSBytes.Known
}

func (f *finding) summary() string { return cmp.Or(f.lead, f.text) }

// kill explains a kill, and an OOM that ended without one. The order of the
// rules is the order of strength: what was asked for, what the kernel could
// not reach, what holds the memory, why swap did not help.
func (e *explanation) kill() {
	e.outcome()
	switch {
	case e.rec.Kind == oom.KindAlreadyExiting || e.rec.Kind == oom.KindNoVictim && e.over():
	case e.cgroup:
		e.atLimit()
	case e.sysrq && !e.tight():
		e.roomy()
	default:
		e.system()
	}
	e.choice()
	if e.verdict == "" {
		lead := e.shortage()
		if s := taskSize(e.victim.RSSBytes, e.victim.SwapBytes, e.victim.PgtablesBytes); s.Known {
			lead += "; this process held " + sizeText(s.Value)
		}
		e.add(finding{code: codeUnknown, lead: lead, doubt: "any cause: the record does not hold the memory's state", settles: true})
	}
}

// shortage says what ran out, and no more.
func (e *explanation) shortage() string {
	switch {
	case e.cgroup:
		return e.limitUsedUp()
	case e.sysrq && e.free.Known && e.total.Known:
		return partText(e.free.Value, e.total.Value) + " is free"
	case e.has(codeMemoryLow) && !e.muchHeld():
		return "no free memory"
	case e.zonesShort && e.nodesOnly():
		_, nodes := e.constraint()
		return nodes + " are out of memory"
	}
	return "out of memory"
}

// outcome is for what is not the usual end, a kill for want of memory. The verdict is
// the outcome then, and the memory is explained beside it.
func (e *explanation) outcome() {
	switch e.rec.Kind {
	case oom.KindAlreadyExiting:
		e.add(finding{code: codeAlreadyExiting, text: "the task was exiting already: the kernel marked it and sent no signal",
			lead: "the process was exiting already: the kernel marked it, without a kill, so that it can finish", settles: true})
	case oom.KindNoVictim:
		e.noVictim()
	case oom.KindPanic:
		e.panicked()
	case oom.KindOOM:
		text := "an OOM began here; the log does not hold how it ended"
		if e.rec.Trigger == nil {
			text = "an OOM happened here; the log holds neither how it began nor how it ended"
		}
		e.add(finding{code: codeCut, text: text, settles: true})
	}
	if e.sysrq && e.rec.Kind != oom.KindAlreadyExiting {
		e.sysrqf()
	}
	e.special = e.verdict != ""
}

// sysrqf: the key, or a write of f to /proc/sysrq-trigger, which daemons do too
// (earlyoom --use-kernel-oom). The kernel does it in a worker (drivers/tty/sysrq.c,
// moom_callback), so that the trigger is not the process that asked.
func (e *explanation) sysrqf() {
	const text = "triggered with SysRq-f: the key, or someone wrote f to /proc/sysrq-trigger"
	e.add(finding{code: codeSysrq, text: text, aside: text, settles: true})
}

func (e *explanation) panicked() {
	text := "the kernel panicked instead of killing"
	switch e.rec.Panic {
	case oom.PanicOnOOM:
		text += ": vm.panic_on_oom is set"
		if e.cgroup && e.memory.PanicOnOOM == oom.Some(uint32(2)) {
			text = "the kernel panicked instead of killing: vm.panic_on_oom is 2, and that holds at a cgroup's limit too"
		}
	case oom.PanicNoKillable:
		text = "the kernel panicked: it found no killable process"
	}
	e.add(finding{code: codePanic, text: text, settles: true})
}

// over: by the time that nothing was found to kill, an earlier victim had given back
// what it held, or the shortage was not one of memory.
func (e *explanation) over() bool {
	return e.cgroup && (e.writesLimit() || !all(e.usage, e.max).Known || e.givenBack())
}

func (e *explanation) noVictim() {
	text := "the kernel found no killable process"
	lead := text
	switch {
	case e.cgroup && e.writesLimit():
		lead = sprintf("%s limit was lowered below what is in use, and %s", e.levelWord(), text)
	case e.over() && all(e.usage, e.max).Known:
		lead = sprintf("%s limit was met (%s of %s in use by now), and %s", e.levelWord(), sizeText(e.usage.Value), sizeText(e.max.Value), text)
	}
	switch n := len(e.rec.Candidates); {
	case n > 0 && !slices.ContainsFunc(e.rec.Candidates, func(c oom.Candidate) bool { return c.OOMScoreAdj.Or(0) != unkillable }):
		text += sprintf(": each task listed (%d) has oom_score_adj -1000", n)
	case e.rec.CandidatesTotal == oom.Some(uint64(0)):
		text += ": 0 tasks weighed"
	}
	e.add(finding{code: codeNoVictim, text: text, lead: lead, settles: true})
}

func (e *explanation) lost() {
	n := "an unknown number of"
	if v, ok := e.rec.Lost.Get(); ok {
		n = sprintf("%d", v)
	}
	what := " records"
	if e.rec.LostKind == oom.LostLogLines {
		what = " lines of the kernel log"
	}
	e.add(finding{code: codeLost, text: n + what + " were lost here", settles: true})
}

// slowExit is when a victim is late: the reaper runs 2 s after the mark since
// 5.18 (mm/oom_kill.c, OOM_REAPER_DELAY) and tries for about 1 s
// (MAX_OOM_REAP_RETRIES, 100 ms apart), so at 5 s something holds the task.
const slowExit = 5e9

// exit explains the exit of a victim: the verdict is the weightiest of what happened.
func (e *explanation) exit() {
	x := orEmpty(e.rec.Exit)
	if after, ok := x.AfterNS.Get(); ok {
		text := "exited " + spanText(after) + " after the kill"
		if after >= slowExit {
			e.add(finding{code: codeExitSlow, text: text + ", 5 s or more"})
		}
		e.add(finding{code: codeExitGone, text: text, aside: when(after < slowExit, text)})
	}
	if x.ReaperGaveUp.Or(false) {
		text := "the OOM reaper could not free its memory" + when(x.RSSBytes.Known, "; "+sizeText(x.RSSBytes.Value)+" were still resident")
		e.add(finding{code: codeExitGaveUp, text: text, settles: true})
	}
	if x.Reaped.Or(false) {
		text := "the OOM reaper freed its memory" + when(x.ReapedAfterNS.Known, " within "+spanText(x.ReapedAfterNS.Value)) +
			when(x.RSSBytes.Known, "; "+sizeText(x.RSSBytes.Value)+" resident were left")
		e.add(finding{code: codeExitReaped, text: text, aside: text})
	}
	for _, code := range [...]string{codeExitSlow, codeExitGone, codeExitReaped} {
		if e.has(code) {
			e.settle(code)
		}
	}
	if e.verdict == "" {
		e.add(finding{code: codeUnknown, lead: "the record does not show how the victim exited", doubt: "a victim that is still alive", settles: true})
	}
}

// when is text where it is to be said.
func when(say bool, text string) string {
	if say {
		return text
	}
	return ""
}
