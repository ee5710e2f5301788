// Package explain turns the facts of a record into its explanation: a verdict,
// one sentence, and reasons with the numbers they rest on.
//
// Everything here is a pure function of an oom.Record, so a record from BPF and
// one from the kernel log are treated alike. A number that the record does not
// hold is never assumed: the reason that needs it is not given. Where the
// evidence allows for another verdict, Why.Unsure is set and the summary says
// from what it could not be told apart. Names that a process chose itself (comm,
// cgroup names) never enter a text.
//
// The codes are documented in docs/why.md.
package explain

import (
	"unsafe"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// Explainer explains records. It reuses its buffers: the Why that Explain sets,
// with all its strings, is valid until the next call on the same Explainer. A
// caller that keeps a record longer uses Of. The zero value is ready. It is not
// safe for concurrent use.
type Explainer struct {
	why     oom.Why
	out     text
	spans   []span
	reasons []oom.Reason
	f       facts
	doubts  []doubt
	verdict string
	doubt   string
}

// doubt is what a verdict could not be told apart from.
type doubt struct{ code, from string }

// span is a reason whose text is still an offset: the buffer may move.
type span struct {
	code       string
	start, end int
}

// Explain sets rec.Why from the facts of rec.
func (e *Explainer) Explain(rec *oom.Record) {
	e.out.b, e.spans, e.reasons = e.out.b[:0], e.spans[:0], e.reasons[:0]
	e.doubts, e.verdict, e.doubt = e.doubts[:0], "", ""
	e.f.gather(rec)
	switch rec.Kind {
	case oom.KindLost:
		e.lost()
	case oom.KindExit:
		e.exit()
	default:
		e.kill()
	}
	start := len(e.out.b)
	e.summary()
	e.finish(rec, start)
}

// Of returns the explanation of rec in memory of its own.
func Of(rec *oom.Record) *oom.Why {
	var e Explainer
	r := *rec
	e.Explain(&r)
	return r.Why
}

// reason starts a reason's text; end closes it.
func (e *Explainer) reason(code string) *text {
	e.spans = append(e.spans, span{code: code, start: len(e.out.b)})
	return &e.out
}

func (e *Explainer) end() {
	e.spans[len(e.spans)-1].end = len(e.out.b)
}

func (e *Explainer) has(code string) bool {
	for i := range e.spans {
		if e.spans[i].code == code {
			return true
		}
	}
	return false
}

// settle makes code the verdict, unless a stronger one stands.
func (e *Explainer) settle(code string) {
	if e.verdict == "" {
		e.verdict = code
	}
}

// unsure notes from what code could not be told apart. It counts only if code
// becomes the verdict.
func (e *Explainer) unsure(code, from string) {
	e.doubts = append(e.doubts, doubt{code, from})
}

func (e *Explainer) doubtOf(code string) string {
	for _, d := range e.doubts {
		if d.code == code {
			return d.from
		}
	}
	return ""
}

// finish turns offsets into strings, now that the buffer stays where it is.
func (e *Explainer) finish(rec *oom.Record, summary int) {
	for _, s := range e.spans {
		e.reasons = append(e.reasons, oom.Reason{Code: s.code, Text: view(e.out.b[s.start:s.end])})
	}
	e.why = oom.Why{Verdict: e.verdict, Summary: view(e.out.b[summary:]), Reasons: e.reasons}
	if e.doubt != "" {
		e.why.Unsure = oom.Some(true)
	}
	rec.Why = &e.why
}

// view is b as a string, without a copy: b is not written again before the next
// Explain.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// kill explains a kill, and an OOM that ended without one. The order of the
// rules is the order of strength: what somebody asked for, what the kernel could
// not reach, who holds the memory, why swap did not help.
func (e *Explainer) kill() {
	e.special()
	switch {
	case e.f.sysrq:
	case e.f.cgroup:
		e.limit()
	default:
		e.system()
	}
	e.choice()
	if e.verdict == "" {
		e.verdict = codeUnknown
		e.unsure(codeUnknown, "any other: the memory's state is not in the record")
	}
}

func (e *Explainer) special() {
	rec := e.f.rec
	if e.f.sysrq {
		t := e.reason(codeSysrq).s("sysrq-f asked for the kill")
		if rec.Trigger != nil && rec.Trigger.Order.Known {
			t.s(" (order ").n(int64(rec.Trigger.Order.Value)).s(")")
		}
		e.end()
		e.settle(codeSysrq)
	}
	switch rec.Kind {
	case oom.KindAlreadyExiting:
		e.reason(codeAlreadyExiting).s("the task was dying already: the kernel marked it and sent no signal")
		e.end()
		e.settle(codeAlreadyExiting)
	case oom.KindNoVictim:
		e.noVictim()
	}
}

func (e *Explainer) noVictim() {
	rec, spared := e.f.rec, int64(0)
	for i := range rec.Candidates {
		if adj, ok := rec.Candidates[i].OOMScoreAdj.Get(); ok && adj == -1000 {
			spared++
		}
	}
	t := e.reason(codeNoVictim).s("the kernel found nobody to kill")
	switch total, ok := rec.CandidatesTotal.Get(); {
	case spared > 0 && spared == int64(len(rec.Candidates)):
		t.s(": all ").n(spared).s(" tasks listed have oom_score_adj -1000")
	case ok && total == 0:
		t.s(": 0 tasks weighed")
	}
	e.end()
	e.settle(codeNoVictim)
}

func (e *Explainer) lost() {
	t := e.reason(codeLost)
	if n, ok := e.f.rec.Lost.Get(); ok {
		t.u(n)
	} else {
		t.s("an unknown number of")
	}
	t.s(" records were lost here")
	e.end()
	e.settle(codeLost)
}

// slowExit is when a victim is late: the reaper runs 2 s after the mark since
// 5.18 (mm/oom_kill.c, OOM_REAPER_DELAY) and tries for about 1 s
// (MAX_OOM_REAP_RETRIES, 100 ms apart), so at 5 s something holds the task.
const slowExit = 5e9

func (e *Explainer) exit() {
	x := e.f.rec.Exit
	if x == nil {
		e.settle(codeUnknown)
		e.unsure(codeUnknown, "a victim that is still there")
		return
	}
	if after, ok := x.AfterNS.Get(); ok {
		if after >= slowExit {
			e.reason(codeExitSlow).s("gone after ").dur(after).s(", 5 s or more")
			e.end()
		}
		e.reason(codeExitGone).s("gone after ").dur(after)
		e.end()
	}
	if x.ReaperGaveUp.Or(false) {
		t := e.reason(codeExitGaveUp).s("the reaper could not take its memory")
		if rss, ok := x.RSSBytes.Get(); ok {
			t.s("; it still held ").size(rss)
		}
		e.end()
		e.settle(codeExitGaveUp)
	}
	if x.Reaped.Or(false) {
		t := e.reason(codeExitReaped).s("the reaper took its memory")
		if ns, ok := x.ReapedAfterNS.Get(); ok {
			t.s(" by ").dur(ns)
		}
		if rss, ok := x.RSSBytes.Get(); ok {
			t.s("; ").size(rss).s(" resident were left")
		}
		e.end()
	}
	for _, code := range [...]string{codeExitSlow, codeExitGone, codeExitReaped} {
		if e.has(code) {
			e.settle(code)
		}
	}
	if e.verdict == "" {
		e.settle(codeUnknown)
		e.unsure(codeUnknown, "a victim that is still there")
	}
}
