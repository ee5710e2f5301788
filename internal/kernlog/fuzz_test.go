package kernlog

import (
	"bytes"
	"os"
	"testing"
	"time"

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
	lines := original(f)
	for _, w := range append(textWrappings(), otherWrappings()...) {
		f.Add([]byte(w.wrap(lines)))
	}
	for _, c := range compressors() {
		f.Add(pack(f, c, textWrappings()[0].wrap(lines)))
	}
}

// bounds: how many records a text may give at most: one for each line that
// tells of a kill or of none, and one for each report without such a line. What
// the kernel chose without a report before it stands for a lost kill line.
func bounds(x *prefixes, text []byte, read func(*prefixes, []byte) (Line, bool)) int {
	type decision struct {
		from stamp
		tick int
		pid  int32
		cut  bool // the choice was not in it, or not legible
		done bool
	}
	var open []decision
	n := 0
	for tick, raw := range bytes.Split(text, []byte("\n")) {
		l, ok := read(x, raw)
		if !ok {
			continue
		}
		b, at := l.Text, stampOf(&l)
		header, killed := contains(b, "invoked oom-killer: "), contains(b, killedMark)
		if header {
			open = append(open, decision{from: at, tick: tick, cut: true})
		}
		if contains(b, "is already exiting") || contains(b, "no killable process") || contains(b, "panic_on_oom is enabled") {
			n++
		}
		if killed {
			n++
		}
		pid := int32(-1)
		if i := bytes.LastIndex(b, []byte(",pid=")); i >= 0 && hasPrefix(skipSpaces(b), summaryMark) {
			pid, _, _ = cutPID(b[i+len(",pid="):])
		} else if i := bytes.Index(b, []byte(killMark)); i >= 0 {
			pid, _, _ = cutPID(b[i+len(killMark):])
		} else if i := bytes.Index(b, []byte(killedMark)); i >= 0 {
			pid, _, _ = cutPID(b[i+len(killedMark):])
		}
		if killed {
			for i := range open {
				d := &open[i]
				gap, ok := at.since(&d.from)
				if d.pid == pid && !d.cut && !d.done && at.sameOrigin(&d.from) && (!ok || gap <= reportWait && gap >= -clockSlack) && tick-d.tick < reportLines {
					d.done = true
					break
				}
			}
			continue
		}
		if pid < 0 {
			continue
		}
		taken := false
		for i := len(open) - 1; i >= 0 && !taken; i-- {
			gap, ok := at.since(&open[i].from)
			if open[i].cut && at.sameOrigin(&open[i].from) && (!ok || gap <= reportWait && gap >= -clockSlack) {
				open[i].pid, open[i].cut, open[i].from, open[i].tick, taken = pid, false, at, tick, true
			}
		}
		if !taken {
			open = append(open, decision{from: at, tick: tick, pid: pid})
		}
	}
	for i := range open {
		if !open[i].done {
			n++
		}
	}
	return n
}

func check(t *testing.T, rec *oom.Record) {
	t.Helper()
	if rec.Schema != oom.Schema || rec.ID == "" || rec.Source != oom.SourceKmsg || len(rec.Candidates) > maxCandidates+1 {
		t.Fatalf("record %+v", rec)
	}
	if rec.Kind == oom.KindKill && (rec.Victim == nil || !rec.Victim.TID.Known) {
		t.Fatal("a kill without a victim")
	}
}

// FuzzReader: no panic, an end, and no more records than lines that can make
// one. What is compressed or escaped can hold more than is seen in the input.
func FuzzReader(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		o := testOptions()
		o.MaxLine = 2000
		r := NewReader(bytes.NewReader(text), o)
		n := 0
		for {
			rec, err := r.Next()
			if err != nil {
				break
			}
			check(t, rec)
			n++
		}
		packed := len(text) > 2 && (text[0] == 0x1f || text[0] == 0xfd || text[0] == 0x28)
		if r.format != formatText || packed {
			return
		}
		x := prefixes{o: &o, now: time.Now}
		lines := bytes.ReplaceAll(text, []byte{0}, []byte("\n")) // a hole parts lines
		most := bounds(&x, lines, func(x *prefixes, raw []byte) (Line, bool) { return x.line(raw[:min(len(raw), o.MaxLine)]) })
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
		x := prefixes{o: &o}
		n := 0
		for _, raw := range bytes.Split(text, []byte("\n")) {
			if l, ok := kmsgOnly(&x, raw); ok {
				p.Line(l)
			}
			for rec := p.Take(); rec != nil; rec = p.Take() {
				check(t, rec)
				n++
			}
		}
		p.Flush()
		for rec := p.Take(); rec != nil; rec = p.Take() {
			check(t, rec)
			n++
		}
		if most := bounds(&x, text, kmsgOnly) + bytes.Count(text, []byte("oom_reaper: ")); n > most {
			t.Fatalf("%d records, at most %d possible", n, most)
		}
	})
}

// kmsgOnly reads /dev/kmsg's form, and any other line as bare text.
func kmsgOnly(x *prefixes, raw []byte) (l Line, ok bool) {
	if text, kernel, ok := x.kmsg(&l, raw); ok {
		l.Text = text
		return l, kernel
	}
	l.Text = raw
	return l, true
}
