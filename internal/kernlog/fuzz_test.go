package kernlog

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"github.com/oomtrace/oomtrace/internal/kernlog/lines"
	"github.com/oomtrace/oomtrace/internal/kernlog/scan"
	"github.com/oomtrace/oomtrace/internal/oom"
)

func seeds(f *testing.F) {
	f.Helper()
	for _, name := range logs(f) {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text[:min(len(text), 12000)])
	}
	log := original(f)
	for _, w := range slices.Concat(textWrappings(), otherWrappings(), entryForms(), pastedForms()) {
		f.Add([]byte(w.wrap(log)))
	}
	for _, w := range slices.Concat(keptForms(textWrappings()[0].wrap), furtherForms(textWrappings()[0].wrap)) {
		f.Add([]byte(w.wrap(slices.Concat(log[:3], log[len(log)-3:]))))
	}
	for _, c := range compressors() {
		f.Add(pack(f, c, textWrappings()[0].wrap(log)))
	}
}

// recorder keeps the lines of a log.
type recorder struct{ all []lines.Line }

func (r *recorder) Line(l *lines.Line) {
	own := *l
	own.Text = bytes.Clone(l.Text)
	r.all = append(r.all, own)
}
func (r *recorder) Skip(int)   {}
func (r *recorder) Busy() bool { return true }

// named says what the lines of a log name: how many decisions there may be, and the pids
// that were chosen or killed. Whatever the rest of a log, no record is about another, and
// each begins with a line that begins or decides a report.
func namedIn(all []lines.Line) (most int, pids map[int32]int) {
	pids = map[int32]int{}
	for i := range all {
		for text := range bytes.SplitSeq(all[i].Text, []byte("\n")) {
			for _, mark := range [...]string{"oom-killer:", "memory: usage ", "is already exiting", "no killable process", "panic_on_oom is ", "deadlocked on memory"} {
				most += bytes.Count(text, []byte(mark))
			}
		}
		// A name may hold a line's end, so that its pid is in the next line.
		for _, pid := range pidsOfKills(all[i].Text) {
			pids[pid]++
			most++
		}
		for _, mark := range [...]string{"kill process ", ",pid=", "OOM victim ", "pid:"} {
			for rest := all[i].Text; ; {
				var ok bool
				if rest, ok = scan.After(rest, mark); !ok {
					break
				}
				if pid, _, ok := scan.PID(rest); ok {
					pids[pid]++
					most++
				}
			}
		}
	}
	return most, pids
}

// pidsOfKills are the pids that kill lines name, whatever their blanks.
func pidsOfKills(text []byte) (pids []int32) {
	for rest, ok := scan.After(text, "Kill"); ok; rest, ok = scan.After(rest, "Kill") {
		words := bytes.TrimPrefix(rest, []byte("ed"))
		if words, ok := bytes.CutPrefix(scan.SkipSpaces(words), []byte("process")); ok {
			if pid, _, ok := scan.PID(scan.SkipSpaces(words)); ok {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func check(t *testing.T, rec *oom.Record, pids map[int32]int) {
	t.Helper()
	if rec.Schema != oom.Schema || rec.ID == "" || rec.Source != oom.SourceKmsg || len(rec.Candidates) > maxCandidates+1 {
		t.Fatalf("record %+v", rec)
	}
	if rec.Kind != oom.KindKill {
		return
	}
	if rec.Victim == nil || !rec.Victim.TID.Known {
		t.Fatal("a kill without a victim")
	}
	if pids[rec.Victim.TID.Value]--; pids[rec.Victim.TID.Value] < 0 {
		t.Fatalf("a kill of %d, which no line names", rec.Victim.TID.Value)
	}
}

// FuzzReader: no panic, an end, and no records but those that lines tell of.
func FuzzReader(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		o := testOptions()
		o.MaxLine = 2000
		var in recorder
		plain := lines.NewReader(bytes.NewReader(text), o.lines(), grammar{}, &in)
		for plain.Step() == nil {
		}
		most, pids := namedIn(in.all)
		r := NewReader(bytes.NewReader(text), o)
		n := 0
		for {
			rec, err := r.Next()
			if err != nil {
				break
			}
			check(t, rec, pids)
			n++
		}
		if n > most {
			t.Fatalf("%d records, at most %d possible", n, most)
		}
	})
}

// FuzzParser takes the text line by line, with exit records.
func FuzzParser(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		o := testOptions()
		o.ExitRecords = true
		p := NewParser(o)
		var in recorder
		for raw := range bytes.SplitSeq(text, []byte("\n")) {
			l := lines.Line{Text: raw}
			if h, ok := parseKmsg(raw); ok {
				l = lines.Line{Text: h.Message(new([]byte)), Uptime: h.Uptime, Caller: h.Caller, Exact: true}
			}
			in.Line(&l)
		}
		most, pids := namedIn(in.all)
		n := 0
		take := func() {
			for rec := p.Take(); rec != nil; rec = p.Take() {
				check(t, rec, pids)
				n++
			}
		}
		for i := range in.all {
			p.Line(&in.all[i])
			take()
		}
		p.Flush()
		take()
		if n > most+bytes.Count(text, []byte("oom_reaper")) {
			t.Fatalf("%d records, at most %d possible", n, most)
		}
	})
}
